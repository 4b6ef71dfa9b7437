// The published policies, restated: relieve overloaded hosts, place what was taken off by power, drain the least loaded hosts.
import { wattsOf } from "./machines.ts";
import { type Draft, add, draftOf, type Mark, markOf, remove, restore } from "./draft.ts";
import { interquartile, localRegression, medianDeviation, type OverloadTest, threshold } from "./overload.ts";
import type { Policy, SimMove } from "./simulate.ts";
import type { Accounting, SimHost, SimVm } from "./world.ts";

/** Each with minimum migration time as its choice of VMs. */
export const PEERS: readonly Policy[] = [
  peer("THR-MMT-0.8", threshold(0.8)),
  peer("IQR-MMT-1.5", interquartile(1.5)),
  peer("MAD-MMT-2.5", medianDeviation(2.5)),
  peer("LR-MMT-1.2", localRegression(1.2)),
];

/** What one step carries along. */
type Step = { drafts: Map<SimHost, Draft>; overloaded: OverloadTest; accounting: Accounting };

export function peer(name: string, overloaded: OverloadTest): Policy {
  return {
    name,
    plan({ hosts }, _step, accounting) {
      const step: Step = { drafts: new Map(hosts.map((host) => [host, draftOf(host)])), overloaded, accounting };
      const hot = new Set([...step.drafts.values()].filter((draft) => overloaded(draft, null)));
      const excess = [...hot].flatMap((draft) => takeOff(draft, overloaded));
      const relief = place(
        step,
        excess,
        [...step.drafts.values()].filter((draft) => !hot.has(draft)),
      );
      return [...relief, ...drain(step, hot, relief)];
    },
  };
}

/** VMs with the least memory, until the host is not overloaded. */
function takeOff(draft: Draft, overloaded: OverloadTest): SimVm[] {
  const taken: SimVm[] = [];
  do {
    let least: SimVm | null = null;
    for (const vm of draft.vms) if (least === null || vm.memoryMegabytes < least.memoryMegabytes) least = vm;
    if (least === null) break;
    remove(draft, least);
    taken.push(least);
  } while (overloaded(draft, null));
  return taken;
}

/** The busiest first; what finds no host is left out. */
function place(step: Step, vms: readonly SimVm[], targets: readonly Draft[]): SimMove[] {
  const moves: SimMove[] = [];
  for (const vm of vms.toSorted((a, b) => b.demand - a.demand)) {
    const best = bestFit(step, vm, targets);
    if (best === null) continue;
    add(best, vm);
    moves.push({ vm, to: best.host });
  }
  return moves;
}

/** The smallest rise of power over what was drawn before the step, the first of equals. */
function bestFit({ overloaded, accounting }: Step, vm: SimVm, targets: readonly Draft[]): Draft | null {
  let best: Draft | null = null;
  let bestWatts = Number.POSITIVE_INFINITY;
  for (const draft of targets) {
    if (draft.closed) continue;
    const { machine, mips } = draft.host;
    if (accounting.memoryCounts && draft.memoryMegabytes + vm.memoryMegabytes > machine.memoryMegabytes) continue;
    if (machine.coreMips < vm.demand || draft.freeMips < vm.demand) continue;
    const watts = wattsOf(machine, (draft.used + vm.demand) / mips) - draft.wattsNow;
    if (watts >= bestWatts || (draft.used !== 0 && overloaded(draft, vm))) continue;
    [best, bestWatts] = [draft, watts];
  }
  return best;
}

/** Empties hosts one after the other, the least loaded first, each wholly or not at all, onto hosts that were in use before. */
function drain(step: Step, hot: ReadonlySet<Draft>, relief: readonly SimMove[]): SimMove[] {
  const targets = [...step.drafts.values()].filter((draft) => draft.host.used !== 0 && !hot.has(draft));
  const kept = new Set(step.accounting.doublePlans ? [] : relief.map(({ to }) => to));
  const sources = targets
    .filter(({ host }) => host.used < host.mips)
    .toSorted((a, b) => a.host.used / a.host.mips - b.host.used / b.host.mips);
  const moves: SimMove[] = [];
  for (const source of sources) {
    if (kept.has(source.host)) continue;
    source.closed = true;
    for (const move of placeAll(step, source.vms, targets)) {
      kept.add(move.to);
      moves.push(move);
    }
  }
  return moves;
}

function placeAll(step: Step, vms: readonly SimVm[], targets: readonly Draft[]): SimMove[] {
  const marks = new Map<Draft, Mark>();
  const moves: SimMove[] = [];
  for (const vm of vms.toSorted((a, b) => b.demand - a.demand)) {
    const best = bestFit(step, vm, targets);
    if (best === null) {
      for (const [draft, mark] of marks) restore(draft, mark);
      return [];
    }
    if (!marks.has(best)) marks.set(best, markOf(best));
    add(best, vm);
    moves.push({ vm, to: best.host });
  }
  return moves;
}
