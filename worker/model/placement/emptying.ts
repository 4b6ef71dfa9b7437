// Emptying a host whole: what keeps VMs on it, and whether what it saves pays for the migrations and for starting it again.
import { mayMove, stayingReasons } from "./constraints.ts";
import { noHostFor } from "./explain.ts";
import { duration, money } from "./format.ts";
import { gainOf, rateAround, whyNotPaying } from "./gain.ts";
import { hostName, vmName, wouldBeHot } from "./hotspots.ts";
import { HOUR_MS } from "../units.ts";
import type { StrategyInput } from "./strategy.ts";
import { wattsAt } from "./score.ts";
import type { MoveGain, Rejection } from "./types.ts";
import { hostAt, place, type World } from "./world.ts";

export type Move = { vm: number; to: number };

/** The first VM that cannot leave whatever room there is: then no other need leave either. null: all may. */
export const firstHeld = ({ world, fixed }: StrategyInput, host: number): number | null =>
  [...(world.vmsOn[host] ?? [])].sort((a, b) => a - b).find((vm) => fixed.has(vm) || !mayMove(world, vm)) ?? null;

/** Why a host that is worth emptying keeps this VM. */
export function whyHeld({ world, obstacleOf }: StrategyInput, vm: number): Rejection[] {
  const staying = stayingReasons(world, vm);
  if (staying.length > 0) return staying;
  // The cost models run for each question.
  let asked = 0;
  const obstacleTo = (of: number, host: number): Rejection | null => (asked++ === 0 ? obstacleOf(of, host) : null);
  const from = hostName(world, world.hostOf[vm] ?? 0);
  return noHostFor(
    world,
    vm,
    (host) => wouldBeHot(world, vm, host) ?? obstacleTo(vm, host) ?? notWhole(world, vm, host, from),
  );
}

function notWhole(world: World, vm: number, host: number, from: string): Rejection {
  const [hostId, name] = [hostName(world, host), vmName(world, vm)];
  const others = world.vmsOn[host]?.size ?? 0;
  const detail =
    others === 0
      ? `${hostId} has 0 VMs: moving ${name} there would fill a host to empty one.`
      : `${hostId} could take ${name}, but not what else has to leave ${from} with it.`;
  return { hostId, constraint: "no-gain", detail };
}

/** What starting the host again will draw until it does something, in the prices' currency; 0: its power model is unknown. */
export function bootCost({ parameters, ...world }: World, host: number): number {
  const watts = wattsAt(hostAt(world, host).power, 0) ?? 0;
  return (((watts * parameters.bootMs) / HOUR_MS) * parameters.prices.energyPerKwh) / 1000;
}

export type Emptying = { pays: true; gain: MoveGain; sentence: string } | { pays: false; why: string };

/** Whether these moves, all of them or none, are worth it. The VMs are where they were. */
export function emptyingOf(input: StrategyInput, host: number, moves: readonly Move[]): Emptying {
  const { world, counted, means } = input;
  const { parameters } = world;
  const name = `emptying ${hostName(world, host)}`;
  const vms = moves.map(({ vm }) => vm);
  const touched = new Set([host, ...moves.map(({ to }) => to)]);
  const before = rateAround(world, touched, vms, counted, means);
  for (const { vm, to } of moves) place(world, vm, to);
  const after = rateAround(world, touched, vms, counted, means);
  for (const { vm } of moves) place(world, vm, host);
  // The cost models are asked only where the saving is worth a question.
  const free = gainOf(before, after, 0, { bundle: 1, mandatory: false }, parameters);
  const vain = whyNotPaying(free, name, parameters);
  if (vain !== null) return { pays: false, why: vain.detail.replace(/\.$/, "") };
  let cost = bootCost(world, host);
  for (const { vm, to } of moves) {
    const one = input.costOf(vm, to);
    if (one === null)
      return { pays: false, why: `no mechanism gets all ${moves.length} VMs of ${hostName(world, host)} away` };
    cost += one;
  }
  const gain = gainOf(before, after, cost, { bundle: 1, mandatory: false }, parameters);
  const unpaid = whyNotPaying(gain, name, parameters);
  if (unpaid !== null) return { pays: false, why: unpaid.detail.replace(/\.$/, "") };
  const sentence = `${name} saves ${money(gain.overHorizon)} over ${duration(parameters.horizonMs)} and costs ${money(cost)}, ${money(bootCost(world, host))} of it for starting it again: paid back in ${duration(gain.paybackMs ?? 0)}.`;
  return { pays: true, gain, sentence };
}
