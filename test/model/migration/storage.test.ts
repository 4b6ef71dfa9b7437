import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkEstimateInput, estimateMigration } from "../../../worker/model/migration/index.ts";
import {
  coldFirstRewritten,
  copyDisks,
  diskTraffic,
  sequentialRewritten,
} from "../../../worker/model/migration/storage.ts";
import type { LocalDisk } from "../../../worker/model/migration/storage.ts";
import type { EstimateInput } from "../../../worker/model/migration/types.ts";
import { GIB } from "../../../worker/model/units.ts";
import { inputOf } from "./support.ts";

const RUNS = { numRuns: 300, seed: 29 };
const BEFORE = { mode: "pre-copy", order: "sequential" } as const;
const COLD_FIRST = { mode: "pre-copy", order: "cold-first" } as const;
const AFTER = { mode: "post-copy", order: "sequential" } as const;
const rates = (line: number, each = line) => ({ lineBytesPerSecond: line, perDiskBytesPerSecond: each });
const still = (bytes: number): LocalDisk => ({ bytes, classes: [] });

/** 9 GB that nobody writes to and 1 GB whose every byte is written once in ten seconds. */
const HOT: LocalDisk = { bytes: 10e9, classes: [{ bytes: 1e9, dirtyBytesPerSecond: 1e8 }] };

const disk: fc.Arbitrary<LocalDisk> = fc
  .array(
    fc.record({
      bytes: fc.double({ min: 1e6, max: 1e11, noNaN: true }),
      perSecond: fc.oneof(fc.constant(0), fc.double({ min: 1e-6, max: 1, noNaN: true })),
    }),
    { minLength: 1, maxLength: 6 },
  )
  .chain((parts) =>
    fc.double({ min: 0, max: 1e11, noNaN: true }).map((rest) => ({
      bytes: rest + parts.reduce((sum, { bytes }) => sum + bytes, 0),
      classes: parts.map(({ bytes, perSecond }) => ({ bytes, dirtyBytesPerSecond: bytes * perSecond })),
    })),
  );

describe("what is written behind the first pass", () => {
  test("10 GB in 100 s, 1 GB of it written once in 10 s: by hand", () => {
    // Anywhere on the disk: 1 − (1 − e⁻¹⁰)/10 of the GB; last of all, in the last ten seconds: 1 − (1 − e⁻¹)/1 = e⁻¹.
    expect(sequentialRewritten(HOT, 100)).toBeCloseTo(1e9 * (1 - (1 - Math.exp(-10)) / 10), 0);
    expect(coldFirstRewritten(HOT, 100)).toBeCloseTo(1e9 * Math.exp(-1), 0);
  });

  test("two halves written at different rates: the sum over chunks of 1 − e^(−w (T − t))", () => {
    const warm: LocalDisk = {
      bytes: 2e9,
      classes: [
        { bytes: 1e9, dirtyBytesPerSecond: 5e7 },
        { bytes: 1e9, dirtyBytesPerSecond: 1e7 },
      ],
    };
    const chunks = 20_000;
    let sum = 0;
    for (let chunk = 0; chunk < chunks; chunk++) {
      const left = 20 * (1 - (chunk + 0.5) / chunks);
      sum += (2e9 / chunks) * (1 - Math.exp(-(left > 10 ? 0.01 : 0.05) * left));
    }
    expect(coldFirstRewritten(warm, 20) / sum).toBeCloseTo(1, 6);
  });

  test("cold first is never more than sequential, and less where only part of the disk is written", () => {
    fc.assert(
      fc.property(disk, fc.double({ min: 0, max: 1e5, noNaN: true }), (of, seconds) => {
        expect(coldFirstRewritten(of, seconds)).toBeLessThanOrEqual(sequentialRewritten(of, seconds));
      }),
      RUNS,
    );
    expect(coldFirstRewritten(HOT, 100)).toBeLessThan(0.5 * sequentialRewritten(HOT, 100));
  });
});

describe("a mirror", () => {
  test("of a disk that nobody writes to takes its bytes over the rate", () => {
    expect(copyDisks([still(10e9)], rates(1e8), BEFORE)).toMatchObject({
      beforeMs: 100_000,
      extraBytes: 0,
      bytes: 10e9,
    });
  });

  test("is as slow as its disk where the link could do more; several share the link", () => {
    expect(copyDisks([still(10e9)], rates(1e9, 1e8), BEFORE).beforeMs).toBeCloseTo(100_000, 6);
    // 1 and 3 GB at 50 MB/s each: the first is done after 20 s, the other has 2 GB left at 100 MB/s.
    expect(copyDisks([still(3e9), still(1e9)], rates(1e8), BEFORE).beforeMs).toBeCloseTo(40_000, 6);
    expect(copyDisks([still(3e9), still(1e9)], rates(1e8, 6e7), BEFORE).beforeMs).toBeCloseTo(20_000 + 33_333.333, 2);
  });

  test("catches up with what was written behind it: E/(R − w) more", () => {
    // The first pass takes 50 s; 1e8 a second are written on, of the 2e8 that are copied.
    const behind = 1e9 * (1 - (1 - Math.exp(-5)) / 5);
    const copy = copyDisks([HOT], rates(2e8), BEFORE);
    expect(copy.beforeMs).toBeCloseTo(1000 * (50 + behind / 1e8), 3);
    expect(copy.extraBytes).toBeCloseTo(2 * behind, 0);
  });

  test("is never ready where as much is written as it can copy; nor with disks copied after", () => {
    const busy: LocalDisk = { bytes: 10e9, classes: [{ bytes: 5e9, dirtyBytesPerSecond: 1e8 }] };
    expect(copyDisks([busy], rates(1e8), BEFORE).beforeMs).toBe(Infinity);
    expect(copyDisks([busy], rates(1e9, 1e8), COLD_FIRST).beforeMs).toBe(Infinity);
    expect(copyDisks([busy], rates(1e8), AFTER)).toMatchObject({ beforeMs: 0, afterMs: 100_000, extraBytes: 0 });
  });

  test("goes on while the memory is sent", () => {
    const copy = copyDisks([HOT], rates(2e8), BEFORE);
    const sent = diskTraffic(copy, null, 3000);
    expect(sent.bytes).toBeCloseTo(10e9 + copy.extraBytes + 3e8, 0);
    expect(sent.extraBytes).toBeCloseTo(copy.extraBytes + 3e8, 0);
  });

  test("is never longer with more bandwidth, nor in cold-first order; no disk is sent less than once", () => {
    const disks = fc.array(disk, { minLength: 1, maxLength: 4 });
    const rate = fc.double({ min: 1e6, max: 1e12, noNaN: true });
    fc.assert(
      fc.property(disks, rate, fc.double({ min: 1, max: 10, noNaN: true }), (of, line, by) => {
        const slow = copyDisks(of, rates(line), BEFORE);
        fc.pre(slow.beforeMs < Infinity);
        const cold = copyDisks(of, rates(line), COLD_FIRST);
        expect(copyDisks(of, rates(line * by), BEFORE).beforeMs).toBeLessThanOrEqual(slow.beforeMs * (1 + 1e-9));
        expect(cold.beforeMs).toBeLessThanOrEqual(slow.beforeMs * (1 + 1e-9));
        expect(cold.extraBytes).toBeLessThanOrEqual(cold.sequentialExtraBytes * (1 + 1e-9));
        expect(cold.extraBytes).toBeGreaterThanOrEqual(0);
      }),
      RUNS,
    );
  });

  test("does not depend on the unit of bytes", () => {
    fc.assert(
      fc.property(disk, fc.constantFrom(2, 1024), (of, by) => {
        const larger = {
          bytes: of.bytes * by,
          classes: of.classes.map((each) => ({
            bytes: each.bytes * by,
            dirtyBytesPerSecond: each.dirtyBytesPerSecond * by,
          })),
        };
        expect(copyDisks([larger], rates(1e9 * by), COLD_FIRST).beforeMs).toBe(
          copyDisks([of], rates(1e9), COLD_FIRST).beforeMs,
        );
      }),
      RUNS,
    );
  });
});

describe("an estimate with local disks", () => {
  const estimateOf = (disks: EstimateInput["vm"]["disks"], more: Partial<EstimateInput> = {}) => {
    const input = { ...inputOf({ driver: "libvirt", vm: { disks }, mechanisms: ["pre-copy"] }), ...more };
    const answer = estimateMigration(input);
    const [estimate] = answer.estimates;
    if (estimate === undefined) throw new Error("no estimate");
    return { estimate, fields: answer.assumptions.map(({ field }) => field) };
  };
  const local = { bytes: 20 * GIB, allocatedBytes: 10 * GIB, shared: false };

  test("has them in preparation and in its own phase; without, storage is null", () => {
    const { estimate } = estimateOf([{ ...local, dirtyBytesPerSecond: 0 }]);
    expect(estimate.phases.map(({ name }) => name)).toEqual(["setup", "disks", "rounds", "switchover"]);
    expect(estimate.diskBytes).toEqual({ p10: 10 * GIB, p50: 10 * GIB, p90: 10 * GIB });
    expect(estimate.storage).toEqual({
      extraBytes: { p10: 0, p50: 0, p90: 0 },
      sequentialExtraBytes: { p10: 0, p50: 0, p90: 0 },
    });
    // 10 GiB at what one disk does, and the memory.
    expect(estimate.preparationMs.p50).toBeGreaterThan(20_000);
    const shared = estimateOf([{ ...local, shared: true }]).estimate;
    expect(shared.storage).toBeNull();
    expect(shared.diskBytes.p90).toBe(0);
  });

  test("saves in cold-first order what is written in one place", () => {
    const disks = [{ ...local, writeClasses: [{ bytes: GIB, dirtyBytesPerSecond: 0.05 * GIB }] }];
    const cold = estimateOf(disks, { storage: { order: "cold-first" } });
    expect(cold.fields).toContain("storage.order");
    const { extraBytes, sequentialExtraBytes } = cold.estimate.storage ?? {};
    expect(extraBytes?.p50).toBeLessThan(sequentialExtraBytes?.p50 ?? 0);
    const sequential = estimateOf(disks).estimate;
    expect(cold.estimate.totalMs.p50).toBeLessThan(sequential.totalMs.p50);
    expect(sequential.storage?.extraBytes).toEqual(sequential.storage?.sequentialExtraBytes);
  });

  test("that are written faster than copied is cancelled at the deadline, whatever onDeadline says", () => {
    for (const onDeadline of ["cancel", "force", "post-copy"] as const) {
      const { estimate } = estimateOf([{ ...local, dirtyBytesPerSecond: 5e9 }], {
        parameters: { onDeadline, deadlineMs: 60_000 },
      });
      expect(estimate).toMatchObject({ converges: false, stopRule: "deadline-cancel", downtimeMs: null });
      expect(estimate.convergenceProbability).toBe(0);
      expect(estimate.totalMs.p50).toBeCloseTo(60_000, 3);
    }
  });

  test("copied after the switch-over: no preparation, and a resume phase that nothing survives", () => {
    const before = estimateOf([{ ...local, dirtyBytesPerSecond: 1e6 }]).estimate;
    const after = estimateOf([{ ...local, dirtyBytesPerSecond: 1e6 }], { storage: { mode: "post-copy" } });
    expect(after.fields).toContain("storage.mode");
    expect(after.estimate.preparationMs.p50).toBeLessThan(0.5 * before.preparationMs.p50);
    expect(after.estimate.resumeMs.p50).toBeGreaterThan(20_000);
    expect(after.estimate.diskBytes.p50).toBe(10 * GIB);
    expect(after.estimate.phases.at(-1)).toMatchObject({ name: "post-copy", survivesFailureOf: [] });
  });

  test("lists what it assumes of them, and is less certain", () => {
    const known = estimateOf([{ ...local, writeClasses: [{ bytes: GIB, dirtyBytesPerSecond: 1e6 }] }]);
    const unknown = estimateOf([{ bytes: 20 * GIB, shared: false }]);
    expect(unknown.fields).toEqual(
      expect.arrayContaining(["vm.disks.0.allocatedBytes", "vm.disks.0.dirtyBytesPerSecond", "storage"]),
    );
    const width = ({ p10, p90 }: { p10: number; p90: number }) => p90 / p10;
    expect(width(unknown.estimate.diskBytes)).toBeGreaterThan(width(known.estimate.diskBytes));
  });

  test.each([
    [{ ...local, allocatedBytes: 21 * GIB }, "vm.disks.0.allocatedBytes"],
    [{ ...local, dirtyBytesPerSecond: 11 * GIB }, "vm.disks.0.dirtyBytesPerSecond"],
    [{ ...local, writeClasses: [{ bytes: 11 * GIB, dirtyBytesPerSecond: 1 }] }, "vm.disks.0.writeClasses"],
    [
      { ...local, writeClasses: [{ bytes: 5, dirtyBytesPerSecond: 6 }] },
      "vm.disks.0.writeClasses.0.dirtyBytesPerSecond",
    ],
  ])("refuses what no disk can be (case %#)", (disk, path) => {
    expect(checkEstimateInput(inputOf({ vm: { disks: [disk] } })).map((problem) => problem.path)).toEqual([path]);
  });
});
