import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { budgetLeft } from "../../../worker/model/policy/budget.ts";
import {
  type Circumstances,
  type JudgedMove,
  heldBack,
  mayPostCopy,
  permitted,
  silenceApproves,
  whatToDo,
} from "../../../worker/model/policy/decide.ts";
import { frozen } from "../../../worker/model/policy/freeze.ts";
import {
  type Policy,
  isAutomatic,
  modeAt,
  newPolicy,
  policyMode,
  stepsFor,
} from "../../../worker/model/policy/policy.ts";
import { freezeOf, NOW } from "./support.ts";

/** Its bundle is its own unless one is given. */
const move = ({
  bytes = 100,
  bundle,
  ...fields
}: Partial<JudgedMove> & { bytes?: number; bundle?: number } = {}): JudgedMove => ({
  n: 1,
  vm: "vm-1",
  vmName: "one",
  fromHostId: "a",
  toHostId: "b",
  mechanism: "pre-copy",
  limits: { downtimeMsMax: 1000, bandwidthBytesPerSecondMax: 1e9, postCopyPermitted: false },
  parameters: {
    maxBandwidthBytesPerSecond: 1e9,
    downtimeLimitMs: 300,
    autoConverge: false,
    xbzrle: false,
    multifdChannels: 0,
    compression: "none",
    postCopyPreempt: false,
    preCopyRounds: 1,
    postCopyAfterMs: null,
    deadlineMs: 90_000,
    onDeadline: "cancel",
  },
  estimate: { transferredBytes: { p50: bytes } },
  gain: { bundle: bundle ?? fields.n ?? 1 },
  ...fields,
});

const circumstances = (fields: Partial<Circumstances> = {}): Circumstances => ({
  freezes: [],
  budget: budgetLeft({}, [], NOW),
  labels: { hosts: {}, vms: {} },
  now: NOW,
  ...fields,
});

const policyWith = (fields: Record<string, unknown> = {}): Policy => {
  const {
    reason: _,
    shadowUntil = null,
    ...definition
  } = newPolicy.parse({
    name: "p",
    cluster: "c",
    goals: [{ goal: "balance" }],
    trigger: { type: "interval", everyMs: 60_000 },
    ...fields,
  });
  return {
    ...definition,
    shadowUntil,
    policyId: "pol_1",
    version: 1,
    createdBy: "x",
    createdAt: 0,
    updatedAt: 0,
    activatedAt: 0,
    modeSince: 0,
    lastDueAt: null,
    lastStartedAt: null,
  };
};

describe("post-copy without a person", () => {
  test.each([
    [move(), false],
    [move({ mechanism: "post-copy" }), true],
    [move({ mechanism: "hybrid" }), true],
    [move({ limits: { ...move().limits, postCopyPermitted: true } }), true],
    [move({ parameters: { ...move().parameters, onDeadline: "post-copy" } }), true],
    [move({ parameters: { ...move().parameters, postCopyAfterMs: 1 } }), true],
  ])("is seen wherever a move may come to it (%#)", (one, may) => {
    expect(mayPostCopy(one)).toBe(may);
  });

  test.each(policyMode.options)("is kept out of the plans of %s where it approves by itself", (mode) => {
    const policy = policyWith({ mode, approveAfterMs: 60_000 });
    expect(stepsFor(policy, null, Infinity)[0]?.parameters.postCopyPermitted).toBe(!isAutomatic(mode));
  });

  test("is never approved, in shadow neither", () => {
    const post = move({ mechanism: "hybrid" });
    for (const mode of ["auto", "approve-by-timeout"] as const) {
      const policy = policyWith({ mode, approveAfterMs: 60_000 });
      expect(permitted(policy, [post], circumstances()).leftOut).toMatchObject([{ n: 1, cause: "post-copy" }]);
      expect(whatToDo(policy, "shadow", { moves: [post], summary: "" }, circumstances()).approve).toEqual([]);
    }
    expect(
      whatToDo(policyWith({ mode: "auto" }), "auto", { moves: [post], summary: "" }, circumstances()),
    ).toMatchObject({
      outcome: "proposed",
      approve: [],
    });
  });
});

describe("what becomes of a plan", () => {
  const plan = { moves: [move()], summary: "s" };
  test.each([
    ["shadow", "shadowed"],
    ["advise", "proposed"],
    ["approve-by-timeout", "proposed"],
    ["auto", "approved"],
  ] as const)("in %s: %s", (mode, outcome) => {
    expect(whatToDo(policyWith({ mode, approveAfterMs: 60_000 }), mode, plan, circumstances()).outcome).toBe(outcome);
    expect(
      whatToDo(policyWith({ mode, approveAfterMs: 60_000 }), mode, { moves: [], summary: "even" }, circumstances()),
    ).toMatchObject({ outcome: "nothing-to-do", why: "even" });
  });

  test("with a move left out, those that count on it are left out too, and no others", () => {
    const moves = [
      move({ n: 1, vm: "vm-1", fromHostId: "a", toHostId: "p" }),
      move({ n: 2, vm: "vm-2", fromHostId: "b", toHostId: "a" }),
      move({ n: 3, vm: "vm-1", fromHostId: "p", toHostId: "b" }),
      move({ n: 4, vm: "vm-4", fromHostId: "c", toHostId: "d" }),
    ];
    const freezes = [freezeOf({ scope: { uuids: ["vm-1"] } })];
    const { approve, leftOut } = permitted(policyWith({ mode: "auto" }), moves, circumstances({ freezes }));
    expect(approve).toEqual([4]);
    expect(leftOut.map(({ n, cause }) => [n, cause])).toEqual([
      [1, "frozen"],
      [2, "depends"],
      [3, "depends"],
    ]);
  });

  test("a bundle is approved whole or not at all, and what it would have spent is there for others", () => {
    const moves = [
      move({ n: 1, vm: "vm-1", bundle: 1 }),
      move({ n: 2, vm: "vm-2", bundle: 2 }),
      move({ n: 3, vm: "vm-3", bundle: 1 }),
    ];
    const policy = policyWith({ mode: "auto" });
    const budget = budgetLeft({ movesMaxPerDay: 1 }, [], NOW);
    const { approve, leftOut } = permitted(policy, moves, circumstances({ budget }));
    expect(approve).toEqual([2]);
    expect(leftOut).toEqual([
      { n: 1, cause: "depends", why: "move 3, on which it depends, is left out" },
      { n: 3, cause: "budget", why: "the moves of the budget are spent" },
    ]);
    expect(permitted(policy, moves, circumstances()).approve).toEqual([1, 2, 3]);
  });

  test.each([
    [{ windows: [{ timeZone: "UTC", days: ["tue"], from: "00:00", to: "24:00" }] }, {}, "outside-window"],
    [{}, { freezes: [freezeOf({})] }, "frozen"],
    [{}, { freezes: [freezeOf({ scope: { hostIds: ["a"] } })] }, undefined],
    [{}, { budget: budgetLeft({ movesMaxPerHour: 0 }, [], NOW) }, "budget-spent"],
    [{}, { budget: budgetLeft({ bytesMaxPerDay: 0 }, [], NOW) }, "budget-spent"],
  ])("a policy %j (%#) is held back before it plans: %s", (fields, now, outcome) => {
    expect(heldBack(policyWith(fields), circumstances(now))?.outcome).toBe(outcome);
  });

  test("shadow ends at its time", () => {
    const policy = policyWith({ mode: "auto", shadowUntil: NOW });
    expect([modeAt(policy, NOW - 1), modeAt(policy, NOW)]).toEqual(["shadow", "auto"]);
  });
});

describe("silence", () => {
  const policy = policyWith({ mode: "approve-by-timeout", approveAfterMs: 60_000 });
  const waiting = { version: 1, createdAt: NOW - 60_000, mode: "approve-by-timeout" as const };
  test.each([
    ["approves", policy, waiting, true],
    ["not before its time", policy, { ...waiting, createdAt: NOW - 59_999 }, false],
    ["not what a person changed", policy, { ...waiting, version: 2 }, false],
    ["not for a policy that is gone", null, waiting, false],
    ["not for one that is paused", { ...policy, enabled: false }, waiting, false],
    ["not for one in another mode", { ...policy, mode: "advise" as const }, waiting, false],
    ["not a plan made in another mode", policy, { ...waiting, mode: "advise" as const }, false],
  ])("%s", (_, one, plan, approves) => {
    expect("approve" in silenceApproves(one, plan, [move()], circumstances())).toBe(approves);
  });
});

describe("laws", () => {
  const anyMoves = fc
    .array(
      fc.record({
        vm: fc.constantFrom("vm-1", "vm-2", "vm-3", "vm-4"),
        fromHostId: fc.constantFrom("a", "b", "c"),
        toHostId: fc.constantFrom("a", "b", "c"),
        mechanism: fc.constantFrom("pre-copy" as const, "pre-copy" as const, "hybrid" as const),
        bytes: fc.integer({ min: 0, max: 100 }),
      }),
      { maxLength: 12 },
    )
    .map((all) => all.map((fields, index) => move({ ...fields, n: index + 1 })));
  const anyLimits = fc.record(
    {
      movesMaxPerHour: fc.nat(6),
      movesMaxPerDay: fc.nat(6),
      bytesMaxPerDay: fc.nat(400),
      movesMaxPerVmPerDay: fc.nat(2),
    },
    { requiredKeys: [] },
  );
  const anyFreezes = fc.subarray([freezeOf({ scope: { uuids: ["vm-1"] } }), freezeOf({ scope: { hostIds: ["c"] } })]);

  test("what is approved stays within every budget, frozen VMs and hosts stay, and nothing is post-copy", () => {
    fc.assert(
      fc.property(anyMoves, anyLimits, anyFreezes, (moves, limits, freezes) => {
        const budget = budgetLeft(limits, [], NOW);
        const { approve, leftOut } = permitted(policyWith({ mode: "auto" }), moves, circumstances({ budget, freezes }));
        const kept = moves.filter(({ n }) => approve.includes(n));
        expect([...approve, ...leftOut.map(({ n }) => n)].toSorted((a, b) => a - b)).toEqual(moves.map(({ n }) => n));
        expect(kept.length).toBeLessThanOrEqual(budget.moves);
        expect(kept.reduce((sum, { estimate }) => sum + estimate.transferredBytes.p50, 0)).toBeLessThanOrEqual(
          budget.bytes,
        );
        for (const one of kept) {
          expect(kept.filter(({ vm }) => vm === one.vm).length).toBeLessThanOrEqual(budget.movesOf(one.vm));
          expect(frozen(freezes, NOW, one)).toBeNull();
          expect(mayPostCopy(one)).toBe(false);
        }
      }),
      { numRuns: 500, seed: 1 },
    );
  });

  test("no approved move counts on one that is left out", () => {
    fc.assert(
      fc.property(anyMoves, anyLimits, anyFreezes, (moves, limits, freezes) => {
        const now = circumstances({ budget: budgetLeft(limits, [], NOW), freezes });
        const { approve } = permitted(policyWith({ mode: "auto" }), moves, now);
        const left = moves.filter(({ n }) => !approve.includes(n));
        return moves
          .filter(({ n }) => approve.includes(n))
          .every((one) =>
            left.every(({ n, vm, fromHostId }) => n > one.n || (vm !== one.vm && fromHostId !== one.toHostId)),
          );
      }),
      { numRuns: 500, seed: 2 },
    );
  });
});
