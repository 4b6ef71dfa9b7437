// What a consolidation may do to any cluster, and what it does to some.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CONSOLIDATION_DEFAULTS, consolidate } from "../../../worker/model/placement/consolidation.ts";
import { demandOf } from "../../../worker/model/placement/consolidation/demand.ts";
import type {
  Consolidation,
  ConsolidationHost,
  ConsolidationInput,
  ConsolidationParameters,
  ConsolidationVm,
} from "../../../worker/model/placement/consolidation/types.ts";
import { randomOf } from "../../../worker/model/forecast/random.ts";

const SEED = 20_261_126;
const WATTS = [100, 150, 200];

const hostOf = (change: Partial<ConsolidationHost> = {}): ConsolidationHost => ({
  cores: 10,
  memoryBytes: 100,
  watts: WATTS,
  on: true,
  bootJoules: 20_000,
  ...change,
});

const vmOf = (host: number, cores: number, change: Partial<ConsolidationVm> = {}): ConsolidationVm => ({
  host,
  recentCores: Array<number>(30).fill(cores),
  coresMax: 4,
  memoryBytes: 10,
  moveJoules: 500,
  ...change,
});

const inputOf = (hosts: ConsolidationHost[], vms: ConsolidationVm[]): ConsolidationInput => ({
  hosts,
  vms,
  fits: () => true,
});

const withDefaults = (change: Partial<ConsolidationParameters>): ConsolidationParameters => ({
  ...CONSOLIDATION_DEFAULTS,
  ...change,
});

const after = ({ vms }: ConsolidationInput, { moves }: Consolidation): number[] => {
  const placement = vms.map(({ host }) => host);
  for (const { vm, to } of moves) placement[vm] = to;
  return placement;
};

/** Clusters of up to eight hosts, some off, some closed; VMs on those that are on; some VMs are barred from some hosts. */
const anyInput = (): fc.Arbitrary<{ input: ConsolidationInput; parameters: ConsolidationParameters }> =>
  fc
    .record({
      hosts: fc.array(
        fc.record({
          cores: fc.constantFrom(8, 10, 16),
          memoryBytes: fc.constantFrom(60, 100, Number.POSITIVE_INFINITY),
          watts: fc.constantFrom(WATTS, [80, 120], [90, 95, 120, 160]),
          on: fc.boolean(),
          closed: fc.constantFrom(false, false, false, true),
          bootJoules: fc.constantFrom(0, 20_000),
        }),
        { minLength: 1, maxLength: 8 },
      ),
      vms: fc.array(
        fc.record({
          host: fc.nat(7),
          recentCores: fc.array(fc.double({ min: 0, max: 4, noNaN: true }), { minLength: 1, maxLength: 12 }),
          coresMax: fc.constant(4),
          memoryBytes: fc.constantFrom(5, 10, 20),
          moveJoules: fc.constantFrom(0, 500, 5000),
          movedAgoMs: fc.constantFrom(0, 600_000, 7_200_000),
          fixed: fc.constantFrom(false, false, false, true),
        }),
        { maxLength: 20 },
      ),
      bars: fc.array(fc.tuple(fc.nat(19), fc.nat(7)), { maxLength: 12 }),
      movesMax: fc.constantFrom(2, 1000),
      cooldownMs: fc.constantFrom(0, 1_800_000),
    })
    .map(({ hosts, vms, bars, ...change }) => ({
      input: {
        hosts,
        vms: vms.map((vm) => ({ ...vm, host: vm.host % hosts.length })),
        fits: (vm, host) => !bars.some(([barred, from]) => barred === vm && from === host),
      },
      parameters: withDefaults(change),
    }));

const forAny = (check: (input: ConsolidationInput, parameters: ConsolidationParameters, plan: Consolidation) => void) =>
  fc.assert(
    fc.property(anyInput(), ({ input, parameters }) => check(input, parameters, consolidate(input, parameters))),
    { seed: SEED, numRuns: 300 },
  );

describe("any cluster", () => {
  test("a VM goes only where it fits, by constraints, memory and cores, with what leaves still counted", () =>
    forAny((input, parameters, { moves }) => {
      const held = input.hosts.map((_, host) => input.vms.flatMap((vm, index) => (vm.host === host ? [index] : [])));
      for (const { vm, from, to } of moves) {
        expect(input.vms[vm]?.host).toBe(from);
        expect(to).not.toBe(from);
        expect(input.fits(vm, to, [])).toBe(true);
        held[to]?.push(vm);
      }
      for (const to of new Set(moves.map((move) => move.to))) {
        const host = input.hosts[to];
        const there = (held[to] ?? []).flatMap((index) => input.vms[index] ?? []);
        const demands = there.map((vm) => demandOf(vm, parameters));
        const mean = demands.reduce((sum, demand) => sum + demand.mean, 0);
        const deviation = Math.sqrt(demands.reduce((sum, demand) => sum + demand.variance, 0));
        expect(there.reduce((sum, vm) => sum + vm.memoryBytes, 0)).toBeLessThanOrEqual(host?.memoryBytes ?? 0);
        expect(mean + parameters.deviations * deviation).toBeLessThanOrEqual(
          (host?.cores ?? 0) * parameters.fillRatio + 1e-9,
        );
      }
    }));

  test("a host is emptied wholly or not at all", () =>
    forAny((input, _parameters, plan) => {
      const drained = new Set(plan.moves.filter(({ reason }) => reason.kind === "drain").map(({ from }) => from));
      expect([...drained].toSorted()).toEqual(plan.emptied.toSorted());
      const placement = after(input, plan);
      for (const host of drained) expect(placement).not.toContain(host);
      expect(plan.notDrained.filter(({ host }) => drained.has(host))).toEqual([]);
    }));

  test("a host either gives or takes, a VM moves once, and what is closed, fixed or cooling stays", () =>
    forAny((input, parameters, { moves, woken }) => {
      const givers = new Set(moves.map(({ from }) => from));
      expect(moves.filter(({ to }) => givers.has(to))).toEqual([]);
      expect(new Set(moves.map(({ vm }) => vm)).size).toBe(moves.length);
      expect(moves.length).toBeLessThanOrEqual(parameters.movesMax);
      for (const { vm, from, to, reason } of moves) {
        expect(input.vms[vm]?.fixed).not.toBe(true);
        for (const host of [from, to]) expect(input.hosts[host]?.closed).not.toBe(true);
        const cooldownMs = reason.kind === "drain" ? parameters.cooldownMs : 0;
        expect(input.vms[vm]?.movedAgoMs).toBeGreaterThanOrEqual(cooldownMs);
      }
      for (const host of woken) {
        expect(input.hosts[host]?.on).toBe(false);
        expect(moves.some(({ to }) => to === host)).toBe(true);
      }
    }));

  test("what is drained saves more than it costs", () =>
    forAny((_input, { horizonMs, wattsPerMoveMin }, { moves }) => {
      for (const { savedWatts, netJoules } of moves.flatMap(({ reason }) =>
        reason.kind === "drain" ? [reason] : [],
      )) {
        expect(netJoules).toBeGreaterThanOrEqual((wattsPerMoveMin * horizonMs) / 1000);
        expect((savedWatts * horizonMs) / 1000).toBeGreaterThanOrEqual(netJoules);
      }
    }));

  test("the same input gives the same plan", () =>
    forAny((input, parameters, plan) => {
      expect(consolidate(input, parameters)).toEqual(plan);
    }));
});

/** Moves over a day of loads that stray, a plan every five minutes, each carried out at once. */
function movesOfDay(change: Partial<ConsolidationParameters>): number {
  const random = randomOf(7);
  const hosts = Array.from({ length: 12 }, () => hostOf());
  let vms = Array.from({ length: 60 }, (_, index) => vmOf(index % 12, 1, { recentCores: [random() * 2] }));
  let moves = 0;
  for (let step = 0; step < 288; step++) {
    const plan = consolidate(inputOf(hosts, vms), withDefaults(change));
    const moved = new Map(plan.moves.map(({ vm, to }) => [vm, to]));
    moves += moved.size;
    vms = vms.map((vm, index) => {
      const level = 1 + Math.sin(step / 20 + index) * 0.8;
      const host = moved.get(index) ?? vm.host;
      const agoMs = moved.has(index) ? 0 : vm.movedAgoMs;
      const recentCores = [...Array.from(vm.recentCores), level * (0.5 + random())].slice(-30);
      return { ...vm, host, recentCores, ...(agoMs !== undefined && { movedAgoMs: agoMs + 300_000 }) };
    });
  }
  return moves;
}

test("the longer the cooldown, the fewer moves over a day", () => {
  const moves = [0, 3_600_000, 14_400_000].map((cooldownMs) => movesOfDay({ cooldownMs }));
  expect(moves).toEqual(moves.toSorted((a, b) => b - a));
  expect(moves.at(-1)).toBeLessThan(moves[0] ?? 0);
});

describe("draining", () => {
  /** The first host cannot be emptied. */
  const two = (change: Partial<ConsolidationVm> = {}) =>
    inputOf([hostOf(), hostOf()], [vmOf(0, 3, { fixed: true }), vmOf(1, 1, change)]);

  test("the emptier of two hosts is emptied, and what that saves is said", () => {
    const plan = consolidate(inputOf([hostOf(), hostOf()], [vmOf(0, 3), vmOf(1, 1)]));
    // 110 W at 1 core of 10 are saved, 10 W are drawn for it elsewhere.
    const reason = { kind: "drain", savedWatts: expect.closeTo(100), netJoules: expect.closeTo(100 * 3600 - 500) };
    expect(plan.moves).toEqual([{ vm: 1, from: 1, to: 0, reason }]);
    expect(plan.emptied).toEqual([1]);
  });

  test.each([
    ["cooling", two({ movedAgoMs: 60_000 }), {}, "cooldown"],
    ["fixed", two({ fixed: true }), {}, "fixed"],
    ["dearer to move than it saves", two({ moveJoules: 400_000 }), {}, "not-worth"],
    ["more than may be moved", two(), { movesMax: 0 }, "moves-max"],
    ["without memory to go to", two({ memoryBytes: 91 }), {}, "no-room"],
    ["without cores to go to", two({ recentCores: [7] }), {}, "no-room"],
  ] as const)("a VM %s keeps its host on", (_, input, change, why) => {
    const plan = consolidate(input, withDefaults(change));
    expect(plan.moves.filter(({ from }) => from === 1)).toEqual([]);
    expect(plan.notDrained).toContainEqual(expect.objectContaining({ host: 1, why }));
  });

  test("the less efficient kind is emptied, though it is fuller", () => {
    const plan = consolidate(inputOf([hostOf({ watts: [180, 260] }), hostOf()], [vmOf(0, 2), vmOf(0, 1), vmOf(1, 1)]));
    expect(plan.emptied).toEqual([0]);
  });

  test("a host that is off is switched on where that pays within the horizon, boot included", () => {
    const hosts = [hostOf({ watts: [180, 260] }), hostOf({ on: false, bootJoules: 100_000 })];
    const input = inputOf(hosts, [vmOf(0, 2), vmOf(0, 1)]);
    expect(consolidate(input)).toMatchObject({ emptied: [0], woken: [1] });
    expect(consolidate(input, withDefaults({ horizonMs: 600_000 })).moves).toEqual([]);
  });

  test("memory decides where cores are plenty", () => {
    const sizes = [60, 60, 40, 40];
    const plan = consolidate(
      inputOf(
        sizes.map(() => hostOf()),
        sizes.map((memoryBytes, host) => vmOf(host, 0.1, { memoryBytes })),
      ),
    );
    expect(plan.emptied).toHaveLength(2);
  });
});

describe("relief", () => {
  const busy = (count: number, cores: number) => Array.from({ length: count }, () => vmOf(0, cores));

  test("a momentary peak moves nothing", () => {
    const peak = vmOf(0, 1, { recentCores: [...Array<number>(29).fill(1), 4] });
    expect(consolidate(inputOf([hostOf(), hostOf({ on: false })], [peak, ...busy(4, 1)])).moves).toEqual([]);
  });

  test("one VM leaves where one is enough, the cheapest such", () => {
    // Without the small one the host is still too full.
    const vms = [...busy(4, 2), vmOf(0, 2, { moveJoules: 400 }), vmOf(0, 0.1, { moveJoules: 100 })];
    const plan = consolidate(inputOf([hostOf(), hostOf({ on: false })], vms));
    expect(plan).toMatchObject({ moves: [{ vm: 4, from: 0, to: 1, reason: { kind: "relieve" } }], woken: [1] });
  });

  test("what finds no host is named", () => {
    const plan = consolidate(inputOf([hostOf()], busy(6, 1.8)));
    expect(plan.moves).toEqual([]);
    expect(plan.stuck.toSorted()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("a VM that does not fit where it is leaves, even while it cools", () => {
    const input = { ...inputOf([hostOf(), hostOf()], [vmOf(0, 1, { movedAgoMs: 0 }), vmOf(1, 1)]) };
    const plan = consolidate({ ...input, fits: (vm, host) => !(vm === 0 && host === 0) });
    expect(plan.moves).toEqual([{ vm: 0, from: 0, to: 1, reason: { kind: "unfit" } }]);
  });
});

describe("what a VM will want", () => {
  test.each([
    ["a steady load", Array<number>(200).fill(2), 2],
    ["a jump counts by its weight", [...Array<number>(200).fill(0), 2], 2 * 0.08],
    ["one sample", [3], 3],
  ])("%s", (_, recentCores, mean) => {
    expect(demandOf(vmOf(0, 0, { recentCores }), CONSOLIDATION_DEFAULTS).mean).toBeCloseTo(mean, 6);
  });

  test("of one sample little is known; of many the samples speak", () => {
    const deviation = (recentCores: number[]) =>
      Math.sqrt(demandOf(vmOf(0, 0, { recentCores }), CONSOLIDATION_DEFAULTS).variance);
    expect(deviation([1])).toBeCloseTo(0.4 * Math.sqrt(2 / 3), 6);
    expect(deviation(Array.from({ length: 200 }, (_, at) => (at % 2 === 0 ? 0 : 2)))).toBeCloseTo(0.94, 2);
  });
});
