// Power-aware best fit by decreasing size (Beloglazov and Buyya 2012) with Drover's own drain: hosts that will need more than
// they have are relieved by the cheapest VM that suffices, then hosts are emptied whole where that saves more than it costs.
import { trafficJoules } from "../../migration/energy.ts";
import { consolidate, CONSOLIDATION_DEFAULTS } from "../consolidation.ts";
import type {
  Consolidation,
  ConsolidationHost,
  ConsolidationInput,
  ConsolidationMove,
  ConsolidationParameters,
  ConsolidationVm,
  NotDrained,
} from "../consolidation/types.ts";
import { fits, mayMove } from "../constraints.ts";
import { emptyingOf, whyHeld } from "../emptying.ts";
import { STANDARD_POWER } from "../fireflies.ts";
import { cores, counted, percent } from "../format.ts";
import { heatedBy, hostName, hottestIn, isHot, loadsOf, stuckOn, vmName } from "../hotspots.ts";
import type { Proposal, Strategy, StrategyAnswer, StrategyInput } from "../strategy.ts";
import { CPU, hostAt, knownHostIndexes, place, RESOURCES, vmAt, type World } from "../world.ts";

/** So many hosts that keep their VMs are told with what holds them. */
const HELD_TOLD_MAX = 20;
const MS_PER_SECOND = 1000;

export const mbfd: Strategy = {
  name: "mbfd",
  goals: ["consolidate", "save-energy"],
  summary:
    "Relieves hosts that will need more than they have, then empties hosts whole, the least efficient first, their biggest VM first to the most efficient host in use that it fits best.",
  propose(input) {
    const { world } = input;
    const origins = world.hostOf.slice();
    const found = consolidate(consolidationInputOf(input), parametersOf(input));
    // The search told the world of its moves: back to where it began.
    world.vms.forEach((_, vm) => place(world, vm, origins[vm] ?? 0));
    return answerOf(input, found);
  },
};

const parametersOf = ({ world: { parameters }, fixed }: StrategyInput): ConsolidationParameters => ({
  ...CONSOLIDATION_DEFAULTS,
  fillRatio: parameters.cpuRatioMax,
  cooldownMs: parameters.cooldownMs,
  horizonMs: parameters.horizonMs,
  // One more than a plan may have, so that the plan says what it is short of.
  movesMax: parameters.movesMax - fixed.size + 1,
});

function consolidationInputOf({ world, fixed, isSpent }: StrategyInput): ConsolidationInput {
  return {
    hosts: world.hosts.map((_, host) => consolidationHost(world, host)),
    vms: world.vms.map((_, vm) => consolidationVm(world, vm, fixed)),
    fits: (vm, host) => {
      if (world.hostOf[vm] === host) return true;
      return !isSpent(1) && !isHot(world, host) && heatedBy(world, vm, host) === null && fits(world, vm, host);
    },
    moved: (vm, to) => place(world, vm, to),
  };
}

/** What its VMs may have of a host: what itself and running migrations need is deducted. */
function consolidationHost(world: World, host: number): ConsolidationHost {
  const { committed, ceiling, vmsOn, vmBytes, used, demand, capacity, parameters } = world;
  const power = hostAt(world, host).power ?? STANDARD_POWER;
  const watts = "tableWatts" in power ? power.tableWatts : [power.idleWatts, power.peakWatts];
  const vms = [...(vmsOn[host] ?? [])];
  const ofVms = (array: Float64Array, at: (vm: number) => number): number =>
    vms.reduce((sum, vm) => sum + (array[at(vm)] ?? 0), 0);
  const others = Math.max(0, (used[host * RESOURCES + CPU] ?? 0) - ofVms(demand, (vm) => vm * RESOURCES + CPU));
  const held = (committed[host] ?? 0) - ofVms(vmBytes, (vm) => vm);
  return {
    cores: Math.max(0, (capacity[host * RESOURCES + CPU] ?? 0) - others),
    memoryBytes: Math.max(0, (ceiling[host] ?? 0) - held),
    watts: watts.map((value) => Math.max(0, value - parameters.standbyWatts)),
    on: vms.length > 0,
    bootJoules: ((watts[0] ?? 0) * parameters.bootMs) / MS_PER_SECOND,
    closed: world.unknown[host] !== null,
  };
}

function consolidationVm(world: World, vm: number, fixed: ReadonlySet<number>): ConsolidationVm {
  const { demand, demandVariance, hostOf, vmBytes } = world;
  const { vcpus, memoryBytes, load } = vmAt(world, vm);
  const at = vm * RESOURCES + CPU;
  const mean = demand[at] ?? 0;
  return {
    host: hostOf[vm] ?? 0,
    recentCores: [],
    demand: { mean, variance: demandVariance[at] ?? 0 },
    coresMax: vcpus,
    memoryBytes: vmBytes[vm] ?? 0,
    moveJoules: trafficJoules(Math.min(memoryBytes, load.memoryNonzeroBytes ?? memoryBytes)),
    fixed: fixed.has(vm) || world.cpuKnown[vm] !== 1 || !mayMove(world, vm),
  };
}

type Telling = { input: StrategyInput; answer: StrategyAnswer; moved: Set<number>; unpaid: string[] };

function answerOf(input: StrategyInput, found: Consolidation): StrategyAnswer {
  const { world } = input;
  const answer: StrategyAnswer = { proposals: [], stuck: [], seen: [], idle: "" };
  const telling: Telling = { input, answer, moved: new Set(), unpaid: [] };
  for (const move of found.moves) if (move.reason.kind === "relieve") proposeRelief(telling, move);
  const emptied = Map.groupBy(
    found.moves.filter(({ reason }) => reason.kind === "drain"),
    ({ from }) => from,
  );
  for (const [host, moves] of emptied) proposeEmptying(telling, host, moves);
  const dark = knownHostIndexes(world).filter((host) => hostAt(world, host).power === undefined);
  if (dark.length > 0)
    answer.seen.push(`${counted(dark.length, "host")} of unknown power: emptying them saves 0 W that are known.`);
  answer.stuck.push(...heldIn(input, found.notDrained, telling.moved));
  const hot = knownHostIndexes(world).filter((host) => isHot(world, host));
  answer.stuck.push(...stuckOn(input, world, hot, telling.moved));
  answer.idle = idleOf(telling, found);
  return answer;
}

function proposeRelief({ input: { world }, answer, moved }: Telling, move: ConsolidationMove): void {
  const { vm, from, to, reason } = move;
  if (reason.kind !== "relieve") return;
  const [name, source, target] = [vmName(world, vm), hostName(world, from), hostName(world, to)];
  answer.proposals.push({
    vm,
    to,
    bundle: vm,
    mandatory: false,
    why: {
      vm: `${name} has the least to send of the VMs of ${source} whose leaving is enough, or is the one whose leaving helps most.`,
      there: thereOf(world, target, to),
      now: `${source} will need ${cores(reason.neededCores)} cores (mean and two standard deviations) and has ${cores(reason.cores)} for its VMs.`,
    },
  });
  moved.add(vm);
  place(world, vm, to);
}

const thereOf = (world: World, target: string, to: number): string =>
  `${target} is the host of the most efficient kind in use that it fits, and the one where it leaves least room (${loadsOf(world, to)} before).`;

/** All of them or none: what does not pay is told, and the host keeps its VMs. */
function proposeEmptying(telling: Telling, host: number, moves: readonly ConsolidationMove[]): void {
  const { input, answer, moved } = telling;
  const { world } = input;
  const { movesMax, hostsOnMin } = world.parameters;
  const on = world.vmsOn.filter((vms) => vms.size > 0).length;
  const woken = new Set(moves.map(({ to }) => to).filter((to) => world.vmsOn[to]?.size === 0)).size;
  if (on + woken <= hostsOnMin || answer.proposals.length > movesMax - input.fixed.size) return;
  const emptying = emptyingOf(input, host, moves);
  if (!emptying.pays) {
    telling.unpaid.push(emptying.why);
    return;
  }
  const source = hostName(world, host);
  const before = loadsOf(world, host);
  const now = `${emptying.sentence.charAt(0).toUpperCase()}${emptying.sentence.slice(1)}`;
  const bundle = world.vms.length + host;
  const proposals = moves.map(({ vm, to }, index): Proposal => {
    const there = thereOf(world, hostName(world, to), to);
    place(world, vm, to);
    moved.add(vm);
    const role = `number ${index + 1} of ${moves.length} that leave ${source} (${before}), the biggest first`;
    return { vm, to, bundle, mandatory: false, why: { vm: `${vmName(world, vm)} is ${role}.`, there, now } };
  });
  answer.proposals.push(...proposals);
}

/** Of hosts that are cold and keep their VMs: the VM that holds each. */
function heldIn(
  input: StrategyInput,
  notDrained: readonly NotDrained[],
  moved: ReadonlySet<number>,
): StrategyAnswer["stuck"] {
  const { world, fixed } = input;
  const ratio = (host: number): number =>
    (world.used[host * RESOURCES + CPU] ?? 0) / (world.capacity[host * RESOURCES + CPU] ?? 1);
  return notDrained
    .filter(({ host }) => ratio(host) < world.parameters.coldRatio)
    .flatMap(({ vm }) => (vm === undefined || moved.has(vm) || fixed.has(vm) ? [] : [vm]))
    .slice(0, HELD_TOLD_MAX)
    .map((vm) => ({ vm, rejections: whyHeld(input, vm) }));
}

function idleOf({ input: { world }, unpaid }: Telling, { notDrained }: Consolidation): string {
  const used = world.vmsOn.filter((vms, host) => vms.size > 0 && world.unknown[host] === null).length;
  const whys = Map.groupBy(notDrained, ({ why }) => why);
  const kept = [...whys].map(([why, hosts]) => `${hosts.length} ${WHY[why]}`);
  const vain = unpaid.slice(0, 3);
  const told = [...kept, ...vain].join("; ");
  return `none of ${counted(used, "host")} with VMs need be relieved or can be emptied at a profit (${hottestIn(world)}; cold is below ${percent(world.parameters.coldRatio)})${told === "" ? "" : `: ${told}`}`;
}

const WHY: Record<NotDrained["why"], string> = {
  "no-room": "with a VM that finds no room elsewhere",
  cooldown: "with a VM that was moved lately",
  fixed: "with a VM that may not move",
  "not-worth": "whose emptying would cost more than it saves",
  "moves-max": "with more VMs than the plan may move",
};
