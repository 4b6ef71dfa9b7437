// Whether hard rules can hold at all, wherever the VMs are now: by classes of VMs that must share a host, by the hosts that
// each class may use, and by a bounded search over which class goes where.
import { counted, listed, size } from "./format.ts";
import type { Group } from "./groups.ts";
import { crowded } from "./matching.ts";
import { hostAt, vmAt, type World } from "./world.ts";

/** The search gives up after so many steps: then nothing is claimed. */
const STEPS_MAX = 20_000;
/** Beyond so many pairs of class and host it is not begun. */
const PAIRS_MAX = 50_000;

/** VMs that must share a host, what they need together, and the hosts that rules and memory leave them. */
type Class = { vms: number[]; bytes: number; hosts: Set<number> };
/** Classes of which no two, or all, must be in one domain. */
type Bond = { apart: boolean; classes: number[]; group: Group };
type Sorted = { classes: Class[]; bonds: Bond[]; classOf: ReadonlyMap<number, number> };

/** Why these rules cannot all hold; null: they can, or it was not found out within the bounds. */
export function whyInfeasible(world: World, groups: readonly Group[]): string | null {
  const sorted = sortedOut(world, groups);
  return (
    firstWhy(sorted.classes, (it) => homeless(world, groups, it)) ??
    firstWhy(sorted.bonds, (bond) => selfContradiction(world, sorted, bond)) ??
    firstWhy(sorted.bonds, (bond) => overcrowding(world, sorted, bond)) ??
    unassignable(world, sorted)
  );
}

function firstWhy<Item>(items: readonly Item[], ask: (item: Item) => string | null): string | null {
  for (const item of items) {
    const why = ask(item);
    if (why !== null) return why;
  }
  return null;
}

function sortedOut(world: World, groups: readonly Group[]): Sorted {
  const classes = sharers(groups).map((vms): Class => {
    const bytes = vms.reduce((sum, vm) => sum + (world.vmBytes[vm] ?? 0), 0);
    const hosts = hostsFor(world, groups, vms).filter((host) => bytes <= (world.ceiling[host] ?? 0));
    return { vms, bytes, hosts: new Set(hosts) };
  });
  const classOf = new Map(classes.flatMap(({ vms }, index) => vms.map((vm) => [vm, index])));
  const bonds = groups.flatMap((group): Bond[] => {
    if (group.domainOf.length === 0 || (group.kind === "vm-affinity" && group.domain === "host")) return [];
    const of = [...new Set(group.members.flatMap((vm) => classOf.get(vm) ?? []))];
    return [{ apart: group.kind === "vm-anti-affinity", classes: of, group }];
  });
  for (const bond of bonds) keepToKnownDomains(classes, bond);
  return { classes, bonds, classOf };
}

/** VMs that these rules name, by whether they must share a host. */
function sharers(groups: readonly Group[]): number[][] {
  const parent = new Map<number, number>();
  const rootOf = (vm: number): number => {
    let root = vm;
    for (let up = parent.get(root); up !== undefined && up !== root; up = parent.get(root)) root = up;
    return root;
  };
  for (const { kind, domain, members } of groups)
    for (const vm of members) {
      if (!parent.has(vm)) parent.set(vm, vm);
      const [first = vm] = members;
      if (kind === "vm-affinity" && domain === "host") parent.set(rootOf(vm), rootOf(first));
    }
  return [
    ...Map.groupBy(
      [...parent.keys()].sort((a, b) => a - b),
      rootOf,
    ).values(),
  ];
}

/** Who must share a rack or zone with others cannot be where it is not known which that is. */
function keepToKnownDomains(classes: readonly Class[], { apart, classes: of, group }: Bond): void {
  if (apart || group.members.length < 2) return;
  for (const index of of) {
    const hosts = classes[index]?.hosts ?? new Set<number>();
    for (const host of hosts) if (group.domainOf[host] === -1) hosts.delete(host);
  }
}

/** Hosts that rules about hosts leave these VMs, whatever they need. */
function hostsFor({ hosts }: World, groups: readonly Group[], vms: readonly number[]): number[] {
  const mine = new Set(vms);
  const about = groups.filter(({ kind, members }) => kind.startsWith("host") && members.some((vm) => mine.has(vm)));
  return [...hosts.keys()].filter((host) =>
    about.every(({ kind, named }) => (named[host] === 1) === (kind === "host-affinity")),
  );
}

const namesOf = (world: World, vms: readonly number[]): string => listed(vms.map((vm) => vmAt(world, vm).name));
const hostsOf = (world: World, hosts: Iterable<number>): string =>
  listed([...hosts].map((host) => hostAt(world, host).hostId));

function homeless(world: World, groups: readonly Group[], { vms, bytes, hosts }: Class): string | null {
  if (hosts.size > 0) return null;
  const permitted = hostsFor(world, groups, vms);
  const who = vms.length === 1 ? namesOf(world, vms) : `${namesOf(world, vms)}, which must share a host,`;
  if (permitted.length === 0) return `${who} may run on none of ${counted(world.hosts.length, "host")}`;
  const largest = Math.max(...permitted.map((host) => world.ceiling[host] ?? 0));
  if (bytes <= largest) return `the rack or zone of no host that has room for ${who} is known`;
  return `${who} may run on ${hostsOf(world, permitted)} and need ${size(bytes)}, where at most ${size(largest)} may be committed`;
}

/** Two VMs that must share a host and must not share its domain. */
function selfContradiction(world: World, { classes, classOf }: Sorted, { apart, group }: Bond): string | null {
  if (!apart) return null;
  const seen = new Map<number, number>();
  for (const vm of group.members) {
    const of = classOf.get(vm) ?? -1;
    const mate = seen.get(of);
    const canHide = [...(classes[of]?.hosts ?? [])].some((host) => group.domainOf[host] === -1);
    if (mate !== undefined && !canHide)
      return `${namesOf(world, [mate, vm])} must share a host and must not share a ${group.domain}`;
    seen.set(of, vm);
  }
  return null;
}

/** More classes that must be apart than domains that they may use. */
function overcrowding(world: World, { classes }: Sorted, { apart, classes: of, group }: Bond): string | null {
  if (!apart) return null;
  const domains = of.map(
    (index) => new Set([...(classes[index]?.hosts ?? [])].map((host) => group.domainOf[host] ?? -1)),
  );
  const bound = of.flatMap((index, at) =>
    domains[at]?.has(-1) === true ? [] : [{ index, domains: domains[at] ?? new Set() }],
  );
  if (bound.every((one) => one.domains.size >= bound.length)) return null;
  const found = crowded(bound.map((one) => one.domains));
  if (found === null) return null;
  const vms = found.items
    .flatMap((at) => classes[bound[at]?.index ?? -1]?.vms ?? [])
    .filter((vm) => group.members.includes(vm));
  const named = found.places.map((domain) => domainName(world, group, domain));
  return `${namesOf(world, vms)} must be on ${counted(found.items.length, `different ${group.domain}`)} and may use only ${found.places.length}: ${listed(named)}`;
}

function domainName(world: World, { domain, domainOf }: Group, number: number): string {
  const { hostId, rack = hostId, zone = hostId } = hostAt(world, domainOf.indexOf(number));
  return domain === "host" ? hostId : domain === "rack" ? rack : zone;
}

type Search = Sorted & { steps: number; at: Map<number, number>; bondsOf: Bond[][] };

/** Goes through the places of the classes, the most constrained first; null where there is an answer or it takes too long. */
function unassignable(world: World, sorted: Sorted): string | null {
  const { classes, bonds } = sorted;
  // One rule that keeps VMs apart is fully judged by counting places.
  if (bonds.length < 2 && bonds.every(({ apart }) => apart)) return null;
  const pairs = classes.reduce((sum, { hosts }) => sum + hosts.size, 0);
  if (pairs > PAIRS_MAX) return null;
  const bondsOf = classes.map((_, index) => bonds.filter((bond) => bond.classes.includes(index)));
  const search: Search = { ...sorted, steps: STEPS_MAX, at: new Map(), bondsOf };
  if (assign(search) || search.steps <= 0) return null;
  const vms = classes.flatMap((it) => it.vms);
  return `no way to place ${namesOf(world, vms)} on ${counted(world.hosts.length, "host")} keeps all of them`;
}

function assign(search: Search): boolean {
  const { classes, at } = search;
  let next: { index: number; hosts: number[] } | null = null;
  for (const [index, it] of classes.entries()) {
    if (at.has(index) || search.bondsOf[index]?.length === 0) continue;
    const hosts = [...it.hosts].filter((host) => isAllowed(search, index, host));
    if (next === null || hosts.length < next.hosts.length) next = { index, hosts };
    if (hosts.length === 0) return false;
  }
  if (next === null) return true;
  for (const host of next.hosts) {
    search.steps -= 1;
    if (search.steps <= 0) return true;
    at.set(next.index, host);
    if (assign(search)) return true;
    at.delete(next.index);
  }
  return false;
}

function isAllowed({ at, bondsOf }: Search, index: number, host: number): boolean {
  return (bondsOf[index] ?? []).every(({ apart, classes, group }) => {
    const domain = group.domainOf[host] ?? -1;
    return classes.every((other) => {
      const there = other === index ? undefined : at.get(other);
      if (there === undefined) return true;
      const same = domain !== -1 && group.domainOf[there] === domain;
      return apart ? !same : same;
    });
  });
}
