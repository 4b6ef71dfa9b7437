import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { severalAnswer } from "../../../worker/model/migration/several-types.ts";
import { checkSeveral, estimateSeveral } from "../../../worker/model/migration/several.ts";
import type { EstimateInput } from "../../../worker/model/migration/types.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import { anyInput, inputOf } from "./support.ts";

const RUNS = { numRuns: 30, seed: 37 };
const LINK = 1e9;

/** So many GiB, none of it zero, so many MB/s dirtied; the only limit is the link. */
const guest = (gib: number, dirtyMegabytes: number, more: Parameters<typeof inputOf>[0] = {}): EstimateInput =>
  inputOf({
    vm: {
      memoryBytes: gib * GIB,
      nonzeroBytes: gib * GIB,
      dirtyRateBytesPerSecond: dirtyMegabytes * 1e6,
      workingSetBytes: gib * GIB,
    },
    parameters: { maxBandwidthBytesPerSecond: 1e10, deadlineMs: 600_000 },
    driver: "simulated",
    ...more,
  });

const several = (inputs: EstimateInput[], linkBytesPerSecond = LINK) =>
  estimateSeveral(inputs, { linkBytesPerSecond, mechanism: "pre-copy" });
const planOf = (answer: ReturnType<typeof several>, atATime: number) => {
  const plan = answer.plans.find((each) => each.atATime === atATime);
  if (plan === undefined) throw new Error(`no plan with ${atATime} at a time`);
  return plan;
};

describe("one after the other", () => {
  test("begins when the one before has ended, and takes as long as each alone", () => {
    const inputs = [guest(4, 50), guest(1, 10), guest(2, 20)];
    const { given } = several(inputs);
    const alone = inputs.map((input) => several([input, input]).given.migrations[0]?.finishMs ?? 0);
    expect(given.order).toEqual([0, 1, 2]);
    expect(given.finishMs).toBeCloseTo(
      alone.reduce((sum, ms) => sum + ms, 0),
      1,
    );
    expect(given.migrations.map(({ startMs }) => startMs)).toEqual([
      0,
      given.migrations[0]?.finishMs,
      given.migrations[1]?.finishMs,
    ]);
  });

  test("the best order is the shortest first: as soon all done, sooner each", () => {
    const answer = several([guest(4, 50), guest(1, 10), guest(2, 20)]);
    const best = planOf(answer, 1);
    expect(best.order).toEqual([1, 2, 0]);
    expect(best.finishMs).toBeCloseTo(answer.given.finishMs, 1);
    expect(best.meanFinishMs).toBeLessThan(answer.given.meanFinishMs);
  });

  test("is what one at a time is, whatever the migrations", () => {
    fc.assert(
      fc.property(fc.array(anyInput, { minLength: 2, maxLength: 5 }), (inputs) => {
        const answer = several(inputs);
        expect(planOf(answer, 1).finishMs).toBeCloseTo(answer.given.finishMs, 0);
        expect(severalAnswer.safeParse(answer).error).toBeUndefined();
        for (const { migrations } of answer.plans) {
          expect(migrations.map(({ index }) => index)).toEqual(inputs.map((_, index) => index));
          for (const { startMs, finishMs } of migrations) expect(finishMs).toBeGreaterThanOrEqual(startMs);
        }
      }),
      RUNS,
    );
  });
});

describe("several at a time", () => {
  test("of guests that dirty nothing are no faster on a link that one fills, and send no more", () => {
    const answer = several([guest(2, 0), guest(2, 0)]);
    const [one, two] = [planOf(answer, 1), planOf(answer, 2)];
    expect(two.transferredBytes / one.transferredBytes).toBeCloseTo(1, 3);
    // Both are there at the end, where one after the other the first is done at half time.
    expect(two.finishMs / one.finishMs).toBeGreaterThan(0.97);
    expect(two.finishMs / one.finishMs).toBeLessThan(1.01);
    expect(two.meanFinishMs).toBeGreaterThan(1.3 * one.meanFinishMs);
    expect(answer.recommended.atATime).toBe(1);
  });

  test("go on faster when one has ended", () => {
    // 1 and 4 GiB share until 1 each is sent; then 3 more at the whole rate: 5 GiB in all.
    const answer = several([guest(1, 0), guest(4, 0)]);
    const [small, large] = planOf(answer, 2).migrations;
    expect(small?.finishMs).toBeCloseTo((2 * GIB * 1000) / LINK, -3);
    expect(large?.finishMs).toBeCloseTo((5 * GIB * 1000) / LINK, -3);
  });

  test("send more the more of them share the link, where they dirty memory", () => {
    const answer = several([guest(4, 80), guest(4, 80), guest(4, 80)]);
    const bytes = [1, 2, 3].map((atATime) => planOf(answer, atATime).transferredBytes);
    expect(bytes[1]).toBeGreaterThan(bytes[0] ?? 0);
    expect(bytes[2]).toBeGreaterThan(bytes[1] ?? 0);
  });

  test("are recommended where max-bandwidth keeps one from filling the link", () => {
    const capped = guest(2, 1, { parameters: { maxBandwidthBytesPerSecond: 128 * MIB } });
    const answer = several([capped, capped, capped, capped]);
    // Each has 134 MB/s, alone or with three others on 1 GB/s.
    expect(planOf(answer, 4).finishMs / planOf(answer, 1).finishMs).toBeCloseTo(0.25, 2);
    expect(answer.recommended.atATime).toBe(4);
    expect(answer.convergesUpTo).toBe(4);
  });

  test("stop converging where the share is too small: it says from when on, and which", () => {
    // 0.3 GB/s of a large working set: it converges with 1 or 0.5 GB/s, not with a third or less.
    const hot = guest(8, 300);
    const calm = guest(2, 1);
    const answer = several([hot, calm, calm, calm]);
    expect(answer.convergesUpTo).toBeGreaterThanOrEqual(1);
    expect(answer.convergesUpTo).toBeLessThan(4);
    expect(planOf(answer, 1).notConverging).toEqual([]);
    expect(planOf(answer, answer.recommended.atATime).notConverging).toEqual([]);
    expect(answer.recommended.reasons.join(" ")).toContain(`up to ${answer.convergesUpTo} at a time`);
    const hopeless = several(
      [hot, hot, hot, hot].map((input) => ({ ...input, parameters: { ...input.parameters, deadlineMs: 60_000 } })),
    );
    expect(planOf(hopeless, 4).notConverging.length).toBeGreaterThan(0);
  });

  test("one that never converges ends at its deadline", () => {
    const never = guest(8, 4000, { parameters: { maxBandwidthBytesPerSecond: 1e10, deadlineMs: 60_000 } });
    const answer = several([never, guest(1, 0)]);
    expect(answer.convergesUpTo).toBe(0);
    expect(answer.given.notConverging).toEqual([0]);
    expect(answer.given.migrations[0]).toMatchObject({ finishMs: 60_000, downtimeMs: null, converges: false });
    // What can be done soon is done first.
    expect(planOf(answer, 1).order).toEqual([1, 0]);
  });

  test("never end later on a faster link", () => {
    const dirty = fc.double({ min: 0, max: 50, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(dirty, { minLength: 2, maxLength: 4 }),
        fc.double({ min: 1, max: 8, noNaN: true }),
        (rates, by) => {
          const inputs = rates.map((rate) => guest(2, rate));
          const [slow, fast] = [several(inputs), several(inputs, LINK * by)];
          fc.pre(slow.convergesUpTo === inputs.length);
          for (const plan of slow.plans)
            expect(planOf(fast, plan.atATime).finishMs).toBeLessThanOrEqual(plan.finishMs * (1 + 1e-6));
        },
      ),
      RUNS,
    );
  });
});

describe("what is not given or cannot be", () => {
  test("the link: the slowest among them, listed", () => {
    const inputs = [guest(1, 0, { link: { bytesPerSecond: 2e9 } }), guest(1, 0, { link: { bytesPerSecond: 5e8 } })];
    const answer = estimateSeveral(inputs, { mechanism: "pre-copy" });
    expect(answer.linkBytesPerSecond).toBe(5e8);
    expect(answer.assumptions.map(({ field }) => field)).toContain("linkBytesPerSecond");
  });

  test("every assumption says of which migration it is", () => {
    const { assumptions } = several([guest(1, 0), inputOf({ vm: { nonzeroBytes: undefined } })]);
    expect(assumptions.map(({ field }) => field)).toContain("migrations.1.vm.nonzeroBytes");
  });

  test("problems have the path of the migration", () => {
    const bad = inputOf({ vm: { memoryBytes: GIB, nonzeroBytes: 2 * GIB } });
    const xen = guest(1, 0, { hypervisor: "xen" });
    const problems = checkSeveral([guest(1, 0), bad, xen], { linkBytesPerSecond: 5, mechanism: "hybrid" });
    expect(problems.map(({ path }) => path)).toEqual(
      expect.arrayContaining(["migrations.1.vm.nonzeroBytes", "migrations.2.hypervisor", "linkBytesPerSecond"]),
    );
  });
});
