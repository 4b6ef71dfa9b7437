// Why a plan does not move a certain VM to a certain host, and the smallest changes after which it could.
import type { Snapshot } from "../cluster.ts";
import type { MechanismEstimate } from "../migration/types.ts";
import { isEmptied } from "./affinity.ts";
import { rejectionsIn } from "./constraints.ts";
import { costingFor, type MoveCost, plannedPeers } from "./cost.ts";
import { createWorld } from "./create-world.ts";
import { counted, duration, listed, money, size } from "./format.ts";
import { gainOf, migrationCost, rateAround, whyNotPaying } from "./gain.ts";
import { type Counted, countedBy, meansOf } from "./score.ts";
import type { Move, MoveGain, PlanContent, Rejection } from "./types.ts";
import { type Unblock, unblocksFor } from "./unblock.ts";
import { sentBytes } from "./volume.ts";
import { copyWorld, hostAt, hostOfVm, place, vmAt, type World } from "./world.ts";

export type WhyNot = {
  vm: string;
  vmName: string;
  hostId: string;
  /** One sentence, with numbers. */
  answer: string;
  /** What stands against the move as things are, and once all else of the plan is done. Hard constraints only. */
  now: Rejection[];
  afterPlan: Rejection[];
  /** What the move would take by the mechanism that suits it best; null: no mechanism can make it. */
  estimate: MechanismEstimate | null;
  /** What it would bring by the plan's goal, all else of the plan done; null: no mechanism can make it. */
  gain: MoveGain | null;
  /** All that has to go for the plan to make the move: `afterPlan`, that no mechanism can, that it does not pay. */
  blocking: Rejection[];
  /** For each of these the smallest change that is known to take it away. */
  unblock: Unblock[];
};

type Asked = {
  content: PlanContent;
  vm: number;
  to: number;
  /** As it is, and with the plan done but for what it does with this VM. */
  start: World;
  rest: World;
  counted: Counted;
};

/** The answer for a VM and a host of the snapshot that the plan was made from; null: the snapshot does not have one of them. */
export function whyNot(snapshot: Snapshot, content: PlanContent, vmUuid: string, hostId: string): WhyNot | null {
  const start = createWorld(snapshot, content.parameters);
  const [vm, to] = [start.vmIndex.get(vmUuid), start.hostIndex.get(hostId)];
  if (vm === undefined || to === undefined) return null;
  const asked: Asked = {
    content,
    vm,
    to,
    start,
    rest: restOf(start, content, vm),
    counted: countedBy(content.goal, content.parameters),
  };
  const afterPlan = rejectionsIn(asked.rest, vm, to);
  const cost = costOf(asked, to);
  const gain = cost.possible && start.hostOf[vm] !== to ? gainAt(asked, to, cost) : null;
  const moved = moveOf(content, vmUuid);
  const isDone = moved?.toHostId === hostId;
  const blocking = isDone ? [] : [...afterPlan, ...softer(asked, cost, gain, afterPlan.length === 0)];
  return {
    vm: vmUuid,
    vmName: vmAt(start, vm).name,
    hostId,
    answer: answerOf(asked, { moved, isDone, blocking, gain }),
    now: rejectionsIn(start, vm, to),
    afterPlan,
    estimate: cost.possible ? cost.estimate : null,
    gain,
    blocking,
    unblock: blocking.flatMap((against) => unblocksFor({ world: asked.rest, vm, to, gain }, against)),
  };
}

const moveOf = (content: PlanContent, vmUuid: string): Move | undefined =>
  content.moves.find(({ vm, parking }) => vm === vmUuid && !parking);

/** The world with the plan done, the VM itself where it was. */
function restOf(start: World, content: PlanContent, vm: number): World {
  const rest = copyWorld(start);
  for (const move of content.moves) {
    const [other, to] = [start.vmIndex.get(move.vm), start.hostIndex.get(move.toHostId)];
    if (other !== undefined && to !== undefined && other !== vm) place(rest, other, to);
  }
  return rest;
}

function costOf({ content, start, vm, to: asked }: Asked, to = asked): MoveCost {
  const beside = plannedPeers(content.moves.length + 1, content.parameters);
  return costingFor(start.snapshot, content.parameters)(
    vmAt(start, vm),
    hostOfVm(start, vm),
    hostAt(start, to),
    beside,
  );
}

function gainAt(asked: Asked, to: number, cost: Extract<MoveCost, { possible: true }>): MoveGain {
  const { rest, vm, content, counted: by } = asked;
  const from = rest.hostOf[vm] ?? 0;
  const [hosts, means] = [new Set([from, to]), meansOf(rest)];
  const before = rateAround(rest, hosts, [vm], by, means);
  place(rest, vm, to);
  const after = rateAround(rest, hosts, [vm], by, means);
  place(rest, vm, from);
  const bundle = { bundle: 1, mandatory: false };
  return gainOf(before, after, migrationCost(cost.estimate, content.parameters), bundle, content.parameters);
}

/** What is against it besides hard constraints. */
function softer(asked: Asked, cost: MoveCost, gain: MoveGain | null, isFree: boolean): Rejection[] {
  const { start, vm, content } = asked;
  if (!cost.possible) return start.hostOf[vm] === asked.to ? [] : [cost.rejection];
  if (gain === null) return [];
  const unpaid = mustLeave(asked) ? null : whyNotPaying(gain, vmAt(start, vm).name, content.parameters);
  return [...(unpaid === null ? [] : [unpaid]), ...(isFree ? limitsOf(asked) : [])];
}

/** Whether an evacuation moves the VM whether it pays or not. */
const mustLeave = ({ start, vm, content: { goal, parameters } }: Asked): boolean =>
  isEmptied(start, start.hostOf[vm] ?? 0) && [{ goal }, ...parameters.next].some((stage) => stage.goal === "evacuate");

/** That the plan has all the moves, or bytes, that it may have. Its own move of the VM, if any, would be this one instead. */
function limitsOf({ start, vm, content }: Asked): Rejection[] {
  const constraint = "moves-max";
  const { movesMax, movedBytesMax } = content.parameters;
  const moved = new Set(content.moves.flatMap((move) => start.vmIndex.get(move.vm) ?? []));
  const limits: Rejection[] = [];
  if (moved.size >= movesMax) {
    const detail = `the plan has its ${movesMax} moves: raise movesMax, or plan again once they are done.`;
    limits.push({ constraint, detail, required: movesMax + 1, available: movesMax, unit: "moves" });
  }
  moved.delete(vm);
  const sent = [...moved].reduce((sum, other) => sum + sentBytes(start, other), 0);
  const more = sentBytes(start, vm);
  if (movedBytesMax !== undefined && sent + more > movedBytesMax) {
    const detail = `the plan sends ${size(sent)} of the ${size(movedBytesMax)} that it may, and ${vmAt(start, vm).name} would send ${size(more)} more: raise movedBytesMax, or plan again once its moves are done.`;
    limits.push({ constraint, detail, required: Math.ceil(sent + more), available: movedBytesMax, unit: "bytes" });
  }
  return limits;
}

type Found = { moved: Move | undefined; isDone: boolean; blocking: Rejection[]; gain: MoveGain | null };

function answerOf(asked: Asked, { moved, isDone, blocking, gain }: Found): string {
  const { start, vm, to, content } = asked;
  const [{ name }, { hostId }] = [vmAt(start, vm), hostAt(start, to)];
  if (isDone && moved !== undefined)
    return `The plan does move ${name} to ${hostId}: move ${moved.n}, in wave ${moved.wave}.`;
  if (start.hostOf[vm] === to)
    return `${name} is on ${hostId} already, and the plan ${moved === undefined ? "leaves it there" : `moves it to ${moved.toHostId}`}.`;
  const hard = blocking.filter(({ constraint }) => constraint !== "no-gain" && constraint !== "moves-max");
  const [first] = hard;
  if (first !== undefined) {
    const more =
      hard.length === 1
        ? ""
        : ` (and ${counted(hard.length - 1, "more reason")}: ${listed(hard.slice(1).map(({ constraint }) => constraint))})`;
    return `${name} cannot go to ${hostId}${content.moves.length === 0 ? "" : " once the plan is done"}: ${first.detail}${more}`;
  }
  if (moved !== undefined) return lostTo(asked, moved, gain);
  const [unpaid] = blocking;
  if (unpaid !== undefined) return `${name} could go to ${hostId}, but ${unpaid.detail}`;
  const brings =
    gain === null ? "" : ` and would bring ${money(gain.net)} net over ${duration(content.parameters.horizonMs)}`;
  return `${name} could go to ${hostId}${brings}: ${content.strategy}, by which the plan was made, had no use for it for the goal ${content.goal}.`;
}

/** The plan moves the VM elsewhere: what either host brings. */
function lostTo(asked: Asked, moved: Move, gain: MoveGain | null): string {
  const { start, vm, to } = asked;
  const [{ name }, { hostId }] = [vmAt(start, vm), hostAt(start, to)];
  const chosen = start.hostIndex.get(moved.toHostId) ?? to;
  const cost = costOf(asked, chosen);
  const better = cost.possible ? gainAt(asked, chosen, cost) : null;
  return `${name} could go to ${hostId}, and the plan moves it to ${moved.toHostId} instead (move ${moved.n}): ${money(better?.net ?? moved.gain.net)} net over the horizon there, ${gain === null ? "unknown" : money(gain.net)} on ${hostId}.`;
}
