// The QEMU lab's rows. White lists: `pre` and the configured parameters of `spec` for the collector, the configured workload
// besides for the oracle. `final`, `result` and events are truth only.
import { MIB } from "../../../worker/model/units.ts";
import type { Mechanism } from "../../../worker/model/wire/common.ts";
import { inputOf, linesOf } from "./rows.ts";
import type { Row } from "./rows.ts";

/** What was configured of the migration and of the VM's hardware, not of what the guest does. */
type Configured = {
  ram_mib: number;
  smp: number;
  bw_mibps: number;
  postcopy_bw_mibps: number | null;
  downtime_limit_ms: number;
  mech: string;
  xbzrle_cache_mib: number;
  multifd_channels: number;
  multifd_comp: string;
  compress_threads: number;
  cap_s: number;
};

type Workload = {
  fill_mib: number;
  content: "random" | "patterned" | "zero";
  ws_mib: number;
  rate: number;
  hot_pct: number;
  hot_set_pct: number;
  seq: number;
  threads: number;
};

type Collected = {
  dirty_rate_sampling4096_mibps: number | null;
  dirty_rate_sampling512_mibps?: number | null;
  vcpu_util: number;
  nonzero_bytes_sampled: number;
};

type LabRow = {
  id: string;
  ok: boolean;
  disturbed?: boolean | null;
  concurrent_with?: string | null;
  link_mbit?: number | null;
  spec: Configured & Workload & Record<string, unknown>;
  pre: Collected;
  converged: boolean;
  result: Record<string, number | null>;
};

/** The lab's own padding of guest memory, so that no aligned fast path is taken. */
const ODD_BYTES = 131_072;
const PAGE_BYTES = 4096;
/** Unshaped loopback is faster than one QEMU stream; a shaped one carries its rate, its frames of 64 KiB having next to no headers. */
const LOOPBACK_BYTES_PER_SECOND = 2e9;
/** What the guest writes before the migration starts, while the collector samples. */
const COLLECTING_MS = 1400;
/** The kernel's and the programs' own non-zero pages in the lab's guest: more of a small guest than of a larger one. */
const guestBytes = (memoryBytes: number): number =>
  Math.min(51.8 * MIB + 0.0504 * memoryBytes, 70.6 * MIB + 0.0137 * memoryBytes);
/** Where the configured workload's curve is sampled. */
const WINDOWS_MS = [10, 30, 100, 200, 350, 500, 750, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 12_000, 20_000, 40_000];

const MECHANISMS: Record<string, Mechanism> = { postcopy: "post-copy", hybrid: "hybrid", stopcopy: "stop-and-copy" };

export function labRows(folder: string): Row[] {
  return linesOf(folder, "qemu-lab", "migrations.jsonl").flatMap((line) => {
    const row = JSON.parse(line) as LabRow;
    return row.ok ? [rowOf(row)] : [];
  });
}

function rowOf(row: LabRow): Row {
  const { rep: _, group: __, ...configuration } = row.spec;
  const mechanism = MECHANISMS[row.spec.mech] ?? "pre-copy";
  const { result } = row;
  const ms = (value: number | null | undefined) => (typeof value === "number" ? value * 1000 : null);
  return {
    id: row.id,
    case: "qemu-lab",
    cluster: "lab",
    subject: JSON.stringify(configuration),
    fold: JSON.stringify([configuration, row.link_mbit ?? 0]),
    group: row.spec.mech === "precopy" ? "pre-copy, plain" : row.spec.mech.replace(/^precopy/, "pre-copy"),
    mechanism,
    disturbed: row.disturbed === true,
    inputs: {
      collector: inputOf({ ...circumstances(row, mechanism), vm: collectedVm(row) }),
      oracle: inputOf({ ...circumstances(row, mechanism), vm: workloadVm(row) }),
    },
    measured: {
      totalMs: row.converged ? ms(result["total_time_s"]) : null,
      bytes: row.converged ? (result["ram_transferred_bytes"] ?? null) : null,
      downtimeMs: row.converged ? ms(result["event_blackout_s"]) : null,
      lostVcpuSeconds: lostVcpuSeconds(row, mechanism),
      converged: row.converged,
    },
  };
}

/**
 * Seconds of the guest's undisturbed work; under −0.1 its rate was not yet steady when it was measured (README of the data). A
 * guest that stands still from beginning to end has lost nothing besides its downtime.
 */
function lostVcpuSeconds({ result, pre }: LabRow, mechanism: Mechanism): number | null {
  const lost = result["lost_work_s"];
  if (typeof lost !== "number" || lost < -0.1 || mechanism === "stop-and-copy") return null;
  return lost * Math.max(1, pre.vcpu_util);
}

function circumstances({ spec, link_mbit, concurrent_with }: LabRow, mechanism: Mechanism) {
  const has = (option: string) => spec.mech.includes(`+${option}`);
  const shaped = typeof link_mbit === "number" && link_mbit > 0;
  const postCopyMib = spec.postcopy_bw_mibps ?? spec.bw_mibps;
  return {
    hypervisor: "kvm",
    driver: "qmp",
    hypervisorVersion: "7.2.22",
    accelerator: "tcg",
    resumedBy: "hypervisor",
    link: {
      bytesPerSecond: shaped ? (link_mbit * 1e6) / 8 : LOOPBACK_BYTES_PER_SECOND,
      rttMs: 0.05,
      concurrentMigrations: typeof concurrent_with === "string" ? 1 : 0,
    },
    parameters: {
      maxBandwidthBytesPerSecond: spec.bw_mibps * MIB,
      maxPostCopyBandwidthBytesPerSecond: postCopyMib === 0 ? null : postCopyMib * MIB,
      downtimeLimitMs: spec.downtime_limit_ms,
      autoConverge: has("auto-converge"),
      xbzrle: has("xbzrle"),
      xbzrleCacheBytes: spec.xbzrle_cache_mib * MIB,
      multifdChannels: has("multifd") ? spec.multifd_channels : 0,
      compression: has("multifd") ? spec.multifd_comp : "none",
      compressThreads: has("compress") ? spec.compress_threads : 0,
      preCopyRounds: 1,
      deadlineMs: spec.cap_s * 1000,
      onDeadline: "cancel",
    },
    mechanisms: [mechanism],
  };
}

function collectedVm({ spec, pre }: LabRow) {
  const memoryBytes = spec.ram_mib * MIB + ODD_BYTES;
  const dirtyMib = pre.dirty_rate_sampling4096_mibps ?? pre.dirty_rate_sampling512_mibps ?? null;
  return {
    memoryBytes,
    nonzeroBytes: Math.min(memoryBytes, pre.nonzero_bytes_sampled),
    pageSizeBytes: PAGE_BYTES,
    vcpus: spec.smp,
    cpuUsedCores: Math.min(spec.smp, pre.vcpu_util),
    ...(dirtyMib === null
      ? {}
      : { dirtyRateBytesPerSecond: Math.min(memoryBytes, dirtyMib * MIB), dirtyRateWindowMs: 1000 }),
  };
}

function workloadVm(row: LabRow) {
  const { spec } = row;
  const memoryBytes = spec.ram_mib * MIB + ODD_BYTES;
  const dirtied = workloadCurve(row);
  const filled = spec.content === "zero" ? 0 : spec.fill_mib * MIB;
  // Pages of the working set that were zero before the guest wrote to them.
  const zeroShare = 1 - Math.min(1, filled / Math.max(1, spec.ws_mib * MIB));
  const atFirst = guestBytes(memoryBytes) + filled;
  // The first pass meets a page that was zero when it began, and is not when its turn comes, as a normal one: half of its time.
  const firstPassMs = (1000 * atFirst) / (spec.bw_mibps * MIB);
  const nonzeroBytes = atFirst + zeroShare * dirtied(COLLECTING_MS + firstPassMs / 2);
  return {
    ...collectedVm(row),
    nonzeroBytes: Math.round(Math.min(memoryBytes, nonzeroBytes)),
    workingSetBytes: Math.min(memoryBytes, spec.ws_mib * MIB),
    compressionRatio: compressionRatioOf(row),
    dirtyCurve: WINDOWS_MS.map((windowMs) => ({ windowMs, bytes: Math.min(memoryBytes, dirtied(windowMs)) })),
  };
}

/** Random content does not shrink; the rest of a guest to about a quarter. */
function compressionRatioOf({ spec }: LabRow): number {
  const rest = guestBytes(spec.ram_mib * MIB);
  const random = spec.content === "random" ? spec.fill_mib * MIB : 0;
  return (random + rest) / (random + rest / 4);
}

/** Distinct bytes that the configured writes hit in a window: uniform in each of two sets, or one after the other. */
function workloadCurve({ spec, pre }: LabRow): (windowMs: number) => number {
  const flatOut = (pre as { actual_write_rate_pps?: number }).actual_write_rate_pps ?? 0;
  const pagesPerMs = (spec.rate < 0 ? flatOut : spec.rate) / 1000;
  const pages = (spec.ws_mib * MIB) / PAGE_BYTES;
  const hot = spec.hot_pct / 100;
  const hotPages = Math.max(1, (pages * spec.hot_set_pct) / 100);
  const uniform = (share: number, of: number, windowMs: number) =>
    of <= 0 ? 0 : -of * Math.expm1((-pagesPerMs * share * windowMs) / of);
  return (windowMs) => {
    if (spec.seq === 1) return PAGE_BYTES * Math.min(pages, pagesPerMs * windowMs);
    if (hot === 0) return PAGE_BYTES * uniform(1, pages, windowMs);
    return PAGE_BYTES * (uniform(hot, hotPages, windowMs) + uniform(1 - hot, pages - hotPages, windowMs));
  };
}
