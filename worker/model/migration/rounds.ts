// QEMU's pre-copy loop: rounds until what is left fits the downtime limit, or a limit from outside strikes.
import { loggedBytes } from "./dirty-log.ts";
import {
  deltaShare,
  dirtiedAgain,
  firstPass,
  measuredBytesPerSecond,
  nextPass,
  partOf,
  switchPoint,
} from "./passes.ts";
import type { Pass, SwitchPoint } from "./passes.ts";
import type { Round, Scenario } from "./scenario.ts";
import { lostCores, mayRise, speed, steer } from "./throttle.ts";
import type { Throttle } from "./throttle.ts";

/** `standing`: the VM is stopped meanwhile and dirties nothing. */
type RoundsLimit = { rounds: number; untilMs: number; standing?: boolean };

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
  /** How far the rounds after the first are ahead of max-bandwidth. */
  gainedSeconds: number;
  rounds: Round[];
};

/** Rounds listed one by one; later ones are summed in the last. */
const ROUNDS_LISTED = 64;
/** A loop that long, or whose rounds differ by less than this, repeats itself until its time is over. */
const ROUNDS_MAX = 1000;
const STEADY_RATIO = 1e-4;

/** The loop between two rounds. */
type Loop = {
  end: RoundsEnd;
  throttle: Throttle;
  /** What the round to come is measured by. */
  point: SwitchPoint;
  /** Length of the round before, whose dirty pages are sent now; Infinity before the first. */
  beforeMs: number;
  /** Length of all rounds but the last two: what was dirtied then was sent again since. */
  seenMs: number;
};

/**
 * Rounds from the moment the first page can be sent, `untilMs` counted from there. Facts of QEMU: a new round begins when
 * what is pending falls under max-bandwidth × downtime-limit, whatever remains being carried over; it is checked once a slice
 * of 100 ms, hence up to a slice late; the loop ends when the dirty pages of the round just ended and the carried
 * ones are together under that threshold.
 */
export function qemuRounds(scenario: Scenario, limit: RoundsLimit): RoundsEnd {
  const loop = start(scenario);
  const { end, throttle } = loop;
  const unlimited = limit.rounds === Number.POSITIVE_INFINITY;
  const isStanding = limit.standing === true;
  for (let round = 1; ; round++) {
    const { threshold, carried, late } = loop.point;
    const deltaRatio = deltaShare(scenario, loop.seenMs, loop.beforeMs);
    const pass = round === 1 ? firstPass(scenario, threshold, late) : nextPass(scenario, end, carried, deltaRatio);
    const durationMs = Math.max(0, Math.min(pass.durationMs, limit.untilMs - end.elapsedMs));
    // A guest that is slowed does in this time what it does in a part of it.
    const guestMs = durationMs * speed(scenario, throttle);
    const dirtied = isStanding ? 0 : Math.min(scenario.dirtiedMaxBytes, loggedBytes(scenario, guestMs, loop.beforeMs));
    if (durationMs < pass.durationMs) return cutShort(scenario, end, { pass, durationMs, dirtied }, throttle);
    const before = end.normalBytes + end.zeroBytes;
    settle(scenario, loop, pass, dirtied);
    const pending = end.normalBytes + end.zeroBytes;
    // Deltas make a pass short of bytes, not of time: QEMU takes the little it has sent for what the network can carry.
    if (deltaRatio > 0) loop.point = switchPoint(scenario, measuredBytesPerSecond(scenario, pass));
    if (pending <= (deltaRatio > 0 ? loop.point.threshold : threshold)) return ended(end, "threshold");
    if (round >= limit.rounds) return ended(end, "rounds");
    if (round === 1) loop.point = switchPoint(scenario, scenario.rates.roundsBytesPerSecond);
    const mightRise = mayRise(scenario, throttle);
    steer(scenario, throttle, dirtied, pass);
    const steady = !mightRise && Math.abs(before - pending) <= STEADY_RATIO * pending;
    if (unlimited && (steady || round >= ROUNDS_MAX))
      repeat(scenario, end, { untilMs: limit.untilMs, carried, deltaRatio }, throttle);
  }
}

function ended(end: RoundsEnd, stop: RoundsEnd["stop"]): RoundsEnd {
  end.stop = stop;
  return end;
}

function start(scenario: Scenario): Loop {
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
    gainedSeconds: 0,
    rounds: [],
  };
  return {
    end,
    throttle: { taken: 0, highs: 0, periodMs: 0, dirtiedBytes: 0, sentBytes: 0 },
    point: switchPoint(scenario, scenario.rates.firstRoundBytesPerSecond),
    beforeMs: Number.POSITIVE_INFINITY,
    seenMs: 0,
  };
}

/** After a whole round: what it sent is done, what was dirtied meanwhile is pending, what was both left over and dirtied once. */
function settle(scenario: Scenario, loop: Loop, pass: Pass, dirtied: number): void {
  const { end, beforeMs } = loop;
  const { durationMs } = pass;
  const left = end.normalBytes - pass.normalBytes;
  const twice = dirtiedAgain(scenario, left, beforeMs, durationMs, dirtied);
  add(scenario, end, pass, 1, loop.throttle);
  end.unsentBytes = Math.max(0, end.unsentBytes - pass.normalBytes);
  end.normalBytes = Math.min(scenario.memoryBytes, left + dirtied - twice);
  end.zeroBytes -= pass.zeroBytes;
  if (beforeMs < Number.POSITIVE_INFINITY) {
    loop.seenMs += beforeMs;
    end.gainedSeconds += pass.gainedSeconds;
  }
  loop.beforeMs = durationMs;
}

function add(scenario: Scenario, end: RoundsEnd, pass: Pass, times: number, throttle: Throttle): void {
  end.elapsedMs += pass.durationMs * times;
  end.wireBytes += pass.wireBytes * times;
  end.pages += (pass.normalBytes / scenario.pageBytes) * times;
  end.zeroPages += (pass.zeroBytes / scenario.pageBytes) * times;
  end.lostVcpuSeconds += ((lostCores(scenario, throttle) * pass.durationMs) / 1000) * times;
  if (!scenario.listsRounds) return;
  let left = times;
  for (; left > 0 && end.rounds.length < ROUNDS_LISTED; left--)
    end.rounds.push({ bytes: pass.wireBytes, durationMs: pass.durationMs });
  const last = end.rounds.at(-1);
  if (last === undefined || left === 0) return;
  last.bytes += pass.wireBytes * left;
  last.durationMs += pass.durationMs * left;
}

/** The same round again, as often as there is time for. */
function repeat(
  scenario: Scenario,
  end: RoundsEnd,
  { untilMs, carried, deltaRatio }: { untilMs: number; carried: number; deltaRatio: number },
  throttle: Throttle,
): void {
  const pass = nextPass(scenario, end, carried, deltaRatio);
  add(scenario, end, pass, Math.max(0, Math.ceil((untilMs - end.elapsedMs) / pass.durationMs) - 1), throttle);
}

/** The limit strikes in the middle of a round: what it has not sent and what was dirtied meanwhile is left. */
function cutShort(
  scenario: Scenario,
  end: RoundsEnd,
  { pass, durationMs, dirtied }: { pass: Pass; durationMs: number; dirtied: number },
  throttle: Throttle,
): RoundsEnd {
  const part = partOf(pass, durationMs / pass.durationMs);
  add(scenario, end, part, 1, throttle);
  const normalBytes = Math.min(scenario.memoryBytes, end.normalBytes - part.normalBytes + dirtied);
  const unsentBytes = Math.max(0, end.unsentBytes - part.normalBytes);
  end.normalBytes = normalBytes;
  end.unsentBytes = unsentBytes;
  end.zeroBytes -= part.zeroBytes;
  return ended(end, "time");
}
