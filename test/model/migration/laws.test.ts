// Laws of whole estimates, at every quantile. Laws of single courses stand in courses.test.ts, what is free of scale in scale.test.ts.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hybrid } from "../../../worker/model/migration/hybrid.ts";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import { postCopy } from "../../../worker/model/migration/post-copy.ts";
import type { EstimateInput, MechanismEstimate } from "../../../worker/model/migration/types.ts";
import { inputOf, medianScenario, plainInput } from "./support.ts";

const RUNS = { numRuns: 200, seed: 31 };
const QUANTILES = ["p10", "p50", "p90"] as const;
/** Rounding to a microsecond. */
const ROUNDED_MS = 0.002;

const factor = fc.double({ min: 1, max: 10, noNaN: true });

/** A plain QEMU pre-copy, emulated or not. */
const plain: fc.Arbitrary<EstimateInput> = fc
  .tuple(plainInput, fc.constantFrom("kvm" as const, "tcg" as const))
  .map(([input, accelerator]) => ({ ...input, accelerator }));

function estimateOf(input: EstimateInput): MechanismEstimate {
  const [estimate] = estimateMigration(input).estimates;
  if (estimate === undefined) throw new Error("no estimate");
  return estimate;
}

const preCopyOf = (input: EstimateInput) => estimateOf({ ...input, mechanisms: ["pre-copy"] });

function withRate(input: EstimateInput, by: number): EstimateInput {
  return { ...input, link: { ...input.link, bytesPerSecond: by * (input.link?.bytesPerSecond ?? 0) } };
}

function withCap(input: EstimateInput, by: number): EstimateInput {
  const { maxBandwidthBytesPerSecond: cap = 0 } = input.parameters;
  return { ...input, parameters: { ...input.parameters, maxBandwidthBytesPerSecond: by * cap } };
}

/** Everything that says how much is dirtied, times `by`. */
function withDirtying(input: EstimateInput, by: number): EstimateInput {
  const { memoryBytes, dirtyRateBytesPerSecond = 0, dirtyCurve = [] } = input.vm;
  return {
    ...input,
    vm: {
      ...input.vm,
      dirtyRateBytesPerSecond: Math.min(memoryBytes, by * dirtyRateBytesPerSecond),
      dirtyCurve: dirtyCurve.map(({ windowMs, bytes }) => ({ windowMs, bytes: Math.min(memoryBytes, by * bytes) })),
    },
  };
}

/** The whole memory in one threshold: it all goes in the last burst, and no rounds are left that more bandwidth could shorten. */
function fitsAtOnce({ vm, link, parameters }: EstimateInput): boolean {
  const rate = Math.min(parameters.maxBandwidthBytesPerSecond ?? Infinity, link?.bytesPerSecond ?? Infinity);
  return (vm.nonzeroBytes ?? 0) <= (rate * (parameters.downtimeLimitMs ?? 0)) / 1000;
}

describe("pre-copy whose every draw converges, with nothing adaptive and no deadline in reach", () => {
  test("is never longer on a faster link", () => {
    fc.assert(
      fc.property(plain, factor, (input, by) => {
        const slow = preCopyOf(input);
        fc.pre(slow.convergenceProbability === 1);
        const fast = preCopyOf(withRate(input, by));
        expect(fast.convergenceProbability).toBe(1);
        for (const at of QUANTILES) expect(fast.totalMs[at]).toBeLessThanOrEqual(slow.totalMs[at] + ROUNDED_MS);
      }),
      RUNS,
    );
  });

  test("is never longer at a higher max-bandwidth, unless its memory fits the downtime limit at once", () => {
    fc.assert(
      fc.property(plain, factor, (input, by) => {
        const slow = preCopyOf(input);
        fc.pre(slow.convergenceProbability === 1 && !fitsAtOnce(input));
        const fast = preCopyOf(withCap(input, by));
        expect(fast.convergenceProbability).toBe(1);
        // A larger threshold leaves more to the burst, where a page that was never sent costs a little more.
        for (const at of QUANTILES)
          expect(fast.totalMs[at]).toBeLessThanOrEqual(slow.totalMs[at] * 1.0001 + ROUNDED_MS);
      }),
      RUNS,
    );
  });

  test("is never shorter, and sends no less, at a higher dirty rate", () => {
    fc.assert(
      fc.property(plain, factor, (input, by) => {
        const calm = preCopyOf(input);
        const busy = preCopyOf(withDirtying(input, by));
        fc.pre(calm.convergenceProbability === 1 && busy.convergenceProbability === 1);
        for (const at of QUANTILES) {
          expect(busy.totalMs[at]).toBeGreaterThanOrEqual(calm.totalMs[at] - ROUNDED_MS);
          expect(busy.transferredBytes[at]).toBeGreaterThanOrEqual(calm.transferredBytes[at] - 1);
        }
      }),
      RUNS,
    );
  });

  test("converges no less probably on a faster link or when less is dirtied", () => {
    fc.assert(
      fc.property(plain, factor, (input, by) => {
        const { convergenceProbability } = preCopyOf(withDirtying(input, 10));
        for (const easier of [withDirtying(input, 10 / by), withRate(withDirtying(input, 10), by)])
          expect(preCopyOf(easier).convergenceProbability).toBeGreaterThanOrEqual(convergenceProbability);
      }),
      RUNS,
    );
  });
});

test("hybrid of any number of rounds sends no more than post-copy and what its rounds dirtied", () => {
  fc.assert(
    fc.property(plain, fc.integer({ min: 1, max: 10 }), (input, preCopyRounds) => {
      const scenario = medianScenario({ ...input, parameters: { ...input.parameters, preCopyRounds } }, "hybrid");
      const course = hybrid(scenario);
      const dirtied = course.rounds.reduce((sum, { durationMs }) => sum + scenario.dirtied(durationMs), 0);
      const most = postCopy(scenario).wireBytes + dirtied * scenario.wirePerNormalByte;
      expect(course.wireBytes).toBeLessThanOrEqual(most * (1 + 1e-9));
    }),
    RUNS,
  );
});

describe("the same said in other units changes nothing", () => {
  const figuresOf = (input: EstimateInput) => estimateMigration(input).estimates;

  test("a dirty rate with its window and the one point of a curve", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e8, noNaN: true }),
        fc.integer({ min: 10, max: 60_000 }),
        (rate, windowMs) => {
          const asRate = { dirtyRateBytesPerSecond: rate, dirtyRateWindowMs: windowMs };
          const asPoint = {
            dirtyRateBytesPerSecond: undefined,
            dirtyCurve: [{ windowMs, bytes: (rate * windowMs) / 1000 }],
          };
          expect(figuresOf(inputOf({ vm: asPoint as never }))).toEqual(figuresOf(inputOf({ vm: asRate })));
        },
      ),
      { ...RUNS, numRuns: 50 },
    );
  });

  test("a link shared with others and what it leaves for one", () => {
    fc.assert(
      fc.property(fc.double({ min: 1e8, max: 1e9, noNaN: true }), fc.nat(7), (bytesPerSecond, concurrentMigrations) => {
        // max-bandwidth is the link's: nobody leaves the others anything.
        const shared = { bytesPerSecond: bytesPerSecond * (concurrentMigrations + 1), concurrentMigrations };
        const alone = inputOf({ driver: "libvirt", link: { bytesPerSecond } });
        const [one, other] = [figuresOf(alone), figuresOf(inputOf({ driver: "libvirt", link: shared }))];
        for (const [index, { totalMs }] of one.entries()) expect(other[index]?.totalMs.p50).toBeCloseTo(totalMs.p50, 2);
      }),
      { ...RUNS, numRuns: 50 },
    );
  });
});
