// Numbers and tables for people.
import { GIB, MIB } from "../../worker/model/units.ts";
import type { Quantity } from "../../worker/model/migration/types.ts";

export function bytes(value: number): string {
  return value >= GIB ? `${(value / GIB).toFixed(2)} GiB` : `${(value / MIB).toFixed(value >= 100 * MIB ? 0 : 1)} MiB`;
}

export function duration(ms: number): string {
  if (ms >= 100_000) return `${(ms / 1000).toFixed(0)} s`;
  return ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms.toFixed(0)} ms`;
}

export const percent = (ratio: number): string => `${Math.round(ratio * 100)} %`;

/** "p10 / p50 / p90" in one unit. */
export function spread({ p10, p50, p90 }: Quantity, show: (value: number) => string): string {
  return `${show(p10)} / ${show(p50)} / ${show(p90)}`;
}

const BAR_CELLS = 24;

export function bar(ratio: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, ratio)) * BAR_CELLS);
  return "█".repeat(filled) + "░".repeat(BAR_CELLS - filled);
}

/** Columns as wide as their widest cell; numbers, told by their first character, to the right. */
export function table(head: string[], rows: string[][]): string[] {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: string[], isHead: boolean): string =>
    cells
      .map((cell, column) =>
        !isHead && /^[0-9]/.test(cell) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd();
  return [
    line(head, true),
    widths.map((width) => "─".repeat(width)).join("  "),
    ...rows.map((row) => line(row, false)),
  ];
}

/** Breaks a text into lines of at most `width` characters: `first` before the first, as many blanks before the others. */
export function wrap(first: string, text: string, width: number): string[] {
  const indent = " ".repeat(first.length);
  const lines: string[] = [];
  let line = first;
  let isEmpty = true;
  for (const word of text.split(" ")) {
    if (!isEmpty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent;
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line];
}
