// How even a cluster could be at best: a lower bound that no placement beats, whatever its rules.
import { meansOf, termsOf } from "./state.ts";
import type { SearchInput } from "./types.ts";

/**
 * Lower bound of the imbalance (`imbalanceOf`) over all placements. Each resource by itself: loads that cannot leave a host
 * keep it over the mean, and a VM too big for any host's fair share keeps its host over it, by at least what the largest host
 * would be; all else is taken as divisible and free. What is over the mean in one place is missing elsewhere, and is spread
 * at best in proportion to the capacities, which adds E² / Σ capacity² (Cauchy-Schwarz) for an excess of E.
 */
export function imbalanceBound(input: SearchInput): number {
  const { resources, weights } = input;
  const means = meansOf(input);
  const fixed = fixedLoads(input);
  let total = 0;
  for (let r = 0; r < resources; r++) {
    total += (weights[r] ?? 0) * boundOf(input, fixed, r, means[r] ?? 0);
  }
  const terms = termsOf(input);
  return terms > 0 ? Math.sqrt(total / terms) : 0;
}

/** What each host uses once every movable VM has left it. */
function fixedLoads({ resources, used, demand, hostOf, movable }: SearchInput): Float64Array {
  const fixed = used.slice();
  for (let vm = 0; vm < hostOf.length; vm++) {
    if (movable[vm] === 0) continue;
    const base = (hostOf[vm] ?? 0) * resources;
    for (let r = 0; r < resources; r++) fixed[base + r] = (fixed[base + r] ?? 0) - (demand[vm * resources + r] ?? 0);
  }
  return fixed;
}

/** Sum over hosts of squared deviations of one resource, at least. */
function boundOf(input: SearchInput, fixed: Float64Array, r: number, mean: number): number {
  const { resources, capacity, demand, hostOf, movable } = input;
  let squares = 0;
  let excess = 0;
  let absorbing = 0;
  let largest = 0;
  for (let at = r; at < capacity.length; at += resources) {
    const of = capacity[at] ?? 0;
    if (of <= 0) continue;
    largest = Math.max(largest, of);
    const over = (fixed[at] ?? 0) / of - mean;
    if (over <= 0) absorbing += of ** 2;
    else {
      squares += over ** 2;
      excess += over * of;
    }
  }
  if (largest <= 0) return 0;
  for (let vm = 0; vm < hostOf.length; vm++) {
    const over = (demand[vm * resources + r] ?? 0) / largest - mean;
    if (movable[vm] === 0 || over <= 0) continue;
    squares += over ** 2;
    excess += over * largest;
  }
  return squares + (absorbing > 0 ? excess ** 2 / absorbing : 0);
}
