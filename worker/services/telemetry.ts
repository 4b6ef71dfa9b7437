// Taking telemetry in and answering questions about it.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import type { Principal } from "../model/principal.ts";
import { type Aggregate, type AlignedSeries, alignSeries, type Point } from "../model/series.ts";
import { type BatchAnswer, lookup, remember } from "../model/telemetry/batch-ring.ts";
import { metricNamed, metricPattern } from "../model/telemetry/catalogue.ts";
import { type Frame, HOST, mergeFrames } from "../model/telemetry/chunk.ts";
import { acceptBatch, RAW_RETENTION_MS } from "../model/telemetry/ingest.ts";
import { updateLatest } from "../model/telemetry/latest.ts";
import { hoursBetween, hoursTouched, placeFrames } from "../model/telemetry/parts.ts";
import { HOST_FRESH_MS } from "../model/units.ts";
import type { CommandEnvelope } from "../model/wire/command.ts";
import type { TelemetryBatch } from "../model/wire/telemetry.ts";
import { pendingEnvelopes } from "./commands.ts";
import { wakeRuns } from "./hosts.ts";

/** Writes to one host are in a row; a write that was overtaken this often is refused with Retry-After. */
const TRIES = 5;
const RETRY_AFTER_SECONDS = 2;

export type IngestAnswer = { batch: string; commands: CommandEnvelope[] } & BatchAnswer;

/**
 * `POST /v1/telemetry`. An answer means stored: the samples, the latest values and the batch's id are written together. A
 * batch that was answered before is answered the same and changes nothing.
 */
export async function ingest(deps: Deps, principal: Principal, batch: TelemetryBatch): Promise<IngestAnswer> {
  const answer = await store(deps, principal, batch);
  if (batch.vm_states !== undefined) await wakeRuns(deps, batch.host);
  const commands = principal.scopes.includes("agent") ? await pendingEnvelopes(deps, batch.host) : [];
  return { batch: batch.batch, ...answer, commands };
}

async function store(deps: Deps, principal: Principal, batch: TelemetryBatch): Promise<BatchAnswer> {
  const now = deps.now();
  const accepted = acceptBatch(batch, now, RAW_RETENTION_MS);
  const answer = { stored: accepted.accepted, refused: accepted.refused, refusedCount: accepted.refusedCount };
  const hash = await deps.hash(JSON.stringify(batch));
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const known = await deps.store.telemetry.read(batch.host, hoursTouched(accepted.frames));
    // A host of another cluster is told like one that does not exist.
    if (!known || (principal.cluster !== null && principal.cluster !== known.cluster))
      throw new AppError({ code: "not_found", what: "host", id: batch.host });
    const before = lookup(known.batches, batch.batch, hash);
    if (before === "conflict") throw new AppError({ code: "batch_conflict", batch: batch.batch });
    if (before !== "new") return before.answer;
    const written = await deps.store.telemetry.append({
      hostNumber: known.number,
      version: known.version,
      appends: placeFrames(known.number, accepted.frames, known.parts),
      latest: updateLatest(known.latest, accepted.latestUpdate, now),
      batches: remember(known.batches, { id: batch.batch, hash, at: now, answer }, now),
      heard: lifeSign(batch, now),
    });
    if (written) return answer;
  }
  throw new AppError({
    code: "busy",
    detail: `Too many writes to ${batch.host} at once; batch ${batch.batch} was not stored.`,
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}

/** Run states stand in for a heartbeat only in a batch that reaches to the present: a spool says what was, not what is. */
function lifeSign({ times, vm_states: vmStates }: TelemetryBatch, now: number) {
  const newest = times.reduce((latest, time) => Math.max(latest, time));
  return vmStates !== undefined && newest >= now - HOST_FRESH_MS ? { at: now, vmStates } : null;
}

export type SeriesQuery = {
  /** Either a host … */
  hostId: string | null;
  /** … or a VM, of this cluster; null: of the only cluster that has it. */
  vmUuid: string | null;
  cluster: string | null;
  /** A name, or a pattern with `*`. */
  metric: string;
  from: number;
  to: number;
  stepMs: number;
  agg: Aggregate;
};

export type SeriesAnswer = { series: ({ metric: string; unit: string | null } & AlignedSeries)[] };

/** Values in one answer: 2 MB of JSON. */
const VALUES_MAX = 200_000;

/** `GET /v1/series`: aligned and aggregated samples, and where there are none. A VM's history follows it over moves. */
export async function querySeries(deps: Deps, query: SeriesQuery): Promise<SeriesAnswer> {
  const matches = metricPattern(query.metric);
  const entity = query.vmUuid ?? HOST;
  const points = new Map<string, Point[]>();
  for (const { hostNumber, from, to } of await sourcesOf(deps, query)) {
    const frames = await deps.store.telemetry.columns(
      hostNumber,
      hoursBetween(from, to),
      (of, metric) => of === entity && matches(metric),
    );
    addPoints(points, frames, from, to);
  }
  if (points.size * Math.ceil((query.to - query.from) / query.stepMs) > VALUES_MAX)
    throw new AppError({
      code: "invalid_request",
      issues: [{ path: "step", message: `${points.size} series of this many steps are too many: ask for fewer` }],
    });
  return {
    series: Array.from(points)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([metric, sorted]) => ({
        metric,
        unit: metricNamed(metric)?.unit ?? null,
        ...alignSeries({ ...query, points: sorted }),
      })),
  };
}

/** Appends the samples from `from` to before `to`; sources come in the order of time. */
function addPoints(points: Map<string, Point[]>, frames: readonly Frame[], from: number, to: number): void {
  const { times, columns } = mergeFrames(frames);
  for (const { metric, values } of columns) {
    const found = values.flatMap((value, index): Point[] => {
      const time = times[index] ?? 0;
      return value === null || time < from || time >= to ? [] : [[time, value]];
    });
    if (found.length > 0) points.set(metric, [...(points.get(metric) ?? []), ...found]);
  }
}

type Source = { hostNumber: number; from: number; to: number };

async function sourcesOf(deps: Deps, query: SeriesQuery): Promise<Source[]> {
  const { hostId, vmUuid, from, to } = query;
  if (vmUuid !== null) return placesOf(deps, vmUuid, query);
  const host = hostId === null ? null : await deps.store.hosts.byId(hostId);
  if (!host) throw new AppError({ code: "not_found", what: "host", id: hostId ?? "" });
  return [{ hostNumber: host.number, from, to }];
}

/**
 * The hosts that a VM was on, and when. A placement lasts until the next one begins: a VM is seen by telemetry a little
 * before and after the inventory says so, and while it moves both hosts may report it.
 */
async function placesOf(deps: Deps, uuid: string, { cluster, from, to }: SeriesQuery): Promise<Source[]> {
  const found = await deps.store.hosts.vms({ cluster, hostId: null, uuid, after: null, limit: 2 });
  const [vm, other] = found;
  if (vm === undefined) throw new AppError({ code: "not_found", what: "vm", id: uuid });
  if (other !== undefined)
    throw new AppError({
      code: "invalid_request",
      issues: [{ path: "cluster", message: `needed: ${vm.cluster} and ${other.cluster} both have this VM` }],
    });
  const places = await deps.store.telemetry.placements(vm.cluster, uuid);
  return places
    .map(({ hostNumber, fromAt }, index) => ({
      hostNumber,
      from: index === 0 ? from : Math.max(from, fromAt),
      to: Math.min(to, places[index + 1]?.fromAt ?? to),
    }))
    .filter((source) => source.from < source.to);
}
