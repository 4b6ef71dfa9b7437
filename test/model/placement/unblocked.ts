// The changes that `whyNot` names, made: to the cluster, or to the plan.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../../../worker/model/cluster.ts";
import type { Move, PlanContent } from "../../../worker/model/placement/types.ts";
import type { Unblock } from "../../../worker/model/placement/unblock.ts";

type Asked = { snapshot: Snapshot; content: PlanContent };

/** The question as it is after the change. */
export function unblocked({ snapshot, content }: Asked, vmUuid: string, unblock: Unblock): Asked {
  if (unblock.kind === "parameters")
    return { snapshot, content: { ...content, parameters: { ...content.parameters, ...unblock.set } } };
  if (unblock.kind === "move-away") {
    const { vm, toHostId } = unblock;
    const others = content.moves.filter((move) => move.vm !== vm);
    return { snapshot, content: { ...content, moves: [...others, { vm, toHostId } as Move] } };
  }
  const changed = structuredClone(snapshot);
  if ("hostId" in unblock) changeHost(changed, vmUuid, unblock);
  else changeVm(changed, vmUuid, unblock);
  return { snapshot: changed, content };
}

function changeHost(snapshot: Snapshot, vmUuid: string, unblock: Extract<Unblock, { hostId: string }>): void {
  const host = snapshot.hosts.find(({ hostId }) => hostId === unblock.hostId);
  if (host === undefined) throw new RangeError(`no host ${unblock.hostId}`);
  if (unblock.kind === "end-maintenance") delete host.maintenance;
  else if (unblock.kind === "attach-networks") host.networks = [...(host.networks ?? []), ...unblock.networks];
  else if (unblock.kind === "permit") host.policy = { in: true, out: true };
  else addTo(host, vmOf(snapshot, vmUuid), unblock);
}

function addTo(host: SnapshotHost, vm: SnapshotVm, { resource, amount }: Extract<Unblock, { kind: "add" }>): void {
  if (resource === "memory") host.memoryBytes += amount;
  else if (resource === "cores") host.cpu.cores += amount;
  else for (const pool of host.hugepagePools ?? []) if (pool.pageBytes === vm.hugepageBytes) pool.freeBytes += amount;
}

function changeVm(snapshot: Snapshot, vmUuid: string, unblock: Exclude<Unblock, { hostId: string }>): void {
  const vm = vmOf(snapshot, vmUuid);
  if (unblock.kind === "wait") snapshot.lastMovedAt[vmUuid] = (snapshot.lastMovedAt[vmUuid] ?? 0) - unblock.ms;
  else if (unblock.kind === "unpin") delete vm.pinned;
  else if (unblock.kind === "detach-blockers") delete vm.blockers;
  else if (unblock.kind === "drop-rule") {
    snapshot.rules = (snapshot.rules ?? []).filter(({ ruleId }) => `rule ${ruleId}` !== unblock.rule);
    const labels = Object.entries(vm.labels ?? {});
    vm.labels = Object.fromEntries(labels.filter(([key, value]) => `group ${key}=${value}` !== unblock.rule));
  } else throw new RangeError(`${unblock.kind} is nothing that could be changed here`);
}

function vmOf({ hosts }: Snapshot, vmUuid: string): SnapshotVm {
  const vm = hosts.flatMap((host) => host.vms).find(({ uuid }) => uuid === vmUuid);
  if (vm === undefined) throw new RangeError(`no VM ${vmUuid}`);
  return vm;
}
