// QEMU's pre-copy loop: rounds until what is left fits the downtime limit, or a limit from outside strikes.
import { loggedBytes } from "./dirty-log.ts";
import { RATE_SLICE_SECONDS, ZERO_SCAN_BYTES_PER_SECOND } from "./priors.ts";
import type { Round, Scenario } from "./scenario.ts";

type RoundsLimit = { rounds: number; untilMs: number };

/** Where the loop stood when it ended. */
export type RoundsEnd = {
  stop: "threshold" | "rounds" | "time";
  elapsedMs: number;
  /** Still to be sent, the zero pages apart. */
  normalBytes: number;
  /** Of these, never sent before. */
  unsentBytes: number;
  zeroBytes: number;
  wireBytes: number;
  pages: number;
  zeroPages: number;
  lostVcpuSeconds: number;
  rounds: Round[];
};

/** Rounds listed one by one; later ones are summed in the last. */
const ROUNDS_LISTED = 64;
/** A loop that long, or whose rounds differ by less than this, repeats itself until its time is over. */
const ROUNDS_MAX = 1000;
const STEADY_RATIO = 1e-4;

type Pass = { normalBytes: number; zeroBytes: number; wireBytes: number; durationMs: number };

/**
 * Rounds from the moment the first page can be sent, `untilMs` counted from there. Facts of QEMU: a new round begins when
 * what is pending falls under max-bandwidth × downtime-limit, whatever remains being carried over; it is checked once a slice
 * of 100 ms, hence up to a slice late; the loop ends when the dirty pages of the round just ended and the carried
 * ones are together under that threshold.
 */
export function qemuRounds(scenario: Scenario, limit: RoundsLimit): RoundsEnd {
  const rate = scenario.rates.roundsBytesPerSecond;
  const threshold = (rate * scenario.parameters.downtimeLimitMs) / 1000;
  const late = rate * RATE_SLICE_SECONDS * scenario.lateness;
  const carried = Math.max(0, threshold - late);
  const throttle: Throttle = { taken: 0, highs: 0, periodMs: 0, dirtiedBytes: 0, sentBytes: 0 };
  const unlimited = limit.rounds === Number.POSITIVE_INFINITY;
  const end: RoundsEnd = {
    stop: "time",
    elapsedMs: 0,
    normalBytes: scenario.nonzeroBytes,
    unsentBytes: scenario.nonzeroBytes,
    zeroBytes: scenario.memoryBytes - scenario.nonzeroBytes,
    wireBytes: 0,
    pages: 0,
    zeroPages: 0,
    lostVcpuSeconds: 0,
    rounds: [],
  };
  let beforeMs = Number.POSITIVE_INFINITY;
  for (let round = 1; ; round++) {
    const pass = round === 1 ? firstPass(scenario, threshold, late) : nextPass(scenario, end, carried);
    const durationMs = Math.max(0, Math.min(pass.durationMs, limit.untilMs - end.elapsedMs));
    const logged = loggedBytes(scenario, durationMs, beforeMs) * speed(scenario, throttle);
    const dirtied = Math.min(scenario.nonzeroBytes, logged);
    if (durationMs < pass.durationMs) return cutShort(scenario, end, { pass, durationMs, dirtied }, throttle);
    const before = end.normalBytes + end.zeroBytes;
    beforeMs = pass.durationMs;
    add(scenario, end, pass, 1, throttle);
    end.unsentBytes = Math.max(0, end.unsentBytes - pass.normalBytes);
    end.normalBytes = Math.min(scenario.nonzeroBytes, end.normalBytes - pass.normalBytes + dirtied);
    end.zeroBytes -= pass.zeroBytes;
    const pending = end.normalBytes + end.zeroBytes;
    if (pending <= threshold) return { ...end, stop: "threshold" };
    if (round >= limit.rounds) return { ...end, stop: "rounds" };
    steer(scenario, throttle, dirtied, pass);
    const steady = !mayRise(scenario, throttle) && Math.abs(before - pending) <= STEADY_RATIO * pending;
    if (unlimited && (steady || round >= ROUNDS_MAX)) repeat(scenario, end, carried, limit.untilMs, throttle);
  }
}

/**
 * The first round. What it leaves over is a mixture, since zero pages count for the threshold like others. It sends a slice at
 * least, whose budget goes out at line rate before anything is waited for.
 */
function firstPass(scenario: Scenario, threshold: number, late: number): Pass {
  const { roundsBytesPerSecond: rate, lineBytesPerSecond: line } = scenario.rates;
  const { nonzeroBytes, memoryBytes } = scenario;
  const zeroBytes = memoryBytes - nonzeroBytes;
  const left = Math.max(0, threshold * scenario.endNormalRatio - late, threshold - zeroBytes - late);
  const normalBytes = Math.max(nonzeroBytes - left, Math.min(nonzeroBytes, rate * RATE_SLICE_SECONDS));
  return passOf(scenario, normalBytes, zeroBytes, RATE_SLICE_SECONDS * (1 - rate / line));
}

/** A later round: it sends what is pending but for what is carried over. */
function nextPass(scenario: Scenario, { normalBytes, zeroBytes }: RoundsEnd, carried: number): Pass {
  return passOf(scenario, Math.max(0, normalBytes - carried), zeroBytes, 0);
}

function passOf(scenario: Scenario, normalBytes: number, zeroBytes: number, headStartSeconds: number): Pass {
  const { roundsBytesPerSecond: rate, lineBytesPerSecond: line } = scenario.rates;
  const wireBytes = normalBytes * scenario.wirePerNormalByte + zeroBytes * scenario.wirePerZeroByte;
  const scanSeconds = zeroBytes / ZERO_SCAN_BYTES_PER_SECOND;
  const durationMs = 1000 * Math.max(wireBytes / line + scanSeconds, wireBytes / rate - headStartSeconds);
  return { normalBytes, zeroBytes, wireBytes, durationMs };
}

function add(scenario: Scenario, end: RoundsEnd, pass: Pass, times: number, throttle: Throttle): void {
  end.elapsedMs += pass.durationMs * times;
  end.wireBytes += pass.wireBytes * times;
  end.pages += (pass.normalBytes / scenario.pageBytes) * times;
  end.zeroPages += (pass.zeroBytes / scenario.pageBytes) * times;
  end.lostVcpuSeconds += ((lostCores(scenario, throttle) * pass.durationMs) / 1000) * times;
  let left = times;
  for (; left > 0 && end.rounds.length < ROUNDS_LISTED; left--)
    end.rounds.push({ bytes: pass.wireBytes, durationMs: pass.durationMs });
  const last = end.rounds.at(-1);
  if (last === undefined || left === 0) return;
  last.bytes += pass.wireBytes * left;
  last.durationMs += pass.durationMs * left;
}

/** The same round again, as often as there is time for. */
function repeat(scenario: Scenario, end: RoundsEnd, carried: number, untilMs: number, throttle: Throttle): void {
  const pass = nextPass(scenario, end, carried);
  add(scenario, end, pass, Math.max(0, Math.ceil((untilMs - end.elapsedMs) / pass.durationMs) - 1), throttle);
}

/** The limit strikes in the middle of a round: what it has not sent and what was dirtied meanwhile is left. */
function cutShort(
  scenario: Scenario,
  end: RoundsEnd,
  { pass, durationMs, dirtied }: { pass: Pass; durationMs: number; dirtied: number },
  throttle: Throttle,
): RoundsEnd {
  const share = durationMs / pass.durationMs;
  const part: Pass = {
    normalBytes: pass.normalBytes * share,
    zeroBytes: pass.zeroBytes * share,
    wireBytes: pass.wireBytes * share,
    durationMs,
  };
  add(scenario, end, part, 1, throttle);
  const normalBytes = Math.min(scenario.nonzeroBytes, end.normalBytes - part.normalBytes + dirtied);
  const unsentBytes = Math.max(0, end.unsentBytes - part.normalBytes);
  return { ...end, stop: "time", normalBytes, unsentBytes, zeroBytes: end.zeroBytes - part.zeroBytes };
}

const THROTTLE = { first: 0.2, step: 0.1, max: 0.99, dirtyRatio: 0.5, periodMs: 1000 };

/** `auto-converge`: the share of time taken from the vCPUs, and what its next step waits for. */
type Throttle = { taken: number; highs: number; periodMs: number; dirtiedBytes: number; sentBytes: number };

/** Share of its speed that the guest keeps: one that is idle half of the time loses nothing until half is taken. */
function speed(scenario: Scenario, throttle: Throttle): number {
  return Math.min(1, ((1 - throttle.taken) * scenario.vcpus) / Math.max(0.01, scenario.cpuUsedCores));
}

/** Cores of work lost to throttling and to dirty logging. */
function lostCores(scenario: Scenario, throttle: Throttle): number {
  return scenario.cpuUsedCores * Math.min(1, 1 - speed(scenario, throttle) + scenario.brownoutRatio);
}

function mayRise(scenario: Scenario, throttle: Throttle): boolean {
  return scenario.parameters.autoConverge && throttle.taken < THROTTLE.max;
}

/**
 * At the end of a round. Every second time that more than half of what a period sent was dirtied in it, a period being over
 * a second: 20 % first, then 10 % more each.
 */
function steer(scenario: Scenario, throttle: Throttle, dirtiedBytes: number, pass: Pass): void {
  throttle.periodMs += pass.durationMs;
  throttle.dirtiedBytes += dirtiedBytes;
  throttle.sentBytes += pass.wireBytes;
  if (throttle.periodMs < THROTTLE.periodMs) return;
  if (throttle.dirtiedBytes > THROTTLE.dirtyRatio * throttle.sentBytes) throttle.highs += 1;
  throttle.periodMs = throttle.dirtiedBytes = throttle.sentBytes = 0;
  if (throttle.highs < 2 || !mayRise(scenario, throttle)) return;
  throttle.highs = 0;
  throttle.taken = throttle.taken === 0 ? THROTTLE.first : Math.min(THROTTLE.max, throttle.taken + THROTTLE.step);
}
