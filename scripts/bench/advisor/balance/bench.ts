// Balance: how even a cluster gets, and for how many bytes, beside what four other systems would do with it.
//
// Every peer runs with what it ships with, and in an `eager` form that acts until nothing helps, until it stops. The search
// runs three ways: by itself; with four fifths of each peer's bytes (`bytes of`), to see that it is evener for less; and down
// to each peer's imbalance (`balance of`), to see what that should have cost. `cpu-memory`: it too ignores networks, as the
// peers do, and is measured without them.
import { imbalanceBound } from "../../../../worker/model/placement/search/bound.ts";
import { searchBalance } from "../../../../worker/model/placement/search/search.ts";
import type { SearchOptions } from "../../../../worker/model/placement/search/types.ts";
import { report } from "../../report.ts";
import { proveBalance, proveBytes } from "./exact.ts";
import { brokenRules, flatten, rulesOf } from "./flat.ts";
import type { Flat } from "./flat.ts";
import { generateCluster } from "./generate.ts";
import { peers } from "./peers/index.ts";
import { printBalance } from "./table.ts";
import { imbalance, ownMeasures, placed } from "./yardstick.ts";

export type BalanceOptions = {
  /** Sizes of the clusters. */
  hosts: readonly number[];
  seed: number;
  /** Clusters of up to so many hosts are given to the exact solver. */
  exactHostsMax: number;
  exactSeconds: number;
};

export const BALANCE_DEFAULTS: BalanceOptions = {
  hosts: [10, 100, 1000],
  seed: 1,
  exactHostsMax: 10,
  exactSeconds: 30,
};

/** Share of a peer's bytes that the search gets to be evener than it. */
const BYTES_RATIO = 0.8;

type Outcome = { hostOf: Int32Array; moves: number; movedBytes: number };
type Case = { flat: Flat; start: number; bound: number };

/** What the search's weights would be if networks counted for nothing. */
const withoutNetwork = (flat: Flat): Flat => ({ ...flat, weights: Float64Array.of(1, 1, 0, 0) });

function timed<Result>(act: () => Result): { result: Result; cpuMs: number } {
  const before = process.cpuUsage();
  const result = act();
  const { user, system } = process.cpuUsage(before);
  return { result, cpuMs: (user + system) / 1000 };
}

function search(flat: Flat, options: Partial<SearchOptions>): Outcome {
  const found = searchBalance({ ...flat, rules: rulesOf(flat) }, options);
  return { hostOf: found.hostOf, moves: found.moves.length, movedBytes: found.movedBytes };
}

/** Reports one policy's figures; answers its imbalance. */
function judge(
  { flat, start, bound }: Case,
  policy: string,
  peer: string | null,
  act: () => Outcome,
): Outcome & { left: number } {
  const { result, cpuMs } = timed(act);
  const after = placed(flat, result.hostOf);
  const left = imbalance(after);
  const figure = (metric: string, value: number, unit: string): void =>
    report({
      bench: "advisor",
      case: "balance",
      hosts: flat.hosts,
      policy,
      metric,
      value,
      unit,
      ...(peer === null ? {} : { peer }),
    });
  figure("imbalance", left, "ratio");
  figure("gapRatio", (left - bound) / (start - bound), "ratio");
  figure("moves", result.moves, "moves");
  figure("movedBytes", result.movedBytes, "bytes");
  figure("cpuMs", cpuMs, "ms");
  figure("imbalanceCpuMemory", imbalance(withoutNetwork(after)), "ratio");
  figure("rulesBroken", brokenRules(flat, result.hostOf), "rules");
  for (const { metric, value, unit } of ownMeasures(after)) figure(metric, value, unit);
  return { ...result, left };
}

/** The search with a part of the peer's bytes, and for the peer's balance. */
function rival(of: Case, peer: string, { left, movedBytes, hostOf }: Outcome & { left: number }): void {
  const { flat, start, bound } = of;
  const movedBytesMax = BYTES_RATIO * movedBytes;
  judge(of, `local-search, bytes of ${peer}`, null, () => search(flat, { movedBytesMax }));
  const remainRatio = Math.min(1, (left - bound) / (start - bound));
  judge(of, `local-search, balance of ${peer}`, null, () => search(flat, { remainRatio }));
  const narrow = withoutNetwork(flat);
  const narrowBound = imbalanceBound({ ...narrow, rules: rulesOf(flat) });
  const narrowLeft = imbalance(withoutNetwork(placed(flat, hostOf)));
  const narrowRatio = Math.min(1, (narrowLeft - narrowBound) / (imbalance(narrow) - narrowBound));
  judge(of, `local-search, cpu-memory balance of ${peer}`, null, () =>
    search(narrow, { remainRatio: 0.99 * narrowRatio }),
  );
}

async function prove(flat: Flat, left: number, seconds: number): Promise<void> {
  const figure = (metric: string, value: number, unit: string): void =>
    report({ bench: "advisor", case: "balance", hosts: flat.hosts, policy: "highs", metric, value, unit });
  const balance = await proveBalance(flat, seconds);
  figure("bound", balance.bound, "ratio");
  if (balance.found !== null) figure("absoluteDeviationFound", balance.found, "ratio");
  const bytes = await proveBytes(flat, left, seconds);
  figure("movedBytesBound", bytes.bound, "bytes");
}

/** All figures of all sizes, as JSON lines and as tables. `gapRatio`: (imbalance - bound) / (imbalance at the start - bound). */
export async function benchBalance(stated: Partial<BalanceOptions> = {}): Promise<void> {
  const { hosts: sizes, seed, exactHostsMax, exactSeconds } = { ...BALANCE_DEFAULTS, ...stated };
  for (const hosts of sizes) {
    const flat = flatten(generateCluster({ hosts, seed }));
    const bound = imbalanceBound({ ...flat, rules: rulesOf(flat) });
    const of = { flat, bound, start: imbalance(flat) };
    report({
      bench: "advisor",
      case: "balance",
      hosts,
      policy: "bound",
      metric: "imbalance",
      value: bound,
      unit: "ratio",
    });
    judge(of, "nothing", null, () => ({ hostOf: flat.hostOf, moves: 0, movedBytes: 0 }));
    const own = judge(of, "local-search", null, () => search(flat, {}));
    judge(of, "local-search, as even as can be", null, () => search(flat, { remainRatio: 0 }));
    for (const peer of peers) {
      if (hosts > (peer.hostsMax ?? Infinity)) continue;
      const outcome = judge(of, peer.name, peer.name, () => peer.run(flat, seed));
      if (outcome.moves > 0) rival(of, peer.name, outcome);
    }
    if (hosts <= exactHostsMax) await prove(flat, own.left, exactSeconds);
    printBalance(hosts);
  }
}
