// What is known and told of VMs that talk to each other: where they would be nearer, and what keeps them from there.
import { hotResource, placeBundle, tooHot, unitOf } from "../bundles.ts";
import { arrivalRejections, fits, stayingReasons } from "../constraints.ts";
import { listed, percent, rate } from "../format.ts";
import { trafficPrice } from "../score.ts";
import { distanceIn, sitesOf } from "../sites.ts";
import type { StrategyAnswer, StrategyInput } from "../strategy.ts";
import type { Rejection } from "../types.ts";
import { HOUR_MS } from "../../units.ts";
import { arrive, CPU, depart, hostAt, hostOfVm, place, ratioOf, vmAt, type World } from "../world.ts";

/** So many hosts are told one by one. */
const HOSTS_TOLD_MAX = 3;
/** So many VMs are told of, and so many asked about. */
const STUCK_MAX = 100;
const VMS_ASKED_MAX = 500;

/** Hosts, the nearest first, with by how much traffic between hosts, times distance, would fall there. */
export type Nearer = { hosts: number[]; crossingSaved: number[] };

/** So many of the nearest hosts are looked at for a VM. */
const NEARER_MAX = 24;

/** The nearest hosts to the peers of these VMs, which are on one, as far as they are nearer than that one. */
export function nearerHosts(world: World, unit: readonly number[]): Nearer {
  const from = world.hostOf[unit[0] ?? 0] ?? 0;
  const outside = unit.flatMap((vm) => (world.peers[vm] ?? []).filter((peer) => !unit.includes(peer.vm)));
  const crossingAt = (distanceTo: (peerHost: number) => number): number => {
    let crossing = 0;
    for (const { vm, bytesPerSecond } of outside) crossing += bytesPerSecond * distanceTo(world.hostOf[vm] ?? 0);
    return crossing;
  };
  const sites = sitesOf(world);
  const now = crossingAt((peerHost) => distanceIn(sites, from, peerHost));
  const ofPeers = [...new Set(outside.map(({ vm }) => world.hostOf[vm] ?? 0))];
  const nearer: { host: number; saved: number }[] = [];
  const consider = (host: number, crossing: number): void => {
    if (host !== from && crossing < now) nearer.push({ host, saved: now - crossing });
  };
  for (const host of ofPeers)
    consider(
      host,
      crossingAt((peerHost) => distanceIn(sites, host, peerHost)),
    );
  // The same for all other hosts of a site; of sites that are equally near all are taken.
  let [taken, last] = [0, -1];
  for (const { hosts, crossing } of nearestSites(world, crossingAt)) {
    if (crossing >= now || (taken >= NEARER_MAX && crossing > last)) break;
    for (const host of hosts) if (!ofPeers.includes(host)) consider(host, crossing);
    [taken, last] = [taken + hosts.length, crossing];
  }
  const nearest = nearer.sort((a, b) => b.saved - a.saved || a.host - b.host).slice(0, NEARER_MAX);
  return { hosts: nearest.map(({ host }) => host), crossingSaved: nearest.map(({ saved }) => saved) };
}

type Site = { hosts: readonly number[]; crossing: number };

function nearestSites(world: World, crossingAt: (distanceTo: (peerHost: number) => number) => number): Site[] {
  const { ofHost, hosts, distances } = sitesOf(world);
  const count = hosts.length;
  return hosts
    .map((ofSite, site) => ({
      hosts: ofSite,
      crossing: crossingAt((peerHost) => distances[site * count + (ofHost[peerHost] ?? 0)] ?? 0),
    }))
    .sort((a, b) => a.crossing - b.crossing);
}

/**
 * Of these VMs those whose traffic alone would be worth a move over the horizon, and that cannot get nearer to any peer; of
 * many those that would save most. VMs on hosts of unknown load take no part. `nearerOf`: what is known of a VM already.
 */
export function stuckOf(
  input: StrategyInput,
  vms: readonly number[],
  nearerOf: (vm: number) => Nearer | null,
): StrategyAnswer["stuck"] {
  const { world } = input;
  const wanting = vms
    .filter((vm) => world.unknown[world.hostOf[vm] ?? 0] === null)
    .map((vm) => ({ vm, ...worthwhile(world, nearerOf(vm) ?? nearerHosts(world, unitOf(world, vm))) }))
    .filter(({ hosts }) => hosts.length > 0)
    .sort((a, b) => b.saved - a.saved || a.vm - b.vm)
    .slice(0, VMS_ASKED_MAX);
  const stuck: StrategyAnswer["stuck"] = [];
  for (const { vm, hosts } of wanting) {
    if (stuck.length >= STUCK_MAX || input.isSpent(hosts.length)) break;
    const rejections = whatKeeps(input, vm, hosts);
    if (rejections.length > 0) stuck.push({ vm, rejections });
  }
  return stuck.sort((a, b) => a.vm - b.vm);
}

/** The hosts where the traffic that no longer crosses hosts would save enough over the horizon. */
function worthwhile({ parameters }: World, { hosts, crossingSaved }: Nearer): { hosts: number[]; saved: number } {
  const isWorth = (saved: number): boolean =>
    (trafficPrice(parameters, saved) * parameters.horizonMs) / HOUR_MS > parameters.netGainMin;
  return { hosts: hosts.filter((_, index) => isWorth(crossingSaved[index] ?? 0)), saved: crossingSaved[0] ?? 0 };
}

/** What keeps a VM from all of these hosts; empty: nothing hard does. */
function whatKeeps(input: StrategyInput, vm: number, hosts: readonly number[]): Rejection[] {
  const { world } = input;
  const unit = unitOf(world, vm);
  const staying = unit.flatMap((member) => stayingReasons(world, member));
  if (staying.length > 0) return staying;
  // Where one host would take it nothing is told of the others, and mostly one would.
  if (hosts.some((to) => wouldTake(input, unit, to))) return [];
  return hosts.slice(0, HOSTS_TOLD_MAX).flatMap((to) => objectionsTo(input, unit, to));
}

const wouldTake = (input: StrategyInput, unit: readonly number[], to: number): boolean =>
  unit.length === 1 ? takesOne(input, unit[0] ?? 0, to) : objectionsTo(input, unit, to).length === 0;

function takesOne({ world, roughCostOf }: StrategyInput, vm: number, to: number): boolean {
  if (!fits(world, vm, to)) return false;
  const from = world.hostOf[vm] ?? 0;
  arrive(world, vm, to);
  const isCool = hotResource(world, to) === null;
  depart(world, vm, to);
  world.hostOf[vm] = from;
  return isCool && roughCostOf(vm, to) !== null;
}

/** What stands against the host; empty: nothing hard does, it would only not pay. */
function objectionsTo(
  { world, roughCostOf, obstacleOf }: StrategyInput,
  unit: readonly number[],
  to: number,
): Rejection[] {
  const [first = 0] = unit;
  if (unit.length === 1 && arrivalRejections(world, first, to).length > 0) return arrivalRejections(world, first, to);
  const origins = unit.map((vm) => world.hostOf[vm] ?? 0);
  const against = placeBundle(
    world,
    unit.map((vm) => ({ vm, to })),
  );
  if (against !== null) return against;
  const hot = hotResource(world, to);
  const after = hot === null ? 0 : ratioOf(world, to, hot);
  unit.forEach((vm, index) => place(world, vm, origins[index] ?? 0));
  if (hot !== null) return [tooHot(world, to, hot, after, vmAt(world, first).name)];
  if (unit.every((vm) => roughCostOf(vm, to) !== null)) return [];
  return unit.flatMap((vm) => obstacleOf(vm, to) ?? []);
}

/** Whom the VM talks to, and over what distance. */
export function talkOf(world: World, vm: number): string {
  const peers = (world.peers[vm] ?? []).toSorted((a, b) => b.bytesPerSecond - a.bytesPerSecond || a.vm - b.vm);
  const names = peers.map(
    (peer) => `${vmAt(world, peer.vm).name} on ${hostOfVm(world, peer.vm).hostId} (${rate(peer.bytesPerSecond)})`,
  );
  return `${vmAt(world, vm).name} on ${hostOfVm(world, vm).hostId} talks to ${listed(names)}.`;
}

/** What the destination brings; asked once the VM is there. */
export function thereOf(world: World, vm: number, to: number, together: number): string {
  const { hostId } = hostAt(world, to);
  const peers = (world.peers[vm] ?? []).filter((peer) => world.hostOf[peer.vm] === to);
  const bytes = peers.reduce((sum, { bytesPerSecond }) => sum + bytesPerSecond, 0);
  const whom =
    peers.length === 0
      ? `${hostId} is nearer to them`
      : `${peers.length} of its peers (${rate(bytes)}) ${peers.length === 1 ? "is" : "are"} on ${hostId} then`;
  const group = together === 1 ? "" : ` with the ${together} VMs that move as one`;
  return `${whom}${group}; it stays at ${percent(ratioOf(world, to, CPU))} of its cores, not over ${percent(world.parameters.hotRatio)}.`;
}
