// Which VMs hard rules would have elsewhere.
import type { Group } from "../groups.ts";
import type { World } from "../world.ts";

/** By domain: the members that are in it; those whose rack or zone is not known are in none. */
export function membersByDomain(world: World, { members, domainOf }: Group): Map<number, number[]> {
  const byDomain = Map.groupBy(members, (vm) => domainOf[world.hostOf[vm] ?? 0] ?? -1);
  byDomain.delete(-1);
  return byDomain;
}

/** How many of a group would have to move for its rule to hold. */
export function excessOf(world: World, group: Group): number {
  const { kind, members, named } = group;
  if (kind === "host-affinity") return members.filter((vm) => named[world.hostOf[vm] ?? 0] === 0).length;
  if (kind === "host-anti-affinity") return members.filter((vm) => named[world.hostOf[vm] ?? 0] === 1).length;
  const sizes = [...membersByDomain(world, group).values()].map(({ length }) => length);
  if (kind === "vm-anti-affinity") return sizes.reduce((sum, size) => sum + size - 1, 0);
  return members.length < 2 ? 0 : members.length - Math.max(0, ...sizes);
}

/** The same over all hard rules: a repair must lower it. */
export const excess = (world: World): number =>
  world.groups.groups.reduce((sum, group) => sum + (group.hard ? excessOf(world, group) : 0), 0);

/** Members one of which must go for the rule to hold better, the smallest first. */
export function offenders(world: World, group: Group): number[] {
  const { kind, members, named } = group;
  const wanted = kind === "host-affinity" ? 0 : 1;
  const found =
    kind === "vm-anti-affinity"
      ? [...membersByDomain(world, group).values()].filter(({ length }) => length > 1).flat()
      : members.filter((vm) => named[world.hostOf[vm] ?? 0] === wanted);
  return found.sort((a, b) => (world.vmBytes[a] ?? 0) - (world.vmBytes[b] ?? 0) || a - b);
}
