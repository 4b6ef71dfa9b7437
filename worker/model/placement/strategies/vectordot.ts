// VectorDot (Singh, Korupolu and Mohapatra, SC 2008), from knowledge of the paper: off the host that is furthest above its
// thresholds leaves the VM that goes worst with it, for the path (host, link, storage) with which it goes best.
import { fits, mayMove } from "../constraints.ts";
import { counted, listed, percent } from "../format.ts";
import { hostName, hottestIn, loadsOf, stuckOn, vmName } from "../hotspots.ts";
import type { Proposal, Strategy, StrategyInput } from "../strategy.ts";
import { hostScore, type Paths, pathsOf, storageProduct, vectorProduct } from "../vector.ts";
import { DISK, knownHostIndexes, place, ratioOf, type World } from "../world.ts";

type Search = {
  input: StrategyInput;
  world: World;
  paths: Paths;
  /** By host: the sentence that says why it is a source. */
  sources: ReadonlyMap<number, string>;
  hosts: readonly number[];
  moved: Set<number>;
  proposals: Proposal[];
};

type Target = { host: number; product: number; feasible: number };

export const vectordot: Strategy = {
  name: "vectordot",
  goals: ["balance"],
  summary:
    "Moves the VM whose load goes worst with a host above its thresholds to where its vector product over host, link and storage is least.",
  propose(input) {
    const { world } = input;
    const paths = pathsOf(world);
    const hosts = knownHostIndexes(world);
    const sources = sourcesOf(input, hosts);
    const search: Search = { input, world, paths, sources, hosts, moved: new Set(), proposals: [] };
    const before = totalScore(world, hosts);
    const order = [...sources.keys()].sort((a, b) => hostScore(world, b) - hostScore(world, a) || a - b);
    for (const host of order) relieve(search, host);
    const stayHot = order.filter((host) => hostScore(world, host) > 0);
    const after = totalScore(world, hosts);
    const seen = [`The hosts' imbalance scores add up to ${before.toFixed(2)}.`, ...fullPools(world, paths)];
    const names = listed(stayHot.map((host) => hostName(world, host)));
    return {
      proposals: search.proposals,
      // What is left once there are enough moves is not stuck: it has not been looked at.
      stuck: stuckOn(input, world, isEnough(search) ? [] : stayHot, search.moved),
      seen,
      idle:
        sources.size === 0
          ? hottestIn(world)
          : `${counted(sources.size, "host")} above a threshold, total imbalance score ${before.toFixed(2)} → ${after.toFixed(2)}${names === "" ? "" : `, and ${names} would stay so`}: ${hottestIn(world)}`,
    };
  },
};

const totalScore = (world: World, hosts: readonly number[]): number =>
  hosts.reduce((sum, host) => sum + hostScore(world, host), 0);

/** Hosts that were found hot, and those whose disks are above the threshold, which detection does not look at. */
function sourcesOf({ world, findings }: StrategyInput, hosts: readonly number[]): Map<number, string> {
  const { hotRatio } = world.parameters;
  const sources = new Map(findings.filter(({ state }) => state === "hot").map((found) => [found.host, found.sentence]));
  for (const host of hosts) {
    const disk = ratioOf(world, host, DISK);
    if (disk <= hotRatio || sources.has(host)) continue;
    sources.set(host, `${hostName(world, host)} is hot: disk ${percent(disk)}, over ${percent(hotRatio)}.`);
  }
  return sources;
}

const fullPools = ({ parameters: { hotRatio } }: World, { pools }: Paths): string[] =>
  [...pools].flatMap(([name, { used }]) =>
    used <= hotRatio
      ? []
      : [
          `Pool ${name} is at ${percent(used)} of what its hosts' disks can do, over ${percent(hotRatio)}: moving VMs between its hosts does not change that.`,
        ],
  );

/** Moves VMs off the host, those first that go worst with it, until it is below its thresholds. */
function relieve(search: Search, host: number): void {
  const { world, input, paths, moved, proposals } = search;
  const items = [...(world.vmsOn[host] ?? [])]
    .filter((vm) => !input.fixed.has(vm) && !moved.has(vm) && mayMove(world, vm))
    .map((vm) => ({ vm, product: vectorProduct(world, paths, vm, host) + storageProduct(world, paths, vm) }))
    .sort((a, b) => b.product - a.product || a.vm - b.vm);
  for (const { vm, product } of items) {
    if (hostScore(world, host) === 0 || isEnough(search)) return;
    const target = bestTarget(search, vm, host);
    if (target === null) continue;
    const why = whyOf(search, vm, product, target);
    place(world, vm, target.host);
    moved.add(vm);
    const there = `${why.there}, afterwards ${loadsOf(world, target.host)}.`;
    proposals.push({ vm, to: target.host, bundle: proposals.length, mandatory: false, why: { ...why, there } });
  }
}

/** One more than a plan may have is proposed, so that the plan says what it is short of. */
const isEnough = ({ input, world, proposals }: Search): boolean =>
  proposals.length > world.parameters.movesMax - input.fixed.size || input.isSpent(0);

/** The host with the least product of those that can take the VM, if the scores of both together fall; null: none. */
function bestTarget(search: Search, vm: number, from: number): Target | null {
  const { world, paths, hosts, sources, input } = search;
  const storage = storageProduct(world, paths, vm);
  const candidates: Target[] = [];
  for (const host of hosts) {
    if (host === from || sources.has(host) || !fits(world, vm, host)) continue;
    candidates.push({ host, product: vectorProduct(world, paths, vm, host) + storage, feasible: 0 });
  }
  input.isSpent(hosts.length);
  candidates.sort((a, b) => a.product - b.product || a.host - b.host);
  const found = candidates.find(({ host }) => lowersScores(world, vm, from, host) && input.costOf(vm, host) !== null);
  return found === undefined ? null : { ...found, feasible: candidates.length };
}

function lowersScores(world: World, vm: number, from: number, to: number): boolean {
  const before = hostScore(world, from) + hostScore(world, to);
  place(world, vm, to);
  const after = hostScore(world, from) + hostScore(world, to);
  place(world, vm, from);
  return after < before;
}

/** As it is before the move. */
function whyOf({ world, sources, paths }: Search, vm: number, product: number, target: Target): Proposal["why"] {
  const from = world.hostOf[vm] ?? 0;
  const [name, source, to] = [vmName(world, vm), hostName(world, from), hostName(world, target.host)];
  const stays = product > target.product ? "less" : "more, for its migration counts,";
  const link = percent((paths.linkUsed[target.host] ?? 0) + paths.linkShare);
  return {
    vm: `${source} has an imbalance score of ${hostScore(world, from).toFixed(2)} and ${name} the greatest vector product with it of what can leave, ${product.toFixed(3)}.`,
    there: `${to} has the least vector product with ${name} of ${counted(target.feasible, "host")} with room, ${target.product.toFixed(3)}, ${stays} than where it is: ${loadsOf(world, target.host)} and ${link} of its migration link before`,
    now: sources.get(from) ?? "",
  };
}
