// The reference workload: hypervisors of 20 VMs each, 20 series of the host and 12 of every VM, one scrape in 15 s. The
// same seed gives the same values on every machine, so that one run can be compared with another one's stored bytes.
import { randomOf } from "../../../worker/model/forecast/random.ts";
import { type Hypervisor, hostProcess, nothingDone, vmProcess } from "./processes.ts";

export const STEP_MS = 15_000;
export const VMS = 20;
export const DEFAULT_SEED = 0xc0ffee;

export const VM_METRICS = [
  "hv_vm_cpu_percent",
  "hv_vm_cpu_steal_percent",
  "hv_vm_mem_used_bytes",
  "hv_vm_mem_balloon_bytes",
  "hv_vm_dirty_pages_per_second",
  "hv_vm_net_rx_bytes_total",
  "hv_vm_net_tx_bytes_total",
  "hv_vm_disk_read_bytes_total",
  "hv_vm_disk_write_bytes_total",
  "hv_vm_disk_read_ops_total",
  "hv_vm_disk_write_ops_total",
  "hv_vm_vcpu_seconds_total",
] as const;

export const HOST_METRICS = [
  "hv_host_cpu_user_percent",
  "hv_host_cpu_system_percent",
  "hv_host_cpu_iowait_percent",
  "hv_host_load1",
  "hv_host_mem_used_bytes",
  "hv_host_mem_free_bytes",
  "hv_host_mem_cached_bytes",
  "hv_host_power_watts",
  "hv_host_energy_joules_total",
  "hv_host_temperature_celsius",
  "hv_host_net_rx_bytes_total",
  "hv_host_net_tx_bytes_total",
  "hv_host_net_rx_packets_total",
  "hv_host_net_tx_packets_total",
  "hv_host_disk_read_bytes_total",
  "hv_host_disk_write_bytes_total",
  "hv_host_disk_io_seconds_total",
  "hv_host_context_switches_total",
  "hv_host_vms_running",
  "hv_host_uptime_seconds",
] as const;

export const SERIES_OF_HOST = HOST_METRICS.length + VMS * VM_METRICS.length;

export type Series = { metric: string; values: Float64Array };
export type HostLoad = {
  host: string;
  /** ms since 1970; one in ten is up to 2 ms off its place. */
  times: number[];
  series: Series[];
  vms: { uuid: string; series: Series[] }[];
};

export type Span = { seed: number; /** ms since 1970 */ from: number; steps: number };

/** By seed, steps and host: a whole fleet takes seconds to make and is needed many times, 8 bytes a sample. */
const made = new Map<string, HostLoad>();

/** Host number `index` of the workload. `from` moves its times and nothing else. */
export function hostLoad(index: number, { seed, from, steps }: Span): HostLoad {
  const key = `${seed} ${steps} ${index}`;
  const load = made.get(key) ?? loadFromZero(index, seed, steps);
  made.set(key, load);
  return { ...load, times: load.times.map((time) => time + from) };
}

function loadFromZero(index: number, seed: number, steps: number): HostLoad {
  const random = randomOf(seed + index * 7919);
  const phase = Math.floor(random() * STEP_MS);
  const late = Array.from({ length: steps }, () => (random() < 0.1 ? Math.floor(random() * 5) - 2 : 0));
  const sums = Array.from({ length: steps }, nothingDone);
  const sumOf = (step: number): Hypervisor => sums[step] ?? nothingDone();
  const vms = Array.from({ length: VMS }, () => {
    const uuid = uuidOf(random);
    const next = vmProcess(random);
    return { uuid, series: filled(VM_METRICS, steps, (step) => next(sumOf(step))) };
  });
  const next = hostProcess(random, VMS);
  const series = filled(HOST_METRICS, steps, (step) => next(sumOf(step), step, (late[step] ?? 0) / 1000));
  const times = late.map((ms, step) => phase + step * STEP_MS + ms);
  return { host: `hv-${String(index).padStart(3, "0")}`, times, series, vms };
}

function filled(metrics: readonly string[], steps: number, valuesAt: (step: number) => number[]): Series[] {
  const series = metrics.map((metric) => ({ metric, values: new Float64Array(steps) }));
  for (let step = 0; step < steps; step++)
    valuesAt(step).forEach((value, place) => {
      const values = series[place]?.values;
      if (values) values[step] = value;
    });
  return series;
}

function uuidOf(random: () => number): string {
  const digits = (count: number): string =>
    Array.from({ length: count }, () => Math.floor(random() * 16).toString(16)).join("");
  return `${digits(8)}-${digits(4)}-4${digits(3)}-a${digits(3)}-${digits(12)}`;
}
