// Samples of many series at common times: what the codec packs, what queries read.

/** The entity that is the host itself; every other entity is a VM's lower-case uuid. */
export const HOST = "";

/** One series. NaN: no sample at that time; everything else is finite. */
export type Column = { entity: string; metric: string; values: Float64Array };

/** `times` in ms since 1970, rising strictly; every column has one value a time. */
export type Frame = { times: readonly number[]; columns: Column[] };

export const EMPTY_FRAME: Frame = { times: [], columns: [] };

/** No two series share a key: an entity is "" or a uuid. */
export const seriesKey = (entity: string, metric: string): string => `${entity}/${metric}`;

/** Samples from `from` to before `to`; values are views of the frame's own, columns left with gaps alone stay. */
export function sliceFrame(frame: Frame, from: number, to: number): Frame {
  const { times } = frame;
  const start = firstAtOrAfter(times, from);
  const end = firstAtOrAfter(times, to);
  if (start === 0 && end === times.length) return frame;
  return {
    times: times.slice(start, end),
    columns: frame.columns.map((column) => ({ ...column, values: column.values.subarray(start, end) })),
  };
}

/** The place of the first of rising times that is not before `time`; their number where there is none. */
export function firstAtOrAfter(times: readonly number[], time: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** One frame of several. Where two have a sample of a series at one time, that of the later frame stands; a gap never does. */
export function mergeFrames(frames: readonly Frame[]): Frame {
  const [first, ...rest] = frames;
  if (first === undefined) return EMPTY_FRAME;
  if (rest.length === 0) return first;
  const times = mergedTimes(frames);
  const columns = new Map<string, Column>();
  for (const frame of frames) {
    const rows = rowsOf(frame.times, times);
    for (const { entity, metric, values } of frame.columns) {
      const key = seriesKey(entity, metric);
      const merged = columns.get(key) ?? { entity, metric, values: new Float64Array(times.length).fill(Number.NaN) };
      columns.set(key, merged);
      for (let index = 0; index < values.length; index++) {
        const value = values[index] ?? Number.NaN;
        if (!Number.isNaN(value)) merged.values[rows[index] ?? 0] = value;
      }
    }
  }
  return { times, columns: [...columns.values()] };
}

function mergedTimes(frames: readonly Frame[]): readonly number[] {
  const all = frames.flatMap(({ times }) => times);
  const isRising = all.every((time, index) => index === 0 || (all[index - 1] ?? 0) < time);
  return isRising ? all : [...new Set(all)].toSorted((a, b) => a - b);
}

/** The places of a frame's times among `merged`, which has all of them. */
function rowsOf(times: readonly number[], merged: readonly number[]): Int32Array {
  const rows = new Int32Array(times.length);
  let row = firstAtOrAfter(merged, times[0] ?? 0);
  for (let index = 0; index < times.length; index++) {
    while (merged[row] !== times[index]) row += 1;
    rows[index] = row;
  }
  return rows;
}
