// A cluster of hosts with 20 VMs each, as their agents tell of it: one host in eight is hot.
import { randomOf } from "../../../worker/model/forecast/random.ts";

const GIB = 2 ** 30;
const VMS = 20;
const HOT_EVERY = 8;
export const STEP_MS = 15_000;

export const hostName = (index: number): string => `hv-${String(index).padStart(4, "0")}`;

const uuidOf = (host: number, vm: number): string =>
  `00000000-0000-4000-8000-${(host * 1000 + vm).toString(16).padStart(12, "0")}`;

export const inventoryOf = (host: number) => ({
  cluster: "bench",
  sequence: 1,
  bootId: "bench",
  hypervisor: "kvm",
  hypervisorVersion: "QEMU 9.2",
  driver: { name: "libvirt", version: "11.0" },
  cpu: { model: "EPYC-Milan", cores: 96, features: Array.from({ length: 80 }, (_, index) => `feature-${index}`) },
  memoryBytes: 768 * GIB,
  machineTypes: ["pc-q35-9.2", "pc-q35-9.1", "pc-q35-9.0", "pc-i440fx-9.2"],
  pools: [
    { name: "ceph", shared: true },
    { name: "local", shared: false },
  ],
  networks: ["lan", "dmz", "storage"],
  migration: { bytesPerSecond: 2.9e9, rttMs: 0.1 },
  power: { idleWatts: 180, peakWatts: 640 },
  rack: `r${Math.floor(host / 20)}`,
  zone: "a",
  vms: Array.from({ length: VMS }, (_, vm) => ({
    uuid: uuidOf(host, vm),
    name: `vm-${host}-${vm}`,
    state: "running",
    vcpus: 4,
    memoryBytes: 16 * GIB,
    overheadBytes: GIB / 4,
    cpuMode: "host-model",
    machineType: "pc-q35-9.2",
    disks: [
      { id: "vda", bytes: 40 * GIB, pool: "ceph", shared: true, cacheMode: "none" },
      { id: "vdb", bytes: 200 * GIB, pool: "ceph", shared: true, cacheMode: "none" },
    ],
    nics: [{ network: "lan" }],
    labels: { team: `t${vm % 7}`, service: `s${vm % 50}`, env: "production" },
  })),
});

const HOST_BASE = {
  cpu_used_cores: [30, 90],
  memory_used_bytes: [330 * GIB, 340 * GIB],
  network_receive_bytes_per_second: [2e8, 1e9],
  network_transmit_bytes_per_second: [2e8, 1e9],
  disk_read_bytes_per_second: [1e8, 1e8],
  disk_write_bytes_per_second: [1e8, 1e8],
  cpu_pressure_ratio: [0.02, 0.4],
  memory_pressure_ratio: [0.01, 0.02],
  power_watts: [350, 600],
  temperature_celsius: [55, 70],
} as const;

const VM_BASE = {
  cpu_used_cores: [1.5, 4],
  memory_used_bytes: [11 * GIB, 12 * GIB],
  memory_nonzero_bytes: [9 * GIB, 9 * GIB],
  memory_dirty_bytes_per_second: [4e6, 8e6],
  memory_working_set_bytes: [2 * GIB, 3 * GIB],
  network_receive_bytes_per_second: [1e7, 4e7],
  network_transmit_bytes_per_second: [1e7, 4e7],
  disk_read_bytes_per_second: [5e6, 5e6],
  disk_write_bytes_per_second: [5e6, 5e6],
  cpu_steal_ratio: [0.01, 0.1],
} as const;

/** A batch of a host: `steps` samples that end at `until`, ms since 1970. */
export function batchOf(host: number, until: number, steps: number): string {
  const random = randomOf(host * 7919 + Math.floor(until / STEP_MS));
  const place = host % HOT_EVERY === 0 ? 1 : 0;
  const digits = (value: number): number => (value > 1e6 ? Math.round(value) : Number(value.toFixed(3)));
  const columns = (base: Record<string, readonly [number, number]>) =>
    Object.fromEntries(
      Object.entries(base).map(([metric, levels]) => [
        metric,
        Array.from({ length: steps }, () => digits(levels[place] * (0.85 + random() * 0.15))),
      ]),
    );
  const uuids = Array.from({ length: VMS }, (_, vm) => uuidOf(host, vm));
  return JSON.stringify({
    host: hostName(host),
    batch: `${host}-${until}`,
    times: Array.from({ length: steps }, (_, step) => until - (steps - 1 - step) * STEP_MS),
    host_series: columns(HOST_BASE),
    vm_series: Object.fromEntries(uuids.map((uuid) => [uuid, columns(VM_BASE)])),
    vm_dirty_curves: Object.fromEntries(
      uuids.map((uuid) => [
        uuid,
        {
          at: until,
          method: "page-sampling",
          resolution_bytes: 1048576,
          points: [500, 1000, 2000, 5000, 10_000].map((ms) => [ms, Math.floor(ms * 1e4 * (0.8 + random() * 0.2))]),
        },
      ]),
    ),
  });
}
