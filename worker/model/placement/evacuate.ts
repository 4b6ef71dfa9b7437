// Empties hosts, to as many targets as their room asks for: the biggest VM first, each to the host that stays least loaded.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import { rejectionsFor, immovable } from "./constraints.ts";
import { type Costing, costingFor, type MoveCost } from "./cost.ts";
import { listedObjections, mainObstacle, noHost, unknownTail } from "./explain.ts";
import { cores, counted, duration, ratio, size } from "./format.ts";
import { moveOf, type PlanDraft, planOf, unknownHostsOf } from "./plan.ts";
import {
  applyMove,
  committedBytes,
  committedCores,
  hostById,
  orderedSnapshot,
  vmBytes,
  vmCores,
  vmCoresAtMost,
} from "./state.ts";
import type { Move, PlanContent, PlanParameters, Rejection, Strategy } from "./types.ts";

type Candidate = { host: SnapshotHost; loadAfter: number };
type Placed = { host: SnapshotHost; cost: Extract<MoveCost, { possible: true }>; notChosen: Rejection[] };
type Question = { state: Snapshot; vm: SnapshotVm; from: SnapshotHost; parameters: PlanParameters; costOf: Costing };

export const evacuate: Strategy = {
  name: "evacuate",
  goal: "evacuate",
  summary: "Moves every VM off the given hosts, biggest memory first, each to the host that stays least loaded.",
  propose(snapshot, parameters) {
    const before = orderedSnapshot(snapshot);
    const wanted = vmsToPlace(before, parameters);
    const costOf = costingFor(parameters, plannedPeers(wanted.length, parameters));
    const moves: Move[] = [];
    const notMoved: PlanContent["notMoved"] = [];
    let state = before;
    for (const { vm, hostId } of wanted) {
      const from = hostById(state, hostId);
      if (from === undefined) continue;
      const placed = placedOrNot({ state, vm, from, parameters, costOf }, moves.length);
      if (Array.isArray(placed)) {
        notMoved.push({ vm: vm.uuid, vmName: vm.name, hostId, rejections: placed });
        continue;
      }
      const why: [string, string] = [whyThisVm(state, vm, from), whyThere(state, vm, placed)];
      moves.push(moveOf({ vm, from, to: placed.host, ...placed, why }, moves.length + 1, parameters));
      state = applyMove(state, vm, hostId, placed.host.hostId);
    }
    const told = { moves, notMoved, unknownHosts: unknownHostsOf(before) };
    return planOf({
      goal: "evacuate",
      strategy: "evacuate",
      parameters,
      before,
      after: state,
      moves,
      notMoved,
      summary: summaryOf(told, parameters),
      doNothing: doNothing(wanted, parameters),
    });
  },
};

/** VMs on the hosts to be emptied, the biggest first: what is hardest to place chooses first. */
function vmsToPlace(snapshot: Snapshot, { hostIds = [] }: PlanParameters): { vm: SnapshotVm; hostId: string }[] {
  return snapshot.hosts
    .filter(({ hostId }) => hostIds.includes(hostId))
    .flatMap(({ hostId, vms }) => vms.map((vm) => ({ vm, hostId })))
    .toSorted((a, b) => vmBytes(b.vm) - vmBytes(a.vm) || (a.vm.uuid < b.vm.uuid ? -1 : 1));
}

/** Moves that will run beside each one: they leave the same host, so they share its link. */
function plannedPeers(wanted: number, { concurrencyPerHost, concurrencyPerCluster }: PlanParameters): number {
  return Math.max(0, Math.min(wanted, concurrencyPerHost, concurrencyPerCluster) - 1);
}

function placedOrNot(question: Question, movesSoFar: number): Placed | Rejection[] {
  const { state, vm, from, parameters } = question;
  const staying = immovable(vm, from, state, parameters);
  if (staying.length > 0) return staying;
  if (movesSoFar >= parameters.movesMax) {
    const detail = `the plan has its ${parameters.movesMax} moves: raise movesMax or plan again once they are done.`;
    const numbers = { required: movesSoFar + 1, available: parameters.movesMax, unit: "moves" };
    return [{ constraint: "moves-max", detail, ...numbers }];
  }
  return place(question);
}

function place(question: Question): Placed | Rejection[] {
  const { state, vm, from, parameters, costOf } = question;
  const objections: Rejection[][] = [];
  const candidates: Candidate[] = [];
  for (const host of state.hosts) {
    if (host.hostId === from.hostId) continue;
    const against = rejectionsFor(state, vm, host, parameters, from);
    if (against.length > 0) objections.push(against);
    else candidates.push({ host, loadAfter: loadAfter(state, vm, host) });
  }
  // A stable sort of hosts in order of their ids: equals go to the lower id.
  candidates.sort((a, b) => a.loadAfter - b.loadAfter);
  for (const [index, candidate] of candidates.entries()) {
    const cost = costOf(state, vm, from, candidate.host);
    if (cost.possible) {
      const lost = candidates.slice(index + 1).map((loser) => [lostTo(candidate, loser)]);
      return { host: candidate.host, cost, notChosen: listedObjections([...lost, ...objections]) };
    }
    objections.push([cost.rejection]);
  }
  return noHost(vm, objections);
}

/** The fuller of committed memory and CPU, as shares of the host, once the VM is there. */
function loadAfter(state: Snapshot, vm: SnapshotVm, host: SnapshotHost): number {
  const memory = (committedBytes(state, host, vm.uuid) + vmBytes(vm)) / host.memoryBytes;
  const cpu = (committedCores(state, host) + vmCoresAtMost(state, vm)) / host.cpu.cores;
  return Math.max(memory, cpu);
}

function lostTo(winner: Candidate, loser: Candidate): Rejection {
  const { hostId } = loser.host;
  const other = winner.host.hostId;
  const detail =
    loser.loadAfter === winner.loadAfter
      ? `${hostId} would be at ${ratio(loser.loadAfter)} of its memory or cores as ${other} is, which comes first by id.`
      : `${hostId} would be at ${ratio(loser.loadAfter)} of its memory or cores, ${other} stays at ${ratio(winner.loadAfter)}.`;
  const numbers = { required: winner.loadAfter, available: loser.loadAfter, unit: "ratio" };
  return { hostId, constraint: "no-gain", detail, ...numbers };
}

function whyThisVm(state: Snapshot, vm: SnapshotVm, from: SnapshotHost): string {
  const used = vmCores(state, vm);
  const cpu = used === null ? `CPU use unknown, counted as all its ${vm.vcpus} vCPUs` : `${cores(used)} cores in use`;
  return `${from.hostId} is to be emptied and ${vm.name} runs there (${size(vmBytes(vm))} committed, ${cpu}); it is one of ${from.vms.length} left, and the bigger ones go first.`;
}

function whyThere(state: Snapshot, vm: SnapshotVm, { host }: Placed): string {
  const memory = committedBytes(state, host, vm.uuid) + vmBytes(vm);
  const cpu = committedCores(state, host) + vmCoresAtMost(state, vm);
  return `${host.hostId} stays the least loaded: ${ratio(memory / host.memoryBytes)} of its ${size(host.memoryBytes)} committed and ${ratio(cpu / host.cpu.cores)} of its cores used with ${vm.name} on it.`;
}

function summaryOf(
  { moves, notMoved, unknownHosts }: Pick<PlanContent, "moves" | "notMoved" | "unknownHosts">,
  { hostIds = [] }: PlanParameters,
): string {
  const names = hostIds.join(", ") || "no host";
  const total = moves.length + notMoved.length;
  const tail = unknownTail(unknownHosts);
  if (total === 0) return `Nothing to do: 0 VMs on ${names}${tail}.`;
  if (moves.length === 0) return `None of ${counted(total, "VM")} on ${names} can be moved. ${mainObstacle(notMoved)}`;
  const targets = new Set(moves.map(({ toHostId }) => toHostId)).size;
  const totalMs = moves.reduce((sum, { estimate }) => sum + estimate.totalMs.p50, 0);
  const head = `Moves ${moves.length} of ${counted(total, "VM")} off ${names} to ${counted(targets, "host")}, about ${duration(totalMs)} if one after the other${tail}.`;
  return notMoved.length === 0 ? head : `${head} ${mainObstacle(notMoved)}`;
}

function doNothing(wanted: readonly unknown[], { hostIds = [] }: PlanParameters): PlanDraft["doNothing"] {
  const names = hostIds.join(", ") || "no host";
  if (wanted.length === 0) return { acceptable: true, why: `0 VMs are on ${names}.` };
  return {
    acceptable: false,
    why: `${counted(wanted.length, "VM")} would stay, so ${names} cannot be taken out of service.`,
  };
}
