// What the progress of a running migration has shown.
import { PAGE_BYTES } from "../units.ts";
import type { MigrationParameters } from "../wire/command.ts";
import type { Mechanism } from "../wire/common.ts";
import type { Progress } from "../wire/event.ts";
import type { IterationStart } from "./in-flight-rules.ts";
import { PAGE_HEADER_BYTES } from "./priors.ts";
import type { DirtyPoint, MechanismEstimate } from "./types.ts";

/** Weight of the latest look against all before (VEP 248). */
const EWMA_ALPHA = 0.4;
/** QEMU measures dirtying over periods longer than this. */
const PERIOD_MS = 1000;
/** Progress is told once a second: an iteration has begun about this long before it is seen, where looks are farther apart. */
const SEEN_LATE_MS = 500;
/** Slower is a link that is down for the moment, not its rate: bytes a second. */
const RATE_MIN = 1000;
/** Rounds whose lengths differ by less are the same window; throttles that differ by less, the same throttle. */
const SAME = { windowLn: 0.25, throttle: 0.15 };

/** Bytes on the wire for one byte of a normal page. */
export const PLAIN_WIRE_PER_BYTE = 1 + PAGE_HEADER_BYTES / PAGE_BYTES;

export type FlightRun = { mechanism: Mechanism; parameters: MigrationParameters; predicted: MechanismEstimate };

export type Seen = {
  last: Progress;
  /** EWMA of this phase, from the predicted rate on; null: neither predicted nor measured. */
  bytesPerSecond: number | null;
  starts: IterationStart[];
  iterationStartMs: number;
  /** Distinct bytes dirtied in windows as long as rounds, at about the throttle of now. */
  windows: DirtyPoint[];
  /** After the first round: bytes on the wire for one byte that was pending. */
  wirePerByte: number;
};

/** Progress in order; a look that is older than the one before it is left out. */
export function observe(history: readonly [Progress, ...Progress[]], run: FlightRun): Seen {
  const looks: Progress[] = [];
  for (const look of history) if (look.elapsedMs >= (looks.at(-1)?.elapsedMs ?? 0)) looks.push(look);
  const last = looks.at(-1) ?? history[0];
  const starts = iterationStarts(looks);
  const firstMs = looks.find(({ phase }) => phase !== "setup")?.elapsedMs ?? last.elapsedMs;
  return {
    last,
    bytesPerSecond: paceOf(looks, last, run),
    starts,
    iterationStartMs: starts.at(-1)?.atMs ?? firstMs,
    windows: dirtyWindows(looks, starts),
    wirePerByte: wirePerByte(looks),
  };
}

function ewma(before: number | null, value: number): number {
  return before === null ? value : before + EWMA_ALPHA * (value - before);
}

function paceOf(looks: readonly Progress[], last: Progress, run: FlightRun): number | null {
  const cap = last.phase === "pre-copy" ? run.parameters.maxBandwidthBytesPerSecond : Number.POSITIVE_INFINITY;
  const measured = looks.flatMap(({ phase, throughputBytesPerSecond: rate }) =>
    phase === last.phase && rate !== undefined && rate >= RATE_MIN ? [Math.log(Math.min(cap, rate))] : [],
  );
  const prior = predictedPace(last, run.predicted);
  // On the log scale: a prediction that is ten times off is forgotten as quickly as one that is a tenth.
  const pace = measured.reduce<number | null>(ewma, prior === null ? null : Math.log(Math.min(cap, prior)));
  return pace === null ? null : Math.exp(pace);
}

function predictedPace({ phase, iteration }: Progress, predicted: MechanismEstimate): number | null {
  if (phase === "post-copy") return postCopyBytesPerSecond(predicted);
  if (phase !== "pre-copy") return null;
  const round = predicted.rounds[Math.max(0, iteration - 1)] ?? predicted.rounds.at(-1);
  return round === undefined || round.durationMs <= 0 ? null : (round.bytes * 1000) / round.durationMs;
}

/** What the prediction sends after its rounds, in its resume time; null: it has none. */
export function postCopyBytesPerSecond({ transferredBytes, rounds, resumeMs }: MechanismEstimate): number | null {
  const sent = transferredBytes.p50 - rounds.reduce((sum, { bytes }) => sum + bytes, 0);
  return sent > 0 && resumeMs.p50 > 0 ? (sent * 1000) / resumeMs.p50 : null;
}

function iterationStarts(looks: readonly Progress[]): IterationStart[] {
  return looks.flatMap((look, index) => startOf(looks[index - 1], look) ?? []);
}

function startOf(before: Progress | undefined, look: Progress): IterationStart | null {
  if (before === undefined || look.phase !== "pre-copy" || look.iteration <= before.iteration || look.iteration < 2)
    return null;
  const atMs = Math.max((before.elapsedMs + look.elapsedMs) / 2, look.elapsedMs - SEEN_LATE_MS);
  return { iteration: look.iteration, atMs, remainingBytes: look.remainingBytes };
}

/** What is kept of a running migration from look to look. */
export type Flight = {
  last: Progress;
  /** EWMA of pre-copy; null: not measured yet. */
  bytesPerSecond: number | null;
  starts: IterationStart[];
};

/** Iterations of less than a second go on for as long as the deadline lets them. */
const STARTS_MAX = 256;

/** The flight after one more look; a look that is older than the one before changes nothing. */
export function follow(flight: Flight | null, look: Progress): Flight {
  if (flight !== null && look.elapsedMs < flight.last.elapsedMs) return flight;
  const { phase, throughputBytesPerSecond: rate } = look;
  const isMeasured = phase === "pre-copy" && rate !== undefined && rate >= RATE_MIN;
  const begun = startOf(flight?.last, look);
  const before = flight?.starts ?? [];
  return {
    last: look,
    bytesPerSecond: isMeasured ? ewma(flight?.bytesPerSecond ?? null, rate) : (flight?.bytesPerSecond ?? null),
    starts: begun === null ? before : thinned([...before, begun]),
  };
}

/** Of the older half every other one goes; the least that was ever pending stays, since stalls are judged by it. */
function thinned(starts: IterationStart[]): IterationStart[] {
  if (starts.length <= STARTS_MAX) return starts;
  const least = Math.min(...starts.map(({ remainingBytes }) => remainingBytes));
  return starts.filter(
    ({ remainingBytes }, index) => index >= STARTS_MAX / 2 || index % 2 === 0 || remainingBytes === least,
  );
}

type Measured = DirtyPoint & { throttle: number };

/** Rate × window: QEMU counts the distinct bytes of each period; several short rounds in one period share it evenly. */
function dirtyWindows(looks: readonly Progress[], starts: readonly IterationStart[]): DirtyPoint[] {
  const points: Measured[] = [];
  let period = beginning(looks, starts);
  for (const { iteration, atMs } of starts) {
    if (atMs - period.atMs < PERIOD_MS) continue;
    const windowMs = (atMs - period.atMs) / Math.max(1, iteration - period.iteration);
    period = { atMs, iteration };
    const { dirtyBytesPerSecond: rate, throttleRatio: throttle = 0 } =
      looks.find((look) => look.iteration === iteration) ?? {};
    if (rate !== undefined) points.push({ windowMs, bytes: (rate * windowMs) / 1000, throttle });
  }
  const now = looks.at(-1)?.throttleRatio ?? 0;
  const alike = points.filter(({ throttle }) => Math.abs(throttle - now) < SAME.throttle);
  return merged(alike.length > 0 ? alike : points.slice(-1));
}

/** The first look at the first round, or at what was heard first. */
function beginning(looks: readonly Progress[], [first]: readonly IterationStart[]) {
  const begin = looks.find(({ phase, iteration }) => phase === "pre-copy" && iteration <= 1);
  if (begin !== undefined) return { atMs: begin.elapsedMs, iteration: 1 };
  return { atMs: first?.atMs ?? 0, iteration: first?.iteration ?? 1 };
}

/** Windows of nearly the same length are one, the latest weighing most. */
function merged(points: readonly DirtyPoint[]): DirtyPoint[] {
  const kept: DirtyPoint[] = [];
  for (const { windowMs, bytes } of points) {
    const near = kept.findIndex((other) => Math.abs(Math.log(other.windowMs / windowMs)) < SAME.windowLn);
    const other = kept[near];
    if (other === undefined) kept.push({ windowMs, bytes });
    else kept[near] = { windowMs: ewma(other.windowMs, windowMs), bytes: ewma(other.bytes, bytes) };
  }
  return kept;
}

/** Deltas and compression are seen within iterations; a few pages say nothing. */
function wirePerByte(looks: readonly Progress[]): number {
  const sent = { wireBytes: 0, bytes: 0 };
  for (const [index, look] of looks.entries()) {
    const before = looks[index - 1];
    if (before === undefined || look.iteration !== before.iteration || look.iteration < 2) continue;
    sent.wireBytes += look.transferredBytes - before.transferredBytes;
    sent.bytes += before.remainingBytes - look.remainingBytes;
  }
  if (sent.bytes < 256 * PAGE_BYTES) return PLAIN_WIRE_PER_BYTE;
  return Math.min(PLAIN_WIRE_PER_BYTE, Math.max(0.01, sent.wireBytes / sent.bytes));
}
