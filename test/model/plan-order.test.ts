import { describe, expect, test } from "vitest";
import { buildPlan } from "../../worker/model/placement/index.ts";
import { contextOf, firstHops, hopAfter, isTurnOf, withLaterHops } from "../../worker/model/plan-order.ts";
import type { RunState } from "../../worker/model/lifecycle.ts";
import type { Plan } from "../../worker/model/plan.ts";
import type { MigrationRun } from "../../worker/model/run.ts";
import { GIB } from "../../worker/model/units.ts";
import { AT, parametersOf, type VmSpec, world } from "../support/world.ts";

const vm = (on: string, cpuUsedCores: number, gib: number, pinned = false): VmSpec => ({
  on,
  vcpus: 16,
  memoryBytes: gib * GIB,
  ...(pinned ? { pinned } : {}),
  load: { cpuUsedCores, memoryUsedBytes: GIB, memoryNonzeroBytes: GIB, memoryDirtyBytesPerSecond: 1e6, at: AT },
});

/** Memory is full on two of three hosts: VMs that change places wait on the third, whose CPU is too busy to keep them. */
const content = buildPlan(
  world({
    hosts: { "hv-01": {}, "hv-02": {}, "hv-03": {} },
    vms: {
      x: vm("hv-01", 6, 8),
      full1: vm("hv-01", 8, 49, true),
      y: vm("hv-02", 0.5, 8),
      full2: vm("hv-02", 2, 49, true),
      full3: vm("hv-03", 12.5, 8, true),
    },
  }),
  "balance",
  parametersOf(),
);
const plan = { planId: "pln_1", content, skipped: [] as number[] } as unknown as Plan;

const runsIn = (states: Partial<Record<number, RunState>>): MigrationRun[] =>
  Object.entries(states).map(
    ([n, state]) =>
      ({ moveNumber: Number(n), state, vmUuid: content.moves[Number(n) - 1]?.vm }) as unknown as MigrationRun,
  );

/** Whether move `n` may begin, and the runs as they are. */
const mayBegin = (n: number, states: Partial<Record<number, RunState>>, of: Plan = plan): boolean => {
  const runs = runsIn({ ...states, [n]: "queued" });
  const [run, others] = [runs.find((it) => it.moveNumber === n), runs.filter((it) => it.moveNumber !== n)];
  return run !== undefined && isTurnOf(run, of, others);
};

describe("the order of a plan's runs", () => {
  test("a plan that parks a VM has three waves, and moves it twice", () => {
    expect(content.moves.map(({ vmName, toHostId, wave, parking }) => [vmName, toHostId, wave, parking])).toEqual([
      ["y", "hv-03", 1, true],
      ["x", "hv-02", 2, false],
      ["y", "hv-01", 3, false],
    ]);
    expect(firstHops(content.moves).map(({ n }) => n)).toEqual([1, 2]);
  });

  test.each<{ name: string; n: number; runs: Partial<Record<number, RunState>>; begins: boolean }>([
    { name: "the first", n: 1, runs: { 2: "queued" }, begins: true },
    { name: "one of the second wave beside the first", n: 2, runs: { 1: "pre-copying" }, begins: false },
    { name: "one of the second wave after the first", n: 2, runs: { 1: "completed" }, begins: true },
    { name: "one whose wave before was cancelled", n: 2, runs: { 1: "cancelled" }, begins: true },
    { name: "the second hop before the room is made", n: 3, runs: { 1: "completed", 2: "pre-copying" }, begins: false },
    { name: "the second hop once it is", n: 3, runs: { 1: "completed", 2: "completed" }, begins: true },
    { name: "any while another is lost", n: 3, runs: { 1: "completed", 2: "lost" }, begins: false },
  ])("$name: begins is $begins", ({ n, runs, begins }) => {
    expect(mayBegin(n, runs)).toBe(begins);
  });

  test("a move that was left out holds up nothing", () => {
    expect(mayBegin(2, {}, { ...plan, skipped: [1] })).toBe(true);
    expect(mayBegin(2, {})).toBe(false);
  });

  test("a parked VM is taken on once it has arrived, and not where the plan has been stopped or the move left out", () => {
    const [parked] = runsIn({ 1: "completed" }) as [MigrationRun];
    expect(hopAfter(parked, plan, runsIn({ 1: "completed", 2: "queued" }))?.n).toBe(3);
    expect(hopAfter(parked, plan, runsIn({ 1: "completed", 2: "failed" }))).toBeNull();
    expect(hopAfter(parked, plan, runsIn({ 1: "completed", 2: "queued", 3: "queued" }))).toBeNull();
    expect(hopAfter(parked, { ...plan, skipped: [3] }, runsIn({ 1: "completed" }))).toBeNull();
  });

  test("who leaves out a move leaves out what takes its VM on from there", () => {
    expect([1, 2, 3].map((n) => withLaterHops(content.moves, n))).toEqual([[1, 3], [2], [3]]);
  });

  test("no cooldown holds a parked VM, and VMs that move together do not hold each other", () => {
    expect(contextOf(3, plan)).toEqual({ isSecondHop: true, hasMates: true });
    expect(contextOf(1, plan)).toEqual({ isSecondHop: false, hasMates: true });
  });
});
