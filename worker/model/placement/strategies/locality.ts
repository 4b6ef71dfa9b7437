// Brings VMs that talk to each other together: Σ over pairs of bytes/s × (distance before − distance after) is what a move
// saves, less whatever else it changes. Singles first; where single moves do not pay, VMs that talk strongly move as a group.
import { better, grossOf, hotResource, originsOf, pays, type Weighed, withCosts } from "../bundles.ts";
import { counted, money, rate } from "../format.ts";
import { crossing, trafficPrice } from "../score.ts";
import type { Proposal, Strategy, StrategyAnswer, StrategyInput } from "../strategy.ts";
import { HOUR_MS } from "../../units.ts";
import { hostAt, knownHostIndexes, place, vmAt, type World } from "../world.ts";
import { bestSingle, makeMoves, movableUnit, type Singles, singlesOf } from "./singles.ts";
import { stuckOf, talkOf, thereOf } from "./talk.ts";

/** VMs of a group that moves as one: more would be a large blackout for a small saving. */
const GROUP_MAX = 8;
/** Where a group may go: to so many hosts of its peers, and to so many with the most room. */
const PEER_HOSTS_MAX = 4;
const ROOMY_HOSTS_MAX = 2;

export const locality: Strategy = {
  name: "locality",
  goals: ["locality"],
  summary:
    "Brings VMs that talk to each other onto one host, rack or zone, alone or in groups, where the traffic saved pays.",
  propose(input) {
    const { world } = input;
    const answer: StrategyAnswer = { proposals: [], stuck: [], seen: [], idle: "" };
    const talking = talkingVms(world);
    if (talking.length === 0) return { ...answer, idle: nothingKnown(world) };
    const search = singlesOf(input, talking);
    answer.seen.push(seenOf(world, talking));
    // One more than a plan may have is proposed, so that the plan says what it is short of.
    const most = world.parameters.movesMax - input.fixed.size;
    for (let bundle = 0; answer.proposals.length <= most && !input.isSpent(1); bundle++) {
      const single = bestSingle(search);
      const best = single !== null && pays(single.gain, world) ? single : bestGroup(search, talking);
      if (best === null) break;
      answer.proposals.push(...proposalsOf(world, best, bundle));
      makeMoves(search, best.moves);
    }
    answer.stuck.push(
      ...stuckOf(
        search.input,
        talking.filter((vm) => !search.done.has(vm)),
        (vm) => search.known[vm]?.nearer ?? null,
      ),
    );
    if (answer.proposals.length === 0) answer.idle = idleOf(search, talking);
    return answer;
  },
};

const talkingVms = (world: World): number[] =>
  world.peers.flatMap((peers, vm) => (peers.some(({ bytesPerSecond }) => bytesPerSecond > 0) ? [vm] : []));

function nothingKnown({ vms }: World): string {
  const reporting = vms.filter(({ load }) => load.peerBytesPerSecond !== undefined).length;
  return reporting === 0
    ? `nothing is known of who talks to whom: 0 of ${counted(vms.length, "VM")} report peer_bytes_per_second`
    : `0 pairs of VMs of this cluster talk to each other; ${counted(reporting, "VM")} of ${vms.length} report their peers`;
}

/** null: it would not bring more than `floor` over the horizon, or cannot be. */
function weighCool(input: StrategyInput, group: readonly number[], to: number, floor: number): Weighed | null {
  const moves = group.filter((vm) => input.world.hostOf[vm] !== to).map((vm) => ({ vm, to }));
  const gross = grossOf(input, moves, (world) => hotResource(world, to) === null);
  return gross === null || gross.gain.net <= floor ? null : withCosts(gross, input.roughCostOf);
}

/** The first VM that talks across hosts and, with those that it talks to, is worth moving somewhere as a group. */
function bestGroup(search: Singles, talking: readonly number[]): Weighed | null {
  const { world } = search.input;
  let best: Weighed | null = null;
  for (const vm of talking) {
    const unit = crossing(world, [vm]) > 0 ? movableUnit(search, vm) : null;
    if (unit === null) continue;
    for (const to of groupHosts(world, vm)) {
      if (search.input.isSpent(1)) return best;
      best = better(best, grown(search, unit, to, best?.gain.net ?? Number.NEGATIVE_INFINITY));
    }
  }
  return best;
}

/** Hosts of the VM's peers, those that it talks to most first, then hosts with room for many. */
function groupHosts(world: World, vm: number): number[] {
  const bytes = new Map<number, number>();
  for (const peer of world.peers[vm] ?? []) {
    const host = world.hostOf[peer.vm] ?? 0;
    bytes.set(host, (bytes.get(host) ?? 0) + peer.bytesPerSecond);
  }
  const ofPeers = [...bytes].sort(([a, x], [b, y]) => y - x || a - b).map(([host]) => host);
  const room = (host: number): number => (world.ceiling[host] ?? 0) - (world.committed[host] ?? 0);
  const roomy = knownHostIndexes(world).sort((a, b) => room(b) - room(a) || a - b);
  return [...new Set([...ofPeers.slice(0, PEER_HOSTS_MAX), ...roomy.slice(0, ROOMY_HOSTS_MAX)])];
}

/** Adds to the group whoever talks to it most, and gives the group that brings most there; null: none pays. */
function grown(search: Singles, seed: readonly number[], to: number, floor: number): Weighed | null {
  const { world } = search.input;
  let group = [...seed];
  let best: Weighed | null = null;
  for (;;) {
    const next = strongestMate(search, group, to);
    if (next === null || group.length + next.length > GROUP_MAX) return best;
    group = [...group, ...next];
    const found = weighCool(search.input, group, to, Math.max(floor, best?.gain.net ?? floor));
    if (found !== null && pays(found.gain, world)) best = better(best, found);
  }
}

function strongestMate(search: Singles, group: readonly number[], to: number): number[] | null {
  const { world } = search.input;
  const bytes = new Map<number, number>();
  for (const vm of group)
    for (const peer of world.peers[vm] ?? [])
      if (!group.includes(peer.vm) && world.hostOf[peer.vm] !== to)
        bytes.set(peer.vm, (bytes.get(peer.vm) ?? 0) + peer.bytesPerSecond);
  const ordered = [...bytes].sort(([a, x], [b, y]) => y - x || a - b);
  for (const [vm] of ordered) {
    const unit = movableUnit(search, vm);
    if (unit !== null) return unit.filter((member) => !group.includes(member));
  }
  return null;
}

function proposalsOf(world: World, { moves, gain }: Weighed, bundle: number): Proposal[] {
  const vms = moves.map(({ vm }) => vm);
  const origins = originsOf(world, moves);
  const before = crossing(world, vms);
  const talks = vms.map((vm) => talkOf(world, vm));
  for (const { vm, to } of moves) place(world, vm, to);
  const now = `Traffic of ${moves.length === 1 ? "it" : `these ${moves.length} VMs`} between hosts, times distance, falls from ${rate(before)} to ${rate(crossing(world, vms))}, which saves ${money(gain.perHour)} an hour.`;
  const proposals = moves.map(({ vm, to }, index): Proposal => ({
    vm,
    to,
    bundle,
    mandatory: false,
    why: { vm: talks[index] ?? "", there: thereOf(world, vm, to, moves.length), now },
  }));
  moves.forEach(({ vm }, index) => place(world, vm, origins[index] ?? 0));
  return proposals;
}

function seenOf(world: World, talking: readonly number[]): string {
  const across = talking.filter((vm) => crossing(world, [vm]) > 0).length;
  return `${counted(talking.length, "VM")} of ${world.vms.length} report peers; ${across} talk across hosts.`;
}

function idleOf(search: Singles, talking: readonly number[]): string {
  const { world } = search.input;
  const total = crossing(world, talking);
  if (total === 0) return `all ${talking.length} VMs that talk to each other are together already`;
  const perHour = trafficPrice(world.parameters, total);
  const cost = `traffic between hosts costs ${money(perHour)} an hour`;
  if (search.input.isSpent(0)) return `${cost}; no move that pays was found before evaluationsMax was spent`;
  const best = bestSingle(search);
  const [move] = best?.moves ?? [];
  if (best === null || move === undefined)
    return `${cost}, and none of ${counted(talking.length, "VM")} can get nearer to its peers`;
  const hours = (world.parameters.horizonMs / HOUR_MS).toFixed(1);
  return `${cost}; the best move, ${vmAt(world, move.vm).name} to ${hostAt(world, move.to).hostId}, would save ${money(best.gain.overHorizon)} over ${hours} h and cost ${money(best.gain.cost)}`;
}
