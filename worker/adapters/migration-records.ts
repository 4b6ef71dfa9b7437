// Past migrations as they are sent: a CSV table with a header, or one JSON object a line. What the columns mean is the model's.
import { readCsv } from "./csv.ts";

/** One record and the line it starts at, from 1. */
export type MigrationRecord = { line: number; record: Record<string, unknown> };

/** The records of a text, and the lines that are none, each with its reason. Never throws; empty lines are skipped. */
export function parseRecords(
  text: string,
  format: "csv" | "jsonl",
): { records: MigrationRecord[]; rejected: { line: number; reason: string }[] } {
  return format === "csv" ? readCsv(text) : readJsonLines(text.replace(/^\uFEFF/, ""));
}

function readJsonLines(text: string): ReturnType<typeof parseRecords> {
  const records: MigrationRecord[] = [];
  const rejected: { line: number; reason: string }[] = [];
  for (const [index, source] of text.split("\n").entries()) {
    if (source.trim() === "") continue;
    const line = index + 1;
    const parsed = parseObject(source);
    if ("record" in parsed) records.push({ line, record: parsed.record });
    else rejected.push({ line, reason: parsed.reason });
  }
  return { records, rejected };
}

function parseObject(source: string): { record: Record<string, unknown> } | { reason: string } {
  try {
    const value: unknown = JSON.parse(source);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? { record: { ...value } }
      : { reason: "is not a JSON object" };
  } catch {
    return { reason: "is not JSON" };
  }
}
