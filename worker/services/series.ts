// Answering questions about samples: which subjects, from which tier, aligned and aggregated.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import {
  type Across,
  type Aggregate,
  alignColumns,
  alignRollup,
  combineAcross,
  type Gap,
  gapsOf,
  type Grid,
  joinPieces,
  joinRollups,
  stepTimes,
} from "../model/series.ts";
import { metricNamed } from "../model/telemetry/catalogue.ts";
import { hourOf, hoursBetween, type Tier } from "../model/telemetry/chunk-id.ts";
import { dayOf } from "../model/telemetry/closing.ts";
import type { Frame } from "../model/telemetry/frame.ts";
import { RETENTION_MS } from "../model/telemetry/retention.ts";
import { EMPTY_ROLLUP, mergeRollup, type Rollup, rollUp } from "../model/telemetry/rollup.ts";
import { chooseTier, TIER_TABLE } from "../model/telemetry/tier-choice.ts";
import { filterOf, type HostRead, readRaw, readRollups, type Reading } from "./chunk-reads.ts";
import { type Source, type Subject, subjectsOf, type SubjectQuery } from "./subjects.ts";

export const GROUPS = ["host", "vm", "cluster"] as const;
export type Group = (typeof GROUPS)[number];

export type SeriesQuery = SubjectQuery &
  Grid & {
    /** Names, or patterns with `*`; one of them is enough. */
    metrics: readonly string[];
    agg: Aggregate;
    /** null: by subject. */
    by: Group | null;
    /** How the series of a group are made one. */
    across: Across;
    tier: Tier | undefined;
  };

/** One series. `cluster` and what it is of; steps without a sample are NaN. */
export type AnsweredSeries = {
  cluster: string;
  host: string | null;
  vm: string | null;
  metric: string;
  unit: string | null;
  values: Float64Array;
  gaps: Gap[];
};

export type SeriesAnswer = {
  tier: Tier;
  approximate: boolean;
  why: string;
  /** Where steps begin. */
  times: number[];
  series: AnsweredSeries[];
  /** Chunks of stored samples that could not be read: what they hold is missing here. */
  harmedChunks: number;
  /** Cursor to what is left; null: nothing. */
  next: string | null;
};

/** Values in one answer, 2 MB of JSON, and of those that are made one before they are. */
const VALUES_MAX = 200_000;
const GROUPED_VALUES_MAX = 4_000_000;
/** Series of a subject, where a pattern does not say. */
const SERIES_GUESS = 16;
const SUBJECTS_MAX = 256;

/**
 * `GET /v1/series`: aligned and aggregated samples, and where there are none. A VM's history follows it over moves. An answer
 * that would be too large ends early and says where to go on.
 */
export async function querySeries(deps: Deps, query: SeriesQuery): Promise<SeriesAnswer> {
  const choice = chooseTier({ ...query, now: deps.now() });
  if (choice.tier === null) throw invalid(query.tier === undefined ? "from" : "tier", choice.why);
  const { tier, approximate, why } = choice;
  const times = stepTimes(query);
  const subjects = await subjectsOf(deps, query);
  const asked = { metric: filterOf(query.metrics), harmed: new Set<number>() };
  const isWhole = isGrouped(query);
  const most = isWhole ? GROUPED_VALUES_MAX : VALUES_MAX;
  const { series, done } = await collect(deps, query, { tier, subjects, most, isWhole, asked });
  const found = { tier, approximate, why, times, harmedChunks: asked.harmed.size };
  if (isWhole) return { ...found, series: grouped(series, query), next: null };
  return { ...found, series, next: done < subjects.length ? (subjects[done - 1]?.key ?? null) : null };
}

const isGrouped = ({ by, vms }: SeriesQuery): boolean => by !== null && by !== (vms === null ? "host" : "vm");

type Collecting = { tier: Tier; subjects: readonly Subject[]; most: number; isWhole: boolean; asked: Reading };

/**
 * The series of subjects, in their order, until they would have more than `most` values, and how many subjects are done; what must
 * be whole is refused then, and a subject that is too much alone.
 */
async function collect(
  deps: Deps,
  query: SeriesQuery,
  { tier, subjects, most, isWhole, asked }: Collecting,
): Promise<{ series: AnsweredSeries[]; done: number }> {
  const steps = stepTimes(query).length;
  const hasPattern = query.metrics.some((name) => name.includes("*"));
  const perSubject = steps * (hasPattern ? SERIES_GUESS : query.metrics.length);
  const portion = Math.max(1, Math.min(SUBJECTS_MAX, Math.floor(most / perSubject)));
  const series: AnsweredSeries[] = [];
  let done = 0;
  while (done < subjects.length) {
    for (const own of await answerFor(deps, query, { tier, asked }, subjects.slice(done, done + portion))) {
      const count = series.length + own.length;
      if (own.length > 0 && count * steps > most) {
        if (!isWhole && series.length > 0) return { series, done };
        throw invalid("step", `${count} series of ${steps} steps are too many: ask for fewer of either`);
      }
      series.push(...own);
      done += 1;
    }
    // As much again would be read in vain.
    if (!isWhole && series.length * steps + perSubject > most) break;
  }
  return { series, done };
}

const invalid = (path: string, message: string) =>
  new AppError({ code: "invalid_request", issues: [{ path, message }] });

/** The series of each subject. */
async function answerFor(
  deps: Deps,
  query: SeriesQuery,
  { tier, asked }: { tier: Tier; asked: Reading },
  subjects: readonly Subject[],
): Promise<AnsweredSeries[][]> {
  const reads = readsOf(subjects.flatMap(({ sources }) => sources));
  if (tier === "raw") {
    const frames = await readRaw(deps, reads, asked);
    return subjects.map((subject) => rawSeries(subject, frames, query));
  }
  const closed = await readRollups(deps, tier, inTier(tier, reads), asked);
  const rollups = await withTail(deps, closed, { tier, reads, asked });
  return subjects.map((subject) => rolledSeries(subject, rollups, query));
}

/** A row of the coarsest tier is a day. */
const inTier = (tier: Tier, reads: readonly HostRead[]): HostRead[] =>
  reads.map((read) => (tier === "1h" ? { ...read, fromHour: dayOf(read.fromHour) } : read));

/** What is to be read of each host for all who were on it. */
function readsOf(sources: readonly Source[]): HostRead[] {
  const reads = new Map<number, HostRead & { entities: Set<string> }>();
  for (const { hostNumber, entity, from, to } of sources) {
    const { fromHour, toHour } = hoursBetween(from, to);
    const read = reads.get(hostNumber);
    if (read === undefined) reads.set(hostNumber, { hostNumber, fromHour, toHour, entities: new Set([entity]) });
    else {
      read.entities.add(entity);
      read.fromHour = Math.min(read.fromHour, fromHour);
      read.toHour = Math.max(read.toHour, toHour);
    }
  }
  return [...reads.values()];
}

type Tail = { tier: Exclude<Tier, "raw">; reads: readonly HostRead[]; asked: Reading };

/** Hours that are not rolled up yet are, as far as raw samples reach. */
async function withTail(
  deps: Deps,
  rollups: Map<number, Rollup>,
  { tier, reads, asked }: Tail,
): Promise<Map<number, Rollup>> {
  const { bucketMs } = TIER_TABLE[tier];
  const oldest = hourOf(deps.now() - RETENTION_MS.raw);
  const tails = reads.flatMap((read): HostRead[] => {
    const rolled = hourOf(rollups.get(read.hostNumber)?.times.at(-1) ?? 0);
    const fromHour = Math.max(read.fromHour, oldest, rolled + 1);
    return fromHour > read.toHour ? [] : [{ ...read, fromHour }];
  });
  const frames = await readRaw(deps, tails, asked);
  for (const [hostNumber, frame] of frames) {
    const [first, last] = [frame.times[0], frame.times.at(-1)];
    if (first === undefined || last === undefined) continue;
    const from = Math.floor(first / bucketMs) * bucketMs;
    const fresh = rollUp(frame, bucketMs, from, last + 1);
    rollups.set(hostNumber, mergeRollup(rollups.get(hostNumber) ?? EMPTY_ROLLUP, fresh));
  }
  return rollups;
}

const nameOf = ({ cluster, host, vm }: Subject, metric: string) => ({
  cluster,
  host,
  vm,
  metric,
  unit: metricNamed(metric)?.unit ?? null,
});

const byMetric = (a: { metric: string }, b: { metric: string }): number => (a.metric < b.metric ? -1 : 1);

function only<C extends { entity: string }>(columns: readonly C[], entity: string): C[] {
  return columns.filter((column) => column.entity === entity);
}

function rawSeries(subject: Subject, frames: ReadonlyMap<number, Frame>, query: SeriesQuery): AnsweredSeries[] {
  const { times, columns } = joinPieces(
    subject.sources.flatMap(({ hostNumber, entity, from, to }) => {
      const frame = frames.get(hostNumber);
      return frame === undefined ? [] : [{ from, to, samples: { ...frame, columns: only(frame.columns, entity) } }];
    }),
  );
  const aligned = alignColumns(
    times,
    columns.map(({ values }) => values),
    query,
  );
  return columns
    .flatMap(({ metric, values: samples }, place): AnsweredSeries[] => {
      const values = aligned[place];
      if (values === undefined || samples.every(Number.isNaN)) return [];
      return [{ ...nameOf(subject, metric), values, gaps: gapsOf(times, samples, query) }];
    })
    .toSorted(byMetric);
}

function rolledSeries(subject: Subject, rollups: ReadonlyMap<number, Rollup>, query: SeriesQuery): AnsweredSeries[] {
  const joined = joinRollups(
    subject.sources.flatMap(({ hostNumber, entity, from, to }) => {
      const rollup = rollups.get(hostNumber);
      return rollup === undefined ? [] : [{ from, to, samples: { ...rollup, columns: only(rollup.columns, entity) } }];
    }),
  );
  const aligned = alignRollup(joined, query);
  return joined.columns
    .flatMap(({ metric, values: [samples] }, place): AnsweredSeries[] => {
      const values = aligned[place];
      if (values === undefined || samples === undefined) return [];
      return [{ ...nameOf(subject, metric), values, gaps: gapsOf(joined.times, samples, query) }];
    })
    .toSorted(byMetric);
}

/** Series of a group and metric made one. */
function grouped(series: readonly AnsweredSeries[], query: SeriesQuery): AnsweredSeries[] {
  const groups = new Map<string, AnsweredSeries[]>();
  for (const one of series) {
    const key = JSON.stringify([one.cluster, query.by === "host" ? one.host : null, one.metric]);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const starts = stepTimes(query);
  return Array.from(groups.values(), (members): AnsweredSeries => {
    const [{ cluster, host, metric, unit } = EMPTY] = members;
    const values = combineAcross(
      members.map((member) => member.values),
      query.across,
    );
    return {
      cluster,
      host: query.by === "host" ? host : null,
      vm: null,
      metric,
      unit,
      values,
      gaps: gapsOf(starts, values, query),
    };
  });
}

const EMPTY = { cluster: "", host: null, metric: "", unit: null };
