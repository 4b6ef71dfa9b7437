// Samples as queries want them: some series of many hosts, of each as few bytes as answer it.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { ChunkError } from "../model/telemetry/bytes.ts";
import { metricPattern } from "../model/telemetry/catalogue.ts";
import { chunkIdRange, chunkKey, partsOf, type Tier } from "../model/telemetry/chunk-id.ts";
import { type Frame, HOST, mergeFrames } from "../model/telemetry/frame.ts";
import { readLive } from "../model/telemetry/live.ts";
import type { PackedContent } from "../model/telemetry/packed/frame.ts";
import { type ByteRange, type OpenedHeader, readPacked, type Span } from "../model/telemetry/packed/read.ts";
import { EMPTY_ROLLUP, mergeRollup, type Rollup } from "../model/telemetry/rollup.ts";
import { frameOf } from "../model/telemetry/stored-chunk.ts";
import type { ChunkStart, IdRange } from "../model/telemetry/stored.ts";

/** Which series of a host, of which hours. */
export type HostRead = { hostNumber: number; fromHour: number; toHour: number; entities: ReadonlySet<string> };

export type MetricFilter = (metric: string) => boolean;

/** Says of a metric whether it matches one of the names or patterns. */
export function filterOf(patterns: readonly string[]): MetricFilter {
  const matches = patterns.map(metricPattern);
  const known = new Map<string, boolean>();
  return (metric) => {
    const verdict = known.get(metric) ?? matches.some((isMatch) => isMatch(metric));
    known.set(metric, verdict);
    return verdict;
  };
}

/** Rows read at once: a live hour is about 20 kB of a host's own series, and 150 kB of its VMs'. */
const ROWS = { host: 256, vms: 24 };
/** A frame is packed anew at most so often while it is read. */
const TRIES = 3;

type Wanted = Reading & { entities: ReadonlySet<string> };

/** One chunk's samples: content of what was packed, frames of what was appended since. */
type Read = { id: number; content: PackedContent | null; frames: Frame[] };

/** What is asked for, and the ids of chunks that could not be read: they are left out, and have to be told. */
export type Reading = { metric: MetricFilter; harmed: Set<number> };

/** Raw samples by host number; hosts without any are left out. */
export async function readRaw(deps: Deps, reads: readonly HostRead[], asked: Reading): Promise<Map<number, Frame>> {
  const frames = new Map<number, Frame[]>();
  for (const { id, content, frames: appended } of await readChunks(deps, "raw", reads, asked)) {
    const { hostNumber } = chunkKey(id);
    const all = frames.get(hostNumber) ?? [];
    frames.set(hostNumber, all);
    if (content !== null) all.push(frameOf(content));
    all.push(...appended);
  }
  return new Map(Array.from(frames, ([hostNumber, all]) => [hostNumber, mergeFrames(all)]));
}

/** Roll-ups by host number, as far as hours are closed. */
export async function readRollups(
  deps: Deps,
  tier: Exclude<Tier, "raw">,
  reads: readonly HostRead[],
  asked: Reading,
): Promise<Map<number, Rollup>> {
  const rollups = new Map<number, Rollup>();
  for (const { id, content } of await readChunks(deps, tier, reads, asked)) {
    const { hostNumber } = chunkKey(id);
    if (content !== null) rollups.set(hostNumber, mergeRollup(rollups.get(hostNumber) ?? EMPTY_ROLLUP, content));
  }
  return rollups;
}

async function readChunks(deps: Deps, tier: Tier, reads: readonly HostRead[], asked: Reading): Promise<Read[]> {
  const wanted = new Map(reads.map(({ hostNumber, entities }) => [hostNumber, { entities, ...asked }]));
  const of = (id: number): Wanted => wanted.get(chunkKey(id).hostNumber) ?? { entities: new Set(), ...asked };
  const hasHost = reads.some(({ entities }) => entities.has(HOST));
  const hasVms = reads.some(({ entities }) => entities.size > (entities.has(HOST) ? 1 : 0));
  const limit = hasVms ? ROWS.vms : ROWS.host;
  const found: Read[] = [];
  let ranges: IdRange[] = reads
    .map(({ hostNumber, fromHour, toHour }) => chunkIdRange(hostNumber, tier, fromHour, toHour))
    .toSorted((a, b) => a.first - b.first);
  while (ranges.length > 0) {
    const starts = await deps.store.chunks.starts(ranges, { head: hasHost, live: hasVms }, limit);
    const isAll = starts.length < limit;
    const some = isAll ? starts : wholeHours(starts);
    found.push(...(await complete(deps, some, of)));
    const last = some.at(-1)?.id;
    if (last === undefined || isAll) break;
    ranges = ranges
      .filter((range) => range.last > last)
      .map((range) => ({ first: Math.max(range.first, last + 1), last: range.last }));
  }
  return found;
}

/** An hour's parts are read at once: when it is packed, samples go from one to another. */
function wholeHours(starts: readonly ChunkStart[]): readonly ChunkStart[] {
  const cut = partsOf(starts.at(-1)?.id ?? 0).first;
  const whole = starts.filter(({ id }) => id < cut);
  return whole.length > 0 ? whole : starts;
}

type Open = { start: ChunkStart; spans: Span[]; opened?: OpenedHeader };

/** Headers by chunk and revision: a closed hour never changes, and a chart asks for it again and again. About 8 kB each. */
const headers = new Map<string, OpenedHeader>();
const HEADERS_MAX = 1024;

const headerKey = ({ id, revision }: ChunkStart): string => `${id} ${revision}`;

function openedBefore(start: ChunkStart): Open {
  const opened = headers.get(headerKey(start));
  return { start, spans: [], ...(opened ? { opened } : {}) };
}

function keepHeader(start: ChunkStart, opened: OpenedHeader): void {
  const key = headerKey(start);
  // The one that was asked for longest ago goes first.
  headers.delete(key);
  headers.set(key, opened);
  const [oldest] = headers.keys();
  if (headers.size > HEADERS_MAX && oldest !== undefined) headers.delete(oldest);
}

/** What is wanted of chunks of which the beginnings were read, with the pieces that this takes. */
async function complete(deps: Deps, starts: readonly ChunkStart[], of: (id: number) => Wanted): Promise<Read[]> {
  const done = new Map<number, Read>();
  let open: Open[] = starts.map(openedBefore);
  for (let round = 0; open.length > 0; round++) {
    const missing: { id: number; revision: number; offset: number; length: number }[] = [];
    const still: Open[] = [];
    for (const { start, spans, opened } of open) {
      const read = tryRead({ start, spans, ...(opened ? { opened } : {}) }, of(start.id));
      if ("missing" in read) {
        still.push({ start, spans, ...(read.opened ? { opened: read.opened } : {}) });
        missing.push(...read.missing.map((range) => ({ id: start.id, revision: start.revision, ...range })));
      } else done.set(start.id, read);
    }
    if (still.length === 0) break;
    if (round === 2 * TRIES) throw changing();
    const pieces = Map.groupBy(await deps.store.chunks.pieces(missing), ({ id }) => id);
    // Chunks that got nothing have changed: their hours are begun anew.
    const changed = new Set(
      still.filter(({ start }) => !pieces.has(start.id)).map(({ start }) => partsOf(start.id).first),
    );
    for (const id of done.keys()) if (changed.has(partsOf(id).first)) done.delete(id);
    open = [
      ...still
        .filter(({ start }) => !changed.has(partsOf(start.id).first))
        .map((one) => ({ ...one, spans: [...one.spans, ...(pieces.get(one.start.id) ?? [])] })),
      ...(await begunAnew(deps, [...changed])),
    ];
  }
  return [...done.values()].sort((a, b) => a.id - b.id);
}

const changing = () =>
  new AppError({ code: "busy", detail: "Samples were packed anew while they were read.", retryAfterSeconds: 1 });

async function begunAnew(deps: Deps, hours: readonly number[]): Promise<Open[]> {
  if (hours.length === 0) return [];
  const ranges = hours.toSorted((a, b) => a - b).map(partsOf);
  const starts = await deps.store.chunks.starts(ranges, { head: true, live: true }, -1);
  return starts.map(openedBefore);
}

/** Bytes that are not what was written say nothing: the others' samples must not wait for them. */
function tryRead(open: Open, wanted: Wanted): Read | { missing: ByteRange[]; opened?: OpenedHeader } {
  const { start } = open;
  try {
    return readChunk(open, wanted);
  } catch (error) {
    if (!(error instanceof ChunkError)) throw error;
    // oxlint-disable-next-line no-console -- the platform's log is where it must be seen
    console.error(`chunk ${start.id} cannot be read:`, error);
    wanted.harmed.add(start.id);
    return { id: start.id, content: null, frames: [] };
  }
}

function readChunk({ start, spans, opened }: Open, { entities, metric }: Wanted) {
  const packed = start.packedBytes === null ? null : readPacked(spans, { entities, metric }, opened);
  if (packed?.opened !== undefined) keepHeader(start, packed.opened);
  if (packed !== null && "missing" in packed) {
    const length = start.packedBytes ?? 0;
    if (packed.missing.some(({ offset }) => offset >= length))
      throw new ChunkError("a packed frame that was cut off", length);
    return packed;
  }
  const isWanted = (entity: string, name: string): boolean => entities.has(entity) && metric(name);
  return {
    id: start.id,
    content: packed?.content ?? null,
    frames: [start.head, start.live].flatMap((bytes) => (bytes === null ? [] : [readLive(bytes, isWanted)])),
  };
}
