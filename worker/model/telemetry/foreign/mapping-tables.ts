// Which series of other collectors make which metric of the catalogue, as data. What is not listed is stored under its own
// name. Names were checked against bodies that node_exporter 1.5, prometheus-libvirt-exporter 0.2 and OpenTelemetry's
// host-metrics for JavaScript 0.39 sent; those of the collector's hostmetrics receiver are from its documentation.

/** A condition on one label, which has one of several names; a label that is missing has the value "". */
export type Condition = { labels: readonly string[]; in?: readonly string[]; unless?: RegExp };

export type Term = {
  /** The series' name, as sent. */
  source: string;
  where: readonly Condition[];
  /** The catalogue's name. */
  metric: string;
  scope: "host" | "vm";
  /** What a value, or a rate, is multiplied by. */
  factor: number;
  /** The value only rises: its rate per second counts. */
  isCounter: boolean;
  /** How the series of one target and collector are put together. */
  combine: "sum" | "max";
  /** Which part of the target this is, of how many: without one of each there is no value. */
  part: number;
  parts: number;
  /** Labels that tell the series of one term apart, each under one of several names. All others are the scrape's. */
  by: readonly (readonly string[])[];
  /** Whose names these are. What different collectors say of one metric is never put together. */
  collector: "node" | "libvirt" | "otel";
};

const term = (
  collector: Term["collector"],
  source: string,
  metric: string,
  rest: Partial<Omit<Term, "collector" | "source" | "metric">> = {},
): Term => ({
  source,
  where: [],
  metric,
  scope: collector === "libvirt" ? "vm" : "host",
  factor: 1,
  isCounter: false,
  combine: "sum",
  part: 0,
  parts: 1,
  by: [],
  collector,
  ...rest,
});

/** Traffic that another interface counts too, or that never leaves the host: loopback, VMs', bridges, bonds, tunnels. */
const NOT_A_NIC = new RegExp(
  `^(${[
    "lo|veth|vnet|tap|tun|virbr|vmbr|br-|brq|br\\d|docker|podman|bond|team|vlan|ifb|dummy|wg|sit|gre|ip6tnl|vxlan",
    "genev|macv|ipvl|ovs|cali|cilium|flannel|cni|kube|nodelocaldns|lxc|lxd|fwbr|fwln|fwpr|tailscale|zt|nlmon",
  ].join("|")})|[.@:]`,
);
/** Disks that another one counts too, or that are none: partitions, mappings, arrays, memory, media. */
const NOT_A_DISK =
  /^(loop|ram|zram|dm-|md|drbd|bcache|sr|fd)\d*|^([shv]d[a-z]+|xvd[a-z]+)\d+$|^(nvme\d+n\d+|mmcblk\d+)p\d+$/;

const DEVICE = ["device", "network.interface.name", "system.device"];
const nic: Condition = { labels: DEVICE, unless: NOT_A_NIC };
const disk: Condition = { labels: DEVICE, unless: NOT_A_DISK };
const perDevice = { isCounter: true, by: [DEVICE] };

const NODE: readonly Term[] = [
  // Guest time is part of user and nice time.
  term("node", "node_cpu_seconds_total", "cpu_used_cores", {
    where: [{ labels: ["mode"], in: ["user", "nice", "system", "irq", "softirq", "steal"] }],
    isCounter: true,
    by: [["mode"], ["cpu"]],
  }),
  term("node", "node_memory_MemTotal_bytes", "memory_used_bytes", { parts: 2 }),
  term("node", "node_memory_MemAvailable_bytes", "memory_used_bytes", { factor: -1, part: 1, parts: 2 }),
  // A second per second of waiting is a ratio.
  term("node", "node_pressure_cpu_waiting_seconds_total", "cpu_pressure_ratio", { isCounter: true }),
  term("node", "node_pressure_memory_waiting_seconds_total", "memory_pressure_ratio", { isCounter: true }),
  term("node", "node_network_receive_bytes_total", "network_receive_bytes_per_second", { where: [nic], ...perDevice }),
  term("node", "node_network_transmit_bytes_total", "network_transmit_bytes_per_second", {
    where: [nic],
    ...perDevice,
  }),
  term("node", "node_disk_read_bytes_total", "disk_read_bytes_per_second", { where: [disk], ...perDevice }),
  term("node", "node_disk_written_bytes_total", "disk_write_bytes_per_second", { where: [disk], ...perDevice }),
  // Joules per second. The domains core and uncore are within package.
  term("node", "node_rapl_package_joules_total", "power_watts", { isCounter: true, by: [["index"], ["path"]] }),
  term("node", "node_rapl_dram_joules_total", "power_watts", { isCounter: true, by: [["index"], ["path"]] }),
  term("node", "node_edac_correctable_errors_total", "ecc_corrected_errors_per_second", {
    isCounter: true,
    by: [["controller"]],
  }),
  term("node", "node_edac_uncorrectable_errors_total", "ecc_uncorrected_errors_per_second", {
    isCounter: true,
    by: [["controller"]],
  }),
  term("node", "node_hwmon_temp_celsius", "temperature_celsius", { combine: "max", by: [["chip"], ["sensor"]] }),
];

const TARGET_DEVICE = { isCounter: true, by: [["target_device"]] };

const LIBVIRT: readonly Term[] = [
  term("libvirt", "libvirt_domain_info_cpu_time_seconds_total", "cpu_used_cores", { isCounter: true }),
  term("libvirt", "libvirt_domain_info_memory_usage_bytes", "memory_used_bytes"),
  term(
    "libvirt",
    "libvirt_domain_interface_stats_receive_bytes_total",
    "network_receive_bytes_per_second",
    TARGET_DEVICE,
  ),
  term(
    "libvirt",
    "libvirt_domain_interface_stats_transmit_bytes_total",
    "network_transmit_bytes_per_second",
    TARGET_DEVICE,
  ),
  term("libvirt", "libvirt_domain_block_stats_read_bytes_total", "disk_read_bytes_per_second", TARGET_DEVICE),
  term("libvirt", "libvirt_domain_block_stats_write_bytes_total", "disk_write_bytes_per_second", TARGET_DEVICE),
];

const CPU_STATE = ["cpu.mode", "system.cpu.state", "state"];
const CPU_NUMBER = ["cpu.logical_number", "system.cpu.logical_number", "cpu"];
const MEMORY_STATE = ["system.memory.state", "state"];
const NET_DIRECTION = ["network.io.direction", "direction"];
const DISK_DIRECTION = ["disk.io.direction", "system.disk.direction", "direction"];

const OTEL: readonly Term[] = [
  term("otel", "system.cpu.time", "cpu_used_cores", {
    where: [{ labels: CPU_STATE, in: ["user", "nice", "system", "kernel", "irq", "interrupt", "softirq", "steal"] }],
    isCounter: true,
    by: [CPU_STATE, CPU_NUMBER],
  }),
  term("otel", "system.memory.usage", "memory_used_bytes", { where: [{ labels: MEMORY_STATE, in: ["used"] }] }),
  term("otel", "system.network.io", "network_receive_bytes_per_second", {
    where: [nic, { labels: NET_DIRECTION, in: ["receive"] }],
    ...perDevice,
  }),
  term("otel", "system.network.io", "network_transmit_bytes_per_second", {
    where: [nic, { labels: NET_DIRECTION, in: ["transmit"] }],
    ...perDevice,
  }),
  term("otel", "system.disk.io", "disk_read_bytes_per_second", {
    where: [disk, { labels: DISK_DIRECTION, in: ["read"] }],
    ...perDevice,
  }),
  term("otel", "system.disk.io", "disk_write_bytes_per_second", {
    where: [disk, { labels: DISK_DIRECTION, in: ["write"] }],
    ...perDevice,
  }),
];

export const TERMS: readonly Term[] = [...NODE, ...LIBVIRT, ...OTEL];

/** One exporter a host has these names: which job or service asked for them tells no series apart. */
export const COLLECTOR_PREFIXES: readonly string[] = ["node_", "libvirt_", "system."];
