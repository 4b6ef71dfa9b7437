// Clusters to be balanced, as the advisor sees them. The same hosts and seed give the same bytes.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../../../../worker/model/cluster.ts";
import type { PlacementRule } from "../../../../worker/model/placement/rules.ts";
import { GIB, MIB } from "../../../../worker/model/units.ts";
import { randomOf } from "../../../../worker/model/forecast/random.ts";

type Random = () => number;

export type ClusterSpec = { hosts: number; seed: number; vmsPerHost?: number };

const AT = 1_795_399_200_000;
/** As `planParameters` has it: so much of a host's memory stays without commitment. */
export const MEMORY_RESERVE_RATIO = 0.1;

/** Three generations of hosts. */
const HOST_KINDS = [
  { share: 0.4, cores: 48, memoryBytes: 384 * GIB, bytesPerSecond: 1.177e9 },
  { share: 0.35, cores: 64, memoryBytes: 512 * GIB, bytesPerSecond: 2.94e9 },
  { share: 0.25, cores: 96, memoryBytes: 1024 * GIB, bytesPerSecond: 2.94e9 },
];

/** Flavours; one VM in twenty is big. */
const VM_KINDS = [
  { share: 0.3, vcpus: 2, memoryBytes: 4 * GIB },
  { share: 0.25, vcpus: 4, memoryBytes: 8 * GIB },
  { share: 0.15, vcpus: 4, memoryBytes: 32 * GIB },
  { share: 0.15, vcpus: 8, memoryBytes: 16 * GIB },
  { share: 0.1, vcpus: 8, memoryBytes: 32 * GIB },
  { share: 0.03, vcpus: 16, memoryBytes: 64 * GIB },
  { share: 0.02, vcpus: 24, memoryBytes: 96 * GIB },
];

/** A hot host's VMs use so much more of one resource. */
const HOT_SHARE = 0.2;
const HOT_FACTOR = 2.2;
const RACK_HOSTS = 20;

function kindOf<Kind extends { share: number }>(
  kinds: readonly [Kind, ...Kind[]] | readonly Kind[],
  draw: number,
): Kind {
  let left = draw;
  for (const kind of kinds) if ((left -= kind.share) < 0) return kind;
  const last = kinds.at(-1);
  if (last === undefined) throw new Error("no kinds");
  return last;
}

/** Around 1, with the spread of a log-normal of this sigma (sum of twelve uniforms for the normal). */
function spread(random: Random, sigma: number): number {
  let sum = -6;
  for (let draw = 0; draw < 12; draw++) sum += random();
  return Math.exp(sigma * sum - sigma ** 2 / 2);
}

const uuidOf = (index: number): string => `00000000-0000-4000-8000-${index.toString(16).padStart(12, "0")}`;
const hostIdOf = (index: number): string => `hv-${String(index + 1).padStart(4, "0")}`;

function emptyHost(index: number, random: Random): SnapshotHost {
  const { cores, memoryBytes, bytesPerSecond } = kindOf(HOST_KINDS, random());
  return {
    hostId: hostIdOf(index),
    cluster: "bench",
    hypervisor: "kvm",
    driver: { name: "libvirt" },
    cpu: { cores },
    memoryBytes,
    migration: { bytesPerSecond, rttMs: 0.2 },
    rack: `rack-${Math.floor(index / RACK_HOSTS) + 1}`,
    networks: ["tenants"],
    heardAt: AT - 5000,
    load: { at: AT },
    vms: [],
  };
}

/** What a VM uses before its host's heat is counted in. */
function idleVm(index: number, random: Random): SnapshotVm {
  const { vcpus, memoryBytes } = kindOf(VM_KINDS, random());
  const cpuUsedCores = Math.min(vcpus, vcpus * 0.32 * spread(random, 0.6));
  const memoryUsedBytes = Math.round(memoryBytes * (0.35 + 0.4 * random()));
  return {
    uuid: uuidOf(index),
    name: `vm-${index}`,
    state: "running",
    vcpus,
    memoryBytes,
    overheadBytes: 64 * MIB,
    nics: [{ network: "tenants" }],
    disks: [],
    load: {
      cpuUsedCores,
      memoryUsedBytes,
      memoryNonzeroBytes: memoryUsedBytes,
      at: AT,
      memoryDirtyBytesPerSecond: Math.round(memoryBytes * 0.002 * spread(random, 1)),
      networkBytesPerSecond: Math.round(2.5e7 * spread(random, 1.2)),
    },
  };
}

export const committedOn = (host: SnapshotHost): number =>
  host.vms.reduce((sum, vm) => sum + vm.memoryBytes + (vm.overheadBytes ?? 0), 0);

/** Every VM goes to a host by its appetite, if that may commit the memory: some hosts end full, some half empty. */
function place(hosts: SnapshotHost[], vms: SnapshotVm[], random: Random): void {
  const appetites = hosts.map(({ cpu }) => cpu.cores * spread(random, 0.45));
  const sums: number[] = [];
  for (const appetite of appetites) sums.push((sums.at(-1) ?? 0) + appetite);
  const committed = hosts.map(() => 0);
  const fits = (host: number, bytes: number): boolean =>
    (committed[host] ?? 0) + bytes <= (hosts[host]?.memoryBytes ?? 0) * (1 - MEMORY_RESERVE_RATIO);
  for (const vm of vms) {
    const bytes = vm.memoryBytes + (vm.overheadBytes ?? 0);
    let at = -1;
    for (let time = 0; time < 20 && (at < 0 || !fits(at, bytes)); time++) {
      const draw = random() * (sums.at(-1) ?? 0);
      at = sums.findIndex((sum) => draw < sum);
    }
    if (!fits(at, bytes)) at = hosts.findIndex((_, host) => fits(host, bytes));
    const host = hosts[at];
    if (host === undefined) throw new Error("the cluster has no memory left");
    host.vms.push(vm);
    committed[at] = (committed[at] ?? 0) + bytes;
  }
}

/** Some hosts are hot in one resource: what their VMs use of it is raised. */
function heat(hosts: SnapshotHost[], random: Random): void {
  for (const host of hosts) {
    const hot = random() < HOT_SHARE ? Math.floor(random() * 3) : -1;
    for (const { load, vcpus, memoryBytes } of host.vms) {
      if (hot === 0) load.cpuUsedCores = Math.min(vcpus, (load.cpuUsedCores ?? 0) * HOT_FACTOR);
      if (hot === 1)
        load.memoryUsedBytes = Math.round(Math.min(0.97 * memoryBytes, (load.memoryUsedBytes ?? 0) * HOT_FACTOR));
      if (hot === 1 && load.memoryUsedBytes !== undefined) load.memoryNonzeroBytes = load.memoryUsedBytes;
      if (hot === 2) load.networkBytesPerSecond = Math.round((load.networkBytesPerSecond ?? 0) * HOT_FACTOR * 1.5);
    }
  }
}

/** What of a resource a host can be using. */
const FULL_RATIO = 0.97;

/** A host uses what its VMs use, and no more than it has. */
function loadHosts(hosts: SnapshotHost[]): void {
  for (const { cpu, migration, vms, load } of hosts) {
    const limit = (metric: "cpuUsedCores" | "networkBytesPerSecond", capacity: number): number => {
      const used = vms.reduce((sum, vm) => sum + (vm.load[metric] ?? 0), 0);
      const share = Math.min(1, (capacity * FULL_RATIO) / used);
      for (const vm of vms) vm.load[metric] = (vm.load[metric] ?? 0) * share;
      return used * share;
    };
    load.cpuUsedCores = limit("cpuUsedCores", cpu.cores);
    load.networkTransmitBytesPerSecond = limit("networkBytesPerSecond", migration?.bytesPerSecond ?? 0);
    load.memoryUsedBytes = vms.reduce((sum, vm) => sum + (vm.load.memoryUsedBytes ?? 0), 0);
  }
}

/** Rules on VMs that keep them at the start: 3 % apart, 1 % together, 1 % on some hosts only. */
function rulesFor(hosts: SnapshotHost[], random: Random): PlacementRule[] {
  const rules: PlacementRule[] = [];
  const ruled = new Set<string>();
  const free = (host: SnapshotHost): SnapshotVm | undefined =>
    host.vms.find((vm) => vm.pinned !== true && !ruled.has(vm.uuid) && random() < 0.5);
  const add = (vms: (SnapshotVm | undefined)[], rule: (uuids: string[]) => PlacementRule): void => {
    const uuids = vms.flatMap((vm) => (vm === undefined ? [] : [vm.uuid]));
    if (uuids.length < vms.length || new Set(uuids).size < uuids.length) return;
    uuids.forEach((uuid) => ruled.add(uuid));
    rules.push(rule(uuids));
  };
  const common = (kind: string) => ({ ruleId: `${kind}-${rules.length}`, hard: true, pricePerHour: 0.05 });
  hosts.forEach((host, index) => {
    const others = [1, 2].map((step) => hosts[(index + step) % hosts.length]);
    const apart = random() < 0.2 && hosts.length > 3 ? [host, ...others] : [];
    add(
      apart.map((of) => of && free(of)),
      (uuids) => ({ kind: "vm-anti-affinity", vms: { uuids }, domain: "host", ...common("apart") }),
    );
    const pair = random() < 0.1 ? [free(host), free(host)] : [];
    add(pair, (uuids) => ({ kind: "vm-affinity", vms: { uuids }, domain: "host", ...common("together") }));
    if (random() >= 0.2) return;
    const hostIds = hosts.filter((of) => of === host || random() < 0.25).map(({ hostId }) => hostId);
    add([free(host)], (uuids) => ({ kind: "host-affinity", vms: { uuids }, hosts: { hostIds }, ...common("only") }));
  });
  return rules.filter(({ vms }) => (vms.uuids?.length ?? 0) > 0);
}

/** A cluster of uneven hosts, some hot; its rules hold at the start. */
export function generateCluster({ hosts: count, seed, vmsPerHost = 20 }: ClusterSpec): Snapshot {
  const random = randomOf(seed * 7919 + count);
  const hosts = Array.from({ length: count }, (_, index) => emptyHost(index, random));
  const vms = Array.from({ length: count * vmsPerHost }, (_, index) => idleVm(index, random));
  place(hosts, vms, random);
  heat(hosts, random);
  loadHosts(hosts);
  for (const vm of vms) {
    if (random() < 0.02) vm.pinned = true;
    else if (random() < 0.01) vm.blockers = ["vfio"];
  }
  return { cluster: "bench", at: AT, hosts, reservations: [], lastMovedAt: {}, rules: rulesFor(hosts, random) };
}
