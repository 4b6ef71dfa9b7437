// CSV by RFC 4180. Written here because the project takes no dependency for it.

/** A row of a table by the names in its header, and where it starts in the text, from 1. */
export type CsvRecord = { line: number; record: Record<string, string> };
export type CsvRejection = { line: number; reason: string };

type Row = { line: number; cells: string[] };
/** A row that ends at `next`, or why there is none. */
type Scanned = { cells: string[]; next: number } | { problem: string; line: number };

/**
 * The rows of a table with a header. Names and quotes as RFC 4180 has them; `\n` and `\r\n` both end a row, empty lines are
 * skipped, and the spaces that some exports pad names with are cut. Rows with malformed quotes, or with more or fewer cells
 * than the header, are rejected one by one; reading goes on with the next line. A header that cannot be used rejects everything.
 */
export function readCsv(text: string): { records: CsvRecord[]; rejected: CsvRejection[] } {
  const { rows, rejected } = scanRows(text.replace(/^\uFEFF/, ""));
  const [header, ...body] = rows;
  const broken = rejected[0];
  if (header === undefined || (broken !== undefined && broken.line < header.line))
    return { records: [], rejected: broken === undefined ? [] : [broken] };
  const names = header.cells.map((name) => name.trim());
  const twice = names.find((name, index) => name !== "" && names.indexOf(name) < index);
  if (twice !== undefined)
    return { records: [], rejected: [{ line: header.line, reason: `the header names \`${twice}\` twice` }] };

  const records: CsvRecord[] = [];
  for (const { line, cells } of body) {
    if (cells.length === names.length)
      records.push({
        line,
        record: Object.fromEntries(names.map((name, column) => [name, cells[column] ?? ""])),
      });
    else rejected.push({ line, reason: `has ${cells.length} cells, the header ${names.length}` });
  }
  return { records, rejected: rejected.toSorted((a, b) => a.line - b.line) };
}

/** A row of a table, its end included. Cells that need quotes get them. */
export const csvLine = (cells: readonly string[]): string => `${cells.map(csvCell).join(",")}\r\n`;

const csvCell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function scanRows(text: string): { rows: Row[]; rejected: CsvRejection[] } {
  const rows: Row[] = [];
  const rejected: CsvRejection[] = [];
  let at = 0;
  let line = 1;
  while (at < text.length) {
    const scanned = scanRow(text, at, line);
    const end = "next" in scanned ? scanned.next : endOfLine(text, at);
    if ("problem" in scanned) rejected.push({ line: scanned.line, reason: scanned.problem });
    else if (scanned.cells.length > 1 || scanned.cells[0]?.trim() !== "") rows.push({ line, cells: scanned.cells });
    line += newlines(text, at, end);
    at = end;
  }
  return { rows, rejected };
}

function scanRow(text: string, from: number, line: number): Scanned {
  const cells: string[] = [];
  let at = from;
  for (;;) {
    const cell = text[at] === '"' ? quotedCell(text, at) : plainCell(text, at);
    if ("problem" in cell) return { problem: cell.problem, line: line + newlines(text, from, cell.at) };
    cells.push(cell.value);
    at = cell.next;
    if (text[at] !== ",") return { cells, next: afterLineEnd(text, at) };
    at += 1;
  }
}

type Cell = { value: string; next: number } | { problem: string; at: number };

function plainCell(text: string, from: number): Cell {
  let next = from;
  while (next < text.length && text[next] !== "," && !isLineEnd(text, next)) {
    if (text[next] === '"') return { problem: "a quote within a cell that is not quoted", at: next };
    next += 1;
  }
  return { value: text.slice(from, next), next };
}

function quotedCell(text: string, from: number): Cell {
  let quote = text.indexOf('"', from + 1);
  while (quote >= 0 && text[quote + 1] === '"') quote = text.indexOf('"', quote + 2);
  if (quote < 0) return { problem: "a quote that is never closed", at: from };
  const next = quote + 1;
  if (next < text.length && text[next] !== "," && !isLineEnd(text, next))
    return { problem: "text after a closing quote", at: next };
  return { value: text.slice(from + 1, quote).replaceAll('""', '"'), next };
}

function isLineEnd(text: string, at: number): boolean {
  return text[at] === "\n" || (text[at] === "\r" && text[at + 1] === "\n");
}

function afterLineEnd(text: string, at: number): number {
  return text[at] === "\r" ? at + 2 : at + 1;
}

/** Where the next line starts. */
function endOfLine(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  return end < 0 ? text.length : end + 1;
}

function newlines(text: string, from: number, to: number): number {
  let count = 0;
  for (let at = text.indexOf("\n", from); at >= 0 && at < to; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}
