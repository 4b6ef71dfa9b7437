// Relief: VMs leave hosts that will need more than they have, as few as will do.
import { bestHost, needed, type PlannedHost, put, type State, take } from "./state.ts";
import type { Consolidation, ConsolidationMove, MoveReason } from "./types.ts";

export type Draft = Pick<Consolidation, "moves" | "stuck">;

export function relieve(state: State, draft: Draft): void {
  for (const from of state.hosts) {
    if (from.host.closed === true || from.vms.length === 0) continue;
    for (const vm of from.vms.slice()) {
      if (!state.input.fits(vm, from.index, state.placement)) sendAway(state, draft, vm, from, { kind: "unfit" });
    }
    const { cores } = from.host;
    if (needOf(state, from) <= cores * state.parameters.relieveRatio) continue;
    lighten(state, draft, from);
  }
}

const needOf = (state: State, { mean, variance }: PlannedHost): number => needed(mean, variance, state.parameters);

function lighten(state: State, draft: Draft, from: PlannedHost): void {
  const { cores } = from.host;
  const tried = new Set<number>();
  while (needOf(state, from) > cores * state.parameters.fillRatio) {
    const vm = choose(state, from, tried);
    if (vm === null || draft.moves.length >= state.parameters.movesMax) return;
    tried.add(vm);
    sendAway(state, draft, vm, from, { kind: "relieve", neededCores: needOf(state, from), cores });
  }
}

/** The one that costs least among those that suffice alone; else the one that helps most. */
function choose(state: State, from: PlannedHost, tried: ReadonlySet<number>): number | null {
  const { input, demands, parameters } = state;
  const goal = from.host.cores * parameters.fillRatio;
  let cheapest: number | null = null;
  let cheapestJoules = Number.POSITIVE_INFINITY;
  let biggest: number | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const vm of from.vms) {
    const seen = input.vms[vm];
    const demand = demands[vm];
    if (seen === undefined || demand === undefined || seen.fixed === true || tried.has(vm)) continue;
    const left = needed(from.mean - demand.mean, from.variance - demand.variance, parameters);
    if (left < least) [biggest, least] = [vm, left];
    if (left <= goal && seen.moveJoules < cheapestJoules) [cheapest, cheapestJoules] = [vm, seen.moveJoules];
  }
  return cheapest ?? biggest;
}

function sendAway(state: State, draft: Draft, vm: number, from: PlannedHost, reason: MoveReason): void {
  const to = state.input.vms[vm]?.fixed === true ? null : bestHost(state, vm, from.index, true);
  if (to === null || draft.moves.length >= state.parameters.movesMax) {
    draft.stuck.push(vm);
    return;
  }
  const move: ConsolidationMove = { vm, from: from.index, to: to.index, reason };
  take(state, vm, from);
  put(state, vm, to);
  if (!to.on) [to.on, to.woken] = [true, true];
  [from.gives, to.takes] = [true, true];
  draft.moves.push(move);
}
