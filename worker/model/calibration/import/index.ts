// Records of past migrations to what calibration learns from: the input of an estimate, and what was then measured.
import { checkEstimateInput } from "../../migration/check.ts";
import { estimateInput } from "../../migration/types.ts";
import type { EstimateInput } from "../../migration/types.ts";
import { timestampMs } from "../../wire/common.ts";
import type { DriverName, Hypervisor, Mechanism } from "../../wire/common.ts";
import { CALIBRATED, measuredQuantities } from "../types.ts";
import type { CalibrationOutcome } from "../types.ts";
import { cellAt, isEmpty, quoted, readColumns, textAt } from "./cells.ts";
import { drover } from "./drover.ts";
import { withoutMisreported } from "./misreported.ts";
import { openstack } from "./openstack.ts";
import { qemuLab } from "./qemu-lab.ts";
import { qemuThesis } from "./qemu-thesis.ts";
import { numberOf } from "./shape.ts";
import type { Fields, Shape, SourceRecord } from "./shape.ts";
import { socc17 } from "./socc17.ts";

type Measured = CalibrationOutcome["measured"];

/** One past migration. `at`: when it ended, in ms since 1970; null: not known. `input.mechanisms` holds exactly its mechanism. */
export type ImportedRow = {
  line: number;
  at: number | null;
  /** Which VM it was, in the file's own words; null: not said. */
  subject: string | null;
  input: EstimateInput;
  /** Null: not measured, or reported wrongly (`misreported.ts`). */
  measured: Measured;
  converged: boolean;
};

/** What holds where the file does not say it. */
export type ImportDefaults = { hypervisor: Hypervisor; driver: DriverName };

const shapes: readonly Shape[] = [drover, qemuLab, qemuThesis, openstack, socc17];

/** Every kind of file that is understood, with all columns that are read of it. */
export const knownShapes: readonly { name: string; columns: string[] }[] = shapes.map((shape) => ({
  name: shape.name,
  columns: [...new Set([...shape.signature, ...shape.columns.map(({ column }) => column)])],
}));

/** The name of the shape whose telling columns a record all has; null: none. */
export function shapeNameOf(record: SourceRecord): string | null {
  return shapeOf(record)?.name ?? null;
}

/**
 * Each record becomes either a row or a rejection with its line and the reason: column, figure and bound. Columns that no shape
 * knows are not read. A migration that did not complete has nothing measured, and says only that it did not converge.
 */
export function readRecords(
  records: readonly { line: number; record: SourceRecord }[],
  defaults: ImportDefaults,
): { rows: ImportedRow[]; rejected: { line: number; reason: string }[] } {
  const rows: ImportedRow[] = [];
  const rejected: { line: number; reason: string }[] = [];
  for (const { line, record } of records) {
    const read = readRecord(record, defaults);
    if ("reason" in read) rejected.push({ line, reason: read.reason });
    else rows.push({ line, ...read });
  }
  return { rows, rejected };
}

type Rejection = { reason: string };

function shapeOf(record: SourceRecord): Shape | undefined {
  return shapes.find(({ signature }) => signature.every((column) => cellAt(record, column) !== undefined));
}

function readRecord(record: SourceRecord, defaults: ImportDefaults): Omit<ImportedRow, "line"> | Rejection {
  const shape = shapeOf(record);
  if (shape === undefined)
    return {
      reason: `no known columns: ${shapes.map(({ name, signature }) => `${name} has ${signature.join(", ")}`).join("; ")}`,
    };
  const refused = refusalOf(shape, record);
  if (refused !== null) return { reason: refused };
  const technique = shape.technique.of(shape.technique.column === null ? "" : textAt(record, shape.technique.column));
  if (technique === null) return { reason: unknownTechnique(shape, record) };

  const { fields: told, problems } = readColumns(shape, record);
  if (problems.length > 0) return { reason: problems.join("; ") };
  const known: Fields = { ...defaults, ...shape.constants, ...told, ...technique.fields };
  const fields: Fields = { ...known, ...shape.derive?.(known, record) };

  const input = inputOf(shape, fields, technique.mechanism);
  if ("reason" in input) return input;
  const at = atOf(shape, fields);
  if (typeof at === "object" && at !== null) return at;
  const converged = fields["converged"] !== false;
  const measured = measuredOf(shape, fields, input, converged);
  const subject = typeof fields["subject"] === "string" ? fields["subject"] : null;
  return "reason" in measured ? measured : { at, subject, input, measured, converged };
}

function refusalOf({ refusals }: Shape, record: SourceRecord): string | null {
  for (const { column, is, isNot, reason } of refusals) {
    const text = textAt(record, column).toLowerCase();
    if (is === undefined ? text !== isNot : text === is)
      return `${column}: is ${quoted(cellAt(record, column))}: ${reason}`;
  }
  return null;
}

function unknownTechnique({ technique }: Shape, record: SourceRecord): string {
  const cell = cellAt(record, technique.column ?? "");
  return `${technique.column}: is ${isEmpty(cell) ? "missing" : quoted(cell)}, must be one of ${technique.words.join(", ")}`;
}

/** The column that a field was read from, and the field where it is named otherwise. */
function label({ columns }: Shape, field: string): string {
  const column = columns.find((each) => each.field === field)?.column;
  return column === undefined || column === field.split(".").at(-1) ? (column ?? field) : `${column} (${field})`;
}

type Issue = { path: PropertyKey[]; message: string };

function reasonOf(shape: Shape, fields: Fields, issues: readonly Issue[], prefix = ""): string {
  return issues
    .map(({ path, message }) => {
      const field = prefix + path.map(String).join(".");
      const missing = path.length <= 2 && fields[field] === undefined;
      return `${label(shape, field)}: ${missing ? "is missing" : message}`;
    })
    .join("; ");
}

function inputOf(shape: Shape, fields: Fields, mechanism: Mechanism): EstimateInput | Rejection {
  const read = estimateInput.safeParse({ ...nested(fields), mechanisms: [mechanism] });
  if (!read.success) return { reason: reasonOf(shape, fields, read.error.issues) };
  const problems = checkEstimateInput(read.data);
  return problems.length === 0
    ? read.data
    : { reason: problems.map(({ path, message }) => `${label(shape, path)}: ${message}`).join("; ") };
}

const OUTSIDE = ["at", "subject", "converged", "measured", "aside"];

/** `vm.memoryBytes` into `vm: { memoryBytes }`. */
function nested(fields: Fields): Record<string, unknown> {
  const vm: Record<string, unknown> = {};
  const body: Record<string, unknown> = { vm };
  for (const [path, value] of Object.entries(fields)) {
    const [group = "", name] = path.split(".");
    if (OUTSIDE.includes(group)) continue;
    if (name === undefined) body[group] = value;
    else body[group] = { ...(body[group] as object | undefined), [name]: value };
  }
  return body;
}

function atOf(shape: Shape, fields: Fields): number | null | Rejection {
  const at = numberOf(fields, "at");
  if (at === undefined) return null;
  const read = timestampMs.safeParse(Math.round(at));
  return read.success
    ? read.data
    : { reason: reasonOf(shape, fields, [{ path: ["at"], message: "is out of all time" }]) };
}

function measuredOf(shape: Shape, fields: Fields, input: EstimateInput, converged: boolean): Measured | Rejection {
  const given = Object.fromEntries(
    CALIBRATED.map((name) => [name, numberOf(fields, `measured.${name}`) ?? null]),
  ) as Measured;
  const { measured, whys } = withoutMisreported(shape.name, {
    mechanism: input.mechanisms[0] ?? "pre-copy",
    converged,
    hypervisor: input.hypervisor,
    driver: input.driver,
    hypervisorVersion: input.hypervisorVersion,
    multifdChannels: input.parameters.multifdChannels,
    compression: input.parameters.compression,
    measured: given,
  });
  const read = measuredQuantities.safeParse(measured);
  if (!read.success) return { reason: reasonOf(shape, fields, read.error.issues, "measured.") };
  if (converged && CALIBRATED.every((name) => read.data[name] === null))
    return { reason: ["nothing measured: total time, downtime, bytes or lost work is needed", ...whys].join("; ") };
  return read.data;
}
