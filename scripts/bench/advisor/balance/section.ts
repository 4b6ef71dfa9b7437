// Balance: how even a cluster gets, and for how many bytes, beside what four other systems would do with it. Every peer runs with
// what it ships with, and in forms that act until nothing helps; each until it stops by its own rule.
import { imbalanceBound } from "../../../../worker/model/placement/search/bound.ts";
import type { Snapshot } from "../../../../worker/model/cluster.ts";
import { report } from "../../report.ts";
import type { BenchOptions, Section } from "../section.ts";
import { drover } from "./drover.ts";
import { proveBalance, proveBytes } from "./exact.ts";
import { brokenRules, type Flat, flatten, rulesOf } from "./flat.ts";
import { generateCluster } from "./generate.ts";
import { peers } from "./peers/index.ts";
import { printBalance } from "./table.ts";
import { imbalance, ownMeasures, placed } from "./yardstick.ts";

const HOSTS = [10, 100, 1000];
/** Clusters of up to so many hosts are given to the exact solver, for so long. */
const EXACT_HOSTS_MAX = 10;
const EXACT_SECONDS = 20;
/**
 * Drover's one setting for few bytes, at every size: a GiB sent counts as much as this, where a core's imbalance costs 0.2 an
 * hour for four hours. For evenness alone bytes cost nothing.
 */
const FRUGAL_PER_GIB = 0.085;
const EVEN_PER_GIB = 0;

export const balanceSection: Section = { cases: ["balance"], run };

type Outcome = { hostOf: Int32Array; moves: number; movedBytes: number };
type Case = { snapshot: Snapshot; flat: Flat; seed: number; start: number; bound: number };
type Judged = { policy: string; moves: number; movedBytes: number; left: number };

async function run({ hosts, seed }: BenchOptions): Promise<void> {
  for (const size of hosts.length > 0 ? hosts : HOSTS) await ofSize(size, seed);
}

async function ofSize(hosts: number, seed: number): Promise<void> {
  const snapshot = generateCluster({ hosts, seed });
  const flat = flatten(snapshot);
  const start = imbalance(flat);
  const bound = imbalanceBound({ ...flat, rules: rulesOf(flat) });
  const of: Case = { snapshot, flat, seed, start, bound };
  figure(of, "bound", "imbalance", bound, "ratio");
  judge(of, "nothing", false, () => ({ hostOf: flat.hostOf, moves: 0, movedBytes: 0 }));
  const able = peers.filter(({ hostsMax = Number.POSITIVE_INFINITY }) => hosts <= hostsMax);
  const others = able.map((peer) => judge(of, peer.name, true, () => peer.run(flat, seed)));
  const acting = others.filter(({ moves }) => moves > 0);
  beside(of, ofDrover(of, "drover", FRUGAL_PER_GIB), acting);
  const even = ofDrover(of, "drover-even", EVEN_PER_GIB);
  beside(of, even, acting);
  if (hosts <= EXACT_HOSTS_MAX) await prove(of, even.left);
  printBalance(hosts);
}

const ofDrover = (of: Case, policy: string, transferPerGib: number): Judged =>
  judge(of, policy, false, () => drover(of.snapshot, of.seed, transferPerGib));

/** Of the peers that move anything: how many leave more imbalance, move more bytes, and both. */
function beside(of: Case, { policy, left, movedBytes }: Judged, peersActing: readonly Judged[]): void {
  const evener = peersActing.filter((peer) => left < peer.left);
  const told = (metric: string, some: readonly Judged[]): void => figure(of, policy, metric, some.length, "peers");
  told("peersActing", peersActing);
  told("peersLessEven", evener);
  told(
    "peersMoreBytes",
    peersActing.filter((peer) => movedBytes < peer.movedBytes),
  );
  told(
    "peersDominated",
    evener.filter((peer) => movedBytes < peer.movedBytes),
  );
}

function figure({ flat }: Case, policy: string, metric: string, value: number, unit: string, peer = false): void {
  const { hosts, vms } = flat;
  report({ bench: "advisor", case: "balance", hosts, vms, policy, metric, value, unit, ...(peer && { peer: true }) });
}

/** Reports one policy's figures. `gapRatio`: what is left of the imbalance over the bound that there was at the start. */
function judge(of: Case, policy: string, peer: boolean, act: () => Outcome): Judged {
  const before = process.cpuUsage();
  const { hostOf, moves, movedBytes } = act();
  const { user, system } = process.cpuUsage(before);
  const { flat, start, bound } = of;
  const after = placed(flat, hostOf);
  const left = imbalance(after);
  const told = (metric: string, value: number, unit: string): void => figure(of, policy, metric, value, unit, peer);
  told("imbalance", left, "ratio");
  told("moves", moves, "moves");
  told("movedBytes", movedBytes, "bytes");
  told("gapRatio", (left - bound) / (start - bound), "ratio");
  told("cpuMs", (user + system) / 1000, "ms");
  told("rulesBroken", brokenRules(flat, hostOf), "rules");
  for (const { metric, value, unit } of ownMeasures(after)) told(metric, value, unit);
  return { policy, moves, movedBytes, left };
}

/** What the exact solver says: no placement is evener than the bound, and none as even as this is reached for fewer bytes. */
async function prove(of: Case, left: number): Promise<void> {
  const told = (metric: string, value: number, unit: string): void => figure(of, "highs", metric, value, unit);
  const balance = await proveBalance(of.flat, EXACT_SECONDS);
  told("imbalanceBound", balance.bound, "ratio");
  if (balance.found !== null) told("absoluteDeviation", balance.found, "ratio");
  const bytes = await proveBytes(of.flat, left, EXACT_SECONDS);
  told("movedBytesBound", bytes.bound, "bytes");
}
