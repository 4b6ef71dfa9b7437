import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Snapshot } from "../../../worker/model/cluster.ts";
import { fits, mayMove } from "../../../worker/model/placement/constraints.ts";
import { createWorld } from "../../../worker/model/placement/create-world.ts";
import { schedule, type Schedule, type Step } from "../../../worker/model/placement/schedule.ts";
import { survives } from "../../../worker/model/placement/survivability.ts";
import type { PlanParameters } from "../../../worker/model/placement/types.ts";
import { arrive, copyWorld, depart, movedVms, place, type World } from "../../../worker/model/placement/world.ts";
import { GIB } from "../../../worker/model/units.ts";
import { anyWorld, parametersOf, world, type WorldSpec } from "../../support/world.ts";
import { breachesOf } from "./oracle.ts";

const SEED = 20_261_126;

type Question = { snapshot: Snapshot; parameters: PlanParameters; start: World; moves: Step[] };

/** A cluster, and moves from how it stands to how it could stand: any place that can be reached by moving one VM at a time. */
const anyQuestion = (stated: fc.Arbitrary<Partial<PlanParameters>>): fc.Arbitrary<Question> =>
  fc
    .record({
      snapshot: anyWorld(),
      stated,
      steps: fc.array(fc.tuple(fc.nat(99), fc.nat(99)), { minLength: 4, maxLength: 24, size: "max" }),
    })
    .map(({ snapshot, stated: some, steps }) => {
      const parameters = parametersOf({ cooldownMs: 0, ...some });
      const start = createWorld(snapshot, parameters);
      const target = copyWorld(start);
      for (const [a, b] of steps) {
        const [vm, host] = [a % Math.max(1, start.vms.length), b % start.hosts.length];
        if (start.vms.length > 0 && mayMove(target, vm) && fits(target, vm, host)) place(target, vm, host);
      }
      const moves = movedVms(target).map((vm) => ({
        vm,
        from: start.hostOf[vm] ?? 0,
        to: target.hostOf[vm] ?? 0,
      }));
      return { snapshot, parameters, start, moves: moves.toSorted((a, b) => ((a.vm * 7) % 5) - ((b.vm * 7) % 5)) };
    });

const anyCaps = fc.record({
  concurrencyPerHost: fc.constantFrom(1, 2, 16),
  concurrencyIntoHost: fc.constantFrom(1, 2, 16),
  concurrencyPerLink: fc.constantFrom(1, 16),
  concurrencyPerCluster: fc.constantFrom(1, 3, 64),
  memoryReserveRatio: fc.constantFrom(0, 0.1),
});

const told = ({ start }: Question, { steps }: Schedule<Step>) => ({
  moves: steps.map(({ vm, from, to, wave, parking }, index) => ({
    n: index + 1,
    wave,
    vm: start.vms[vm]?.uuid ?? "",
    fromHostId: start.hosts[from]?.hostId ?? "",
    toHostId: start.hosts[to]?.hostId ?? "",
    parking,
  })),
});

describe("a schedule of any moves", { timeout: 60_000 }, () => {
  const forAny = (check: (question: Question) => void, stated: fc.Arbitrary<Partial<PlanParameters>>, numRuns = 300) =>
    fc.assert(fc.property(anyQuestion(stated), check), { seed: SEED, numRuns });

  test("breaks no hard constraint and no limit in any wave, while its VMs take room on both hosts", () => {
    let [steps, beside] = [0, 0];
    forAny(
      (question) => {
        const scheduled = schedule(question.start, question.moves);
        steps += scheduled.steps.length;
        beside += scheduled.steps.length - scheduled.waves;
        expect(breachesOf(question.snapshot, question.parameters, told(question, scheduled))).toEqual([]);
      },
      anyCaps,
      800,
    );
    expect(steps).toBeGreaterThan(300);
    expect(beside, "some moves run beside each other").toBeGreaterThan(50);
  });

  test("makes each move once or says why not, and a VM that cannot arrive is not parked on its way", () => {
    forAny(({ start, moves }) => {
      const { steps, impossible, waves } = schedule(start, moves);
      const arrived = steps.filter(({ parking }) => !parking).map(({ vm, to }) => `${vm} to ${to}`);
      const left = impossible.map(({ step }) => `${step.vm} to ${step.to}`);
      expect([...arrived, ...left].toSorted()).toEqual(moves.map(({ vm, to }) => `${vm} to ${to}`).toSorted());
      for (const { step } of impossible) expect(steps.map(({ vm }) => vm)).not.toContain(step.vm);
      expect(waves).toBe(Math.max(0, ...steps.map(({ wave }) => wave)));
    }, anyCaps);
  });

  test("a bundle is made whole or not at all", () => {
    const bundleOf = ({ vm }: Step): number => vm % 3;
    forAny(({ start, moves }) => {
      const { steps, impossible } = schedule(start, moves, bundleOf);
      const made = new Set(steps.map(bundleOf));
      expect(impossible.filter(({ step }) => made.has(bundleOf(step)))).toEqual([]);
      for (const { rejection } of impossible) expect(rejection.detail).not.toBe("");
    }, anyCaps);
  });

  test("a parked VM takes no room that another will need", () => {
    forAny(({ start, moves, parameters }) => {
      const { steps } = schedule(start, moves);
      for (const parked of steps.filter(({ parking }) => parking)) {
        const ends = new Map(moves.map(({ vm, to }) => [vm, to]));
        const others = start.vms.flatMap(({ memoryBytes, overheadBytes = 0 }, vm) =>
          vm !== parked.vm && (ends.get(vm) ?? start.origin[vm]) === parked.to ? [memoryBytes + overheadBytes] : [],
        );
        const own = start.vmBytes[parked.vm] ?? 0;
        const sum = others.reduce((total, bytes) => total + bytes, own);
        const { memoryBytes = 0 } = start.hosts[parked.to] ?? {};
        expect(sum).toBeLessThanOrEqual(memoryBytes * (1 - parameters.memoryReserveRatio));
      }
    }, anyCaps);
  });

  test.each([1, 2])("where %i hosts could fail at the start, they could during every wave and after it", (failures) => {
    let kept = 0;
    forAny(
      ({ start, moves }) => {
        if (!survives(start, failures)) return;
        const state = copyWorld(start);
        const { steps } = schedule(start, moves);
        for (const wave of Map.groupBy(steps, (step) => step.wave).values()) {
          for (const { vm, to } of wave) arrive(state, vm, to);
          expect(survives(state, failures), "during").toBe(true);
          for (const { vm, from } of wave) depart(state, vm, from);
          expect(survives(state, failures), "after").toBe(true);
        }
        kept += steps.length;
      },
      anyCaps.map((caps) => ({ ...caps, hostFailuresTolerated: failures })),
    );
    expect(kept).toBeGreaterThan(20);
  });

  test("the same moves get the same waves, and the world is left as it was", () => {
    forAny(
      ({ start, moves }) => {
        const before = JSON.stringify([[...start.used], [...start.committed], [...start.hostOf]]);
        expect(schedule(start, moves)).toEqual(schedule(copyWorld(start), moves));
        expect(JSON.stringify([[...start.used], [...start.committed], [...start.hostOf]])).toBe(before);
      },
      anyCaps,
      100,
    );
  });
});

describe("a cycle", () => {
  const full = { memoryBytes: 8 * GIB };
  const big = { memoryBytes: 6 * GIB };

  /** VM to host by name. */
  function scheduled(spec: WorldSpec, targets: Record<string, string>, stated: Partial<PlanParameters> = {}) {
    const start = createWorld(world(spec), parametersOf(stated));
    const moves = Object.entries(targets).map(([name, hostId]) => {
      const vm = start.vms.findIndex((it) => it.name === name);
      return { vm, from: start.hostOf[vm] ?? 0, to: start.hostIndex.get(hostId) ?? 0 };
    });
    const { steps, impossible } = schedule(start, moves);
    const route = ({ vm, to }: Step): string => `${start.vms[vm]?.name} to ${start.hosts[to]?.hostId}`;
    return {
      steps: steps.map((step) => `${step.wave}: ${route(step)}${step.parking ? ", parked" : ""}`),
      impossible: impossible.map(({ step, rejection }) => ({ step: route(step), ...rejection })),
    };
  }

  test("of two full hosts is broken by parking the smaller VM once on a third", () => {
    const { steps, impossible } = scheduled(
      {
        hosts: { "hv-01": full, "hv-02": full, "hv-03": {} },
        vms: { a: { on: "hv-01", ...big }, b: { on: "hv-02", memoryBytes: 5 * GIB } },
      },
      { a: "hv-02", b: "hv-01" },
    );
    expect(steps).toEqual(["1: b to hv-03, parked", "2: a to hv-02", "3: b to hv-01"]);
    expect(impossible).toEqual([]);
  });

  test("of two full hosts without a third is named as what no order makes possible", () => {
    const { steps, impossible } = scheduled(
      { hosts: { "hv-01": full, "hv-02": full }, vms: { a: { on: "hv-01", ...big }, b: { on: "hv-02", ...big } } },
      { a: "hv-02", b: "hv-01" },
    );
    expect(steps).toEqual([]);
    expect(impossible).toMatchObject([
      { step: "a to hv-02", constraint: "not-schedulable", required: 6 * GIB, unit: "bytes" },
      { step: "b to hv-01", constraint: "not-schedulable", required: 6 * GIB, unit: "bytes" },
    ]);
    expect(impossible[0]?.detail).toContain("lets a (6.0 GiB, 4 vCPUs) reach hv-02: 1.2 GiB are free there");
  });

  test("of three full hosts needs one parking move", () => {
    const { steps } = scheduled(
      {
        hosts: { "hv-01": full, "hv-02": full, "hv-03": full, "hv-04": {} },
        vms: { a: { on: "hv-01", ...big }, b: { on: "hv-02", ...big }, c: { on: "hv-03", ...big } },
      },
      { a: "hv-02", b: "hv-03", c: "hv-01" },
    );
    expect(steps).toEqual(["1: a to hv-04, parked", "2: c to hv-01", "3: b to hv-03", "4: a to hv-02"]);
  });

  test("is not broken by parking where the room is meant for a bigger VM", () => {
    const { steps, impossible } = scheduled(
      {
        hosts: { "hv-01": full, "hv-02": full, "hv-03": { memoryBytes: 60 * GIB }, "hv-04": { memoryBytes: 64 * GIB } },
        vms: {
          a: { on: "hv-01", ...big },
          b: { on: "hv-02", ...big },
          huge: { on: "hv-04", memoryBytes: 50 * GIB, blockers: [] },
        },
      },
      { a: "hv-02", b: "hv-01", huge: "hv-03" },
    );
    // Once the bigger VM has gone to hv-03 its old host has room: the parked VM waits there.
    expect(steps[0]).toBe("1: huge to hv-03");
    expect(steps.slice(1)).toEqual(["2: a to hv-04, parked", "3: b to hv-01", "4: a to hv-02"]);
    expect(impossible).toEqual([]);
  });

  test("of two that must stay apart from each other's neighbours is broken too", () => {
    const labels = { "anti-affinity": "db" };
    const { steps } = scheduled(
      {
        hosts: { "hv-01": {}, "hv-02": {}, "hv-03": {} },
        vms: { a: { on: "hv-01", labels }, b: { on: "hv-02", labels } },
      },
      { a: "hv-02", b: "hv-01" },
    );
    expect(steps).toEqual(["1: a to hv-03, parked", "2: b to hv-01", "3: a to hv-02"]);
  });

  test("VMs that belong together follow each other, though one host lets out one at a time", () => {
    const labels = { affinity: "shop" };
    const { steps, impossible } = scheduled(
      {
        hosts: { "hv-01": {}, "hv-02": {} },
        vms: { a: { on: "hv-01", labels }, b: { on: "hv-01", labels } },
      },
      { a: "hv-02", b: "hv-02" },
      { concurrencyPerHost: 1 },
    );
    expect(steps).toEqual(["1: a to hv-02", "2: b to hv-02"]);
    expect(impossible).toEqual([]);
  });
});

describe("hosts that may fail", () => {
  const of = (spec: WorldSpec, failures: number, stated: Partial<PlanParameters> = {}): boolean =>
    survives(createWorld(world(spec), parametersOf(stated)), failures);
  const half = { memoryBytes: 28 * GIB };

  test.each<[string, WorldSpec, number, boolean]>([
    [
      "one of two that are half full",
      { hosts: { a: {}, b: {} }, vms: { x: { on: "a", ...half }, y: { on: "b", ...half } } },
      1,
      true,
    ],
    [
      "one of two where the other has too little left",
      { hosts: { a: {}, b: {} }, vms: { x: { on: "a", ...half }, y: { on: "b", memoryBytes: 40 * GIB } } },
      1,
      false,
    ],
    [
      "two of three that are half full",
      {
        hosts: { a: {}, b: {}, c: {} },
        vms: { x: { on: "a", ...half }, y: { on: "b", ...half }, z: { on: "c", ...half } },
      },
      2,
      false,
    ],
    [
      "two of four where two are empty",
      { hosts: { a: {}, b: {}, c: {}, d: {} }, vms: { x: { on: "a", ...half }, y: { on: "b", ...half } } },
      2,
      true,
    ],
    [
      "one whose VMs belong together and find room together",
      {
        hosts: { a: {}, b: {} },
        vms: { x: { on: "a", labels: { affinity: "p" } }, y: { on: "a", labels: { affinity: "p" } } },
      },
      1,
      true,
    ],
    [
      "one whose VM must stay apart from the only other",
      {
        hosts: { a: {}, b: {} },
        vms: { x: { on: "a", labels: { "anti-affinity": "p" } }, y: { on: "b", labels: { "anti-affinity": "p" } } },
      },
      1,
      false,
    ],
    [
      "one where the only other is in maintenance",
      { hosts: { a: {}, b: { maintenance: { since: 0, reason: "disk" } } }, vms: { x: { on: "a" } } },
      1,
      false,
    ],
    [
      "one where the only other is unknown",
      { hosts: { a: {}, b: { cpuUsedCores: null } }, vms: { x: { on: "a" } } },
      1,
      false,
    ],
  ])("%s", (_, spec, failures, expected) => {
    expect(of(spec, failures)).toBe(expected);
  });
});
