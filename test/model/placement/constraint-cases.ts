// What each hard constraint refuses, with its numbers, and what it lets pass.
import type { PlanParameters, Rejection } from "../../../worker/model/placement/types.ts";
import { GIB, MIB, MINUTE_MS, SECOND_MS } from "../../../worker/model/units.ts";
import { type HostSpec, uuidOf, type VmSpec, type WorldSpec } from "../../support/world.ts";

/** One VM `app` on hv-01 that is to go to hv-02. */
export type Case = {
  name: string;
  vm?: Omit<VmSpec, "on">;
  from?: HostSpec;
  to?: HostSpec;
  others?: Record<string, VmSpec>;
  world?: Partial<WorldSpec>;
  parameters?: Partial<PlanParameters>;
};
export type Refused = Case & { rejection: Partial<Rejection>; says: string };

export const refused: Refused[] = [
  {
    name: "a destination never heard",
    to: { silentMs: null },
    rejection: { constraint: "host-unknown", hostId: "hv-02" },
    says: "never heard",
  },
  {
    name: "a destination silent for over 60 s",
    to: { silentMs: 61 * SECOND_MS },
    rejection: { constraint: "host-stale", hostId: "hv-02", required: 60_000, available: 61_000, unit: "ms" },
    says: "61 s ago",
  },
  {
    name: "a destination that lives but never sent its load",
    to: { cpuUsedCores: null },
    rejection: { constraint: "host-unknown", hostId: "hv-02" },
    says: "cpu_used_cores",
  },
  {
    name: "a destination whose load is over 5 min old",
    to: { loadAgeMs: 5 * MINUTE_MS + 1 },
    rejection: { constraint: "host-unknown", required: 300_000, available: 300_001 },
    says: "300 s ago",
  },
  {
    name: "a source whose load is over 5 min old",
    from: { loadAgeMs: 6 * MINUTE_MS },
    rejection: { constraint: "host-unknown", hostId: "hv-01" },
    says: "360 s ago",
  },
  {
    name: "a destination that is being evacuated",
    parameters: { hostIds: ["hv-02"] },
    rejection: { constraint: "host-being-evacuated", hostId: "hv-02" },
    says: "evacuated itself",
  },
  {
    name: "a destination whose agent lets none in",
    to: { policy: { in: false, out: true } },
    rejection: { constraint: "host-policy", hostId: "hv-02" },
    says: "`in`",
  },
  {
    name: "a source whose agent lets none out",
    from: { policy: { in: true, out: false } },
    rejection: { constraint: "host-policy", hostId: "hv-01" },
    says: "`out`",
  },
  {
    name: "a destination managed by an HA manager",
    to: { managedBy: "pacemaker" },
    rejection: { constraint: "host-managed", hostId: "hv-02" },
    says: "pacemaker",
  },
  {
    name: "a source managed by an HA manager",
    from: { managedBy: "pacemaker" },
    rejection: { constraint: "host-managed", hostId: "hv-01" },
    says: "pacemaker",
  },
  {
    name: "memory committed, however little is used",
    vm: { memoryBytes: 8 * GIB, overheadBytes: GIB },
    others: { idle: { on: "hv-02", memoryBytes: 49 * GIB, load: { memoryUsedBytes: GIB } } },
    rejection: { constraint: "memory", required: 9 * GIB, available: Math.floor(8.6 * GIB), unit: "bytes" },
    says: "409.6 MiB too much",
  },
  {
    name: "memory of a VM that is stopped there and may be started",
    vm: { memoryBytes: 8 * GIB },
    others: { stopped: { on: "hv-02", state: "shutoff", memoryBytes: 56 * GIB } },
    rejection: { constraint: "memory", required: 8 * GIB },
    says: "56.0 GiB",
  },
  {
    name: "memory reserved by a running migration",
    vm: { memoryBytes: 8 * GIB },
    world: { reservations: [{ toHostId: "hv-02", memoryBytes: 50 * GIB }] },
    rejection: { constraint: "memory", available: Math.floor(7.6 * GIB) },
    says: "50.0 GiB",
  },
  {
    name: "cores in use and reserved",
    vm: { cpuUsedCores: 3 },
    to: { cpuUsedCores: 10 },
    world: { reservations: [{ toHostId: "hv-02", cpuCores: 2 }] },
    rejection: { constraint: "cpu", required: 3, available: 16 * 0.9 - 12, unit: "cores" },
    says: "14.4 of its 16 cores",
  },
  {
    name: "a VM of unknown CPU use counts as all its vCPUs",
    vm: { cpuUsedCores: null, vcpus: 8 },
    to: { cpuUsedCores: 10 },
    rejection: { constraint: "cpu-unknown", required: 8, unit: "cores" },
    says: "all its 8 vCPUs",
  },
  {
    name: "a VM whose CPU use is over 5 min old counts as all its vCPUs",
    vm: { cpuUsedCores: 0, loadAgeMs: 6 * MINUTE_MS, vcpus: 8 },
    to: { cpuUsedCores: 10 },
    rejection: { constraint: "cpu-unknown", required: 8 },
    says: "unknown",
  },
  {
    name: "another hypervisor",
    to: { hypervisor: "xen" },
    rejection: { constraint: "hypervisor" },
    says: "hv-02 runs xen, hv-01 runs kvm",
  },
  {
    name: "a CPU without the source's features, for a guest that sees them",
    vm: { cpuMode: "host-model" },
    from: { features: ["avx", "avx512f", "sse4"] },
    to: { features: ["avx", "sse4"] },
    rejection: { constraint: "cpu-features", required: 3, available: 2, unit: "features" },
    says: "avx512f",
  },
  {
    name: "a machine type that the destination lacks",
    vm: { machineType: "pc-q35-9.0" },
    to: { machineTypes: ["pc-q35-8.2"] },
    rejection: { constraint: "machine-type" },
    says: "pc-q35-9.0",
  },
  {
    name: "a network that the destination lacks",
    vm: { nics: [{ network: "lan" }, { network: "dmz" }] },
    to: { networks: ["lan"] },
    rejection: { constraint: "network", required: 2, available: 1, unit: "networks" },
    says: "dmz",
  },
  {
    name: "networks that the destination never reported",
    vm: { nics: [{ network: "lan" }] },
    rejection: { constraint: "network", required: 1, available: 0 },
    says: "has not said",
  },
  {
    name: "a local disk",
    vm: { disks: [{ id: "vda", bytes: 8 * GIB, shared: false }] },
    rejection: { constraint: "storage" },
    says: "local to hv-01",
  },
  {
    name: "a disk in a pool that is shared on one side only",
    vm: { disks: [{ id: "vda", bytes: 8 * GIB, pool: "ceph" }] },
    from: { pools: [{ name: "ceph", shared: true }] },
    to: { pools: [] },
    rejection: { constraint: "storage" },
    says: "pool ceph",
  },
  {
    name: "a disk of which nobody said where it lives",
    vm: { disks: [{ id: "vda" }] },
    rejection: { constraint: "storage" },
    says: "not known whether disk vda",
  },
  {
    name: "huge pages used up",
    vm: { hugepageBytes: 2 * MIB, memoryBytes: 8 * GIB },
    to: { hugepagePools: [{ pageBytes: 2 * MIB, totalBytes: 16 * GIB, freeBytes: 4 * GIB }] },
    rejection: { constraint: "hugepages", required: 8 * GIB, available: 4 * GIB, unit: "bytes" },
    says: "4.0 GiB free in huge pages of 2.0 MiB",
  },
  {
    name: "huge pages of another size",
    vm: { hugepageBytes: GIB },
    to: { hugepagePools: [{ pageBytes: 2 * MIB, totalBytes: 16 * GIB, freeBytes: 16 * GIB }] },
    rejection: { constraint: "hugepages", available: 0 },
    says: "reports no huge pages of 1.0 GiB",
  },
  {
    name: "a VM of the same anti-affinity group",
    vm: { labels: { "anti-affinity": "db" } },
    others: { rival: { on: "hv-02", labels: { "anti-affinity": "db" } } },
    rejection: { constraint: "anti-affinity" },
    says: "rival",
  },
  {
    name: "a VM of the same anti-affinity group on its way there",
    vm: { labels: { "anti-affinity": "db" } },
    others: { rival: { on: "hv-03", labels: { "anti-affinity": "db" } } },
    world: {
      hosts: { "hv-01": {}, "hv-02": {}, "hv-03": {} },
      reservations: [{ vmUuid: uuidOf("rival"), fromHostId: "hv-03", toHostId: "hv-02" }],
    },
    rejection: { constraint: "anti-affinity" },
    says: "rival",
  },
  { name: "a blocker", vm: { blockers: ["vfio"] }, rejection: { constraint: "blocker" }, says: "vfio" },
  { name: "a pinned VM", vm: { pinned: true }, rejection: { constraint: "pinned" }, says: "unpin" },
  { name: "a VM that does not run", vm: { state: "paused" }, rejection: { constraint: "vm-state" }, says: "is paused" },
  {
    name: "a VM moved 10 min ago",
    world: { movedMsAgo: { app: 10 * MINUTE_MS } },
    rejection: { constraint: "cooldown", required: 1_800_000, available: 600_000, unit: "ms" },
    says: "wait 20 min",
  },
  {
    name: "a VM that is being migrated",
    world: { reservations: [{ vmUuid: uuidOf("app"), fromHostId: "hv-01", toHostId: "hv-09" }] },
    rejection: { constraint: "migrating" },
    says: "hv-09",
  },
];

export const allowed: Case[] = [
  { name: "an ordinary VM and an ordinary host" },
  { name: "hosts heard exactly 60 s ago", from: { silentMs: 60 * SECOND_MS }, to: { silentMs: 60 * SECOND_MS } },
  { name: "a load of exactly 5 min", to: { loadAgeMs: 5 * MINUTE_MS } },
  {
    name: "memory filled to its ceiling exactly",
    vm: { memoryBytes: 8 * GIB },
    to: { memoryBytes: 16 * GIB },
    parameters: { memoryReserveRatio: 0.5 },
  },
  { name: "cores filled to their ceiling exactly", vm: { cpuUsedCores: 2.4 }, to: { cpuUsedCores: 12 } },
  {
    name: "a reservation whose VM the destination already counts",
    vm: { memoryBytes: 8 * GIB },
    others: { coming: { on: "hv-02", state: "inmigrate", memoryBytes: 40 * GIB } },
    world: { reservations: [{ vmUuid: uuidOf("coming"), toHostId: "hv-02", memoryBytes: 40 * GIB }] },
  },
  {
    name: "other CPU features, for a guest with a named CPU model",
    vm: { cpuMode: "custom" },
    from: { features: ["avx512f"] },
    to: { features: [] },
  },
  { name: "CPU features known of one side only", vm: { cpuMode: "host-passthrough" }, from: { features: ["avx"] } },
  { name: "machine types known of the VM only", vm: { machineType: "pc-q35-9.0" } },
  {
    name: "a disk in a pool that both share",
    vm: { disks: [{ id: "vda", pool: "ceph" }] },
    from: { pools: [{ name: "ceph", shared: true }] },
    to: { pools: [{ name: "ceph", shared: true }] },
  },
  { name: "a disk said to be shared", vm: { disks: [{ id: "vda", shared: true }] } },
  {
    name: "a VM of another anti-affinity group",
    vm: { labels: { "anti-affinity": "db" } },
    others: { rival: { on: "hv-02", labels: { "anti-affinity": "web" } } },
  },
  { name: "a VM moved exactly a cool-down ago", world: { movedMsAgo: { app: 30 * MINUTE_MS } } },
  {
    name: "agents that let VMs in and out",
    from: { policy: { in: false, out: true } },
    to: { policy: { in: true, out: false } },
  },
];
