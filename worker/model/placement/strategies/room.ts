// Room for the VMs of hosts that may fail: moves after which each of them finds a place elsewhere.
import type { BundleMove } from "../bundles.ts";
import { fits, mayMove } from "../constraints.ts";
import { counted, size } from "../format.ts";
import type { StrategyInput } from "../strategy.ts";
import { failureCases, runningOn, trialOf, withoutPlace } from "../survivability.ts";
import type { Rejection } from "../types.ts";
import { hostAt, knownHostIndexes, place, vmAt, type World } from "../world.ts";
import { type Repairs, take } from "./repair.ts";

/** Further moves that make room are not looked for. */
const MOVES_MAX = 16;
/** About so many moves are weighed for each one that is made. */
const WEIGHED_MAX = 512;

/**
 * What failures would leave without a place: in how many cases, how many bytes, and the worst case. `unasked`: cases that the
 * budget left unasked.
 */
export type Shortage = {
  cases: number;
  bytes: number;
  worst: { hosts: number[]; vm: number } | null;
  /** The cases themselves, as sets of hosts that fail. */
  short: number[][];
  asked: number;
  unasked: number;
};

/** What is known before: cases that are likely to be short, and from how many bytes on it does not matter how many more. */
type Expected = { short: readonly number[][]; bytesMax: number };

/** One failure after the other, until the budget ends: each costs as much as weighing so many moves as it has VMs. */
function shortageOf({ world, isSpent }: StrategyInput, expected?: Expected): Shortage {
  const all = failureCases(world, world.parameters.hostFailuresTolerated);
  const shortage: Shortage = { cases: 0, bytes: 0, worst: null, short: [], asked: 0, unasked: 0 };
  const trial = trialOf(world);
  for (const hosts of inTurn(all, expected?.short ?? [])) {
    if (shortage.bytes > (expected?.bytesMax ?? Number.POSITIVE_INFINITY)) return shortage;
    if (isSpent(runningOn(world, hosts).length)) {
      shortage.unasked = all.length - shortage.asked;
      return shortage;
    }
    shortage.asked += 1;
    const vms = withoutPlace(world, hosts, trial);
    const [vm] = vms;
    if (vm === undefined) continue;
    shortage.cases += 1;
    shortage.bytes += vms.reduce((sum, left) => sum + (world.vmBytes[left] ?? 0), 0);
    shortage.worst ??= { hosts, vm };
    shortage.short.push(hosts);
  }
  return shortage;
}

/** Those first that are likely to be short: what is enough to refuse a move is found with them. */
function inTurn(all: readonly number[][], likely: readonly number[][]): readonly number[][] {
  if (likely.length === 0) return all;
  const names = new Set(likely.map(String));
  const isLikely = (hosts: readonly number[]): boolean => names.has(String(hosts));
  return [...all.filter(isLikely), ...all.filter((hosts) => !isLikely(hosts))];
}

/**
 * Proposes as one bundle what makes the most failures survivable; of those that stay, says who would have no place. Answers
 * what failures would leave then.
 */
export function makeRoom(repairs: Repairs): Shortage {
  const { world } = repairs.input;
  const before = shortageOf(repairs.input);
  if (before.cases === 0 || before.unasked > 0) return before;
  const trial: BundleMove[] = [];
  const origins: number[] = [];
  let best = { moves: 0, shortage: before };
  let current = before;
  while (current.cases > 0 && trial.length < MOVES_MAX) {
    const relief = bestRelief(repairs, trial, current);
    if (relief === null) break;
    origins.push(world.hostOf[relief.move.vm] ?? 0);
    trial.push(relief.move);
    place(world, relief.move.vm, relief.move.to);
    current = relief.shortage;
    if (current.cases < best.shortage.cases) best = { moves: trial.length, shortage: current };
  }
  trial.toReversed().forEach(({ vm }, index) => place(world, vm, origins[origins.length - 1 - index] ?? 0));
  const moves = trial.slice(0, best.moves);
  if (moves.length > 0)
    take(repairs, moves, "its room there will be needed", () => sentence(world, before, best.shortage.cases));
  const { worst } = best.shortage;
  if (worst !== null && !repairs.moved.has(worst.vm))
    repairs.answer.stuck.push({ vm: worst.vm, rejections: [noPlace(world, worst)] });
  return best.shortage;
}

type Relief = { move: BundleMove; shortage: Shortage };

/** The move that leaves the least without a place; null: none leaves less than there is. */
function bestRelief(repairs: Repairs, trial: readonly BundleMove[], current: Shortage): Relief | null {
  const { input } = repairs;
  let best: Relief | null = null;
  for (const move of candidates(repairs, trial)) {
    const shortage = shortageWith(input, move, { short: current.short, bytesMax: (best?.shortage ?? current).bytes });
    if (shortage.unasked > 0) return best;
    if (isLess(shortage, best?.shortage ?? current)) best = { move, shortage };
  }
  return best;
}

/** Moves that may be made: from the hosts with the most room, the smallest VMs first, so that a large hole opens soonest. */
function candidates({ input, moved }: Repairs, trial: readonly BundleMove[]): BundleMove[] {
  const { world } = input;
  const tried = new Set(trial.map(({ vm }) => vm));
  const room = (host: number): number => (world.ceiling[host] ?? 0) - (world.committed[host] ?? 0);
  const bytes = (vm: number): number => world.vmBytes[vm] ?? 0;
  const known = knownHostIndexes(world).sort((a, b) => room(b) - room(a) || a - b);
  const vms = known
    .flatMap((host) => [...(world.vmsOn[host] ?? [])].sort((a, b) => bytes(a) - bytes(b) || a - b))
    .filter((vm) => !moved.has(vm) && !tried.has(vm) && mayMove(world, vm));
  const found: BundleMove[] = [];
  for (const vm of vms) {
    if (found.length >= WEIGHED_MAX) break;
    found.push(
      ...known.filter((to) => fits(world, vm, to) && input.obstacleOf(vm, to) === null).map((to) => ({ vm, to })),
    );
  }
  return found;
}

const isLess = (one: Shortage, other: Shortage): boolean =>
  one.bytes < other.bytes || (one.bytes === other.bytes && one.cases < other.cases);

function shortageWith(input: StrategyInput, { vm, to }: BundleMove, expected: Expected): Shortage {
  const { world } = input;
  const from = world.hostOf[vm] ?? 0;
  place(world, vm, to);
  const shortage = shortageOf(input, expected);
  place(world, vm, from);
  return shortage;
}

const hostsOf = (world: World, hosts: readonly number[]): string =>
  hosts.map((host) => hostAt(world, host).hostId).join(" and ");

function sentence(world: World, before: Shortage, after: number): string {
  const { worst } = before;
  const who = worst === null ? "" : ` (${vmAt(world, worst.vm).name}, should ${hostsOf(world, worst.hosts)} fail)`;
  return `${counted(before.cases, "failure")} would leave a VM without a place${who}; after these moves ${after} would.`;
}

function noPlace(world: World, { hosts, vm }: { hosts: number[]; vm: number }): Rejection {
  const others = knownHostIndexes(world).filter((host) => !hosts.includes(host));
  const available = Math.max(0, ...others.map((host) => (world.ceiling[host] ?? 0) - (world.committed[host] ?? 0)));
  const required = world.vmBytes[vm] ?? 0;
  const { name } = vmAt(world, vm);
  const detail = `should ${hostsOf(world, hosts)} fail, ${name} (${size(required)}) finds no place: at most ${size(available)} are free on one of ${counted(others.length, "other host")} before the failure. Add a host or room, or lower hostFailuresTolerated from ${world.parameters.hostFailuresTolerated}.`;
  return { constraint: "survivability", detail, required, available, unit: "bytes" };
}
