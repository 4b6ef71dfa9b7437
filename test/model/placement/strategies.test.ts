import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson } from "../../../worker/model/canonical.ts";
import type { Snapshot } from "../../../worker/model/cluster.ts";
import { buildPlan, strategies } from "../../../worker/model/placement/index.ts";
import type { Strategy } from "../../../worker/model/placement/strategy.ts";
import {
  type Goal,
  type PlanContent,
  planContent,
  type PlanParameters,
} from "../../../worker/model/placement/types.ts";
import { MIB } from "../../../worker/model/units.ts";
import { powered, sampled } from "../../support/enriched.ts";
import { anyWorld, parametersOf, uuidOf, world } from "../../support/world.ts";
import { breachesOf } from "./oracle.ts";

const SEED = 20_261_123;

/** Samples as multiples of what is used now. */
const SHAPES = [Array<number>(12).fill(1), [...Array<number>(11).fill(0.4), 1], Array<number>(12).fill(1.2), []];

/** A strategy at one of its goals. */
type Served = Pick<Strategy, "name"> & { goal: Goal };
const served: Served[] = strategies.flatMap(({ name, goals }) => goals.map((goal) => ({ name, goal })));

const planFor = ({ name, goal }: Served, snapshot: Snapshot, parameters: PlanParameters): PlanContent =>
  buildPlan(snapshot, goal, { ...parameters, strategy: name });

/** A cluster and parameters that the strategy's goal can have. */
const anyQuestion = ({ name, goal }: Served): fc.Arbitrary<{ snapshot: Snapshot; parameters: PlanParameters }> =>
  fc
    .record({
      snapshot: anyWorld(),
      evacuated: fc.integer({ min: 1, max: 2 }),
      stated: fc.record({
        hotRatio: fc.constantFrom(0.2, 0.5, 0.8),
        gainRatioMin: fc.constantFrom(0, 0.1),
        imbalanceMax: fc.constantFrom(0, 0.1),
        netGainMin: fc.constantFrom(0, 0.001),
        cpuRatioMax: fc.constantFrom(0.6, 0.9),
        memoryReserveRatio: fc.constantFrom(0, 0.1),
        postCopyPermitted: fc.boolean(),
        movesMax: fc.constantFrom(2, 200),
        cooldownMs: fc.constantFrom(0, 1_800_000),
        hostFailuresTolerated: fc.constantFrom(0, 0, 1),
      }),
      // Loads that stay, rise, fall or are not known.
      shapes: fc.array(fc.constantFrom(...SHAPES), { minLength: 1, maxLength: 6 }),
    })
    .map(({ snapshot, evacuated, stated, shapes }) => {
      const hostIds = snapshot.hosts.slice(0, evacuated).map(({ hostId }) => hostId);
      return {
        snapshot: powered(sampled(snapshot, shapes)),
        parameters: parametersOf({ ...stated, strategy: name, ...(goal === "evacuate" ? { hostIds } : {}) }),
      };
    });

const hostsNamed = (snapshot: Snapshot, isOut: (host: Snapshot["hosts"][number]) => boolean): string[] =>
  snapshot.hosts.filter(isOut).map(({ hostId }) => hostId);

describe.each(served)("every strategy: $name for $goal", { timeout: 60_000 }, (strategy) => {
  const forAny = (check: (question: { snapshot: Snapshot; parameters: PlanParameters }) => void, numRuns = 100): void =>
    fc.assert(fc.property(anyQuestion(strategy), check), { seed: SEED, numRuns });

  test("no intermediate state breaks a hard constraint", () => {
    let moves = 0;
    forAny(({ snapshot, parameters }) => {
      const plan = planFor(strategy, snapshot, parameters);
      moves += plan.moves.length;
      expect(breachesOf(snapshot, parameters, plan)).toEqual([]);
    }, 400);
    expect(moves, "the worlds must give it something to move").toBeGreaterThan(50);
  });

  test("the same question gives the same bytes, in whatever order the cluster was read", () => {
    forAny(({ snapshot, parameters }) => {
      const shuffled = {
        ...snapshot,
        hosts: snapshot.hosts.toReversed().map((host) => ({ ...host, vms: host.vms.toReversed() })),
        reservations: snapshot.reservations.toReversed(),
      };
      const text = canonicalJson(planFor(strategy, snapshot, parameters));
      expect(canonicalJson(planFor(strategy, shuffled, parameters))).toBe(text);
    });
  });

  test("the plan keeps to its schema and the snapshot is left as it was", () => {
    forAny(({ snapshot, parameters }) => {
      const before = canonicalJson(snapshot);
      const plan = planFor(strategy, snapshot, parameters);
      expect(planContent.parse(plan)).toEqual(plan);
      expect(canonicalJson(snapshot)).toBe(before);
    });
  });

  test("hosts whose load is unknown are named and neither give nor take", () => {
    forAny(({ snapshot, parameters }) => {
      const plan = planFor(strategy, snapshot, parameters);
      const out = hostsNamed(snapshot, (host) => host.load.cpuUsedCores === undefined || host.heardAt === undefined);
      const unknown = plan.unknownHosts.map(({ hostId }) => hostId);
      const touched = plan.moves.flatMap(({ fromHostId, toHostId }) => [fromHostId, toHostId]);
      expect(unknown).toEqual(expect.arrayContaining(out));
      expect(touched.filter((hostId) => unknown.includes(hostId))).toEqual([]);
    });
  });

  test("every move says what it costs, keeps to its limits and has its reasons", () => {
    forAny(({ snapshot, parameters }) => {
      for (const move of planFor(strategy, snapshot, parameters).moves) {
        expect(move.estimate.mechanism).toBe(move.mechanism);
        expect(move.estimate.downtimeMs?.p90 ?? 0).toBeLessThanOrEqual(move.limits.downtimeMsMax);
        expect(move.limits.postCopyPermitted).toBe(["post-copy", "hybrid"].includes(move.mechanism));
        expect(move.limits.postCopyPermitted && !parameters.postCopyPermitted).toBe(false);
        expect(move.reasons.length).toBeGreaterThanOrEqual(4);
        for (const reason of move.reasons.slice(0, 4)) expect(reason).toMatch(/\d/);
        expect(move.gain.mandatory || move.gain.net >= parameters.netGainMin).toBe(true);
        if (move.parking) continue;
        const others = hostsNamed(snapshot, ({ hostId }) => hostId !== move.fromHostId && hostId !== move.toHostId);
        expect(new Set(move.notChosen.map(({ hostId }) => hostId))).toEqual(new Set(others));
      }
    });
  });

  test("what is wanted and not moved says why, and a plan always has numbers", () => {
    forAny(({ snapshot, parameters }) => {
      const plan = planFor(strategy, snapshot, parameters);
      for (const { rejections } of plan.notMoved) expect(rejections).not.toEqual([]);
      expect(plan.summary).toMatch(/\d/);
      expect(plan.doNothing.why).toMatch(/\d/);
      expect(plan.doNothing.efficacy).toEqual(plan.before);
    });
  });

  test("a host without telemetry is not taken for an idle one", () => {
    const snapshot = world({
      hosts: { "hv-01": { cpuUsedCores: 15 }, "hv-02": { cpuUsedCores: null }, "hv-03": { silentMs: 61_000 } },
      // Hot, to be kept apart and talking to a third: every goal would move both, had it a host to move them to.
      vms: {
        app: { on: "hv-01", cpuUsedCores: 6, talksTo: { far: 400 * MIB } },
        web: { on: "hv-01", cpuUsedCores: 4, talksTo: { far: 400 * MIB } },
        far: { on: "hv-02" },
      },
      rules: [{ ruleId: "apart", kind: "vm-anti-affinity", vms: { uuids: [uuidOf("app"), uuidOf("web")] } }],
    });
    const parameters = parametersOf(strategy.goal === "evacuate" ? { hostIds: ["hv-01"] } : {});
    const plan = planFor(strategy, snapshot, parameters);
    expect(plan.moves).toEqual([]);
    expect(plan.unknownHosts.map(({ hostId }) => hostId)).toEqual(["hv-02", "hv-03"]);
    expect(plan.notMoved.map(({ vmName }) => vmName).toSorted()).toEqual(["app", "web"]);
    expect(plan.doNothing.acceptable).toBe(false);
  });
});
