// From other collectors' series to Drover's: rates from counters, one figure from many series, everything else as it is.
import { HOUR_MS } from "../../units.ts";
import { metricBounds } from "../catalogue.ts";
import { type Frame, HOST } from "../frame.ts";
import { timeProblem, valueProblem } from "../ingest.ts";
import { RETENTION_MS } from "../retention.ts";
import { type Cells, cellOf, createCells, frameOf, put } from "./cells.ts";
import { type CounterState, dropMembers, GAP_MS, type Group } from "./counter-state.ts";
import { advanceGroup, type Sample } from "./group.ts";
import { type ForeignRefusal, type ForeignSeries, type Target, groupKey, refuse } from "./target.ts";

/** What was not heard of for this long is forgotten. */
const FORGET_MS = HOUR_MS;
/** Series of one host that are put together; about 14 bytes each in the state. */
const MEMBERS_MAX = 3000;

export type CombineOptions = {
  /** The uuid of the host's VM of this name; null if there is none, or several. */
  vmNamed?: (name: string) => string | null;
  rawRetentionMs?: number;
};

export type Combined = {
  /** What is stored; no column of it is all gaps. */
  frame: Frame;
  state: CounterState;
  refused: ForeignRefusal[];
  /** Samples that were taken: stored, put together, or kept for the next ones to be compared with. */
  accepted: number;
};

type Work = { target: Target; group: Group; known: Group | undefined; samples: Sample[] };

type Run = {
  state: CounterState;
  problemAt: (time: number) => string | null;
  cells: Cells;
  works: Map<string, Work>;
  refused: ForeignRefusal[];
  accepted: number;
};

const EMPTY_GROUP: Pick<Group, "members" | "times" | "values" | "moments"> = {
  members: [],
  times: [],
  values: [],
  moments: [],
};

/** A group to work on; the state that was given stays as it is: names and moments are copied where they change. */
function workOf(run: Run, target: Target): Work {
  const { entity, metric, term, group: key } = target;
  const open = run.works.get(key);
  if (open !== undefined) return open;
  const known = run.state.groups.get(key);
  const { members, times, values, moments } = known ?? EMPTY_GROUP;
  const group: Group = {
    entity,
    metric,
    collector: term?.collector ?? "",
    members,
    places: known?.places ?? new Map<string, number>(),
    times: [...times],
    values: [...values],
    moments: [...moments],
    closedTo: known?.closedTo ?? run.state.forgottenTo,
  };
  const work = { target, group, known, samples: [] };
  run.works.set(key, work);
  return work;
}

function addMember({ group, known }: Work, member: string): number {
  if (group.members === known?.members || group.members === EMPTY_GROUP.members) {
    group.members = [...group.members];
    group.places = new Map(group.places);
  }
  const place = group.members.length;
  group.members.push(member);
  group.places.set(member, place);
  group.times.push(-Infinity);
  group.values.push(Number.NaN);
  return place;
}

const seriesName = ({ entity, metric, member }: Target): string =>
  `${entity === HOST ? "host" : entity} ${metric}${member === "" ? "" : ` of ${member}`}`;

/** Why a sample of this time cannot be taken; null: it can. */
const sampleProblem = ({ problemAt }: Run, time: number, value: number): string | null =>
  value === Infinity || value === -Infinity ? "neither a finite number nor a gap" : problemAt(time);

/** A series that is stored as it is. A gap is NaN. */
function takePlain(run: Run, target: Target, { times, values }: ForeignSeries): void {
  const cell = cellOf(run.cells, target.entity, target.metric);
  const bounds = metricBounds(target.metric);
  for (let index = 0; index < times.length; index++) {
    const time = times[index] ?? Number.NaN;
    const value = values[index] ?? Number.NaN;
    const problem = sampleProblem(run, time, value);
    const isGap = Number.isNaN(value);
    const refusal = problem ?? (isGap ? null : valueProblem(value, bounds));
    if (refusal !== null) refuse(run.refused, { series: seriesName(target), reason: refusal, samples: 1 });
    else if (!isGap) {
      run.accepted += 1;
      put(run.cells, cell, time, value);
    }
  }
}

/** A series of which a target is made. */
function takeMember(run: Run, target: Target, { times, values }: ForeignSeries): void {
  const work = workOf(run, target);
  let place = work.group.places.get(target.member);
  for (let index = 0; index < times.length; index++) {
    const time = times[index] ?? Number.NaN;
    const value = values[index] ?? Number.NaN;
    const problem = sampleProblem(run, time, value);
    const isGap = Number.isNaN(value);
    if (problem !== null) refuse(run.refused, { series: seriesName(target), reason: problem, samples: 1 });
    // Of a series that never was the end says nothing.
    else if (!isGap || place !== undefined) {
      place ??= addMember(work, target.member);
      if (!isGap) run.accepted += 1;
      work.samples.push({ place, time, value, target });
    }
  }
}

function advanceAll(run: Run): void {
  for (const { group, samples } of run.works.values()) {
    const bounds = metricBounds(group.metric);
    const cell = cellOf(run.cells, group.entity, group.metric);
    if (samples.some(({ time }, index) => time < (samples[index - 1]?.time ?? 0)))
      samples.sort((a, b) => a.time - b.time);
    advanceGroup(group, samples, (time, value) => {
      const problem = valueProblem(value, bounds);
      const series = `${group.entity === HOST ? "host" : group.entity} ${group.metric}`;
      if (problem !== null) refuse(run.refused, { series, reason: problem, samples: 1 });
      else put(run.cells, cell, time, value);
    });
  }
}

/** Nothing is taken, and the state stays as it is. */
function nothingOf(series: readonly ForeignSeries[], state: CounterState): Combined {
  const samples = series.reduce((sum, { times }) => sum + times.length, 0);
  const reason = "too many series at too many different times: send fewer of them at once";
  const refused = [{ series: `${series.length} series`, reason, samples }];
  return { frame: { times: [], columns: [] }, state, refused, accepted: 0 };
}

const lastTime = ({ moments, closedTo }: Group): number => moments.at(-1)?.time ?? closedTo;

/** The state after the run: without what is over, bounded by forgetting what is oldest. */
function stateAfter({ state, works, refused }: Run): CounterState {
  if (works.size === 0) return state;
  const groups = new Map(state.groups);
  for (const [key, { group }] of works)
    if (group.members.length > 0) groups.set(key, dropMembers(group, lastTime(group) - GAP_MS));
  let newest = 0;
  let members = 0;
  for (const group of groups.values()) {
    newest = Math.max(newest, lastTime(group));
    members += group.members.length;
  }
  let { forgottenTo } = state;
  const forget = (key: string, group: Group): void => {
    groups.delete(key);
    members -= group.members.length;
    forgottenTo = Math.max(forgottenTo, lastTime(group));
  };
  for (const [key, group] of groups) if (newest - lastTime(group) > FORGET_MS) forget(key, group);
  if (members <= MEMBERS_MAX) return { groups, forgottenTo };
  for (const [key, group] of [...groups].toSorted(([, a], [, b]) => lastTime(a) - lastTime(b))) {
    if (members <= MEMBERS_MAX) break;
    forget(key, group);
    refuse(refused, { series: key, reason: `over ${MEMBERS_MAX} counters of one host: it is not kept`, samples: 0 });
  }
  return { groups, forgottenTo };
}

/**
 * What the series of ONE host are in Drover. A rate stands at the later of its two times; a counter's first sample, and the
 * first after a gap of 5 min, gives none. A figure that several series make is there when all are that were before; a later
 * body that brings more of the same time makes it anew, and the frame then has the better value (later frames win). The same
 * samples again change nothing. `now`: Drover's clock, by which times are refused. Of series whose frame would be too large
 * nothing is taken.
 */
export function combineForeign(
  series: readonly ForeignSeries[],
  state: CounterState,
  now: number,
  { vmNamed = () => null, rawRetentionMs = RETENTION_MS.raw }: CombineOptions = {},
): Combined {
  let judged = Number.NaN;
  let verdict: string | null = null;
  const problemAt = (time: number): string | null => {
    if (time !== judged) {
      judged = time;
      verdict = timeProblem(time, now, rawRetentionMs);
    }
    return verdict;
  };
  const cells = createCells(series[0]?.times.length ?? 0);
  const run: Run = { state, problemAt, cells, works: new Map(), refused: [], accepted: 0 };
  for (const one of series) {
    const target = resolved(one.target, vmNamed);
    if (target === null) {
      const reason = `the host has no VM of the name ${one.target.vmName}, or several`;
      refuse(run.refused, { series: `${one.target.vmName} ${one.target.metric}`, reason, samples: one.times.length });
    } else if (target.term === null) takePlain(run, target, one);
    else takeMember(run, target, one);
  }
  advanceAll(run);
  const frame = frameOf(run.cells);
  if (frame === null) return nothingOf(series, state);
  return { frame, state: stateAfter(run), refused: run.refused, accepted: run.accepted };
}

function resolved(target: Target, vmNamed: (name: string) => string | null): Target | null {
  if (target.vmName === null) return target;
  const entity = vmNamed(target.vmName);
  return entity === null ? null : { ...target, entity, vmName: null, group: groupKey({ ...target, entity }) };
}
