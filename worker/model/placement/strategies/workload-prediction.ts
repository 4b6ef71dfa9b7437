// Migration by predicted load (Liu, Gong, Xing and Jian 2014): a host gives VMs away only where what it is predicted to use is
// outside its bounds, so that a momentary peak moves nothing. What VMs are predicted to use is what is placed.
import { fits, mayMove } from "../constraints.ts";
import { emptyingOf, firstHeld, type Move } from "../emptying.ts";
import { cores, counted, listed, percent, size } from "../format.ts";
import {
  fullestOf,
  heatedBy,
  hostName,
  hotBy,
  hottestIn,
  isHot,
  loadsOf,
  shareOf,
  stuckOn,
  vmName,
} from "../hotspots.ts";
import { type Ladder, ladderOf } from "../ladder.ts";
import {
  AHEAD_MS,
  mayBeHot,
  mayReceive,
  type Predicted,
  type Prediction,
  predictedWorld,
  predictHost,
  predictVm,
} from "../predicted.ts";
import type { Proposal, Strategy, StrategyAnswer, StrategyInput } from "../strategy.ts";
import type { Rejection } from "../types.ts";
import { sentBytes } from "../volume.ts";
import { CPU, knownHostIndexes, place, ratioOf, RESOURCES, type World } from "../world.ts";
import { MINUTE_MS } from "../../units.ts";

/** A VM that takes less than this of what its host will be hot by is not worth its bytes. */
const SHARE_MIN = 0.01;
/** So many hosts are told one by one of each kind. */
const TOLD_MAX = 5;

type Plan = {
  input: StrategyInput;
  /** As it is, and as it will be: every move is made in both. */
  world: World;
  predicted: Predicted;
  /** Those with least load first, as predicted where that has been asked for. */
  ladder: Ladder;
  sources: ReadonlySet<number>;
  /** By VM that was asked about. */
  vms: Map<number, Prediction>;
  moved: Set<number>;
  received: Set<number>;
  proposals: Proposal[];
  bundles: number;
};

const AHEAD = `${AHEAD_MS / MINUTE_MS} min`;

export const workloadPrediction: Strategy = {
  name: "workload-prediction",
  goals: ["balance"],
  summary:
    "Relieves hosts whose predicted load is too high, whatever they use at the moment, and places what VMs are predicted to use.",
  propose(input) {
    const { world } = input;
    const predicted = predictedWorld(world);
    const { future } = predicted;
    const known = knownHostIndexes(world);
    const hot = input.findings.filter(({ state }) => state === "hot" || state === "peak").map(({ host }) => host);
    const suspects = new Set([...hot, ...fullestNow(world, known), ...known.filter((host) => mayBeHot(world, host))]);
    const sources = [...suspects].filter((host) => predictHost(predicted, host).known && isHot(future, host));
    const plan: Plan = {
      input,
      world,
      predicted,
      ladder: ladderOf(known, (host) => fullestOf(future, host)),
      sources: new Set(sources),
      vms: new Map(),
      moved: new Set(),
      received: new Set(),
      proposals: [],
      bundles: 0,
    };
    const seen = seenOf(plan, hot);
    const idle = idleOf(plan, hot);
    sources.sort((a, b) => fullestOf(future, b) - fullestOf(future, a) || a - b);
    const stayHot = sources.filter((host) => !relieve(plan, host));
    const unknown = hot.filter((host) => isUnknown(plan, host));
    const stuck = isEnough(plan) ? [] : stuckIn(plan, [...stayHot, ...unknown]);
    if (world.parameters.powerOffPermitted) emptyCold(plan, known);
    return { proposals: plan.proposals, stuck, seen, idle };
  },
};

/** The host that is fullest at the moment, so that a plan without a move has a number to say. */
const fullestNow = (world: World, known: readonly number[]): number[] =>
  known.reduce<number[]>(
    ([best], host) => (best === undefined || fullestOf(world, host) > fullestOf(world, best) ? [host] : [best]),
    [],
  );

const isUnknown = ({ predicted }: Plan, host: number): boolean => !predictHost(predicted, host).known;

/** Hosts that are hot at the moment and are left alone, and why. */
function seenOf(plan: Plan, hot: readonly number[]): string[] {
  const { world, predicted, sources } = plan;
  return hot
    .filter((host) => !sources.has(host))
    .slice(0, TOLD_MAX)
    .map((host) =>
      isUnknown(plan, host)
        ? `${unknownHost(plan, host)}.`
        : `${hostName(world, host)} is hot at the moment (${loadsOf(world, host)}) and predicted at ${loadsOf(predicted.future, host)} in ${AHEAD}: left alone.`,
    );
}

function unknownHost({ world, predicted }: Plan, host: number): string {
  const made = predictHost(predicted, host);
  const reason = made.known ? "its load is unknown" : made.reason;
  return `${hostName(world, host)} is hot at the moment (${loadsOf(world, host)}), and what it will use cannot be predicted: ${reason}`;
}

/** As it is before the first move. */
function idleOf({ world, predicted, sources }: Plan, hot: readonly number[]): string {
  const { future, hosts } = predicted;
  const known = [...hosts].filter(([, { known: is }]) => is).map(([host]) => host);
  const fullest = known.reduce(
    (best, host) => (best === -1 || fullestOf(future, host) > fullestOf(future, best) ? host : best),
    -1,
  );
  if (fullest === -1)
    return `the load of 0 of ${counted(world.hosts.length, "host")} can be predicted (${hottestIn(world)})`;
  const { hotRatio } = world.parameters;
  const most = `${hostName(world, fullest)} is predicted fullest in ${AHEAD}, ${loadsOf(future, fullest)}`;
  if (sources.size > 0)
    return `${counted(sources.size, "host")} predicted over ${percent(hotRatio)} (${listed([...sources].map((host) => hostName(world, host)))}): ${most}`;
  return `${most}, not over ${percent(hotRatio)}; ${counted(hot.length, "host")} hot at the moment`;
}

/** One more than a plan may have is proposed, so that the plan says what it is short of. */
const isEnough = ({ input, world, proposals }: Plan): boolean =>
  proposals.length > world.parameters.movesMax - input.fixed.size || input.isSpent(0);

/** Predicted once; what is not known stays. */
function prediction(plan: Plan, vm: number): Prediction {
  const before = plan.vms.get(vm);
  if (before !== undefined) return before;
  const made = predictVm(plan.predicted, vm);
  plan.vms.set(vm, made);
  return made;
}

/** Moves VMs off the host until it will be cool; false: it will be hot. */
function relieve(plan: Plan, host: number): boolean {
  const { input, world, predicted, moved } = plan;
  const { future } = predicted;
  const waiting = new Set(
    [...(world.vmsOn[host] ?? [])].filter(
      (vm) => !input.fixed.has(vm) && !moved.has(vm) && mayMove(world, vm) && prediction(plan, vm).known,
    ),
  );
  while (isHot(future, host) && waiting.size > 0 && !isEnough(plan)) {
    const vm = cheapest(future, host, waiting);
    if (vm === null) break;
    waiting.delete(vm);
    const to = targetFor(plan, vm);
    if (to !== null) propose(plan, [{ vm, to }], whyNow(plan, host));
  }
  return !isHot(future, host);
}

/** Of the VMs that would be enough, the one that needs least sent; where none is, the one that takes most. null: all too little. */
function cheapest(future: World, host: number, vms: Iterable<number>): number | null {
  const [resource = CPU] = hotBy(future, host);
  const excess = ratioOf(future, host, resource) - future.parameters.hotRatio;
  let [best, bestShare, bestBytes] = [-1, 0, 0];
  for (const vm of vms) {
    const [share, bytes] = [shareOf(future, vm, host, resource), sentBytes(future, vm)];
    if (share < SHARE_MIN) continue;
    const isEnoughForIt = share >= excess;
    const isBetter =
      best === -1 ||
      (isEnoughForIt ? bestShare < excess || bytes < bestBytes : bestShare < excess && share > bestShare);
    if (isBetter) [best, bestShare, bestBytes] = [vm, share, bytes];
  }
  return best === -1 ? null : best;
}

/** The host with least predicted load that can take the VM now and then, and stays cool; null: none. */
function targetFor({ input, world, predicted, ladder, sources }: Plan, vm: number): number | null {
  const { future } = predicted;
  for (;;) {
    let asked = 0;
    const to = ladder.hosts.find((host) => {
      asked += 1;
      return (
        !sources.has(host) &&
        fits(world, vm, host) &&
        fits(future, vm, host) &&
        heatedBy(future, vm, host) === null &&
        (!predicted.hosts.has(host) || mayReceive(predicted, host)) &&
        input.costOf(vm, host) !== null
      );
    });
    input.isSpent(asked);
    if (to === undefined || predicted.hosts.has(to)) return to ?? null;
    // Found by what it uses at the moment: once it is predicted it may stand elsewhere, and is looked for again.
    predictHost(predicted, to);
    ladder.update(to);
  }
}

function propose(plan: Plan, moves: readonly Move[], now: string): void {
  const { world, predicted, ladder, moved, received, proposals } = plan;
  for (const { vm, to } of moves) {
    const why = whyOf(plan, vm, to, now);
    const from = world.hostOf[vm] ?? 0;
    place(world, vm, to);
    place(predicted.future, vm, to);
    ladder.update(from);
    ladder.update(to);
    moved.add(vm);
    received.add(to);
    proposals.push({ vm, to, bundle: plan.bundles, mandatory: false, why });
  }
  plan.bundles += 1;
}

function whyNow({ world, predicted }: Plan, host: number): string {
  const made = predictHost(predicted, host);
  const samples = made.known ? made.samples : 0;
  return `${hostName(world, host)} is predicted at ${loadsOf(predicted.future, host)} in ${AHEAD} by ${counted(samples, "sample")}, over ${percent(world.parameters.hotRatio)}; at the moment it is at ${loadsOf(world, host)}.`;
}

/** As it is before the move. */
function whyOf({ world, predicted }: Plan, vm: number, to: number, now: string): Proposal["why"] {
  const { future } = predicted;
  const name = vmName(world, vm);
  const cpu = (of: World): string => cores(of.demand[vm * RESOURCES + CPU] ?? 0);
  const after = ratioOf(future, to, CPU) + shareOf(future, vm, to, CPU);
  return {
    vm: `${name} is predicted to use ${cpu(future)} cores in ${AHEAD}, ${cpu(world)} at the moment, with ${size(sentBytes(world, vm))} to be sent.`,
    there: `${hostName(world, to)} is predicted at ${loadsOf(future, to)} in ${AHEAD}, cpu ${percent(after)} with ${name}, and ${loadsOf(world, to)} at the moment.`,
    now,
  };
}

/** VMs of hosts that will be hot, or may be and nobody knows. */
function stuckIn(plan: Plan, hosts: readonly number[]): StrategyAnswer["stuck"] {
  const { input, predicted, moved } = plan;
  return stuckOn(input, predicted.future, hosts, moved).map(({ vm, rejections }) => {
    const unknown = whyUnpredicted(plan, vm);
    return { vm, rejections: unknown === null ? rejections : [unknown] };
  });
}

function whyUnpredicted(plan: Plan, vm: number): Rejection | null {
  const { world } = plan;
  const host = world.hostOf[vm] ?? 0;
  if (isUnknown(plan, host)) {
    const detail = `${unknownHost(plan, host)}; nothing is moved on that.`;
    return { hostId: hostName(world, host), constraint: "host-unknown", detail };
  }
  const made = prediction(plan, vm);
  if (made.known || !mayMove(world, vm)) return null;
  const detail = `what ${vmName(world, vm)} will use cannot be predicted: ${made.reason}.`;
  return { constraint: "cpu-unknown", detail };
}

/** Hosts that will be cold are emptied, whole or not at all, to the fullest hosts that stay cool, where that pays. */
function emptyCold(plan: Plan, known: readonly number[]): void {
  const { input, world, predicted, received } = plan;
  const { future } = predicted;
  const { coldRatio, hostsOnMin } = world.parameters;
  let on = known.filter((host) => (world.vmsOn[host]?.size ?? 0) > 0).length;
  const idle = known.filter((host) => ratioOf(world, host, CPU) < 2 * coldRatio);
  const cold = idle.filter((host) => !isUnknown(plan, host) && ratioOf(future, host, CPU) < coldRatio);
  for (const host of idle) plan.ladder.update(host);
  for (const host of cold.sort((a, b) => ratioOf(future, a, CPU) - ratioOf(future, b, CPU) || a - b)) {
    if (on <= hostsOnMin || isEnough(plan)) return;
    if (received.has(host) || (world.vmsOn[host]?.size ?? 0) === 0 || firstHeld(input, host) !== null) continue;
    const moves = placesFor(plan, host);
    if (moves === null) continue;
    const emptying = emptyingOf(input, host, moves);
    if (!emptying.pays) return;
    const predictedCold = `${hostName(world, host)} is predicted at ${loadsOf(future, host)} in ${AHEAD}, below ${percent(coldRatio)}`;
    propose(plan, moves, `${predictedCold}; ${emptying.sentence}`);
    on -= 1;
  }
}

/** A place for every VM of the host; null: not for all. The worlds are as they were. */
function placesFor(plan: Plan, host: number): Move[] | null {
  const { world, predicted, ladder, sources, input } = plan;
  const { future } = predicted;
  const vms = [...(world.vmsOn[host] ?? [])];
  if (vms.some((vm) => !prediction(plan, vm).known)) return null;
  const cpu = (vm: number): number => future.demand[vm * RESOURCES + CPU] ?? 0;
  const moves: Move[] = [];
  for (const vm of vms.sort((a, b) => cpu(b) - cpu(a) || a - b)) {
    const to = ladder.hosts.findLast(
      (other) =>
        !sources.has(other) &&
        other !== host &&
        (world.vmsOn[other]?.size ?? 0) > 0 &&
        heatedBy(future, vm, other) === null &&
        fits(world, vm, other) &&
        fits(future, vm, other) &&
        predicted.hosts.has(other) &&
        mayReceive(predicted, other),
    );
    input.isSpent(ladder.hosts.length);
    if (to === undefined) break;
    moves.push({ vm, to });
    for (const state of [world, future]) place(state, vm, to);
  }
  for (const { vm } of moves) for (const state of [world, future]) place(state, vm, host);
  return moves.length === vms.length ? moves : null;
}
