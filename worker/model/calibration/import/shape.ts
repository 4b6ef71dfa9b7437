// What a file of past migrations looks like, as data: its columns, their units and the words it has for the mechanisms.
import type { Mechanism } from "../../wire/common.ts";

export type SourceRecord = Record<string, unknown>;

/**
 * Figures of one row in base units, by where they belong: `vm.memoryBytes` and the like of the estimate's input,
 * `measured.totalMs`, `converged`, `at`; `aside.` is for what only `derive` uses.
 */
export type Fields = Record<string, unknown>;

export type Column = {
  /** Name in the file, case-sensitive; `spec.ram_mib` where records are nested. */
  column: string;
  /** Several columns may tell the same: the first that a row fills counts. */
  field: string;
  /** `time`: milliseconds since 1970, or ISO 8601 with its offset. `data`: as it is, in JSON lines only. */
  kind: "number" | "boolean" | "text" | "time" | "data";
  /** base unit = times × figure + plus */
  times?: number;
  plus?: number;
  /** A sampled figure, whose noise may carry it beyond this field: cut there. */
  atMost?: string;
};

/** A file's word for a mechanism, and the options that the word says are on. */
export type Technique = { mechanism: Mechanism; fields: Fields };

export type Shape = {
  name: "drover" | "qemu-lab" | "qemu-thesis" | "openstack" | "socc17";
  /** A record that has all of these is of this shape. */
  signature: readonly string[];
  columns: readonly Column[];
  /** What holds for every row of the shape, though no column says it; a column wins. */
  constants: Fields;
  technique: {
    /** Null: the shape has but one. */
    column: string | null;
    /** What its words are, for the refusal of another. */
    words: readonly string[];
    of: (word: string) => Technique | null;
  };
  /** Rows that must not be learned from: the column, what its text must then be, or must not be, and why. */
  refusals: readonly { column: string; is?: string; isNot?: string; reason: string }[];
  /** What takes more than one column to know; wins over the columns. */
  derive?: (fields: Fields, record: SourceRecord) => Fields;
};

/** Techniques that are told by one word each. */
export function byWord(column: string, table: Record<string, Technique>): Shape["technique"] {
  return {
    column,
    words: Object.keys(table),
    of: (word) => (Object.hasOwn(table, word) ? (table[word] ?? null) : null),
  };
}

export function numberOf(fields: Fields, field: string): number | undefined {
  const value = fields[field];
  return typeof value === "number" ? value : undefined;
}
