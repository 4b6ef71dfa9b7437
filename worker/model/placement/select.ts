// From what a strategy proposes to what is worth doing: each bundle is costed, and kept where it fits and pays.
import type { MechanismEstimate } from "../migration/types.ts";
import { fits, mayMove, rejectionsIn } from "./constraints.ts";
import type { MoveCost } from "./cost.ts";
import { size } from "./format.ts";
import { gainOf, migrationCost, rateAround, whyNotPaying } from "./gain.ts";
import type { Counted, Means } from "./score.ts";
import type { Proposal } from "./strategy.ts";
import type { MoveGain, PlanParameters, Rejection } from "./types.ts";
import { sentBytes } from "./volume.ts";
import { place, type World } from "./world.ts";

type Possible = Extract<MoveCost, { possible: true }>;

/** `isRough`: it pays so clearly that its cost is known by the median course only. */
export type Chosen = Proposal & { from: number; cost: Possible; isRough: boolean; gain: MoveGain };
export type Refused = { vm: number; rejections: Rejection[] };

export type Selection = {
  /** Changed: what is chosen is made in it. */
  world: World;
  counted: Counted;
  means: Means;
  costOf: (vm: number, from: number, to: number) => MoveCost;
  /** By the median course; null: everything is costed in full. */
  roughCostOf: ((vm: number, from: number, to: number) => MoveCost) | null;
  /** How many more moves the plan may have, and bytes that they may send. */
  movesMax: number;
  movedBytesMax: number;
  /** Bundles of earlier goals: numbers go on from there. */
  bundlesBefore: number;
};

/**
 * Keeps the bundles that fit and pay, in their order; a bundle is kept whole or not at all. What does not fit may fit once
 * others have left, and is tried again; what then still does not is tried as one.
 */
export function select(selection: Selection, proposals: readonly Proposal[]): { chosen: Chosen[]; refused: Refused[] } {
  const chosen: Chosen[] = [];
  const refused: Refused[] = [];
  const kept = new Set<number>();
  let waiting = [...Map.groupBy(proposals, ({ bundle }) => bundle).values()];
  const tryAll = (bundles: Proposal[][]): Proposal[][] => {
    const blocked: Proposal[][] = [];
    for (const bundle of bundles) {
      const taken = tryBundle(selection, bundle, selection.bundlesBefore + 1 + kept.size, chosen);
      chosen.push(...taken.chosen);
      for (const { gain } of taken.chosen) kept.add(gain.bundle);
      if (taken.isBlocked) blocked.push(bundle);
      else refused.push(...taken.refused);
    }
    return blocked;
  };
  for (let before = -1; waiting.length > 0 && chosen.length > before;) {
    before = chosen.length;
    waiting = tryAll(waiting);
  }
  if (waiting.length > 1) waiting = tryAll([waiting.flat()]);
  for (const { vm, to } of waiting.flat()) refused.push({ vm, rejections: rejectionsIn(selection.world, vm, to) });
  return { chosen, refused };
}

/** `isBlocked`: a hard constraint is against it in this state. */
type Attempt = { chosen: Chosen[]; refused: Refused[]; isBlocked: boolean };

function tryBundle(
  selection: Selection,
  bundle: readonly Proposal[],
  number: number,
  already: readonly Chosen[],
): Attempt {
  const { world, counted, means } = selection;
  const all = (rejections: Rejection[], isBlocked = false): Attempt => ({
    isBlocked,
    chosen: [],
    refused: bundle.map(({ vm }) => ({ vm, rejections })),
  });
  const full = whyFull(selection, bundle, already);
  if (full !== null) return all([full]);
  const origins = bundle.map(({ vm }) => world.hostOf[vm] ?? 0);
  const touched = new Set([...origins, ...bundle.map(({ to }) => to)]);
  const vms = bundle.map(({ vm }) => vm);
  const before = rateAround(world, touched, vms, counted, means);
  const against = placeAll(world, bundle, origins);
  if (against !== null) return all(against, true);
  const after = rateAround(world, touched, vms, counted, means);
  const mandatory = bundle.every((proposal) => proposal.mandatory);
  const kind = { bundle: number, mandatory };
  const rough = clearly(selection, bundle, origins, (cost) => gainOf(before, after, cost, kind, world.parameters));
  const costs = rough ?? bundle.map(({ vm, to }, index) => selection.costOf(vm, origins[index] ?? 0, to));
  const undo = () => bundle.forEach(({ vm }, index) => place(world, vm, origins[index] ?? 0));
  const impossible = costs.find((cost) => !cost.possible);
  if (impossible?.possible === false) {
    undo();
    return all([impossible.rejection]);
  }
  const possible = costs.filter((cost) => cost.possible);
  const cost = possible.reduce((sum, { estimate }) => sum + migrationCost(estimate, world.parameters), 0);
  const gain = gainOf(before, after, cost, kind, world.parameters);
  const name =
    bundle.length === 1 ? (world.vms[vms[0] ?? 0]?.name ?? "") : `the ${bundle.length} moves that belong together`;
  const unpaid = whyNotPaying(gain, name, world.parameters);
  if (unpaid !== null) {
    undo();
    return all([unpaid]);
  }
  const chosen = bundle.flatMap((proposal, index): Chosen[] => {
    const costed = possible[index];
    return costed === undefined
      ? []
      : [{ ...proposal, from: origins[index] ?? 0, cost: costed, isRough: rough !== null, gain }];
  });
  return { chosen, refused: [], isBlocked: false };
}

/** A move pays clearly if it paid at so many times its rough cost, and is as clearly within the downtime that is allowed. */
const CLEARLY = 2;

/** Rough costs of the bundle, where it pays so clearly that they are enough to choose it; null: they are not. */
function clearly(
  { world, roughCostOf }: Selection,
  bundle: readonly Proposal[],
  origins: readonly number[],
  gainAt: (cost: number) => MoveGain,
): Possible[] | null {
  if (roughCostOf === null) return null;
  const { parameters } = world;
  const costs = bundle
    .map(({ vm, to }, index) => roughCostOf(vm, origins[index] ?? 0, to))
    .filter((cost) => cost.possible)
    .filter(({ estimate }) => isClear(estimate, parameters));
  const sum = costs.reduce((total, { estimate }) => total + migrationCost(estimate, parameters), 0);
  return costs.length === bundle.length && whyNotPaying(gainAt(CLEARLY * sum), "", parameters) === null ? costs : null;
}

/** Whether no draw of its uncertainties is likely to make the mechanism impossible. */
export const isClear = ({ converges, downtimeMs }: MechanismEstimate, { downtimeSloMs }: PlanParameters): boolean =>
  converges && downtimeMs !== null && CLEARLY * downtimeMs.p50 <= downtimeSloMs;

/** Makes all moves; where one does not fit in the state that they make together, undoes them and says what is against it. */
export function placeAll(
  world: World,
  bundle: readonly Pick<Proposal, "vm" | "to">[],
  origins: readonly number[],
): Rejection[] | null {
  const staying = bundle.find(({ vm }) => !mayMove(world, vm));
  if (staying !== undefined) return rejectionsIn(world, staying.vm, staying.to);
  for (const { vm, to } of bundle) place(world, vm, to);
  for (const [index, { vm, to }] of bundle.entries()) {
    place(world, vm, origins[index] ?? 0);
    const ok = fits(world, vm, to);
    const against = ok ? [] : rejectionsIn(world, vm, to);
    place(world, vm, to);
    if (ok) continue;
    bundle.forEach((proposal, at) => place(world, proposal.vm, origins[at] ?? 0));
    return against;
  }
  return null;
}

/** That the plan has all the moves, or bytes, that it may have; null: there is room for these. */
function whyFull(
  { world, movesMax, movedBytesMax }: Selection,
  bundle: readonly Proposal[],
  already: readonly Chosen[],
): Rejection | null {
  const constraint = "moves-max";
  if (already.length + bundle.length > movesMax) {
    const detail = `the plan has its ${movesMax} moves: raise movesMax or plan again once they are done.`;
    return { constraint, detail, required: movesMax + 1, available: movesMax, unit: "moves" };
  }
  if (movedBytesMax === Number.POSITIVE_INFINITY) return null;
  const bytesOf = (moves: readonly Proposal[]): number => moves.reduce((sum, { vm }) => sum + sentBytes(world, vm), 0);
  const [sent, more] = [bytesOf(already), bytesOf(bundle)];
  if (sent + more <= movedBytesMax) return null;
  const detail = `the plan sends ${size(sent)} of the ${size(movedBytesMax)} that it may, and this would send ${size(more)} more: raise movedBytesMax or plan again once the others are done.`;
  return { constraint, detail, required: sent + more, available: movedBytesMax, unit: "bytes" };
}
