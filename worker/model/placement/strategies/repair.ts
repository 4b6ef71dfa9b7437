// Repairs of hard rules that are broken: each by the fewest and smallest moves that are found, made whether they pay or not.
import { type BundleMove, leastLoadedFirst, loadWith, originsOf, placeBundle, unitOf } from "../bundles.ts";
import { mayMove, stayingReasons } from "../constraints.ts";
import { noHostFor } from "../explain.ts";
import { counted, percent, size } from "../format.ts";
import type { Group } from "../groups.ts";
import type { Proposal, StrategyAnswer, StrategyInput } from "../strategy.ts";
import { hostAt, hostOfVm, place, vmAt, type World } from "../world.ts";
import { excess, excessOf, membersByDomain, offenders } from "./misplaced.ts";

export type Repairs = { input: StrategyInput; answer: StrategyAnswer; moved: Set<number>; bundle: number };

/** Repairs every hard rule that can be, in the order of the rules, and says of the others what stands against it. */
export function repairRules(repairs: Repairs): void {
  const { world } = repairs.input;
  for (const group of world.groups.groups) {
    if (!group.hard) continue;
    let before = excessOf(world, group);
    while (before > 0) {
      const moves = group.kind === "vm-affinity" ? gathering(repairs, group) : separation(repairs, group);
      if (moves === null) {
        // Where the budget has ended, not every place was asked.
        if (!repairs.input.isSpent(0)) sayWhy(repairs, group);
        break;
      }
      take(repairs, moves, "the smallest of its rule that has a place elsewhere", (vm) => brokenBy(world, group, vm));
      before = excessOf(world, group);
    }
  }
}

/** Proposes the moves as one bundle, and makes them in the strategy's world. */
export function take(
  repairs: Repairs,
  moves: readonly BundleMove[],
  because: string,
  now: (vm: number) => string,
): void {
  const { input, answer, moved } = repairs;
  const { world } = input;
  const reason = moves.length === 1 ? because : `one of ${moves.length} that move as one`;
  repairs.bundle += 1;
  for (const { vm, to } of moves) answer.proposals.push(proposalOf(world, { vm, to }, repairs.bundle, reason, now(vm)));
  for (const { vm, to } of moves) {
    place(world, vm, to);
    moved.add(vm);
  }
}

export function movableUnit({ input: { world }, moved }: Repairs, vm: number): number[] | null {
  const unit = unitOf(world, vm);
  return unit.every((member) => !moved.has(member) && mayMove(world, member)) ? unit : null;
}

/** One VM fewer in a place where the rule does not want it: the smallest that finds another, where it loads least. */
function separation(repairs: Repairs, group: Group): BundleMove[] | null {
  const { input } = repairs;
  for (const vm of offenders(input.world, group)) {
    const unit = movableUnit(repairs, vm);
    if (unit === null) continue;
    for (const to of leastLoadedFirst(input.world, unit)) {
      const moves = unit.map((member) => ({ vm: member, to }));
      if (helps(input, moves)) return moves;
    }
  }
  return null;
}

/** Whether the moves fit, a mechanism makes each of them, and fewer hard rules are broken by them than without. */
function helps(input: StrategyInput, moves: readonly BundleMove[]): boolean {
  const { world } = input;
  const [before, origins] = [excess(world), originsOf(world, moves)];
  if (input.isSpent(1) || placeBundle(world, moves) !== null) return false;
  const after = excess(world);
  moves.forEach(({ vm }, index) => place(world, vm, origins[index] ?? 0));
  return after < before && moves.every(({ vm, to }) => input.obstacleOf(vm, to) === null);
}

/** All of a group into one domain: that with the most of it by memory first, then those that stay least loaded. */
function gathering(repairs: Repairs, group: Group): BundleMove[] | null {
  const { input } = repairs;
  const { world } = input;
  const bytesOf = (vms: readonly number[]): number => vms.reduce((sum, vm) => sum + (world.vmBytes[vm] ?? 0), 0);
  const byDomain = membersByDomain(world, group);
  const withMembers = [...byDomain]
    .sort(([a, x], [b, y]) => bytesOf(y) - bytesOf(x) || a - b)
    .map(([domain]) => domain);
  const others = leastLoadedFirst(world, group.members).map((host) => group.domainOf[host] ?? -1);
  for (const domain of new Set([...withMembers, ...others])) {
    if (domain === -1) continue;
    const moves = movesInto(repairs, group, domain);
    if (moves !== null && helps(input, moves)) return moves;
  }
  return null;
}

/** A place in the domain for each member that is outside; null: there is none for one of them. */
function movesInto(repairs: Repairs, group: Group, domain: number): BundleMove[] | null {
  const { world } = repairs.input;
  const outside = group.members.filter((vm) => group.domainOf[world.hostOf[vm] ?? 0] !== domain);
  const units = outside.map((vm) => movableUnit(repairs, vm));
  if (units.some((unit) => unit === null)) return null;
  const vms = [...new Set(units.flatMap((unit) => unit ?? []))];
  const origins = vms.map((vm) => world.hostOf[vm] ?? 0);
  // Filled by memory and CPU alone: whether all of it fits is asked of the bundle as a whole.
  const moves = vms.map((vm): BundleMove => {
    const to = leastLoadedFirst(world, [vm]).find(
      (host) => group.domainOf[host] === domain && mayTake(world, vm, host),
    );
    if (to !== undefined) place(world, vm, to);
    return { vm, to: to ?? -1 };
  });
  vms.forEach((vm, index) => place(world, vm, origins[index] ?? 0));
  return moves.some(({ to }) => to === -1) ? null : moves;
}

const mayTake = (world: World, vm: number, host: number): boolean =>
  world.unknown[host] === null &&
  world.isPlaceFor(vm, host) &&
  (world.committed[host] ?? 0) + (world.vmBytes[vm] ?? 0) <= (world.ceiling[host] ?? 0);

function brokenBy(world: World, group: Group, vm: number): string {
  const { hostId } = hostOfVm(world, vm);
  const { kind, name, members, domain } = group;
  if (kind === "host-affinity")
    return `${name} is broken: it does not name ${hostId}, of ${counted(members.length, "VM")} in it.`;
  if (kind === "host-anti-affinity")
    return `${name} is broken: it keeps its ${counted(members.length, "VM")} off ${hostId}.`;
  const domains = membersByDomain(world, group).size;
  return kind === "vm-anti-affinity"
    ? `${name} is broken: its ${counted(members.length, "VM")} are in ${counted(domains, domain)}.`
    : `${name} is broken: its ${counted(members.length, "VM")} belong into one ${domain} and are in ${domains}.`;
}

function proposalOf(world: World, { vm, to }: BundleMove, bundle: number, because: string, now: string): Proposal {
  const [{ name }, from, target] = [vmAt(world, vm), hostOfVm(world, vm), hostAt(world, to)];
  return {
    vm,
    to,
    bundle,
    mandatory: true,
    why: {
      vm: `${name} (${size(world.vmBytes[vm] ?? 0)}) leaves ${from.hostId}: ${because}.`,
      there: `${target.hostId} has room and no rule against it, and is at ${percent(loadWith(world, [vm], to))} with ${name} there, the fuller of memory and cores.`,
      now,
    },
  };
}

/** Of a rule that stays broken: the first VM that should go, and what keeps it. */
function sayWhy({ input, answer, moved }: Repairs, group: Group): void {
  const { world } = input;
  const wanted = group.kind === "vm-affinity" ? scattered(world, group) : offenders(world, group);
  for (const vm of wanted) {
    if (moved.has(vm) || world.unknown[world.hostOf[vm] ?? 0] !== null) continue;
    const staying = stayingReasons(world, vm);
    const rejections = staying.length > 0 ? staying : noHostFor(world, vm, (host) => input.obstacleOf(vm, host));
    answer.stuck.push({ vm, rejections });
  }
}

/** Members outside the domain in which most are. */
function scattered(world: World, group: Group): number[] {
  const byDomain = [...membersByDomain(world, group)].sort(([a, x], [b, y]) => y.length - x.length || a - b);
  const home = byDomain[0]?.[0] ?? -1;
  return group.members.filter((vm) => home === -1 || group.domainOf[world.hostOf[vm] ?? 0] !== home);
}
