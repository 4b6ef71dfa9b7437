// Writing telemetry of hosts: what is known of each and its open chunks change together or not at all, guarded by the version
// of what they were worked out from.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import type { CommandRecord } from "../model/run.ts";
import { appendFrame, formatTails, isLate, hoursOf, type Tail, unknownHours } from "../model/telemetry/append.ts";
import { inOrder, recognise } from "../model/telemetry/arrival.ts";
import { type BatchEntry, remember } from "../model/telemetry/batch-ring.ts";
import { type CounterState, formatCounterState } from "../model/telemetry/foreign/counter-state.ts";
import type { Frame } from "../model/telemetry/frame.ts";
import { RECENT_MS } from "../model/telemetry/ingest.ts";
import { advance, advanceCurves, formatLayout, formatReadings, type Room } from "../model/telemetry/known.ts";
import type { VmState } from "../model/wire/inventory.ts";
import type { DirtyCurveReport } from "../model/wire/telemetry.ts";
import type { HostTelemetry, HostWrite } from "../model/telemetry/stored.ts";

/** Writes to one host are in a row; a write that was overtaken this often is refused with Retry-After. */
const TRIES = 5;
const RETRY_AFTER_SECONDS = 2;

/** What is to be written of a host. */
export type HostInput = {
  /** May have no times: then only what goes with it is written. */
  frame: Frame;
  curves: ReadonlyMap<string, DirtyCurveReport>;
  /** To be remembered among the host's batches; null: it has no id. */
  batch: BatchEntry | null;
  /** What is known of counters from now on; null: unchanged. */
  counters: CounterState | null;
  /** A word of life; null: these samples are none. */
  heard: { at: number; vmStates: Record<string, VmState> } | null;
};

/** `input` null: nothing is to be written. */
export type Decision<A> = { answer: A; input: HostInput | null };

type Prepared = { write: HostWrite; after: HostTelemetry };

/**
 * Writes what `decide` makes of what is known of each host, of all of them or of none, and gives its answers by host id; hosts
 * that do not exist have none. `decide` may be asked several times. `commandsOf`: the host whose agent's commands are wanted too.
 */
export async function writeHosts<A>(
  deps: Deps,
  hostIds: readonly string[],
  decide: (host: HostTelemetry) => Decision<A>,
  commandsOf: string | null = null,
): Promise<{ answers: Map<string, A>; commands: CommandRecord[] | null }> {
  let trusted = true;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const now = deps.now();
    const hosts = await deps.store.telemetry.hosts(hostIds);
    const decisions = hosts.map((host) => ({ host, ...decide(host) }));
    const answers = new Map(decisions.map(({ host, answer }) => [host.hostId, answer]));
    const prepared: Prepared[] = [];
    for (const { host, input } of decisions)
      if (input !== null) prepared.push(await prepare(deps, host, input, trusted ? host.tails : null, now));
    if (prepared.length === 0) return { answers, commands: null };
    const written = await deps.store.telemetry.append(
      prepared.map(({ write }) => write),
      commandsOf === null ? null : { hostId: commandsOf, now },
    );
    if (typeof written === "object") {
      for (const { after } of prepared) deps.store.telemetry.remember(after);
      return { answers, commands: commandsOf === null ? null : written.commands };
    }
    for (const hostId of hostIds) deps.store.telemetry.forget(hostId);
    // A chunk that was packed meanwhile is not what its tail says.
    if (written === "revision") trusted = false;
  }
  throw new AppError({
    code: "busy",
    detail: `Too many writes to ${hostIds.slice(0, 3).join(", ")} at once; nothing of this was stored.`,
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}

async function prepare(
  deps: Deps,
  host: HostTelemetry,
  input: HostInput,
  tails: readonly Tail[] | null,
  now: number,
): Promise<Prepared> {
  const { frame } = input;
  const { arrival, known: grown, arrivals } = recognise(host.arrivals, frame.columns, host.known, now);
  const ordered = { times: frame.times, columns: inOrder(arrival, frame.columns) };
  const unread = unknownHours(frame, tails);
  const stored = unread.length === 0 ? [] : await deps.store.telemetry.parts(host.number, unread);
  const placed = place(host, () => appendFrame(host.number, ordered, arrival, tails ?? [], stored));
  const recent = frame.times.findIndex((time) => time >= now - RECENT_MS);
  const advanced = recent === -1 ? grown : advance(grown, ordered, arrival.places, recent, takeSpare(host));
  const curves = advancedCurves(host, input, now);
  const known = curves === grown.curves ? advanced : { ...advanced, curves };
  const ring = input.batch === null ? { ring: host.ring, drop: 0, added: "" } : remember(host.ring, input.batch, now);
  const lateHours = withLate(host.lateHours, frame, now);
  return {
    write: {
      hostNumber: host.number,
      version: host.version,
      appends: placed.appends,
      latest: formatReadings(known),
      layout: known.series === host.known.series && host.version > 0 ? null : formatLayout(known.series),
      curves: curves === host.known.curves ? null : JSON.stringify(Object.fromEntries(curves)),
      tails: formatTails(placed.tails),
      counters: input.counters === null ? null : formatCounterState(input.counters),
      lateHours: lateHours === host.lateHours ? null : JSON.stringify(lateHours),
      ring,
      heard: input.heard,
    },
    after: {
      ...host,
      version: host.version + 1,
      known,
      ring: ring.ring,
      tails: placed.tails,
      lateHours,
      counters: input.counters ?? host.counters,
      arrivals,
      spare: known.times === host.known.times ? host.spare : { room: host.known },
    },
  };
}

function takeSpare({ spare }: HostTelemetry): Room | null {
  const { room } = spare;
  spare.room = null;
  return room;
}

/** What does not fit the rows of its hour is the sender's to hear of. */
function place<T>({ hostId }: HostTelemetry, append: () => T): T {
  try {
    return append();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new AppError({ code: "too_much", detail: `${hostId}: ${error.message}; nothing of this was stored.` });
  }
}

const advancedCurves = ({ known }: HostTelemetry, { curves }: HostInput, now: number) =>
  advanceCurves(known.curves, curves, now);

/** The same list where no hour comes to it. */
function withLate(lateHours: readonly number[], frame: Frame, now: number): readonly number[] {
  if (frame.columns.length === 0) return lateHours;
  const late = hoursOf(frame).filter((hour) => isLate(hour, now) && !lateHours.includes(hour));
  return late.length === 0 ? lateHours : [...lateHours, ...late].sort((a, b) => a - b);
}
