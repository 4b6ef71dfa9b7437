// The thesis's rows: one guest of 8 GiB under database load, QEMU's defaults. Nothing was measured before these migrations, so
// that only the oracle track exists: what is known of the load is taken from the other scenarios, never from the row's own.
import { GIB } from "../../../worker/model/units.ts";
import type { Mechanism } from "../../../worker/model/wire/common.ts";
import { median } from "./metrics.ts";
import { inputOf, numberOf, tableOf } from "./rows.ts";
import type { Row } from "./rows.ts";

const PAGE_BYTES = 4096;
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

const SCENARIOS: Record<string, Scenario> = {
  Precopy_Convergent: { mechanism: "pre-copy", threads: 4, parameters: {} },
  Autoconverge_16T: { mechanism: "pre-copy", threads: 16, parameters: { autoConverge: true } },
  Postcopy_4T: { mechanism: "post-copy", threads: 4, parameters: {} },
  Postcopy_Late_16T_25s: {
    mechanism: "hybrid",
    threads: 16,
    parameters: { preCopyRounds: 100, postCopyAfterMs: 25_000 },
  },
  Stop_Copy_4T: { mechanism: "stop-and-copy", threads: 4, parameters: {} },
};

type Table = Record<string, string>[];

export function thesisRows(folder: string): Row[] {
  const migrations = tableOf(folder, "qemu-thesis", "migrations.csv");
  const iterations = tableOf(folder, "qemu-thesis", "iterations.csv");
  return Object.entries(SCENARIOS).flatMap(([name, scenario]) => {
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
  const memoryBytes = 8 * GIB;
  return inputOf({
    hypervisor: "kvm",
    driver: "qmp",
    hypervisorVersion: "10.1",
    accelerator: "kvm",
    resumedBy: "hypervisor",
    vm: {
      memoryBytes,
      nonzeroBytes: Math.min(memoryBytes, Math.round(nonzeroPages(threads, migrations, iterations) * PAGE_BYTES)),
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

const threadsOf = (row: Record<string, string>): number => SCENARIOS[row["scenario"] ?? ""]?.threads ?? Number.NaN;

/** Normal pages of migrations under the same load that sent every page once, or of the first round of the others. */
function nonzeroPages(threads: number, migrations: Table, iterations: Table): number {
  const once = migrations.filter(
    (row) => threadsOf(row) === threads && ["Postcopy_4T", "Stop_Copy_4T"].includes(row["scenario"] ?? ""),
  );
  const rounds = iterations.filter((row) => threadsOf(row) === threads && row["sync"] === "2");
  return median((once.length > 0 ? once : rounds).map((row) => Number(row["normal"])));
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
