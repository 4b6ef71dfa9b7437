// A message as Drover means it, for every platform: what it says, not how a platform spells it.
import type { Action } from "./actions.ts";

/** A piece of a line. Plain strings come from anywhere and are escaped by the renderers. */
export type Inline = string | { bold: string } | { code: string } | { url: string; label: string };
export type Text = readonly Inline[];

export type Column = { title: string; isRight?: boolean };
export type Table = {
  columns: readonly Column[];
  rows: readonly (readonly string[])[];
  /** Rows that there are besides. */
  more: number;
};

export type Button = { label: string; action: Action; tone?: "good" | "danger" };

export type Block =
  | { kind: "text"; text: Text }
  | { kind: "facts"; facts: readonly (readonly [label: string, value: string])[] }
  | { kind: "table"; table: Table }
  | { kind: "note"; text: Text }
  | { kind: "buttons"; buttons: readonly Button[] };

/** `running`: goes on; `asks`: waits for a decision. */
export type Tone = "plain" | "asks" | "running" | "good" | "bad";

export type Message = { tone: Tone; title: string; blocks: readonly Block[] };

/** For messages of one line. */
export const sentence = (tone: Tone, title: string, ...text: Inline[]): Message => ({
  tone,
  title,
  blocks: text.length === 0 ? [] : [{ kind: "text", text }],
});

/** The text without any formatting. */
export const plain = (text: Text): string =>
  text
    .map((piece) => {
      if (typeof piece === "string") return piece;
      if ("bold" in piece) return piece.bold;
      return "code" in piece ? piece.code : piece.label;
    })
    .join("");

/** At most `max` characters, the last of them `…` where it was longer; never half a surrogate pair. */
export function cut(text: string, max: number): string {
  if (text.length <= max) return text;
  return `${text.slice(0, Math.max(0, max - 1)).replace(/[\uD800-\uDBFF]$/, "")}…`;
}

const CELL_LENGTH_MAX = 28;
const lengthOf = (cell: string): number => Array.from(cell).length;
/** One line, without what would end the block that it stands in. */
const cellOf = (cell: string): string => cut(cell.replaceAll(/\s+/g, " ").replaceAll("`", "ʼ"), CELL_LENGTH_MAX);

/** The table in letters of one width, as many rows as fit into `max` characters; the rest is counted in the last line. */
export function tableText({ columns, rows, more }: Table, max: number): string {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => row.map(cellOf))];
  const widths = columns.map((_, n) => Math.max(...cells.map((row) => lengthOf(row[n] ?? ""))));
  const lines = cells.map((row) =>
    columns
      .map(({ isRight }, n) => {
        const cell = row[n] ?? "";
        const space = " ".repeat((widths[n] ?? 0) - lengthOf(cell));
        return isRight === true ? space + cell : cell + space;
      })
      .join("  ")
      .trimEnd(),
  );
  for (let kept = lines.length; kept > 0; kept--) {
    const left = more + lines.length - kept;
    const text = [...lines.slice(0, kept), ...(left > 0 ? [`… and ${left} more`] : [])].join("\n");
    if (text.length <= max) return text;
  }
  return cut(`… ${rows.length + more} rows`, max);
}
