// The thesis's rows: one guest of 8 GiB under database load, QEMU's defaults. Nothing was measured before these migrations, so
// that only the oracle track exists: what is known of the load is taken from the other scenarios, never from the row's own.
import { GIB } from "../../../worker/model/units.ts";
import type { Mechanism } from "../../../worker/model/wire/common.ts";
import { median } from "./metrics.ts";
import { inputOf, numberOf, tableOf } from "./rows.ts";
import type { Row } from "./rows.ts";

const PAGE_BYTES = 4096;
const MEMORY_BYTES = 8 * GIB;
const VCPUS = 4;
/** No wire: the hosts' memory is the limit. */
const LOOPBACK_BYTES_PER_SECOND = 4e9;
/** A client thread waits for its answer most of the time. */
const CORES_PER_THREAD = 0.25;
/** Rounds shorter than this are merged in the data. */
const ROUND_MS_MIN = 800;
/** Windows of one thread's work at which the curve is given. */
const THREAD_SECONDS = [2, 4, 8, 15, 30, 60, 120, 250, 400];

type Scenario = { mechanism: Mechanism; threads: number; parameters: Record<string, unknown> };

/** What a scenario's name says: `Postcopy_Late_16T_25s` is post-copy after 25 s with 16 client threads; null: nothing known. */
function scenarioOf(name: string): Scenario | null {
  const number = (pattern: RegExp) => Number(pattern.exec(name)?.[1] ?? Number.NaN);
  const afterMs = number(/_(\d+)s(_|$)/) * 1000;
  // Four threads where it is not said; those that do not converge were made so by sixteen.
  const threads = number(/_(\d+)T(_|$)/) || (/non.?conv/i.test(name) ? 16 : 4);
  const parameters = {};
  if (/^auto.?conv/i.test(name)) return { mechanism: "pre-copy", threads, parameters: { autoConverge: true } };
  if (/^post.?copy/i.test(name) && afterMs > 0)
    return { mechanism: "hybrid", threads, parameters: { preCopyRounds: 100, postCopyAfterMs: afterMs } };
  if (/^post.?copy/i.test(name)) return { mechanism: "post-copy", threads, parameters };
  if (/^stop/i.test(name)) return { mechanism: "stop-and-copy", threads, parameters };
  return /^pre.?copy/i.test(name) ? { mechanism: "pre-copy", threads, parameters } : null;
}

type Table = Record<string, string>[];

export function thesisRows(folder: string): Row[] {
  const migrations = tableOf(folder, "qemu-thesis", "migrations.csv");
  const iterations = tableOf(folder, "qemu-thesis", "iterations.csv");
  return [...new Set(migrations.map((row) => row["scenario"] ?? ""))].flatMap((name) => {
    const scenario = scenarioOf(name);
    if (scenario === null) return [];
    const others = (table: Table) => table.filter((row) => row["scenario"] !== name);
    const input = scenarioInput(scenario, others(migrations), others(iterations));
    return migrations
      .filter((row) => row["scenario"] === name && row["status"] === "completed")
      .map((row): Row => ({
        id: `${name}-${row["run"]}`,
        case: "qemu-thesis",
        cluster: "thesis",
        subject: name,
        fold: name,
        group: name,
        mechanism: scenario.mechanism,
        disturbed: false,
        inputs: { oracle: input },
        measured: {
          totalMs: numberOf(row["total_time_ms"]),
          bytes: numberOf(row["transferred"]),
          // QEMU's own figure is the blackout for pre-copy only (traps of the data).
          downtimeMs: scenario.mechanism === "pre-copy" ? numberOf(row["downtime_ms"]) : null,
          lostVcpuSeconds: null,
          converged: true,
        },
      }));
  });
}

function scenarioInput({ mechanism, threads, parameters }: Scenario, migrations: Table, iterations: Table) {
  return inputOf({
    hypervisor: "kvm",
    driver: "qmp",
    hypervisorVersion: "10.1",
    accelerator: "kvm",
    resumedBy: "hypervisor",
    vm: {
      memoryBytes: MEMORY_BYTES,
      ...nonzeroOf(threads, migrations, iterations),
      vcpus: VCPUS,
      cpuUsedCores: Math.min(VCPUS, threads * CORES_PER_THREAD),
      dirtyCurve: loadCurve(threads, iterations),
      dirtyMethod: "migration-rounds",
    },
    link: { bytesPerSecond: LOOPBACK_BYTES_PER_SECOND, rttMs: 0.05, concurrentMigrations: 0 },
    parameters: { ...parameters, deadlineMs: 3_600_000 },
    mechanisms: [mechanism],
  });
}

const of = (row: Record<string, string>): Scenario | null => scenarioOf(row["scenario"] ?? "");
const threadsOf = (row: Record<string, string>): number => of(row)?.threads ?? Number.NaN;

/** Normal pages of migrations under the same load that sent every page once, or of the first round of the others, if any. */
function nonzeroOf(threads: number, migrations: Table, iterations: Table): { nonzeroBytes?: number } {
  const once = migrations.filter(
    (row) => threadsOf(row) === threads && ["post-copy", "stop-and-copy"].includes(of(row)?.mechanism ?? ""),
  );
  const rounds = iterations.filter((row) => threadsOf(row) === threads && row["sync"] === "2");
  const pages = median((once.length > 0 ? once : rounds).map((row) => Number(row["normal"])));
  return Number.isNaN(pages) ? {} : { nonzeroBytes: Math.min(MEMORY_BYTES, Math.round(pages * PAGE_BYTES)) };
}

/**
 * Distinct bytes dirtied in a window, over the other scenarios' unthrottled rounds. All threads do the same work, so that n
 * of them dirty in a second what one dirties in n.
 */
function loadCurve(threads: number, iterations: Table) {
  const points = iterations.flatMap((row, index) => {
    const before = iterations[index - 1];
    if (before === undefined || before["run"] !== row["run"] || before["scenario"] !== row["scenario"]) return [];
    const windowMs = Number(row["t_ms"]) - Number(before["t_ms"]);
    const rate = Number(row["dirty_pages_rate"]);
    if (windowMs < ROUND_MS_MIN || rate === 0 || Number(row["throttle"]) > 0) return [];
    return [{ threadSeconds: (windowMs * threadsOf(row)) / 1000, bytes: (rate * windowMs * PAGE_BYTES) / 1000 }];
  });
  let bytes = 0;
  return THREAD_SECONDS.flatMap((threadSeconds) => {
    const near = points.filter((point) => Math.abs(Math.log(point.threadSeconds / threadSeconds)) < Math.LN2 / 2);
    if (near.length === 0) return [];
    // Along a ray from 0: a window a little longer has dirtied a little more.
    bytes = Math.max(bytes, median(near.map((point) => (point.bytes * threadSeconds) / point.threadSeconds)));
    return [{ windowMs: (1000 * threadSeconds) / threads, bytes: Math.round(bytes) }];
  });
}
