// Consolidation: fewer hosts switched on, each with room for what its VMs will want. The decision alone, over plain data; what a
// VM is, and which rules hold, is the caller's.
import { drain } from "./consolidation/drain.ts";
import { relieve } from "./consolidation/relieve.ts";
import { stateOf } from "./consolidation/state.ts";
import type { Consolidation, ConsolidationInput, ConsolidationParameters } from "./consolidation/types.ts";

/** Loads that stray little from a slow mean, boots that pay back within the hour; `movesMax` none. */
export const CONSOLIDATION_DEFAULTS: ConsolidationParameters = {
  newestWeight: 0.08,
  deviations: 2,
  priorDeviationRatio: 0.1,
  priorSamples: 2,
  relieveRatio: 1,
  fillRatio: 0.9,
  cooldownMs: 1_800_000,
  horizonMs: 3_600_000,
  wattsPerMoveMin: 0.5,
  movesMax: Number.MAX_SAFE_INTEGER,
};

/**
 * Moves that relieve hosts which will need more than they have, then moves that empty hosts where that saves more energy over the
 * horizon than it costs. A host either gives or takes in one plan. Same input, same plan.
 */
export function consolidate(
  input: ConsolidationInput,
  parameters: ConsolidationParameters = CONSOLIDATION_DEFAULTS,
): Consolidation {
  const state = stateOf(input, parameters);
  const { moves, stuck } = relieve(state);
  const { emptied, notDrained } = drain(state, moves);
  const woken = state.hosts.filter((host) => host.woken).map(({ index }) => index);
  return { moves, emptied, woken, notDrained, stuck };
}
