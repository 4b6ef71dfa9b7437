// Which hosts a host can even itself out with: those that lack what it has too much of, and the reverse.
import type { SearchState } from "./state.ts";

/** Reused by every look at a host, so that a search of thousands of looks leaves no garbage. */
export type Partners = { hosts: Int32Array; scores: Float64Array; count: number };

export const partnersOf = (most: number): Partners => ({
  hosts: new Int32Array(most),
  scores: new Float64Array(most),
  count: 0,
});

/**
 * The hosts whose deviations point most against this one's, the best first. Hosts are left out whose skew and this one's
 * together are not over `worth`: no exchange between two hosts gains more than what skews both.
 */
export function findPartners(state: SearchState, host: number, worth: number, found: Partners): void {
  const { hosts, resources, deviation, skew } = state;
  const most = found.hosts.length;
  const own = skew[host] ?? 0;
  const base = host * resources;
  found.count = 0;
  for (let other = 0; other < hosts; other++) {
    if (other === host || own + (skew[other] ?? 0) <= worth) continue;
    let score = 0;
    for (let r = 0, at = other * resources; r < resources; r++, at++)
      score += (deviation[base + r] ?? 0) * (deviation[at] ?? 0);
    if (found.count < most) found.count++;
    else if (score >= (found.scores[most - 1] ?? 0)) continue;
    insert(found, other, score);
  }
}

function insert({ hosts, scores, count }: Partners, host: number, score: number): void {
  let at = count - 1;
  for (; at > 0 && (scores[at - 1] ?? 0) > score; at--) {
    scores[at] = scores[at - 1] ?? 0;
    hosts[at] = hosts[at - 1] ?? 0;
  }
  scores[at] = score;
  hosts[at] = host;
}
