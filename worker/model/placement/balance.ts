// Relieves hot hosts: repeatedly the hottest one, by the move that evens the cluster most and still pays.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import { immovable, rejectionsFor } from "./constraints.ts";
import { type Costing, costingFor, type MoveCost } from "./cost.ts";
import { efficacyOf, hottestHost } from "./efficacy.ts";
import { listedObjections, mainObstacle, noHost, unknownTail } from "./explain.ts";
import { cores, counted, deviation, duration, ratio } from "./format.ts";
import { gainOf, type Gain, type Heat, heatOf, whyNotWorth } from "./gain.ts";
import { type ChosenMove, moveOf, planOf, type PlanDraft, unknownHostsOf } from "./plan.ts";
import { applyMove, cpuRatio, knownHosts, orderedSnapshot, vmCores } from "./state.ts";
import type { Move, PlanContent, PlanParameters, Rejection, Strategy } from "./types.ts";

/** Gains of at least this share of the best count as equal to it, and the cheaper move is taken. */
const NEAR_GAIN_RATIO = 0.9;
/** So many moves are costed before the cheapest is taken: the cost models are the expensive part. */
const FINALISTS_MAX = 6;

type Candidate = Gain & { vm: SnapshotVm; used: number; to: SnapshotHost };
type Finalist = Candidate & { cost: Extract<MoveCost, { possible: true }> };

type BalanceDraft = Pick<PlanDraft, "parameters" | "before" | "after" | "moves" | "notMoved">;

/** What one run of the strategy carries along. `costs`, by VM and destination, hold in every state of a plan. */
type Search = { parameters: PlanParameters; costOf: Costing; costs: Map<string, MoveCost> };

export const balance: Strategy = {
  name: "balance",
  goal: "balance",
  summary:
    "Takes VMs off hosts above hotRatio until none is hot or no move pays; near-equal gains go to the cheaper move.",
  propose(snapshot, parameters) {
    const before = orderedSnapshot(snapshot);
    const costOf = costingFor(parameters, 0);
    const search: Search = { parameters, costOf, costs: new Map() };
    const { moves, after } = relieve(before, search);
    const notMoved = heatOf(after, parameters).flatMap((heat) => stayingVms(heat, search));
    const draft = { parameters, before, after, moves, notMoved };
    return planOf({
      ...draft,
      goal: "balance",
      strategy: "balance",
      summary: summaryOf(draft),
      doNothing: doNothing(before, parameters),
    });
  },
};

function relieve(before: Snapshot, search: Search): { moves: Move[]; after: Snapshot } {
  const moves: Move[] = [];
  let stuck = new Set<string>();
  let movesBeforePass = 0;
  let state = before;
  while (moves.length < search.parameters.movesMax) {
    const heat = heatOf(state, search.parameters).find(({ hot }) => !stuck.has(hot.hostId));
    if (heat === undefined) {
      // A host that found no room may find some where others were relieved since.
      if (stuck.size === 0 || moves.length === movesBeforePass) break;
      movesBeforePass = moves.length;
      stuck = new Set();
      continue;
    }
    const best = bestMove(heat, search);
    if (best === null) {
      stuck.add(heat.hot.hostId);
      continue;
    }
    moves.push(moveOf(chosenMove(heat, best, search), moves.length + 1, search.parameters));
    state = applyMove(state, best.vm, heat.hot.hostId, best.to.hostId);
  }
  return { moves, after: state };
}

/** The cheapest among the moves that gain most; null where none is possible and pays. */
function bestMove(heat: Heat, search: Search): Finalist | null {
  const finalists: Finalist[] = [];
  for (const candidate of candidatesOf(heat, search)) {
    const [best] = finalists;
    if (finalists.length === FINALISTS_MAX) break;
    if (best !== undefined && candidate.gain < best.gain * NEAR_GAIN_RATIO) break;
    const { vm, to } = candidate;
    if (rejectionsFor(heat.state, vm, to, search.parameters, heat.hot).length > 0) continue;
    const cost = costIn(search, heat, vm, to);
    if (cost.possible) finalists.push({ ...candidate, cost });
  }
  // A stable sort of finalists in order of gain: of two equally cheap ones the better is kept.
  return finalists.toSorted((a, b) => byCost(a.cost, b.cost))[0] ?? null;
}

function byCost(a: Finalist["cost"], b: Finalist["cost"]): number {
  const blackout = ({ estimate }: Finalist["cost"]): number => estimate.downtimeMs?.p90 ?? 0;
  return a.estimate.transferredBytes.p50 - b.estimate.transferredBytes.p50 || blackout(a) - blackout(b);
}

/** Moves that pay, the most gain first; equals in order of VM and destination. */
function candidatesOf(heat: Heat, { parameters }: Search): Candidate[] {
  const { state, hot } = heat;
  const others = knownHosts(state).filter(({ hostId }) => hostId !== hot.hostId);
  const candidates: Candidate[] = [];
  for (const vm of hot.vms) {
    const used = vmCores(state, vm);
    if (used === null || immovable(vm, hot, state, parameters).length > 0) continue;
    for (const to of others) {
      const gain = gainOf(heat, used, to);
      if (whyNotWorth(heat, vm, used, to, gain, parameters) === null) candidates.push({ ...gain, vm, used, to });
    }
  }
  return candidates.toSorted((a, b) => b.gain - a.gain);
}

function costIn({ costOf, costs }: Search, { state, hot }: Heat, vm: SnapshotVm, to: SnapshotHost): MoveCost {
  const key = `${vm.uuid} ${to.hostId}`;
  const known = costs.get(key);
  if (known !== undefined) return known;
  const cost = costOf(state, vm, hot, to);
  costs.set(key, cost);
  return cost;
}

function chosenMove(heat: Heat, best: Finalist, search: Search): ChosenMove {
  const { state, hot, imbalance } = heat;
  const { vm, used, to, cost } = best;
  const { hotRatio } = search.parameters;
  const whyVm = `${hot.hostId} is at ${ratio(cpuRatio(state, hot))} of its ${cores(hot.cpu.cores)} cores, over ${ratio(hotRatio)}; of its ${counted(hot.vms.length, "VM")} ${vm.name}, using ${cores(used)} cores, is the cheapest to move among those that even the cluster most.`;
  const whyTo = `${to.hostId} goes from ${ratio(cpuRatio(state, to))} to ${ratio(best.toRatioAfter)} of its ${cores(to.cpu.cores)} cores, ${hot.hostId} to ${ratio(best.fromRatioAfter)}: the standard deviation of the hosts' CPU ratios falls from ${deviation(imbalance)} to ${deviation(best.imbalanceAfter)}.`;
  const others = state.hosts.filter(({ hostId }) => hostId !== hot.hostId && hostId !== to.hostId);
  const notChosen = listedObjections(others.map((host) => objectionsTo(heat, vm, used, host, search, best)));
  return { vm, from: hot, to, cost, why: [whyVm, whyTo], notChosen };
}

/** Everything against one destination; where nothing is, that it lost to the move that was taken, or to the limit of moves. */
function objectionsTo(
  heat: Heat,
  vm: SnapshotVm,
  used: number,
  to: SnapshotHost,
  search: Search,
  winner: Finalist | null,
): Rejection[] {
  const { parameters } = search;
  const hard = rejectionsFor(heat.state, vm, to, parameters, heat.hot);
  if (hard.some(({ constraint }) => constraint === "host-unknown" || constraint === "host-stale")) return hard;
  const gain = gainOf(heat, used, to);
  const soft = whyNotWorth(heat, vm, used, to, gain, parameters);
  // Too few cores is said once: the hard limit is the stronger word.
  if (soft !== null && !hard.some(({ constraint }) => constraint === soft.constraint)) hard.push(soft);
  if (hard.length > 0) return hard;
  const cost = search.costs.get(`${vm.uuid} ${to.hostId}`);
  if (cost?.possible === false) return [cost.rejection];
  return [winner === null ? movesMaxReached(parameters) : lostTo(winner, to, gain, cost)];
}

function movesMaxReached({ movesMax }: PlanParameters): Rejection {
  const detail = `the plan has its ${counted(movesMax, "move")}: raise movesMax or plan again once they are done.`;
  return { constraint: "moves-max", detail, required: movesMax + 1, available: movesMax, unit: "moves" };
}

function lostTo(winner: Finalist, to: SnapshotHost, gain: Gain, cost: MoveCost | undefined): Rejection {
  const { hostId } = to;
  const dearer = cost?.possible === true && byCost(cost, winner.cost) > 0;
  const price = dearer
    ? `, and the move would cost more (${duration(cost.estimate.totalMs.p50)} against ${duration(winner.cost.estimate.totalMs.p50)})`
    : "";
  const detail = `${hostId} would bring the imbalance to ${deviation(gain.imbalanceAfter)}, ${winner.to.hostId} brings it to ${deviation(winner.imbalanceAfter)}${price}.`;
  return { hostId, constraint: "no-gain", detail, required: winner.gain, available: gain.gain, unit: "ratio" };
}

/** The VMs of a host that stays hot, the busiest first, each with what keeps it there. */
function stayingVms(heat: Heat, search: Search): PlanContent["notMoved"] {
  const { state, hot } = heat;
  return hot.vms
    .map((vm) => ({ vm, used: vmCores(state, vm) }))
    .toSorted((a, b) => (b.used ?? 0) - (a.used ?? 0))
    .map(({ vm, used }) => ({
      vm: vm.uuid,
      vmName: vm.name,
      hostId: hot.hostId,
      rejections: stayingReasons(heat, vm, used, search),
    }));
}

function stayingReasons(heat: Heat, vm: SnapshotVm, used: number | null, search: Search): Rejection[] {
  const staying = immovable(vm, heat.hot, heat.state, search.parameters);
  if (staying.length > 0) return staying;
  if (used === null) {
    const detail = `the CPU use of ${vm.name} is unknown, so what moving it would gain is too: its agent must send cpu_used_cores.`;
    return [{ constraint: "cpu-unknown", detail }];
  }
  const others = heat.state.hosts.filter(({ hostId }) => hostId !== heat.hot.hostId);
  const objections = others.map((host) => objectionsTo(heat, vm, used, host, search, null));
  const free = objections.flat().find(({ constraint }) => constraint === "moves-max");
  return free === undefined ? noHost(vm, objections) : [free];
}

function summaryOf({ parameters, before, after, moves, notMoved }: BalanceDraft): string {
  const tail = unknownTail(unknownHostsOf(before));
  const hottest = hottestHost(before);
  if (hottest === null)
    return `Nothing to do: the load of 0 of ${counted(before.hosts.length, "host")} is known${tail}.`;
  const hotRatio = ratio(parameters.hotRatio);
  const now = `hottest host ${hottest.hostId} at ${ratio(hottest.ratio)} of its cores`;
  const hotAfter = heatOf(after, parameters).map(({ hot }) => hot.hostId);
  if (moves.length === 0) {
    if (hotAfter.length === 0) return `Nothing to do: ${now}, not over ${hotRatio}${tail}.`;
    return `No move helps: ${now}, over ${hotRatio}${tail}. ${mainObstacle(notMoved)}`;
  }
  const [was, is] = [before, after].map((state) => efficacyOf(state, parameters).cpuImbalance).map(deviation);
  const head = `Moves ${counted(moves.length, "VM")}: ${now}, ${ratio(hottestHost(after)?.ratio ?? 0)} the highest afterwards; standard deviation of CPU ratios from ${was} to ${is}${tail}.`;
  if (hotAfter.length === 0) return head;
  return `${head} Still over ${hotRatio}: ${hotAfter.join(", ")}. ${mainObstacle(notMoved)}`;
}

function doNothing(before: Snapshot, { hotRatio }: PlanParameters): PlanDraft["doNothing"] {
  const hottest = hottestHost(before);
  if (hottest === null) {
    return { acceptable: false, why: `no host's load is known (0 of ${before.hosts.length}), so nothing can be said.` };
  }
  const stays = `the hottest known host ${hottest.hostId} stays at ${ratio(hottest.ratio)} of its cores`;
  return hottest.ratio > hotRatio
    ? { acceptable: false, why: `${stays}, over ${ratio(hotRatio)}.` }
    : { acceptable: true, why: `${stays}, not over ${ratio(hotRatio)}.` };
}
