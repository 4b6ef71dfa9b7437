// Series as a CSV table in long form: one row a value, which every spreadsheet and data frame can turn.
import { csvLine } from "./csv.ts";

/** An aligned series: one value a step; NaN: none. `vm` is empty for the host itself, `host` where it is of several. */
export type CsvSeries = { host: string; vm: string; metric: string; values: Float64Array };

export const SERIES_CSV_HEADER = ["time", "host", "vm", "metric", "value"] as const;

/**
 * The table (RFC 4180, `\r\n`) in parts, header first and then a part a series, so that it can be sent as it is made. `time`
 * is the start of the step in ISO 8601, UTC. A step without a value has no row: nothing is written where nothing is known.
 */
export function* seriesCsv(times: readonly number[], series: Iterable<CsvSeries>): Generator<string> {
  yield csvLine(SERIES_CSV_HEADER);
  const starts = times.map((time) => new Date(time).toISOString());
  for (const { host, vm, metric, values } of series) {
    const name = csvLine([host, vm, metric, ""]).trimEnd();
    let part = "";
    values.forEach((value, step) => {
      if (!Number.isNaN(value)) part += `${starts[step] ?? ""},${name}${value}\r\n`;
    });
    if (part !== "") yield part;
  }
}
