import { describe, expect, test } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import type { Move } from "../../worker/model/placement/types.ts";
import { beyondApproval } from "../../worker/model/replan.ts";
import type { MigrationRun } from "../../worker/model/run.ts";

const LIMITS = { downtimeMsMax: 300, bandwidthBytesPerSecondMax: 1e8, postCopyPermitted: false };

// What is looked at of a move; the rest of it bears on nothing here.
const move = (n: number, vm: string, stated: object = {}): Move =>
  ({
    n,
    vm,
    fromHostId: "a",
    toHostId: "b",
    mechanism: "pre-copy",
    limits: LIMITS,
    parameters: { deadlineMs: 90_000 },
    ...stated,
  }) as unknown as Move;

const planOf = (moves: Move[], skipped: number[] = []): Plan =>
  ({ planId: "pln_1", content: { moves }, skipped }) as unknown as Plan;
const run = (moveNumber: number, state: string): MigrationRun => ({ moveNumber, state }) as unknown as MigrationRun;

const APPROVED = planOf([move(1, "x"), move(2, "y"), move(3, "z")], [3]);
const RUNS = [run(1, "failed"), run(2, "cancelled")];
const numbers = (moves: Move[], approved = APPROVED, runs = RUNS): number[] =>
  beyondApproval(moves, approved, runs).map(({ n }) => n);

describe("what lies within the approval of a plan", () => {
  test("is a move that was approved just so and has not been made", () => {
    expect(numbers([move(1, "y")])).toEqual([]);
    expect(numbers([move(1, "y", { limits: { ...LIMITS, downtimeMsMax: 200 } })])).toEqual([]);
  });

  test.each<[string, Move, string]>([
    ["another VM", move(1, "w"), "no move"],
    ["another destination", move(1, "y", { toHostId: "c" }), "no move"],
    ["another mechanism", move(1, "y", { mechanism: "hybrid" }), "no move"],
    ["a longer blackout", move(1, "y", { limits: { ...LIMITS, downtimeMsMax: 301 } }), "301 ms"],
    ["more bandwidth", move(1, "y", { limits: { ...LIMITS, bandwidthBytesPerSecondMax: 2e8 } }), "bytes/s"],
    ["post-copy", move(1, "y", { limits: { ...LIMITS, postCopyPermitted: true } }), "post-copy"],
    ["a longer deadline", move(1, "y", { parameters: { deadlineMs: 90_001 } }), "90001 ms"],
    ["what has failed just so", move(1, "x"), "failed"],
    ["what was left out", move(1, "z"), "left out"],
  ])("is not %s", (_, beyond, why) => {
    const found = beyondApproval([beyond], APPROVED, RUNS);
    expect(found).toHaveLength(1);
    expect(found[0]?.why).toContain(why);
  });

  test("is not what was made already", () => {
    expect(numbers([move(1, "y")], APPROVED, [run(2, "completed")])).toEqual([1]);
  });
});
