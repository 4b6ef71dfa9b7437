// Relief: VMs leave hosts that will need more than they have, as few as will do.
import { bestHost, needed, type PlannedHost, put, type State, take, wake } from "./state.ts";
import type { Consolidation, ConsolidationMove, MoveReason } from "./types.ts";

type Relief = Pick<Consolidation, "moves" | "stuck">;

/** All hosts that must give are known before the first VM is placed, so that none of them takes. */
export function relieve(state: State): Relief {
  const relief: Relief = { moves: [], stuck: [] };
  const open = state.hosts.filter(({ host, vms }) => host.closed !== true && vms.length > 0);
  const pressed = open.map((from) => ({ from, unfit: unfitOf(state, from), hot: isHot(state, from) }));
  const giving = pressed.filter(({ unfit, hot }) => hot || unfit.length > 0);
  for (const { from } of giving) from.gives = true;
  for (const { from, unfit, hot } of giving) {
    for (const vm of unfit) sendAway(state, relief, vm, from, { kind: "unfit" });
    if (hot) lighten(state, relief, from);
  }
  return relief;
}

const needOf = ({ parameters }: State, { mean, variance }: PlannedHost): number => needed(mean, variance, parameters);

const isHot = (state: State, from: PlannedHost): boolean =>
  needOf(state, from) > from.host.cores * state.parameters.relieveRatio;

const unfitOf = ({ input, placement }: State, { index, vms }: PlannedHost): number[] =>
  vms.filter((vm) => !input.fits(vm, index, placement));

function lighten(state: State, relief: Relief, from: PlannedHost): void {
  const { cores } = from.host;
  const tried = new Set<number>(relief.stuck);
  for (;;) {
    const neededCores = needOf(state, from);
    const vm = neededCores > cores * state.parameters.fillRatio ? choose(state, from, tried) : null;
    if (vm === null) return;
    tried.add(vm);
    sendAway(state, relief, vm, from, { kind: "relieve", neededCores, cores });
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

function sendAway(state: State, relief: Relief, vm: number, from: PlannedHost, reason: MoveReason): void {
  const mayMove = state.input.vms[vm]?.fixed !== true && relief.moves.length < state.parameters.movesMax;
  const to = mayMove ? bestHost(state, vm, from) : null;
  if (to === null) {
    relief.stuck.push(vm);
    return;
  }
  const move: ConsolidationMove = { vm, from: from.index, to: to.index, reason };
  take(state, vm, from);
  put(state, vm, to);
  wake(to);
  to.takes = true;
  relief.moves.push(move);
}
