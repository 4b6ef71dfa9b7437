// Layouts of hosts' states that this isolate has parsed, by their text.
import { parseLayout, type SeriesName } from "../model/telemetry/known.ts";
import { createKept } from "./kept.ts";

/** Some 50 bytes each, of an isolate's 128 MB. */
const SERIES_MAX = 100_000;

export type LayoutCache = { get: (text: string) => readonly SeriesName[] };

/** RangeError and ZodError as `parseLayout`. */
export function createLayoutCache(seriesMax = SERIES_MAX): LayoutCache {
  const layouts = createKept<readonly SeriesName[]>(seriesMax, (series) => series.length);
  return {
    get: (text) => {
      const known = layouts.get(text);
      if (known !== undefined) return known;
      const series = parseLayout(text);
      layouts.set(text, series);
      return series;
    },
  };
}
