// A generated cluster as flat arrays: what the search and the restated peers work on.
import type { Snapshot, SnapshotVm } from "../../../../worker/model/cluster.ts";
import type { PlacementRule } from "../../../../worker/model/placement/rules.ts";
import type { PlacementRules, SearchInput } from "../../../../worker/model/placement/search/types.ts";
import { sentBytes } from "./drover.ts";
import { committedOn, MEMORY_RESERVE_RATIO } from "./generate.ts";

export const CPU = 0;
export const MEMORY = 1;
export const NETWORK = 2;
export const RESOURCES = 4;

/** As `planParameters` has it: no arrival over this share of a host's cores. */
const CPU_RATIO_MAX = 0.9;

export type Flat = Omit<SearchInput, "rules"> & {
  hosts: number;
  vms: number;
  vcpus: Float64Array;
  /** The groups of VMs that must be apart, or together, on the level of hosts. */
  apart: number[][];
  together: number[][];
  /** VMs that run on some hosts only. */
  only: Map<number, Set<number>>;
};

const demandOf = ({ load }: SnapshotVm): number[] => [
  load.cpuUsedCores ?? 0,
  load.memoryUsedBytes ?? 0,
  load.networkBytesPerSecond ?? 0,
  load.diskBytesPerSecond ?? 0,
];

/** Weights 1 for CPU, memory and network, none for disks, whose loads are not generated. */
export function flatten(snapshot: Snapshot): Flat {
  const { hosts } = snapshot;
  const vms = hosts.flatMap((host, index) => host.vms.map((vm) => ({ vm, host: index })));
  const demand = Float64Array.from(vms.flatMap(({ vm }) => demandOf(vm)));
  const used = new Float64Array(hosts.length * RESOURCES);
  vms.forEach(({ host }, vm) => {
    for (let r = 0; r < RESOURCES; r++)
      used[host * RESOURCES + r] = (used[host * RESOURCES + r] ?? 0) + (demand[vm * RESOURCES + r] ?? 0);
  });
  const indexOf = new Map(vms.map(({ vm }, index) => [vm.uuid, index]));
  return {
    resources: RESOURCES,
    weights: Float64Array.of(1, 1, 1, 0),
    capacity: Float64Array.from(
      hosts.flatMap(({ cpu, memoryBytes, migration }) => [cpu.cores, memoryBytes, migration?.bytesPerSecond ?? 0, 0]),
    ),
    used,
    demand,
    usedMax: Float64Array.from(hosts.flatMap(({ cpu }) => [cpu.cores * CPU_RATIO_MAX, Infinity, Infinity, Infinity])),
    committed: Float64Array.from(hosts.map(committedOn)),
    committedMax: Float64Array.from(hosts.map(({ memoryBytes }) => memoryBytes * (1 - MEMORY_RESERVE_RATIO))),
    vmBytes: Float64Array.from(vms.map(({ vm }) => vm.memoryBytes + (vm.overheadBytes ?? 0))),
    moveBytes: Float64Array.from(vms.map(({ vm }) => sentBytes(vm))),
    hostOf: Int32Array.from(vms.map(({ host }) => host)),
    movable: Uint8Array.from(vms.map(({ vm }) => Number(vm.pinned !== true && vm.blockers === undefined))),
    hosts: hosts.length,
    vms: vms.length,
    vcpus: Float64Array.from(vms.map(({ vm }) => vm.vcpus)),
    ...groupsOf(snapshot, indexOf),
  };
}

function groupsOf(
  { rules = [], hosts }: Snapshot,
  indexOf: Map<string, number>,
): Pick<Flat, "apart" | "together" | "only"> {
  const members = (rule: PlacementRule): number[] => (rule.vms.uuids ?? []).flatMap((uuid) => indexOf.get(uuid) ?? []);
  const ofKind = (kind: PlacementRule["kind"]) => rules.filter((rule) => rule.kind === kind).map(members);
  const hostIndex = new Map(hosts.map(({ hostId }, index) => [hostId, index]));
  const only = new Map<number, Set<number>>();
  for (const rule of rules)
    if (rule.kind === "host-affinity")
      for (const vm of members(rule))
        only.set(vm, new Set((rule.hosts.hostIds ?? []).flatMap((hostId) => hostIndex.get(hostId) ?? [])));
  return { apart: ofKind("vm-anti-affinity"), together: ofKind("vm-affinity"), only };
}

/**
 * The rules of a cluster for one search or one peer, which must tell it of every move. VMs that belong together never
 * move apart, so they stay where they are unless moved as one, which no one-by-one move can do.
 */
export function rulesOf(flat: Flat): Required<PlacementRules> {
  const hostOf = flat.hostOf.slice();
  const apartOf = new Map(flat.apart.flatMap((group) => group.map((vm) => [vm, group])));
  const bound = new Set(flat.together.flat());
  return {
    fits: (vm, host, without) => {
      if (bound.has(vm)) return hostOf[vm] === host || flat.hostOf[vm] === host;
      if (flat.only.get(vm)?.has(host) === false) return false;
      return !(apartOf.get(vm) ?? []).some((other) => other !== vm && other !== without && hostOf[other] === host);
    },
    moved: (vm, _from, to) => {
      hostOf[vm] = to;
    },
  };
}

/** Which of a placement's rules are broken. */
export function brokenRules(flat: Flat, hostOf: Int32Array): number {
  const on = (vm: number): number => hostOf[vm] ?? -1;
  return (
    flat.apart.filter((group) => new Set(group.map(on)).size < group.length).length +
    flat.together.filter((group) => new Set(group.map(on)).size > 1).length +
    [...flat.only].filter(([vm, hosts]) => !hosts.has(on(vm))).length
  );
}
