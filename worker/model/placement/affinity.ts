// What hard rules among VMs, and between VMs and hosts, have against a destination.
import { listed } from "./format.ts";
import { type Group, othersInDomain } from "./groups.ts";
import type { Rejection } from "./types.ts";
import { hostAt, vmAt, type World } from "./world.ts";

/**
 * Whether the VM in this place breaks a group: apart, if another of them is in the domain; together, if the move leaves
 * others behind and finds none; on hosts, by whether the rule names the host. A host that is being emptied lets its groups
 * be broken up for as long as it takes: the first of a group chooses, the others must follow.
 */
function isBroken(world: World, group: number, vm: number, to: number): boolean {
  const it = groupAt(world, group);
  if (it.kind === "host-affinity") return it.named[to] === 0;
  if (it.kind === "host-anti-affinity") return it.named[to] === 1;
  const from = world.hostOf[vm] ?? 0;
  if (it.domainOf[to] !== -1 && it.domainOf[to] === it.domainOf[from]) return false;
  const there = othersInDomain(world.groups, group, to, vm, world.hostOf);
  if (it.kind === "vm-anti-affinity") return there > 0;
  const leftBehind = othersInDomain(world.groups, group, from, vm, world.hostOf);
  const elsewhere = it.members.length - 1 - leftBehind;
  return there === 0 && (isEmptied(world, from) ? elsewhere > 0 : leftBehind > 0);
}

/**
 * Hosts that are to be emptied: named in the plan, in maintenance, or failing where the plan names none. Nothing goes there,
 * and no pin holds there.
 */
export function isEmptied(world: World, host: number): boolean {
  const { hostId, maintenance } = hostAt(world, host);
  const { hostIds } = world.parameters;
  if (maintenance !== undefined) return true;
  return hostIds === undefined ? world.health[host]?.state === "failing" : hostIds.includes(hostId);
}

/** Whether no hard rule is against it. */
export function affinityFits(world: World, vm: number, to: number): boolean {
  const ofVm = world.groups.ofVm[vm] ?? [];
  return !ofVm.some((group) => groupAt(world, group).hard && isBroken(world, group, vm, to));
}

/** Soft rules that this place breaks, by their price an hour. */
export function softPriceAt(world: World, vm: number, host: number): number {
  let price = 0;
  for (const group of world.groups.ofVm[vm] ?? []) {
    const it = groupAt(world, group);
    if (!it.hard && isSoftBroken(world, group, vm, host)) price += it.pricePerHour;
  }
  return price;
}

function isSoftBroken(world: World, group: number, vm: number, host: number): boolean {
  const { kind, named, members } = groupAt(world, group);
  if (kind === "host-affinity") return named[host] === 0;
  if (kind === "host-anti-affinity") return named[host] === 1;
  const others = othersInDomain(world.groups, group, host, vm, world.hostOf);
  return kind === "vm-anti-affinity" ? others > 0 : others === 0 && members.length > 1;
}

/** Each hard rule that is against it, with the VM or the hosts that stand in the way. */
export function affinityRejections(world: World, vm: number, to: number): Rejection[] {
  return (world.groups.ofVm[vm] ?? []).flatMap((group) => {
    if (!groupAt(world, group).hard || !isBroken(world, group, vm, to)) return [];
    return [objection(world, group, vm, to)];
  });
}

function objection(world: World, group: number, vm: number, to: number): Rejection {
  const it = groupAt(world, group);
  const { name } = vmAt(world, vm);
  const { hostId } = hostAt(world, to);
  if (it.kind === "host-affinity") {
    const allowed = world.hosts.filter((_, host) => it.named[host] === 1).map((host) => host.hostId);
    const detail = `${it.name} keeps ${name} on ${allowed.length === 0 ? "no host that there is" : listed(allowed)}: ${hostId} is not among them.`;
    return { hostId, constraint: "host-affinity", detail };
  }
  if (it.kind === "host-anti-affinity")
    return { hostId, constraint: "host-affinity", detail: `${it.name} keeps ${name} off ${hostId}.` };
  const where = it.domain === "host" ? hostId : `the ${it.domain} of ${hostId}`;
  if (it.kind === "vm-anti-affinity") {
    const detail = `${where} has ${rivalOf(world, it, vm, to)} of the same ${it.name} as ${name}: they must stay apart.`;
    return { hostId, constraint: "anti-affinity", detail };
  }
  const mate = it.members.find((other) => other !== vm);
  const detail = `${it.name} keeps ${name} together with ${mate === undefined ? "others" : vmAt(world, mate).name}, which is not on ${where}: move the group as one.`;
  return { hostId, constraint: "affinity", detail };
}

/** The name of one that is in the domain already, or on its way there. */
function rivalOf({ hostOf, migrating, hostIndex, vms }: World, it: Group, vm: number, to: number): string {
  const isInDomain = (host: number | undefined): boolean =>
    host !== undefined && it.domainOf[host] !== -1 && it.domainOf[host] === it.domainOf[to];
  const rival = it.members.find((other) => {
    const coming = migrating.get(other);
    return (
      other !== vm &&
      (isInDomain(hostOf[other]) || (coming !== undefined && isInDomain(hostIndex.get(coming.toHostId))))
    );
  });
  return rival === undefined ? "one" : vmAt({ vms }, rival).name;
}

function groupAt({ groups: { groups } }: World, group: number): Group {
  const it = groups[group];
  if (it === undefined) throw new RangeError(`no group ${group} in this world`);
  return it;
}
