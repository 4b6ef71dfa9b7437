// The ledger of outcomes as files: CSV (RFC 4180) with a header, and JSON lines.
import { OUTCOME_COLUMNS, type OutcomeRecord } from "../model/outcome-record.ts";
import { csvLine } from "./csv.ts";

/** One row a run under a header that is always there. An empty cell: not known. */
export function outcomesCsv(records: readonly OutcomeRecord[]): string {
  const rows = records.map((record) => csvLine(OUTCOME_COLUMNS.map(({ of }) => String(of(record) ?? ""))));
  return [csvLine(OUTCOME_COLUMNS.map(({ name }) => name)), ...rows].join("");
}

/** One record a line, each line ended by `\n`. */
export const outcomesJsonLines = (records: readonly OutcomeRecord[]): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join("");
