// One pass over memory as QEMU makes it: what it sends, how long that takes, and what of it was for nothing.
import { DELTA, RATE_SLICE_SECONDS, THROTTLE_SYNC_MS, ZERO_SCAN_BYTES_PER_SECOND } from "./priors.ts";
import type { Scenario } from "./scenario.ts";

export type Pass = {
  normalBytes: number;
  zeroBytes: number;
  wireBytes: number;
  durationMs: number;
  /** How far it is ahead of max-bandwidth. */
  gainedSeconds: number;
};

/** What QEMU takes for the bandwidth after this pass. */
export function measuredBytesPerSecond({ rates }: Scenario, pass: Pass): number {
  return Math.min(rates.roundsBytesPerSecond, (1000 * pass.wireBytes) / pass.durationMs);
}

/** A sender that has to compress what it sends puts no more on the wire than it can encode. */
function wireBytesPerSecondMax({ compressBytesPerSecond, wirePerNormalByte }: Scenario): number {
  return compressBytesPerSecond * wirePerNormalByte;
}

/** What may be pending at the switch-over, and what a round leaves over: `late` is what is sent before QEMU looks. */
export type SwitchPoint = { threshold: number; late: number; carried: number };

/** From the bandwidth that QEMU measures. */
export function switchPoint(scenario: Scenario, bytesPerSecond: number): SwitchPoint {
  const rate = Math.min(bytesPerSecond, wireBytesPerSecondMax(scenario));
  const threshold = (rate * scenario.parameters.downtimeLimitMs) / 1000;
  const late = rate * RATE_SLICE_SECONDS * scenario.lateness;
  return { threshold, late, carried: Math.max(0, threshold - late) };
}

/**
 * Of what a round left over, what was dirtied in it too and is pending once: of pages dirtied in the window before, those
 * dirtied in both (inclusion and exclusion on U); after the first round, which has all pages to send, any of them.
 */
export function dirtiedAgain(
  scenario: Scenario,
  left: number,
  beforeMs: number,
  durationMs: number,
  dirtied: number,
): number {
  if (beforeMs === Number.POSITIVE_INFINITY) return left * Math.min(1, dirtied / Math.max(1, scenario.nonzeroBytes));
  return Math.min(left, scenario.dirtied(beforeMs)) * inBoth(scenario, beforeMs, durationMs);
}

/** Of the pages dirtied in one window, the share that is dirtied in another one beside it. */
function inBoth({ dirtied }: Scenario, oneMs: number, otherMs: number): number {
  const one = dirtied(oneMs);
  if (one <= 0) return 0;
  return Math.min(1, Math.max(0, one + dirtied(otherMs) - dirtied(oneMs + otherMs)) / one);
}

/**
 * xbzrle: share of a round's pages that go as deltas. Only pages sent since the first round are in the cache, and a page in it
 * keeps its slot against others for two rounds: of a set larger than the cache, as many are found as it holds.
 */
export function deltaShare(scenario: Scenario, seenMs: number, beforeMs: number): number {
  if (scenario.delta === null || seenMs === 0 || beforeMs === Number.POSITIVE_INFINITY) return 0;
  const { hitRatio, cacheBytes } = scenario.delta;
  const set = Math.max(1, scenario.dirtied(seenMs + beforeMs));
  return hitRatio * inBoth(scenario, beforeMs, seenMs) * Math.min(1, cacheBytes / set);
}

/**
 * The first round. What it leaves over is a mixture, since zero pages count for the threshold like others. It sends a slice at
 * least, whose budget goes out at line rate before anything is waited for.
 */
export function firstPass(scenario: Scenario, threshold: number, late: number): Pass {
  const { firstRoundBytesPerSecond: rate, lineBytesPerSecond: line } = scenario.rates;
  const { nonzeroBytes, memoryBytes } = scenario;
  const zeroBytes = memoryBytes - nonzeroBytes;
  const end = Math.min(threshold * scenario.endNormalRatio, scenario.endNormalMaxBytes);
  const left = Math.max(0, end - late, threshold - zeroBytes - late);
  const normalBytes = Math.max(nonzeroBytes - left, Math.min(nonzeroBytes, rate * RATE_SLICE_SECONDS));
  return passOf(scenario, normalBytes, zeroBytes, rate, 0, RATE_SLICE_SECONDS * (1 - rate / line));
}

/**
 * A later round: it sends what is pending but for what is carried over. Where the threshold is less than a slice's budget, a
 * round may end by having sent everything, before the slice is waited out: time that is gained once. With `auto-converge` QEMU
 * does not wait longer than its timer for what was dirtied.
 */
export function nextPass(
  scenario: Scenario,
  end: { normalBytes: number; zeroBytes: number; gainedSeconds: number },
  carried: number,
  deltaRatio: number,
): Pass {
  const normalBytes = Math.max(0, end.normalBytes - carried);
  const { roundsBytesPerSecond: rate, lineBytesPerSecond: line } = scenario.rates;
  const emptied = Math.max(0, 1 - scenario.parameters.downtimeLimitMs / 1000 / RATE_SLICE_SECONDS);
  const gained = Math.max(0, RATE_SLICE_SECONDS * (1 - rate / line) * emptied - end.gainedSeconds);
  const pass = passOf(scenario, normalBytes, end.zeroBytes, rate, deltaRatio, gained);
  const share = scenario.parameters.autoConverge ? Math.min(1, THROTTLE_SYNC_MS / pass.durationMs) : 1;
  return share < 1 ? partOf(pass, share) : pass;
}

/** The first part of a pass. */
export function partOf(pass: Pass, share: number): Pass {
  return {
    normalBytes: pass.normalBytes * share,
    zeroBytes: pass.zeroBytes * share,
    wireBytes: pass.wireBytes * share,
    durationMs: pass.durationMs * share,
    gainedSeconds: 0,
  };
}

/** Figures one by one, not as an object: of those of many passes, made anew for each, no two had the same shape in memory. */
function passOf(
  scenario: Scenario,
  normalBytes: number,
  zeroBytes: number,
  rate: number,
  deltaRatio: number,
  headStartSeconds: number,
): Pass {
  const line = scenario.rates.lineBytesPerSecond;
  const perNormalByte = scenario.wirePerNormalByte * (1 - deltaRatio * (1 - DELTA.lengthRatio));
  const wireBytes = normalBytes * perNormalByte + zeroBytes * scenario.wirePerZeroByte;
  const scanSeconds = zeroBytes / ZERO_SCAN_BYTES_PER_SECOND + (normalBytes * deltaRatio) / DELTA.encodeBytesPerSecond;
  // Threads of their own compress while others send.
  const compressSeconds = normalBytes / scenario.compressBytesPerSecond;
  const seconds = Math.max(wireBytes / line + scanSeconds, compressSeconds, wireBytes / rate - headStartSeconds);
  return {
    normalBytes,
    zeroBytes,
    wireBytes,
    durationMs: 1000 * seconds,
    gainedSeconds: Math.max(0, wireBytes / rate - seconds),
  };
}
