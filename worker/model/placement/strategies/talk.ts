// What is known and told of VMs that talk to each other: where they would be nearer, and what keeps them from there.
import { hotResource, placeBundle, tooHot, unitOf } from "../bundles.ts";
import { arrivalRejections, stayingReasons } from "../constraints.ts";
import { listed, percent, rate } from "../format.ts";
import { crossing, distance, trafficPrice } from "../score.ts";
import type { StrategyAnswer, StrategyInput } from "../strategy.ts";
import type { Rejection } from "../types.ts";
import { HOUR_MS } from "../../units.ts";
import { CPU, hostAt, hostOfVm, place, ratioOf, vmAt, type World } from "../world.ts";

/** So many hosts are told one by one. */
const HOSTS_TOLD_MAX = 3;

/** Hosts where these VMs, which are on one, would be nearer to their peers, the nearest first. */
export function nearerHosts(world: World, unit: readonly number[]): number[] {
  const from = world.hostOf[unit[0] ?? 0] ?? 0;
  const inUnit = new Set(unit);
  const outside = unit.flatMap((vm) => (world.peers[vm] ?? []).filter((peer) => !inUnit.has(peer.vm)));
  const crossingAt = (host: number): number =>
    outside.reduce(
      (sum, { vm, bytesPerSecond }) => sum + bytesPerSecond * distance(world, host, world.hostOf[vm] ?? 0),
      0,
    );
  const now = crossingAt(from);
  return world.hosts
    .map((_, host) => ({ host, crossing: host === from ? now : crossingAt(host) }))
    .filter((at) => at.crossing < now)
    .sort((a, b) => a.crossing - b.crossing || a.host - b.host)
    .map(({ host }) => host);
}

/**
 * Of these VMs those whose traffic alone would be worth a move over the horizon, and that cannot get nearer to any peer.
 * VMs on hosts of unknown load take no part.
 */
export function stuckOf(input: StrategyInput, vms: readonly number[]): StrategyAnswer["stuck"] {
  const { world } = input;
  return vms.flatMap((vm) => {
    if (world.unknown[world.hostOf[vm] ?? 0] !== null) return [];
    const unit = unitOf(world, vm);
    const nearer = nearerHosts(world, unit).filter((to) => worthOf(world, unit, to) > world.parameters.netGainMin);
    if (nearer.length === 0 || input.isSpent(nearer.length)) return [];
    const staying = unit.flatMap((member) => stayingReasons(world, member));
    if (staying.length > 0) return [{ vm, rejections: staying }];
    const objections = nearer.map((to) => objectionsTo(input, unit, to));
    if (objections.some((against) => against.length === 0)) return [];
    return [{ vm, rejections: objections.slice(0, HOSTS_TOLD_MAX).flat() }];
  });
}

/** What the traffic that no longer crosses hosts would save over the horizon. */
function worthOf(world: World, unit: readonly number[], to: number): number {
  const origins = unit.map((vm) => world.hostOf[vm] ?? 0);
  const before = crossing(world, unit);
  for (const vm of unit) place(world, vm, to);
  const saved = before - crossing(world, unit);
  unit.forEach((vm, index) => place(world, vm, origins[index] ?? 0));
  return (trafficPrice(world.parameters, saved) * world.parameters.horizonMs) / HOUR_MS;
}

/** What stands against the host; empty: nothing hard does, it would only not pay. */
function objectionsTo({ world, obstacleOf }: StrategyInput, unit: readonly number[], to: number): Rejection[] {
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
