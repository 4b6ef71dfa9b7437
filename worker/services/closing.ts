// Cron's part of telemetry: closed hours are packed, rolled up and summarised, in portions. Every host's hour is one batch that
// is written whole or not at all, and is found again for as long as it is not done; so it does not matter where this ends.
import type { Deps } from "../env.ts";
import { ChunkError } from "../model/telemetry/bytes.ts";
import { chunkIdRange, chunkKey, type Tier } from "../model/telemetry/chunk-id.ts";
import {
  advanceWindow,
  closeHour,
  dayOf,
  hoursToDrop,
  isOpen,
  isSummarized,
  lastClosedHour,
  rangeOf,
  rebuildWindow,
  windowHours,
} from "../model/telemetry/closing.ts";
import { EMPTY_FRAME, type Frame } from "../model/telemetry/frame.ts";
import { chunkFrame, type StoredChunk } from "../model/telemetry/stored-chunk.ts";
import { summaryOf } from "../model/telemetry/summary.ts";
import { readWindow, type Window, writeWindow } from "../model/telemetry/window.ts";
import { HOUR_MS } from "../model/units.ts";
import type { HostClosing, SummaryInput } from "../model/telemetry/stored.ts";

/**
 * Statements of one run: with the rest of Cron and what is begun they stay under the 1,000 that D1 allows. It is some 150 hours of
 * hosts, which take some 10 s of CPU.
 */
const STATEMENTS_MAX = 750;
/** Read at once: 8 live hours are about 2 MB. */
const PORTION = 8;

/** What is left of a run; over when it is not above 0. */
export type Budget = { statements: number };
export const fullBudget = (): Budget => ({ statements: STATEMENTS_MAX });

/**
 * Packs and rolls up what came to hours after they were closed, and makes the window of those hosts anew; to be called when
 * `closeHours` is done, so that windows have no hours before their time. A list of late hours is cleared only when all of it is
 * done. False: the budget is used up.
 */
export async function closeLate(deps: Deps, budget: Budget): Promise<boolean> {
  for (;;) {
    const hosts = await deps.store.chunks.lateHosts(PORTION);
    budget.statements -= 1;
    if (hosts.length === 0) return true;
    for (const { hostNumber, version, lateHours } of hosts) {
      const hours = JSON.parse(lateHours ?? "[]") as number[];
      // Several hours of one host may be more than one run can do: the next one begins where this one ends.
      if (!(await closeLateHost(deps, budget, { hostNumber, version, hours }))) return false;
    }
  }
}

type LateHost = { hostNumber: number; version: number; hours: number[] };

async function closeLateHost(deps: Deps, budget: Budget, { hostNumber, version, hours }: LateHost): Promise<boolean> {
  const closed = hours.filter((hour) => hour <= lastClosedHour(deps.now()));
  for (const hour of closed) {
    if (budget.statements <= 0) return false;
    const chunks = await deps.store.chunks.whole([
      rangeOf(hostNumber, "raw", hour),
      rangeOf(hostNumber, "1h", dayOf(hour)),
    ]);
    budget.statements -= 1;
    const { frames: _, ...packed } = packHours(hostNumber, [hour], chunks);
    // The list stays as it is: this host is looked at again.
    if (!(await write(deps, budget, { hostNumber, ...packed, summary: null, late: null }))) return true;
  }
  if (budget.statements <= 0) return false;
  const input = (await readInputs(deps, budget, [hostNumber])).get(hostNumber);
  const last = Math.max(...closed, ...(windowIn(input)?.hours.keys() ?? []));
  const isInWindow = closed.some((hour) => windowHours(last).includes(hour));
  const summary = isInWindow && input ? await summarizeAnew(deps, budget, { hostNumber, hour: last, input }) : null;
  const left = hours.filter((hour) => !closed.includes(hour));
  const late = { hours: left.length === 0 ? null : JSON.stringify(left), version };
  await write(deps, budget, { hostNumber, replaced: [], removed: [], written: [], summary, late });
  return true;
}

type Cursor = { hour: number; host: number };

const JOB = "close-hours";

/** Where closing is: the hour that it is at, and the number of the last host that is done of it. */
export async function readCursor(deps: Deps): Promise<Cursor> {
  const job = await deps.store.jobs.read(JOB);
  // Nothing that is older than raw retention is left to be closed.
  return (job?.state as Cursor | undefined) ?? { hour: lastClosedHour(deps.now()) - RAW_HOURS, host: 0 };
}

const RAW_HOURS = 48;

/** What is appended or packed meanwhile hinders a write; a host that is hindered so often is found when the next hour is closed. */
const TRIES = 3;

/** Closes the hours that are over, the oldest first, and looks once more at the one before each. False: the budget is used up. */
export async function closeHours(deps: Deps, budget: Budget): Promise<boolean> {
  const began = await readCursor(deps);
  let { hour, host } = began;
  const last = lastClosedHour(deps.now());
  while (hour <= last && budget.statements > 0) {
    const numbers = await deps.store.chunks.openHosts({ fromHour: hour - 1, toHour: hour }, host, PORTION);
    budget.statements -= 1;
    if (numbers.length > 0) {
      let left = numbers;
      for (let attempt = 0; attempt < TRIES && left.length > 0; attempt++)
        left = await closePortion(deps, budget, left, hour);
      host = Math.max(...numbers);
    } else {
      hour += 1;
      host = 0;
    }
  }
  if (hour !== began.hour || host !== began.host) await deps.store.jobs.write(JOB, { hour, host }, deps.now());
  return hour > last;
}

/** The hosts that something came to meanwhile. */
async function closePortion(deps: Deps, budget: Budget, numbers: readonly number[], hour: number): Promise<number[]> {
  const inputs = await readInputs(deps, budget, numbers);
  const ranges = numbers.flatMap((number) => [
    chunkIdRange(number, "raw", hour - 1, hour),
    ...[...new Set([dayOf(hour - 1), dayOf(hour)])].map((day) => rangeOf(number, "1h", day)),
    ...(dropped(windowIn(inputs.get(number)), hour) ?? []).map((old) => rangeOf(number, "raw", old)),
  ]);
  const chunks = await deps.store.chunks.whole(ranges);
  budget.statements -= 1;
  const left: number[] = [];
  for (const hostNumber of numbers) {
    const input = inputs.get(hostNumber);
    if (input === undefined) continue;
    if (!(await closeHost(deps, budget, { hostNumber, hour, input, chunks }))) left.push(hostNumber);
  }
  return left;
}

type Closing = { hostNumber: number; hour: number; input: SummaryInput; chunks: readonly StoredChunk[] };

/** The hour before goes into the same write: were it written alone, nothing would tell that the window lacks what came to it. */
async function closeHost(deps: Deps, budget: Budget, { hostNumber, hour, input, chunks }: Closing): Promise<boolean> {
  const { frames, ...packed } = packHours(hostNumber, [hour - 1, hour], chunks);
  if (frames.size === 0) return true;
  const window = windowIn(input);
  const last = Math.max(...frames.keys(), ...(window?.hours.keys() ?? []));
  const frame = frames.get(hour);
  const advanced = frame === undefined || frames.size > 1 ? null : advance(window, { hostNumber, hour, chunks }, frame);
  const summary =
    advanced !== null && frame !== undefined
      ? summarize(advanced, hour, frame, input)
      : await summarizeAnew(deps, budget, { hostNumber, hour: last, input });
  return write(deps, budget, { hostNumber, ...packed, summary, late: null });
}

/** Chunks of an hour (1h: of a day) of a host. */
function among(chunks: readonly StoredChunk[], hostNumber: number, tier: Tier, hour: number): StoredChunk[] {
  const { first, last } = rangeOf(hostNumber, tier, hour);
  return chunks.filter(({ id }) => id >= first && id <= last);
}

type Packed = { frames: Map<number, Frame> } & Pick<HostClosing, "replaced" | "removed" | "written">;

/** Packs those of the hours that are open. A harmed chunk is left as it is, for people; the other hosts must not wait for it. */
function packHours(hostNumber: number, hours: readonly number[], chunks: readonly StoredChunk[]): Packed {
  const frames = new Map<number, Frame>();
  const replaced: HostClosing["replaced"] = [];
  const removed: HostClosing["removed"] = [];
  const written = new Map<number, Uint8Array>();
  for (const hour of hours) {
    const raw = among(chunks, hostNumber, "raw", hour);
    if (!raw.some(isOpen)) continue;
    // Two hours of one day: what the first has written of it.
    const fresh = Array.from(written, ([id, packed]) => ({ id, revision: 0, head: null, live: null, packed }));
    const rolled = among(fresh, hostNumber, "1h", dayOf(hour));
    const day = rolled.length > 0 ? rolled : among(chunks, hostNumber, "1h", dayOf(hour));
    const closed = unlessHarmed(hostNumber, hour, () => closeHour(hostNumber, hour, raw, day));
    if (closed === null) continue;
    frames.set(hour, closed.frame);
    replaced.push(...closed.replaced);
    removed.push(...closed.removed);
    for (const { id, packed } of closed.written) written.set(id, packed);
  }
  // A day's roll-up is made of what it was; another hour of it may be packed meanwhile.
  const revisionOf = (id: number): number | null =>
    chunkKey(id).tier === "1h" ? (chunks.find((chunk) => chunk.id === id)?.revision ?? 0) : null;
  return {
    frames,
    replaced,
    removed,
    written: Array.from(written, ([id, packed]) => ({ id, revision: revisionOf(id), packed })),
  };
}

/** null: `read`, which is pure, cannot do it with these chunks; that is told. */
function unlessHarmed<T>(hostNumber: number, hour: number, read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    // oxlint-disable-next-line no-console -- the platform's log is where it must be seen
    console.error(`hour ${hour} of host number ${hostNumber} cannot be read or packed:`, error);
    return null;
  }
}

async function readInputs(deps: Deps, budget: Budget, numbers: readonly number[]): Promise<Map<number, SummaryInput>> {
  budget.statements -= 3;
  return deps.store.chunks.summaries(numbers, deps.now() - windowHours(0).length * HOUR_MS);
}

/** null: there is none that can be read. */
function windowOf(bytes: Uint8Array | null | undefined): Window | null {
  try {
    return bytes ? readWindow(bytes) : null;
  } catch (error) {
    if (error instanceof ChunkError) return null;
    throw error;
  }
}

const windowIn = (input: SummaryInput | undefined): Window | null => windowOf(input?.window);

const dropped = (window: Window | null, hour: number): number[] | null =>
  window === null ? null : hoursToDrop(window, hour);

/** The window brought on to the hour; null: it is to be made anew. */
function advance(
  window: Window | null,
  { hostNumber, hour, chunks }: Omit<Closing, "input">,
  frame: Frame,
): Window | null {
  const frames = new Map<number, Frame>();
  for (const old of dropped(window, hour) ?? []) {
    const samples = unlessHarmed(hostNumber, old, () =>
      chunkFrame(among(chunks, hostNumber, "raw", old), isSummarized),
    );
    if (samples === null) return null;
    frames.set(old, samples);
  }
  return window === null ? null : advanceWindow(window, hour, frame, frames);
}

type Summarized = NonNullable<HostClosing["summary"]>;

function summarize(window: Window, hour: number, frame: Frame, { before, vms, elsewhere }: SummaryInput): Summarized {
  const others = elsewhere.map(windowOf).filter((other) => other !== null);
  const summary = summaryOf(window, hour, frame, vms, others);
  return { before, summarizedAt: (hour + 1) * HOUR_MS, summary: JSON.stringify(summary), window: writeWindow(window) };
}

type Summarizing = { hostNumber: number; /** The last one in it. */ hour: number; input: SummaryInput };

/** From the samples of the last 24 h. */
async function summarizeAnew(
  deps: Deps,
  budget: Budget,
  { hostNumber, hour, input }: Summarizing,
): Promise<Summarized> {
  const frames = new Map<number, Frame>();
  const hours = windowHours(hour);
  for (let start = 0; start < hours.length; start += PORTION) {
    const some = hours.slice(start, start + PORTION);
    const chunks = await deps.store.chunks.whole(some.map((of) => rangeOf(hostNumber, "raw", of)));
    budget.statements -= 1;
    for (const of of some) {
      const own = among(chunks, hostNumber, "raw", of);
      const frame = own.length === 0 ? null : unlessHarmed(hostNumber, of, () => chunkFrame(own, isSummarized));
      if (frame !== null) frames.set(of, frame);
    }
  }
  return summarize(rebuildWindow(frames), hour, frames.get(hour) ?? EMPTY_FRAME, input);
}

/** False: something came to it meanwhile, and nothing was written. */
async function write(deps: Deps, budget: Budget, closing: HostClosing): Promise<boolean> {
  const { replaced, removed, written, summary, late } = closing;
  budget.statements -=
    replaced.length +
    (removed.length === 0 ? 0 : 2) +
    written.length +
    (summary === null ? 0 : 1) +
    (late === null ? 0 : 1);
  return deps.store.chunks.close(closing);
}
