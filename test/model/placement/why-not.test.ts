import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildPlan } from "../../../worker/model/placement/index.ts";
import type { Goal, PlanParameters, Rejection } from "../../../worker/model/placement/types.ts";
import type { Unblock } from "../../../worker/model/placement/unblock.ts";
import { whyNot, type WhyNot } from "../../../worker/model/placement/why-not.ts";
import { GIB, MIB, MINUTE_MS } from "../../../worker/model/units.ts";
import { unblocked } from "./unblocked.ts";
import { anyWorld, parametersOf, uuidOf, world, type WorldSpec } from "../../support/world.ts";

/** Whether this constraint, of this host or rule, is still among them. */
const stillThere = (left: Rejection[], was: Rejection, unblock: Unblock): boolean =>
  left.some(
    ({ constraint, hostId, detail }) =>
      constraint === was.constraint &&
      hostId === was.hostId &&
      (unblock.kind !== "drop-rule" || detail.includes(unblock.rule)),
  );

const SEED = 20_261_126;

describe("why a plan does not move a VM to a host", { timeout: 60_000 }, () => {
  const anyAsked = fc
    .record({
      snapshot: anyWorld(),
      vm: fc.nat(99),
      host: fc.nat(99),
      goal: fc.constantFrom<Goal>("evacuate", "locality", "fault-tolerance"),
      stated: fc.record({
        cpuRatioMax: fc.constantFrom(0.3, 0.9),
        peakRatioMax: fc.constantFrom(0.3, 1),
        memoryReserveRatio: fc.constantFrom(0, 0.1, 0.6),
        cooldownMs: fc.constantFrom(1_800_000, 28_800_000),
        movesMax: fc.constantFrom(1, 200),
        movedBytesMax: fc.constantFrom(1e12, 1e12, 3 * GIB),
        netGainMin: fc.constantFrom(0, 0.001, 1),
        gainRatioMin: fc.constantFrom(0, 0.001, 0.2),
      }),
    })
    .map(({ snapshot, vm, host, goal, stated }) => {
      const parameters = parametersOf({ ...stated, ...(goal === "evacuate" ? { hostIds: ["hv-01"] } : {}) });
      const vms = snapshot.hosts.flatMap((it) => it.vms);
      return {
        snapshot,
        content: buildPlan(snapshot, goal, parameters),
        vm: vms[vm % Math.max(1, vms.length)]?.uuid ?? uuidOf("none"),
        hostId: snapshot.hosts[host % snapshot.hosts.length]?.hostId ?? "",
      };
    });

  test("each change that it names takes away the constraint that it is named for", () => {
    const counts = new Map<string, number>();
    fc.assert(
      fc.property(anyAsked, ({ snapshot, content, vm, hostId }) => {
        const told = whyNot(snapshot, content, vm, hostId);
        for (const unblock of told?.unblock ?? []) {
          const key = `${unblock.constraint} ${unblock.kind}`;
          counts.set(key, (counts.get(key) ?? 0) + 1);
          if (unblock.kind === "other") continue;
          const of = (told?.blocking ?? []).filter(({ constraint }) => constraint === unblock.constraint);
          const was = of.find(({ hostId: at }) => !("hostId" in unblock) || at === unblock.hostId) ?? of[0];
          const after = unblocked({ snapshot, content }, vm, unblock);
          const left = whyNot(after.snapshot, after.content, vm, hostId)?.blocking ?? [];
          const isThere = was !== undefined && stillThere(left, was, unblock);
          expect({ unblock, was, left, isThere }).toEqual({ unblock, was, left, isThere: false });
        }
      }),
      { seed: SEED, numRuns: 1500 },
    );
    const often = [
      "memory parameters",
      "memory move-away",
      "memory add",
      "cpu parameters",
      "cpu add",
      "no-gain parameters",
    ];
    const seldom = [
      "cooldown wait",
      "cpu-peak parameters",
      "anti-affinity drop-rule",
      "moves-max parameters",
      "host-maintenance end-maintenance",
    ];
    expect(often.filter((key) => (counts.get(key) ?? 0) <= 3)).toEqual([]);
    expect(seldom.filter((key) => !counts.has(key))).toEqual([]);
  });

  test("it agrees with the plan: nothing blocks what the plan does, and something or a better host what it does not", () => {
    fc.assert(
      fc.property(anyAsked, ({ snapshot, content, vm, hostId }) => {
        const told = whyNot(snapshot, content, vm, hostId);
        if (told === null) return;
        const move = content.moves.find((it) => it.vm === vm && !it.parking);
        const isMade = move?.toHostId === hostId;
        expect(isMade ? told.blocking : []).toEqual([]);
        expect(told.answer).toMatch(/\d/);
        expect(told.unblock.length).toBeGreaterThanOrEqual(told.blocking.length > 0 ? 1 : 0);
      }),
      { seed: SEED, numRuns: 300 },
    );
  });
});

describe("the answer", () => {
  const ask = (
    spec: WorldSpec,
    { goal = "locality", ...stated }: Partial<PlanParameters> & { goal?: Goal } = {},
    name = "app",
    hostId = "hv-02",
  ): WhyNot => {
    const snapshot = world(spec);
    const told = whyNot(snapshot, buildPlan(snapshot, goal, parametersOf(stated)), uuidOf(name), hostId);
    if (told === null) throw new RangeError("VM or host does not exist");
    return told;
  };
  const changes = (told: WhyNot): string[] => told.unblock.map(({ change }) => change);
  const hosts = { "hv-01": {}, "hv-02": {}, "hv-03": {} };

  test("where memory lacks, names the smallest VM whose leaving would do, and the reserve that would", () => {
    const told = ask({
      hosts,
      vms: {
        app: { on: "hv-01", memoryBytes: 8 * GIB },
        "web-1": { on: "hv-02", memoryBytes: 2 * GIB },
        "web-2": { on: "hv-02", memoryBytes: 4 * GIB },
        db: { on: "hv-02", memoryBytes: 46 * GIB },
      },
    });
    expect(told.blocking.map(({ constraint }) => constraint)).toContain("memory");
    expect(changes(told).slice(0, 3)).toEqual([
      "free 2.4 GiB on hv-02: moving web-2 (4.0 GiB) to hv-01 would do",
      "lower memoryReserveRatio from 10 % to 6 %",
      "free 2.4 GiB on hv-02, or give it 2.7 GiB more memory",
    ]);
    expect(told.answer).toContain("app cannot go to hv-02: hv-02 may commit 57.6 GiB");
  });

  test.each<[string, WorldSpec, string]>([
    [
      "cores",
      { hosts: { ...hosts, "hv-02": { cpuUsedCores: 13 } }, vms: { app: { on: "hv-01", cpuUsedCores: 1.8 } } },
      "raise cpuRatioMax from 0.90 to 0.93",
    ],
    [
      "a network",
      {
        hosts: { ...hosts, "hv-02": { networks: ["lan"] } },
        vms: { app: { on: "hv-01", nics: [{ network: "dmz" }] } },
      },
      "attach dmz to hv-02",
    ],
    [
      "rest",
      { hosts, vms: { app: { on: "hv-01" } }, movedMsAgo: { app: 18 * MINUTE_MS } },
      "wait 12 min, until app has rested",
    ],
    [
      "an open host",
      { hosts: { ...hosts, "hv-02": { maintenance: { since: 0, reason: "disk" } } }, vms: { app: { on: "hv-01" } } },
      "end the maintenance of hv-02",
    ],
    [
      "distance",
      {
        hosts,
        vms: { app: { on: "hv-01" }, db: { on: "hv-02" } },
        rules: [{ ruleId: "apart", kind: "vm-anti-affinity", vms: { uuids: [uuidOf("app"), uuidOf("db")] } }],
      },
      "drop rule apart",
    ],
    ["freedom", { hosts, vms: { app: { on: "hv-01", pinned: true } } }, "unpin app"],
  ])("where %s lacks, names the change", (_, spec, change) => {
    expect(changes(ask(spec))).toContain(change);
  });

  test("where a move does not pay, names the bar and the horizon at which it would", () => {
    const told = ask(
      {
        hosts,
        vms: { app: { on: "hv-01", talksTo: { db: 1 * MIB } }, db: { on: "hv-02", pinned: true } },
      },
      { horizonMs: 60 * MINUTE_MS },
    );
    expect(told.now).toEqual([]);
    expect(told.blocking.map(({ constraint }) => constraint)).toEqual(["no-gain"]);
    expect(told.gain?.perHour).toBeCloseTo(0.01 * 0.0703125, 9);
    expect(told.answer).toMatch(/^app could go to hv-02, but app would save 0\.0007 over 1\.0 h and cost \d/);
    expect(changes(told)).toEqual([expect.stringMatching(/^lengthen the horizon from 60 min to \d+ h$/)]);
  });

  test("where the plan may send no more bytes, names the smallest limit at which it makes the move", () => {
    const spec: WorldSpec = {
      hosts,
      vms: {
        app: { on: "hv-01", talksTo: { db: 400 * MIB } },
        web: { on: "hv-01", talksTo: { db: 500 * MIB } },
        db: { on: "hv-02", pinned: true },
      },
    };
    const told = ask(spec, { movedBytesMax: 1.5 * GIB });
    expect(told.blocking).toMatchObject([
      { constraint: "moves-max", required: 2 * GIB, available: 1.5 * GIB, unit: "bytes" },
    ]);
    expect(told.answer).toBe(
      "app could go to hv-02, but the plan sends 1.0 GiB of the 1.5 GiB that it may, and app would send 1.0 GiB more: raise movedBytesMax, or plan again once its moves are done.",
    );
    expect(told.unblock).toMatchObject([{ kind: "parameters", set: { movedBytesMax: 2 * GIB } }]);
    expect(changes(told)).toEqual(["raise movedBytesMax from 1.5 GiB to 2.0 GiB (2147483648 bytes)"]);
    expect(ask(spec, { movedBytesMax: 2 * GIB }).answer).toContain("The plan does move app to hv-02");
    expect(ask(spec, { movedBytesMax: 2 * GIB - 1 }).answer).toContain("movedBytesMax");
  });

  test("names the move where the plan makes it, and what the chosen host brings where it takes another", () => {
    const spec: WorldSpec = {
      hosts: { "hv-01": { rack: "r1" }, "hv-02": { rack: "r2" }, "hv-03": { rack: "r2" } },
      vms: { app: { on: "hv-01", talksTo: { db: 400 * MIB } }, db: { on: "hv-02", pinned: true } },
    };
    expect(ask(spec).answer).toBe("The plan does move app to hv-02: move 1, in wave 1.");
    const lost = ask(spec, {}, "app", "hv-03");
    expect(lost.blocking).toEqual([]);
    expect(lost.answer).toMatch(
      /^app could go to hv-03, and the plan moves it to hv-02 instead \(move 1\): 2\.2\d net over the horizon there, 1\.1\d on hv-03\.$/,
    );
  });

  test("a VM or host that the snapshot does not have has no answer", () => {
    const snapshot = world({ hosts, vms: { app: { on: "hv-01" } } });
    const content = buildPlan(snapshot, "locality", parametersOf());
    expect(whyNot(snapshot, content, uuidOf("ghost"), "hv-02")).toBeNull();
    expect(whyNot(snapshot, content, uuidOf("app"), "hv-09")).toBeNull();
  });
});
