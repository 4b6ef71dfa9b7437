// Firefly optimisation of placements (Kansal and Chana 2016, from its abstract): the most loaded VM of a host that should be
// empty, or is hot, flies to the active host that looks brightest to it. A host is emptied whole or not at all.
import { randomOf } from "../../forecast/random.ts";
import { fits, mayMove } from "../constraints.ts";
import { type Emptying, emptyingOf, firstHeld, type Move, whyHeld } from "../emptying.ts";
import { idleWattsOf, loadOf, type Sight, sightOf } from "../fireflies.ts";
import { counted, percent } from "../format.ts";
import { fullestOf, heatedBy, hostName, hottestIn, isHot, loadsOf, stuckOn, vmName } from "../hotspots.ts";
import type { Proposal, Strategy, StrategyAnswer, StrategyInput } from "../strategy.ts";
import { knownHostIndexes, place, type World } from "../world.ts";

/** The first flight is straight; each further one strays by so much of what is seen, so that another packing is found. */
const FLIGHTS = 8;
const ALPHA = 1;
/** So many hosts, those that look brightest to a source's middling VM, are looked at for each of its VMs. */
const HOSTS_SEEN_MAX = 64;
/** Hosts stand in the order of what emptying them is worth: after so many that do not pay, the rest do not either. */
const UNPAID_MAX = 32;
/** So many hosts that could not be emptied are told with what holds them. */
const HELD_TOLD_MAX = 20;

type Swarm = {
  input: StrategyInput;
  world: World;
  /** Known hosts that have VMs and are not to be empty. */
  active: Set<number>;
  /** Hosts that got a VM: they are not emptied, so that no VM moves twice. */
  received: Set<number>;
  moved: Set<number>;
  random: () => number;
  answer: StrategyAnswer;
  bundles: number;
  unpaid: string[];
};

export const firefly: Strategy = {
  name: "firefly",
  goals: ["save-energy", "consolidate"],
  summary:
    "Empties cold hosts, each whole or not at all: their most loaded VM first, to the active host that adds least energy and has the room that fits it best.",
  propose(input) {
    const { world, findings } = input;
    const known = knownHostIndexes(world);
    const swarm: Swarm = {
      input,
      world,
      active: new Set(known.filter((host) => (world.vmsOn[host]?.size ?? 0) > 0)),
      received: new Set(),
      moved: new Set(),
      random: randomOf(world.parameters.seed),
      answer: { proposals: [], stuck: [], seen: [], idle: "" },
      bundles: 0,
      unpaid: [],
    };
    const of = (state: string): number[] => findings.filter((found) => found.state === state).map(({ host }) => host);
    const stayHot = of("hot").filter(
      (host) => !relieve(swarm, host, findings.find((f) => f.host === host)?.sentence ?? ""),
    );
    if (!isEnough(swarm)) swarm.answer.stuck.push(...stuckOn(input, world, stayHot, swarm.moved));
    const cold = of("cold");
    const dark = cold.filter((host) => idleWattsOf(world, host) === null);
    if (dark.length > 0)
      swarm.answer.seen.push(
        `${counted(dark.length, "cold host")} of unknown power: emptying them saves 0 W that are known.`,
      );
    const emptied = dimmestFirst(world, cold).filter((host) => empty(swarm, host));
    swarm.answer.idle = idleOf(swarm, cold, emptied);
    return swarm.answer;
  },
};

function idleOf({ world, unpaid }: Swarm, cold: readonly number[], emptied: readonly number[]): string {
  const { coldRatio } = world.parameters;
  if (cold.length === 0) return `no host with VMs is below ${percent(coldRatio)} of its cores (${hottestIn(world)})`;
  const why = unpaid.length === 0 ? "" : `: ${unpaid.slice(0, 3).join("; ")}`;
  return `${counted(cold.length, "host")} below ${percent(coldRatio)} of their cores, ${emptied.length} could be emptied${why}`;
}

/** One more than a plan may have is proposed, so that the plan says what it is short of. */
const isEnough = ({ input, world, answer }: Swarm): boolean =>
  answer.proposals.length > world.parameters.movesMax - input.fixed.size || input.isSpent(0);

/** The most loaded VM first to the brightest host, until the host is cool; false: it stays hot. */
function relieve(swarm: Swarm, host: number, now: string): boolean {
  const { world, input, answer } = swarm;
  for (const vm of mostLoadedFirst(world, host)) {
    if (!isHot(world, host)) return true;
    if (isEnough(swarm)) return false;
    if (input.fixed.has(vm) || swarm.moved.has(vm) || world.cpuKnown[vm] !== 1 || !mayMove(world, vm)) continue;
    const to = brightest(swarm, vm, candidatesFor(swarm, vm), 0);
    if (to === null || input.costOf(vm, to) === null) continue;
    const why = whyOf(swarm, vm, to, `the most loaded that can leave ${hostName(world, host)}`, now);
    take(swarm, [{ vm, to }]);
    answer.proposals.push({ vm, to, bundle: swarm.bundles++, mandatory: false, why });
  }
  return !isHot(world, host);
}

const mostLoadedFirst = (world: World, host: number): number[] =>
  [...(world.vmsOn[host] ?? [])].sort((a, b) => loadOf(world, b, host) - loadOf(world, a, host) || a - b);

/** Hosts in order of the bytes that each saved watt would cost to move. */
function dimmestFirst(world: World, hosts: readonly number[]): number[] {
  const bytesPerWatt = (host: number): number => {
    const watts = (idleWattsOf(world, host) ?? 0) - world.parameters.standbyWatts;
    return watts <= 0 ? Number.POSITIVE_INFINITY : (world.committed[host] ?? 0) / watts;
  };
  const figures = new Map(hosts.map((host) => [host, bytesPerWatt(host)]));
  const figure = (host: number): number => figures.get(host) ?? 0;
  // Infinite figures are equal: their difference is no number.
  return hosts.toSorted((a, b) => (figure(a) === figure(b) ? a - b : figure(a) - figure(b)));
}

/** Proposes to empty the host where that is possible and pays; false: it keeps its VMs. */
function empty(swarm: Swarm, host: number): boolean {
  const { world, input, active, received, answer } = swarm;
  if (received.has(host) || isEnough(swarm) || active.size <= world.parameters.hostsOnMin) return false;
  if (swarm.unpaid.length >= UNPAID_MAX) return false;
  if (idleWattsOf(world, host) === null && !input.counted.imbalance)
    swarm.answer.seen.push(
      `The power model of ${hostName(world, host)} is unknown: 0 W count as saved by emptying it.`,
    );
  const held = firstHeld(input, host);
  const found = held === null ? flightFrom(swarm, host) : { stays: held };
  if ("stays" in found) {
    if (answer.stuck.length < HELD_TOLD_MAX && !input.fixed.has(found.stays))
      answer.stuck.push({ vm: found.stays, rejections: whyHeld(input, found.stays) });
    return false;
  }
  const emptying = emptyingOf(input, host, found.moves);
  if (!emptying.pays) {
    swarm.unpaid.push(emptying.why);
    return false;
  }
  proposeAll(swarm, host, found.moves, emptying);
  return true;
}

function proposeAll(swarm: Swarm, host: number, moves: readonly Move[], { sentence }: Emptying & { pays: true }): void {
  const { world, answer } = swarm;
  const left = moves.length;
  const proposals = moves.map(({ vm, to }, index): Proposal => {
    const role = `number ${index + 1} of ${left} that leave ${hostName(world, host)} (${loadsOf(world, host)}), the most loaded first`;
    const why = whyOf(swarm, vm, to, role, `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}`);
    take(swarm, [{ vm, to }]);
    return { vm, to, bundle: swarm.bundles, mandatory: false, why };
  });
  answer.proposals.push(...proposals);
  swarm.bundles += 1;
  swarm.active.delete(host);
}

function take({ world, moved, received, active }: Swarm, moves: readonly Move[]): void {
  for (const { vm, to } of moves) {
    place(world, vm, to);
    moved.add(vm);
    received.add(to);
    active.add(to);
  }
}

/** A place for every VM of the host, in one of a few flights; where none is found, the VM that had none in the first. */
function flightFrom(swarm: Swarm, host: number): { moves: Move[] } | { stays: number } {
  const { world } = swarm;
  const vms = mostLoadedFirst(world, host);
  const candidates = candidatesFor(swarm, vms[vms.length >> 1] ?? 0);
  let stays = vms[0] ?? 0;
  for (let flight = 0; flight < FLIGHTS; flight++) {
    const moves: Move[] = [];
    for (const vm of vms) {
      const to = brightest(swarm, vm, candidates, flight === 0 ? 0 : ALPHA);
      if (to === null) {
        if (flight === 0) stays = vm;
        break;
      }
      moves.push({ vm, to });
      place(world, vm, to);
    }
    for (const { vm } of moves) place(world, vm, host);
    if (moves.length === vms.length) return { moves };
    if (swarm.input.isSpent(0)) break;
  }
  return { stays };
}

/** Active hosts other than the VM's own; in a large cluster those that look brightest to it. */
function candidatesFor({ world, active, input }: Swarm, vm: number): number[] {
  const from = world.hostOf[vm] ?? 0;
  const others = [...active].filter((host) => host !== from).sort((a, b) => a - b);
  if (others.length <= HOSTS_SEEN_MAX) return others;
  input.isSpent(others.length);
  return others
    .flatMap((host) => {
      const hasRoom = (world.committed[host] ?? 0) + (world.vmBytes[vm] ?? 0) <= (world.ceiling[host] ?? 0);
      return hasRoom && staysCool(world, vm, host) ? [{ host, seen: sightOf(world, vm, host).seen }] : [];
    })
    .sort((a, b) => b.seen - a.seen || a.host - b.host)
    .slice(0, HOSTS_SEEN_MAX)
    .map(({ host }) => host);
}

/** Neither is it hot already by what the VM takes nothing of. */
const staysCool = (world: World, vm: number, host: number): boolean =>
  !isHot(world, host) && heatedBy(world, vm, host) === null;

/** The candidate that looks brightest to the VM, has room and stays cool; null: none. */
function brightest(
  { world, input, random }: Swarm,
  vm: number,
  candidates: readonly number[],
  alpha: number,
): number | null {
  let [best, most] = [-1, 0];
  for (const host of candidates) {
    const stray = alpha === 0 ? 1 : 1 + alpha * (2 * random() - 1);
    const seen = sightOf(world, vm, host).seen * stray;
    if (seen > most && staysCool(world, vm, host) && fits(world, vm, host)) [best, most] = [host, seen];
  }
  input.isSpent(candidates.length);
  return best === -1 ? null : best;
}

/** As it is before the move. */
function whyOf({ world }: Swarm, vm: number, to: number, role: string, now: string): Proposal["why"] {
  const from = world.hostOf[vm] ?? 0;
  const sight: Sight = sightOf(world, vm, to);
  return {
    vm: `${vmName(world, vm)} is ${role}: ${percent(loadOf(world, vm, from))} of it.`,
    there: `${hostName(world, to)} looks brightest to ${vmName(world, vm)} of the active hosts with room: ${sight.watts.toFixed(1)} W more, load ${sight.load.toFixed(2)} and ${sight.distance.toFixed(2)} from filling it with ${vmName(world, vm)} there (${loadsOf(world, to)} before, fullest ${percent(fullestOf(world, to))}).`,
    now,
  };
}
