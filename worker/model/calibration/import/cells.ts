// Cells to figures in base units. CSV has text for everything, JSON has types: both are read alike.
import type { Column, Fields, Shape, SourceRecord } from "./shape.ts";

const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const ISO_8601 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/;
const BOOLEANS: Record<string, boolean> = { true: true, "1": true, false: false, "0": false };

/** What a record says in a column, by its full name or down its nested objects; undefined: nothing. */
export function cellAt(record: SourceRecord, column: string): unknown {
  if (Object.hasOwn(record, column)) return record[column];
  let value: unknown = record;
  for (const key of column.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as SourceRecord)[key];
  }
  return value;
}

/** The cell as text without spaces around it; empty where there is nothing. */
export function textAt(record: SourceRecord, column: string): string {
  const cell = cellAt(record, column);
  return isEmpty(cell) ? "" : String(cell).trim();
}

/** All columns of a shape that a record fills, and what cannot be read, each with its column. */
export function readColumns({ columns }: Shape, record: SourceRecord): { fields: Fields; problems: string[] } {
  const fields: Fields = {};
  const problems: string[] = [];
  for (const column of columns) {
    const cell = cellAt(record, column.column);
    if (isEmpty(cell)) continue;
    const read = readCell(column, cell);
    if ("problem" in read) problems.push(`${column.column}: is ${quoted(cell)}, must be ${read.problem}`);
    else fields[column.field] ??= read.value;
  }
  for (const { field, atMost } of columns) {
    const [value, bound] = [fields[field], atMost === undefined ? undefined : fields[atMost]];
    if (typeof value === "number" && typeof bound === "number") fields[field] = Math.min(value, bound);
  }
  return { fields, problems };
}

export function isEmpty(cell: unknown): boolean {
  return cell === undefined || cell === null || (typeof cell === "string" && cell.trim() === "");
}

export function quoted(cell: unknown): string {
  return (JSON.stringify(cell) ?? "nothing").slice(0, 80);
}

type Read = { value: unknown } | { problem: string };

function readCell({ kind, times = 1, plus = 0 }: Column, cell: unknown): Read {
  if (kind === "data") return { value: cell };
  if (kind === "text") return typeof cell === "string" ? { value: cell.trim() } : { problem: "text" };
  if (kind === "boolean") return readBoolean(cell);
  if (kind === "time" && typeof cell === "string" && ISO_8601.test(cell.trim()))
    return readNumber(Date.parse(cell.trim()), 1, 0, "a date that exists");
  const time = kind === "time" ? "a number of milliseconds, or ISO 8601 with `Z` or an offset" : "a finite number";
  return readNumber(cell, times, plus, time);
}

function readBoolean(cell: unknown): Read {
  const value = typeof cell === "boolean" ? cell : BOOLEANS[String(cell).trim().toLowerCase()];
  return value === undefined ? { problem: "`true` or `false`" } : { value };
}

function readNumber(cell: unknown, times: number, plus: number, expected: string): Read {
  const text = typeof cell === "string" ? cell.trim() : "";
  const value = typeof cell === "number" ? cell : DECIMAL.test(text) ? Number(text) : Number.NaN;
  const converted = value * times + plus;
  return Number.isFinite(converted) ? { value: converted } : { problem: expected };
}
