// Evens out the hosts over all resources by a bounded search: what brings most for its bytes first, then swaps, then chance.
import { fits, mayMove } from "../constraints.ts";
import { imbalanceOf } from "../efficacy.ts";
import { whyStuck } from "../explain.ts";
import { counted, deviation, percent, ratio, size } from "../format.ts";
import { type Means, weightsOf } from "../score.ts";
import { searchBalance } from "../search/search.ts";
import type { FoundMove, SearchInput, SearchResult } from "../search/types.ts";
import { sequenced } from "../sequence.ts";
import type { Finding, Proposal, Strategy, StrategyAnswer, StrategyInput } from "../strategy.ts";
import {
  arrive,
  CPU,
  depart,
  hostAt,
  knownHostIndexes,
  MEMORY,
  NETWORK,
  place,
  ratioOf,
  RESOURCES,
  vmAt,
  type World,
} from "../world.ts";
import { GIB, HOUR_MS } from "../../units.ts";
import { sentBytes } from "../volume.ts";

/** The search weighs so many candidates in the time in which other strategies weigh one, on flat arrays and without the cost models. */
const SEARCHED_PER_EVALUATION = 20;

/** Hosts that are larger than others or too hot gain more than the search's measure says: at so much of its price it goes on. */
const PRICE_SHARE = 0.25;

export const localSearch: Strategy = {
  name: "local-search",
  goals: ["balance"],
  summary:
    "Searches for the placement with the least weighted imbalance of all resources, and for the fewest bytes that reach it.",
  propose(input) {
    const { world, findings } = input;
    const hot = findings.filter(({ state }) => state === "hot");
    const imbalance = imbalanceOf(world);
    const { imbalanceMax } = world.parameters;
    if (hot.length === 0 && imbalance <= imbalanceMax)
      return nothing(
        `no host is hot (${hottest(world)}) and the imbalance ${deviation(imbalance)} is not over ${deviation(imbalanceMax)}`,
      );
    const found = searchBalance(searchInputOf(input), {
      seed: world.parameters.seed,
      evaluationsMax: world.parameters.evaluationsMax * SEARCHED_PER_EVALUATION,
      movesMax: world.parameters.movesMax,
      movedBytesMax: world.parameters.movedBytesMax ?? Number.POSITIVE_INFINITY,
      pricePerByte: pricePerByte(world),
    });
    // The search told the world of its moves: back to where it began.
    for (const { vm, from } of found.moves) place(world, vm, from);
    input.isSpent(found.cutShort ? Number.POSITIVE_INFINITY : found.evaluations / SEARCHED_PER_EVALUATION);
    return answerOf(input, found, hot);
  },
};

/**
 * What a byte must gain in the search's measure, the sum over hosts of weighted squared deviations: what sending it costs, over
 * what a unit of that sum saves over the horizon on a host of middling size. The selection asks afterwards what each move
 * really brings. 0 where evenness has no price.
 */
function pricePerByte(world: World): number {
  const { prices, horizonMs } = world.parameters;
  const known = knownHostIndexes(world);
  const cores = known.reduce((sum, host) => sum + (world.capacity[host * RESOURCES + CPU] ?? 0), 0) / known.length;
  const weight = weightsOf(world.parameters).reduce((sum, each) => sum + each, 0);
  const saved = (prices.imbalancePerCoreHour * (cores / weight) * horizonMs) / HOUR_MS;
  return saved > 0 ? (PRICE_SHARE * prices.transferPerGib) / GIB / saved : 0;
}

const nothing = (idle: string): StrategyAnswer => ({ proposals: [], stuck: [], seen: [], idle });

function hottest(world: World): string {
  const known = knownHostIndexes(world);
  const [first] = known.toSorted((a, b) => ratioOf(world, b, CPU) - ratioOf(world, a, CPU));
  return first === undefined
    ? "0 hosts are known"
    : `the hottest, ${hostAt(world, first).hostId}, uses ${ratio(ratioOf(world, first, CPU))} of its cores`;
}

/** Loads of hosts that take no part count nowhere, as if their capacity were not known. */
function searchInputOf({ world, fixed }: StrategyInput): SearchInput {
  const { parameters, hosts, capacity, used } = world;
  const known = capacity.slice();
  const usedMax = new Float64Array(capacity.length).fill(Number.POSITIVE_INFINITY);
  hosts.forEach((_, host) => {
    if (world.unknown[host] !== null) known.fill(0, host * RESOURCES, (host + 1) * RESOURCES);
    const at = host * RESOURCES + CPU;
    usedMax[at] = (capacity[at] ?? 0) * Math.min(parameters.cpuRatioMax, parameters.hotRatio);
  });
  return {
    resources: RESOURCES,
    weights: weightsOf(parameters),
    capacity: known,
    used: used.slice(),
    usedMax,
    committed: world.committed.slice(),
    committedMax: world.ceiling,
    demand: world.demand,
    vmBytes: world.vmBytes,
    moveBytes: Float64Array.from(world.vms, (_, vm) => sentBytes(world, vm)),
    hostOf: world.hostOf.slice(),
    movable: Uint8Array.from(world.vms, (_, vm) =>
      world.cpuKnown[vm] === 1 && !fixed.has(vm) && mayMove(world, vm) ? 1 : 0,
    ),
    rules: {
      fits: (vm, host, without) => {
        if (without < 0) return fits(world, vm, host);
        depart(world, without, host);
        const ok = fits(world, vm, host);
        arrive(world, without, host);
        return ok;
      },
      moved: (vm, _from, to) => place(world, vm, to),
    },
  };
}

function answerOf(input: StrategyInput, found: SearchResult, hot: readonly Finding[]): StrategyAnswer {
  const { world } = input;
  const { imbalanceBefore, imbalance, bound } = found;
  const span = imbalanceBefore - bound;
  const proposals = sequenced(input, found.moves).flatMap((bundle, index) =>
    bundle.map((move) => proposalOf(input, move, index, found)),
  );
  const leaving = new Set(found.moves.map(({ from }) => from));
  const stuckHosts = hot.map(({ host }) => host).filter((host) => !leaving.has(host));
  return {
    proposals,
    stuck: stuckOn(input, stuckHosts),
    seen: [`imbalance ${deviation(imbalanceBefore)}; no placement is below ${deviation(bound)}.`],
    idle: idleOf(world, found, hot),
    bound: {
      metric: "imbalance",
      value: imbalance,
      lowerBound: bound,
      gapRatio: span <= 0 ? 0 : (imbalance - bound) / span,
    },
  };
}

function idleOf(world: World, { imbalanceBefore, cutShort }: SearchResult, hot: readonly Finding[]): string {
  const before = deviation(imbalanceBefore);
  const none = (what: string): string =>
    cutShort
      ? `no move that lowers ${what} was found before evaluationsMax was spent`
      : `no permitted move lowers ${what}`;
  return hot.length === 0
    ? `imbalance ${before}, over ${deviation(world.parameters.imbalanceMax)}, and ${none("it")}`
    : `${counted(hot.length, "hot host")} (${hottest(world)}), and ${none(`the imbalance of ${before}`)}`;
}

/** So many VMs of hosts that stay hot are told of, and so many hosts are asked whether a mechanism gets one there. */
const STUCK_MAX = 100;
const OBSTACLES_ASKED_MAX = 1;

/** VMs of hosts that stay hot, the busiest first: why none of them leaves. */
function stuckOn({ world, fixed, obstacleOf }: StrategyInput, hosts: readonly number[]): StrategyAnswer["stuck"] {
  const cpu = (vm: number): number => world.demand[vm * RESOURCES + CPU] ?? 0;
  return hosts
    .flatMap((host) => [...(world.vmsOn[host] ?? [])].sort((a, b) => cpu(b) - cpu(a) || a - b))
    .filter((vm) => !fixed.has(vm))
    .slice(0, STUCK_MAX)
    .map((vm) => {
      let asked = 0;
      const rejections = whyStuck(world, vm, (to) => (asked++ < OBSTACLES_ASKED_MAX ? obstacleOf(vm, to) : null));
      return { vm, rejections };
    });
}

function proposalOf(
  { world, means }: StrategyInput,
  { vm, from, to }: FoundMove,
  index: number,
  found: SearchResult,
): Proposal {
  const [it, source, target] = [vmAt(world, vm), hostAt(world, from), hostAt(world, to)];
  const told = (host: number): string => `${hostAt(world, host).hostId} is at ${loadsOf(world, host, means)}`;
  return {
    vm,
    to,
    bundle: index,
    mandatory: false,
    why: {
      vm: `${told(from)}; of its ${counted(world.vmsOn[from]?.size ?? 0, "VM")} ${it.name} (${sizesOf(world, vm)}) is among those whose leaving evens the cluster most for the bytes sent.`,
      there: `${told(to)} and takes best what ${it.name} uses and ${source.hostId} has too much of: of all hosts that may take it, ${target.hostId} leaves the least imbalance.`,
      now: `The imbalance is ${deviation(found.imbalanceBefore)}, over ${deviation(world.parameters.imbalanceMax)} or with a hot host; all moves together bring it to ${deviation(found.imbalance)}, where no placement is below ${deviation(found.bound)}.`,
    },
  };
}

const sizesOf = ({ demand, vmBytes }: World, vm: number): string =>
  `${(demand[vm * RESOURCES + CPU] ?? 0).toFixed(2)} cores, ${size(vmBytes[vm] ?? 0)}`;

/** Ratios of what is known of a host, against the cluster's means. */
function loadsOf(world: World, host: number, means: Means): string {
  const names = [
    ["cpu", CPU],
    ["memory", MEMORY],
    ["network", NETWORK],
  ] as const;
  const known = names.filter(([, resource]) => (world.capacity[host * RESOURCES + resource] ?? 0) > 0);
  return known
    .map(
      ([name, resource]) =>
        `${name} ${percent(ratioOf(world, host, resource))} (mean ${percent(means[resource] ?? 0)})`,
    )
    .join(", ");
}
