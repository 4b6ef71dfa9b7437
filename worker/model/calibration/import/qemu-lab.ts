// Rows of Drover's own QEMU lab. White list: what a collector knew before and what was configured of the migration; the
// guest's configured workload is never read, since no collector would have known it.
import type { Mechanism } from "../../wire/common.ts";
import { MIB, PAGE_BYTES } from "../../units.ts";
import { textAt } from "./cells.ts";
import { numberOf } from "./shape.ts";
import type { Fields, Shape, SourceRecord, Technique } from "./shape.ts";

/** The lab pads guest memory by this much. */
const ODD_BYTES = 131_072;
/** Unshaped loopback: faster than one QEMU stream. */
const LOOPBACK_BYTES_PER_SECOND = 2e9;

const MECHANISMS: Record<string, Mechanism> = {
  precopy: "pre-copy",
  postcopy: "post-copy",
  hybrid: "hybrid",
  stopcopy: "stop-and-copy",
};

/** What an option sets when it is named, and when it is not: the lab notes its parameters down either way. */
const OPTIONS: Record<string, { on: Fields; off: Fields }> = {
  "auto-converge": { on: { "parameters.autoConverge": true }, off: { "parameters.autoConverge": false } },
  xbzrle: { on: { "parameters.xbzrle": true }, off: { "parameters.xbzrle": false } },
  multifd: { on: {}, off: { "parameters.multifdChannels": 0, "parameters.compression": "none" } },
  compress: { on: {}, off: { "parameters.compressThreads": 0 } },
};

/** `precopy+xbzrle`: a mechanism and its options. */
function techniqueOf(word: string): Technique | null {
  const [base = "", ...named] = word.split("+");
  const mechanism = Object.hasOwn(MECHANISMS, base) ? MECHANISMS[base] : undefined;
  if (mechanism === undefined || named.some((option) => !Object.hasOwn(OPTIONS, option))) return null;
  const settings = Object.entries(OPTIONS).map(([name, { on, off }]) => (named.includes(name) ? on : off));
  return { mechanism, fields: Object.assign({}, ...settings) as Fields };
}

export const qemuLab: Shape = {
  name: "qemu-lab",
  signature: ["spec.mech", "spec.ram_mib", "result", "pre"],
  columns: [
    { column: "result.total_time_s", field: "measured.totalMs", kind: "number", times: 1000 },
    // Source STOP to destination RESUME; never `downtime_s`, which is QEMU's own figure.
    { column: "result.event_blackout_s", field: "measured.downtimeMs", kind: "number", times: 1000 },
    { column: "result.ram_transferred_bytes", field: "measured.transferredBytes", kind: "number" },
    { column: "result.lost_work_s", field: "measured.lostVcpuSeconds", kind: "number" },
    { column: "converged", field: "converged", kind: "boolean" },
    { column: "wall_end", field: "at", kind: "number", times: 1000 },
    { column: "spec.ram_mib", field: "vm.memoryBytes", kind: "number", times: MIB, plus: ODD_BYTES },
    { column: "pre.nonzero_bytes_sampled", field: "vm.nonzeroBytes", kind: "number", atMost: "vm.memoryBytes" },
    { column: "spec.smp", field: "vm.vcpus", kind: "number" },
    { column: "pre.vcpu_util", field: "vm.cpuUsedCores", kind: "number", atMost: "vm.vcpus" },
    ...["pre.dirty_rate_sampling4096_mibps", "pre.dirty_rate_sampling512_mibps"].map((column) => ({
      column,
      field: "vm.dirtyRateBytesPerSecond",
      kind: "number" as const,
      times: MIB,
      atMost: "vm.memoryBytes",
    })),
    { column: "link_mbit", field: "link.bytesPerSecond", kind: "number", times: 1e6 / 8 },
    { column: "spec.bw_mibps", field: "parameters.maxBandwidthBytesPerSecond", kind: "number", times: MIB },
    ...["spec.postcopy_bw_mibps", "spec.bw_mibps"].map((column) => ({
      column,
      field: "parameters.maxPostCopyBandwidthBytesPerSecond",
      kind: "number" as const,
      times: MIB,
    })),
    { column: "spec.downtime_limit_ms", field: "parameters.downtimeLimitMs", kind: "number" },
    { column: "spec.xbzrle_cache_mib", field: "parameters.xbzrleCacheBytes", kind: "number", times: MIB },
    { column: "spec.multifd_channels", field: "parameters.multifdChannels", kind: "number" },
    { column: "spec.multifd_comp", field: "parameters.compression", kind: "text" },
    { column: "spec.compress_threads", field: "parameters.compressThreads", kind: "number" },
    { column: "spec.cap_s", field: "parameters.deadlineMs", kind: "number", times: 1000 },
  ],
  constants: {
    hypervisor: "kvm",
    driver: "qmp",
    hypervisorVersion: "7.2.22",
    accelerator: "tcg",
    resumedBy: "hypervisor",
    "vm.pageSizeBytes": PAGE_BYTES,
    "link.rttMs": 0.05,
    "parameters.preCopyRounds": 1,
    "parameters.onDeadline": "cancel",
  },
  technique: {
    column: "spec.mech",
    words: [...Object.keys(MECHANISMS), ...Object.keys(OPTIONS).map((name) => `+${name}`)],
    of: techniqueOf,
  },
  refusals: [
    { column: "ok", is: "false", reason: "the run itself failed" },
    { column: "disturbed", is: "true", reason: "something else used the host's CPU meanwhile" },
  ],
  derive: (fields: Fields, record: SourceRecord): Fields => {
    const postCopy = numberOf(fields, "parameters.maxPostCopyBandwidthBytesPerSecond");
    const lost = numberOf(fields, "measured.lostVcpuSeconds") ?? 0;
    return {
      // 0 and absent alike: not shaped.
      "link.bytesPerSecond": numberOf(fields, "link.bytesPerSecond") || LOOPBACK_BYTES_PER_SECOND,
      "link.concurrentMigrations": textAt(record, "concurrent_with") === "" ? 0 : 1,
      // 0 is QEMU's word for unlimited.
      ...(postCopy === 0 ? { "parameters.maxPostCopyBandwidthBytesPerSecond": null } : {}),
      ...(fields["vm.dirtyRateBytesPerSecond"] === undefined ? {} : { "vm.dirtyRateWindowMs": 1000 }),
      // Slightly under 0 is the noise of a guest that lost nothing; far under 0 is a rule of `misreported.ts`.
      ...(lost < 0 && lost >= -0.1 ? { "measured.lostVcpuSeconds": 0 } : {}),
    };
  },
};
