// What a destination must be like, whatever room it has: hypervisor, CPU, machine type, networks, storage. None of it changes
// while a plan is made, and most VMs and hosts of a cluster are alike, so that each pair of kinds is looked at once.
import type { SnapshotHost, SnapshotVm } from "../cluster.ts";
import { listed } from "./format.ts";
import { storageObjection } from "./storage.ts";
import type { Rejection } from "./types.ts";
import type { World } from "./world.ts";

type Pair = { vm: SnapshotVm; from: SnapshotHost; to: SnapshotHost };

/** All that speaks against hosts of the kind of `to` as such; empty: nothing. */
export function unlikeness(pair: Pair): Rejection[] {
  return checks.map((check) => check(pair)).filter((rejection) => rejection !== null);
}

const checks: readonly ((pair: Pair) => Rejection | null)[] = [
  function destinationPermits({ to: { hostId, policy } }) {
    if (policy?.in !== false) return null;
    const detail = `the agent of ${hostId} lets no VM in: its local policy must permit \`in\`.`;
    return { hostId, constraint: "host-policy", detail };
  },
  ({ to }) => managed(to),
  function sameHypervisor({ from, to: { hostId, hypervisor } }) {
    if (hypervisor === from.hypervisor) return null;
    const detail = `${hostId} runs ${hypervisor}, ${from.hostId} runs ${from.hypervisor}: no VM moves between the two.`;
    return { hostId, constraint: "hypervisor", detail };
  },
  cpuFeaturesPresent,
  function machineTypeKnown({ vm, to: { hostId, machineTypes } }) {
    if (vm.machineType === undefined || machineTypes === undefined) return null;
    if (machineTypes.includes(vm.machineType)) return null;
    const detail = `${hostId} has no machine type ${vm.machineType}: its hypervisor needs a version that has it.`;
    return { hostId, constraint: "machine-type", detail };
  },
  function networksPresent({ vm, to: { hostId, networks } }) {
    const wanted = [...new Set((vm.nics ?? []).map(({ network }) => network))];
    const missing = wanted.filter((network) => networks?.includes(network) !== true);
    if (missing.length === 0) return null;
    const detail =
      networks === undefined
        ? `${hostId} has not said which networks it has, ${vm.name} needs ${listed(missing)}: its agent must report them.`
        : `${hostId} lacks ${listed(missing)}, which ${vm.name} uses.`;
    const available = wanted.length - missing.length;
    return { hostId, constraint: "network", detail, required: wanted.length, available, unit: "networks" };
  },
  ({ vm, from, to }) => storageObjection(vm, from, to),
  numaNodeLargeEnough,
];

export function managed({ hostId, managedBy }: SnapshotHost): Rejection | null {
  if (managedBy === undefined) return null;
  const detail = `${hostId} is managed by ${managedBy}, which may restart its VMs by itself: move them through it.`;
  return { hostId, constraint: "host-managed", detail };
}

/** Guests that see the host's own CPU; others get a named model that every host of the hypervisor can give. */
const HOST_CPU_MODES: readonly string[] = ["host-passthrough", "host-model"];

const seesHostCpu = ({ cpuMode }: SnapshotVm): boolean => cpuMode !== undefined && HOST_CPU_MODES.includes(cpuMode);

function cpuFeaturesPresent({ vm, from, to: { hostId, cpu } }: Pair): Rejection | null {
  const wanted = from.cpu.features;
  if (!seesHostCpu(vm) || wanted === undefined || cpu.features === undefined) return null;
  const present = new Set(cpu.features);
  const missing = wanted.filter((feature) => !present.has(feature));
  if (missing.length === 0) return null;
  const detail = `${vm.name} sees the CPU of ${from.hostId} (${vm.cpuMode}); ${hostId} lacks ${listed(missing)}: give the VM a CPU model that both have.`;
  const available = wanted.length - missing.length;
  return { hostId, constraint: "cpu-features", detail, required: wanted.length, available, unit: "features" };
}

/** A VM whose huge pages must come from one node: a node smaller than the VM can never hold it. */
function numaNodeLargeEnough({ vm, to: { hostId, numaNodes } }: Pair): Rejection | null {
  if (vm.numaBound !== true || numaNodes === undefined || numaNodes.length === 0) return null;
  const largest = Math.max(...numaNodes.map(({ memoryBytes }) => memoryBytes));
  if (vm.memoryBytes <= largest) return null;
  const detail = `${vm.name} is bound to one NUMA node, and the largest of ${hostId} is smaller than it.`;
  return { hostId, constraint: "numa", detail, required: vm.memoryBytes, available: largest, unit: "bytes" };
}

/** What decides about a VM, and about a host as source or destination. */
const kindOfVm = (vm: SnapshotVm): string =>
  JSON.stringify([
    seesHostCpu(vm),
    vm.machineType,
    vm.nics?.map(({ network }) => network),
    vm.disks?.map(({ pool, shared }) => [pool, shared]),
    vm.numaBound === true ? vm.memoryBytes : 0,
  ]);

const kindOfHost = ({ policy, managedBy, hypervisor, cpu, ...host }: SnapshotHost): string =>
  JSON.stringify([
    policy?.in,
    managedBy,
    hypervisor,
    cpu.features,
    host.machineTypes,
    host.networks,
    host.pools,
    host.numaNodes,
  ]);

function numbered<Item>(items: readonly Item[], kindOf: (item: Item) => string): { kinds: Int32Array; count: number } {
  const numbers = new Map<string, number>();
  const kinds = Int32Array.from(items, (item) => {
    const kind = kindOf(item);
    const known = numbers.get(kind);
    if (known !== undefined) return known;
    numbers.set(kind, numbers.size);
    return numbers.size - 1;
  });
  return { kinds, count: numbers.size };
}

/** Whether a host is a place for a VM at all, as `unlikeness` says, without its sentences. */
export type Compatibility = (vm: number, to: number) => boolean;

export function compatibilityOf(world: Pick<World, "vms" | "hosts" | "origin">): Compatibility {
  const vmKinds = numbered(world.vms, kindOfVm);
  const hostKinds = numbered(world.hosts, kindOfHost);
  const known = new Map<number, boolean>();
  return (vm, to) => {
    const from = world.origin[vm] ?? 0;
    const [ofVm, source, destination] = [vmKinds.kinds[vm] ?? 0, hostKinds.kinds[from] ?? 0, hostKinds.kinds[to] ?? 0];
    const key = (ofVm * hostKinds.count + source) * hostKinds.count + destination;
    const before = known.get(key);
    if (before !== undefined) return before;
    const pair = { vm: world.vms[vm], from: world.hosts[from], to: world.hosts[to] };
    const fits =
      pair.vm !== undefined &&
      pair.from !== undefined &&
      pair.to !== undefined &&
      unlikeness({ vm: pair.vm, from: pair.from, to: pair.to }).length === 0;
    known.set(key, fits);
    return fits;
  };
}
