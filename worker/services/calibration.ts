// Learning from outcomes: those of runs as they end, and imported ones.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { accuracyOf, type GroupAccuracy } from "../model/calibration/accuracy.ts";
import { fitCalibration } from "../model/calibration/fit.ts";
import { regimeOf } from "../model/calibration/groups.ts";
import { type ImportedRow, knownShapes, readRecords } from "../model/calibration/import/index.ts";
import { predictionOf } from "../model/calibration/outcome.ts";
import type { ImportedOutcome } from "../model/calibration/types.ts";
import type { Learned } from "../model/migration/estimate.ts";
import { estimateMigration } from "../model/migration/index.ts";
import type { Principal } from "../model/principal.ts";
import { driftEvent } from "../model/webhooks/drafts.ts";
import type { DriverName, Hypervisor } from "../model/wire/common.ts";

/** Newest outcomes of a mechanism that count in a cluster: some 700 bytes each. */
const LESSONS_MAX = 400;
export const IMPORT_ROWS_MAX = 2000;
const REJECTED_LISTED = 100;

/** What is learned of a cluster, for an estimate; null: nothing yet. */
export async function learnedOf(deps: Deps, cluster: string): Promise<Learned | null> {
  const known = await deps.store.calibrations.read(cluster);
  return known === null ? null : { cluster, calibration: known.calibration };
}

/**
 * Fits anew. A group that has drifted since the last time is told of. Of two that fit at once the one that read
 * less may be kept: until the next outcome.
 */
export async function learn(deps: Deps, cluster: string): Promise<GroupAccuracy[]> {
  const lessons = await deps.store.calibrations.lessons(cluster, LESSONS_MAX);
  const calibration = fitCalibration(lessons);
  const groups = accuracyOf(lessons, calibration.groups);
  const before = (await deps.store.calibrations.read(cluster))?.drifted ?? [];
  const now = deps.now();
  const drifted = groups.filter((each) => each.drifted !== null);
  const fresh = drifted.filter(({ group }) => !before.includes(group));
  await deps.store.calibrations.save(
    cluster,
    calibration,
    drifted.map(({ group }) => group),
    {
      entries: fresh.map(({ group: subject, drifted: detail }) => ({
        actor: "drover",
        action: "calibration.drifted",
        subject,
        detail,
      })),
      events: fresh.flatMap(driftEvent),
    },
    now,
  );
  return groups;
}

/** Predicted against measured, of one cluster or of all. */
export async function calibrationReport(deps: Deps, cluster: string | null): Promise<GroupAccuracy[]> {
  const clusters = cluster === null ? await deps.store.calibrations.clusters() : [cluster];
  const reports = await Promise.all(
    clusters.map(async (each) => {
      const known = await deps.store.calibrations.read(each);
      const lessons = await deps.store.calibrations.lessons(each, LESSONS_MAX);
      return accuracyOf(lessons, known?.calibration.groups ?? {});
    }),
  );
  return reports.flat();
}

type Import = {
  cluster: string;
  hypervisor: Hypervisor;
  driver: DriverName;
  format: "csv" | "jsonl";
  text: string;
};

export type ImportAnswer = {
  /** Learned from now on. */
  accepted: number;
  /** Known from an earlier import. */
  duplicates: number;
  rejectedCount: number;
  /** The first hundred. */
  rejected: { line: number; reason: string }[];
  groups: GroupAccuracy[];
};

/** Estimates every row as it would have been estimated before, and learns from what came of it. */
export async function importOutcomes(deps: Deps, principal: Principal, given: Import): Promise<ImportAnswer> {
  const refuse = (message: string) => new AppError({ code: "invalid_request", issues: [{ path: "", message }] });
  const parsed = deps.parseMigrationRecords(given.text, given.format);
  if (parsed.records.length === 0 && parsed.rejected.length === 0) throw refuse("no migration in it");
  if (parsed.records.length > IMPORT_ROWS_MAX)
    throw refuse(`${parsed.records.length} migrations, at most ${IMPORT_ROWS_MAX} at once: split it`);
  const { rows, rejected } = readRecords(parsed.records, { hypervisor: given.hypervisor, driver: given.driver });
  const all = [...parsed.rejected, ...rejected].toSorted((a, b) => a.line - b.line);
  if (rows.length === 0) throw refuse(nothingUnderstood(all));
  const outcomes = await importedOutcomes(deps, given.cluster, rows);
  const accepted = await deps.store.calibrations.insert(outcomes);
  const detail = { accepted, rejected: all.length };
  await deps.store.audit.record(
    { actor: principal.id, action: "calibration.imported", subject: given.cluster, detail },
    deps.now(),
  );
  return {
    accepted,
    duplicates: outcomes.length - accepted,
    rejectedCount: all.length,
    rejected: all.slice(0, REJECTED_LISTED),
    groups: await learn(deps, given.cluster),
  };
}

function nothingUnderstood(rejected: { line: number; reason: string }[]): string {
  const [first] = rejected;
  const why = first === undefined ? "" : ` (line ${first.line}: ${first.reason})`;
  const shapes = knownShapes.map(({ name, columns }) => `${name}: ${columns.join(", ")}`).join("; ");
  return `no row could be used${why}. Understood columns: ${shapes}`;
}

/** Rows that are alike in one import are so many migrations; the same row in another import is the same one. */
async function importedOutcomes(deps: Deps, cluster: string, rows: readonly ImportedRow[]): Promise<ImportedOutcome[]> {
  const seen = new Map<string, number>();
  const outcomes: ImportedOutcome[] = [];
  for (const { at, subject, input, measured, converged } of rows) {
    const { estimates } = estimateMigration(input);
    const [predicted] = estimates;
    if (predicted === undefined) throw new Error("a row has one mechanism, and it is estimated");
    const content = JSON.stringify([cluster, at, subject, input, measured, converged]);
    const occurrence = seen.get(content) ?? 0;
    seen.set(content, occurrence + 1);
    const lesson = {
      cluster,
      hypervisor: input.hypervisor,
      driver: input.driver,
      mechanism: predicted.mechanism,
      regime: regimeOf(predicted),
      // Where no VM is named, rows about the same one under the same load look the same before.
      subject: subject ?? (await deps.hash(JSON.stringify(input))),
      at: at ?? 0,
      imported: true,
      ...predictionOf(predicted),
      measured,
      converged,
    };
    outcomes.push({ id: `import:${(await deps.hash(`${occurrence} ${content}`)).slice(0, 32)}`, lesson, predicted });
  }
  return outcomes;
}
