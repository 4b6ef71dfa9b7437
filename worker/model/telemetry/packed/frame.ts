// Writes a packed frame: the samples of one host in one stretch of time, each series readable without the others.
import { isMetricName, metricNamed } from "../catalogue.ts";
import { HOST } from "../frame.ts";
import { RangeWriter } from "./coder.ts";
import { packColumn, sealColumn } from "./column.ts";
import {
  AGGREGATES_MAX,
  columnSeed,
  FRAME_COLUMNS_MAX,
  compareReferences,
  FRAME_TIMES_MAX,
  FRAME_VALUES_MAX,
  type Header,
  isUuid,
  type MetricSet,
  packHeader,
} from "./header.ts";

/** One series: a Float64Array per aggregate, NaN = gap. */
export type PackedColumn = { entity: string; metric: string; values: Float64Array[] };

/**
 * Series at common times, in ms since 1970, rising strictly. `aggregates`: 1 for samples as they came; of roll-ups as many
 * as ROLLUP_AGGREGATES, in its order (the second of several is taken for their mean when they are coded, no more).
 */
export type PackedContent = { times: readonly number[]; aggregates: number; columns: PackedColumn[] };

/**
 * Packs, lossless for every finite float64, -0 included, and every gap; the same content in any order of columns gives the
 * same bytes. RangeError for what cannot be packed: no time or more than FRAME_TIMES_MAX, times that do not rise, more than
 * FRAME_COLUMNS_MAX columns or FRAME_VALUES_MAX values, a column of another shape, a value that is infinite, an entity that is neither "" nor a
 * lower-case uuid, a name that no metric can have, a series twice.
 */
export function packFrame(content: PackedContent): Uint8Array {
  checkShape(content);
  const names = [...new Set(content.columns.map(({ metric }) => metric))]
    .filter((metric) => metricNamed(metric) === undefined)
    .toSorted();
  const entries = entriesOf(content.columns, names);
  const writer = new RangeWriter();
  const columns = entries.map(({ values }) => packColumn(writer, values));
  const lengths = columns.map(({ length }) => length);
  const { times, aggregates } = content;
  const header = packHeader({ times, aggregates, names, ...layoutOf(entries), lengths });
  // What a column's check starts from depends on the header, and the header on the lengths of the columns.
  for (const [index, bytes] of columns.entries()) sealColumn(bytes, columnSeed(header.check, index));
  return joined([header.bytes, ...columns]);
}

function checkShape({ times, aggregates, columns }: PackedContent): void {
  if (times.length === 0 || times.length > FRAME_TIMES_MAX) throw new RangeError(`${times.length} times in a frame`);
  if (!times.every((time, index) => Number.isSafeInteger(time) && time > (times[index - 1] ?? -1)))
    throw new RangeError("times must be milliseconds since 1970 that rise strictly");
  if (!(aggregates >= 1 && aggregates <= AGGREGATES_MAX)) throw new RangeError(`${aggregates} aggregates`);
  if (columns.length > FRAME_COLUMNS_MAX || columns.length * aggregates * times.length > FRAME_VALUES_MAX)
    throw new RangeError(`${columns.length} columns of ${times.length} times in a frame`);
  for (const { entity, metric, values } of columns) {
    if (entity !== HOST && !isUuid(entity)) throw new RangeError(`${entity} is neither "" nor a lower-case uuid`);
    if (!isMetricName(metric)) throw new RangeError(`${metric} is not a metric name`);
    if (values.length !== aggregates || values.some(({ length }) => length !== times.length))
      throw new RangeError(`a column that has not ${aggregates} x ${times.length} values`);
  }
}

type Entry = PackedColumn & { reference: number };

/** Columns in the order in which they stand in the frame. */
function entriesOf(columns: readonly PackedColumn[], names: readonly string[]): Entry[] {
  const nameIndex = new Map(names.map((name, index) => [name, index]));
  const entries = columns.map((column) => {
    const number = metricNamed(column.metric)?.number;
    return { ...column, reference: number === undefined ? 2 * (nameIndex.get(column.metric) ?? 0) + 1 : 2 * number };
  });
  entries.sort(
    (a, b) => (a.entity < b.entity ? -1 : a.entity > b.entity ? 1 : 0) || compareReferences(a.reference, b.reference),
  );
  for (const [index, { entity, reference }] of entries.entries()) {
    const before = entries[index - 1];
    if (before?.entity === entity && before.reference === reference) throw new RangeError("a series twice in a frame");
  }
  return entries;
}

/** Metric sets in the order in which the entities have them. */
function layoutOf(entries: readonly Entry[]): Pick<Header, "sets" | "entities"> {
  const byEntity = new Map<string, number[]>();
  for (const { entity, reference } of entries) {
    const set = byEntity.get(entity);
    if (set === undefined) byEntity.set(entity, [reference]);
    else set.push(reference);
  }
  const sets = new Map<string, { index: number; set: MetricSet }>();
  const entities = Array.from(byEntity, ([entity, set]) => {
    const key = set.join();
    const known = sets.get(key) ?? { index: sets.size, set };
    sets.set(key, known);
    return { entity, set: known.index };
  });
  return { sets: Array.from(sets.values(), ({ set }) => set), entities };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
