// Layouts of hosts' states that this isolate has parsed, by their text.
import { parseLayout, type SeriesName } from "../model/telemetry/known.ts";

/** Some 50 bytes each, of an isolate's 128 MB. */
const SERIES_MAX = 100_000;

export type LayoutCache = { get: (text: string) => readonly SeriesName[] };

/** The least recently used ones go when there are too many. RangeError and ZodError as `parseLayout`. */
export function createLayoutCache(seriesMax = SERIES_MAX): LayoutCache {
  // In the order of their last use.
  const layouts = new Map<string, readonly SeriesName[]>();
  let total = 0;
  return {
    get: (text) => {
      const known = layouts.get(text);
      const series = known ?? parseLayout(text);
      if (known === undefined) total += series.length;
      else layouts.delete(text);
      layouts.set(text, series);
      for (const [oldest, { length }] of layouts) {
        if (total <= seriesMax) break;
        layouts.delete(oldest);
        total -= length;
      }
      return series;
    },
  };
}
