// An order in which every move finds its room. Where VMs change places by way of a hole, a smaller VM that comes first may fill
// the hole that a bigger one needs: then neither can move, though another order would do.
import type { Step } from "./schedule.ts";
import { place, type World } from "./world.ts";

/** So many moves are asked about at most: small plans are searched through, of large ones the likely orders. */
const TRIES_MAX = 4000;

/**
 * The moves in an order in which each can be made once those before it are, without parking any; null: there is none, or it was
 * not found in `TRIES_MAX` tries. The biggest are tried first: what needs the biggest hole finds it before others fill it.
 * `world` is as it was afterwards.
 */
export function moveOrder<Planned extends Step>(
  world: World,
  moves: readonly Planned[],
  isFeasible: (step: Planned) => boolean,
): Planned[] | null {
  const sizes = moves.toSorted((a, b) => (world.vmBytes[b.vm] ?? 0) - (world.vmBytes[a.vm] ?? 0));
  const left = new Set(sizes);
  const deadEnds = new Set<string>();
  const order: Planned[] = [];
  let tries = TRIES_MAX;
  const isCompleted = (): boolean => {
    if (left.size === 0) return true;
    const key = [...left]
      .map(({ vm }) => vm)
      .toSorted()
      .join(" ");
    if (deadEnds.has(key)) return false;
    for (const step of sizes) {
      if (!left.has(step)) continue;
      tries -= 1;
      if (tries < 0) return false;
      if (!isFeasible(step)) continue;
      place(world, step.vm, step.to);
      left.delete(step);
      order.push(step);
      const isFound = isCompleted();
      place(world, step.vm, step.from);
      if (isFound) return true;
      left.add(step);
      order.pop();
    }
    deadEnds.add(key);
    return false;
  };
  return isCompleted() ? order : null;
}
