import { expect, test } from "vitest";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import type { MechanismEstimate, Quantity } from "../../../worker/model/migration/types.ts";
import { MIB } from "../../../worker/model/units.ts";
import { measured } from "./measured.ts";
import { inputOf } from "./support.ts";

type Row = (typeof measured)[number];

/** The lab emulates, gives each VM 128 KiB more than its size, and has no agents; its loopback is faster than a stream. */
function estimateOf([, mechanism, memory, nonzero, dirtied, vcpus, cpuUsedCores, cap, downtimeLimitMs]: Row) {
  const input = inputOf({
    accelerator: "tcg",
    resumedBy: "hypervisor",
    vm: {
      memoryBytes: memory * MIB + 131_072,
      nonzeroBytes: nonzero * MIB,
      vcpus,
      cpuUsedCores,
      dirtyRateBytesPerSecond: dirtied * MIB,
    },
    link: { bytesPerSecond: 2e9, rttMs: 0.05 },
    parameters: { maxBandwidthBytesPerSecond: cap * MIB, downtimeLimitMs, deadlineMs: 60_000 },
    mechanisms: [mechanism],
  });
  return estimateMigration(input).estimates[0] as MechanismEstimate;
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

const compared = measured.map((row) => {
  const { totalMs, transferredBytes, downtimeMs } = estimateOf(row);
  return {
    total: { real: row[9], said: totalMs },
    bytes: { real: row[10] * 1e6, said: transferredBytes },
    blackout: { real: row[11], said: downtimeMs ?? { p10: 0, p50: 0, p90: 0 } },
  };
});

const errors = (of: { real: number; said: Quantity }[]) =>
  median(of.map(({ real, said }) => Math.abs(said.p50 / real - 1)));
const coverage = (of: { real: number; said: Quantity }[]) =>
  of.filter(({ real, said }) => real >= said.p10 && real <= said.p90).length / of.length;

test("real migrations: total time and bytes are within 8 % and 5 % in the median", () => {
  expect(errors(compared.map(({ total }) => total))).toBeLessThan(0.08);
  expect(errors(compared.map(({ bytes }) => bytes))).toBeLessThan(0.05);
});

test("real migrations: about four in five fall between p10 and p90", () => {
  expect(coverage(compared.map(({ total }) => total))).toBeGreaterThan(0.7);
  expect(coverage(compared.map(({ bytes }) => bytes))).toBeGreaterThan(0.7);
});

test("real migrations: the blackout is within 12 ms in the median", () => {
  const live = compared.filter(({ blackout, total }) => blackout.real < 0.9 * total.real);
  expect(median(live.map(({ blackout: { real, said } }) => Math.abs(said.p50 - real)))).toBeLessThan(12);
});
