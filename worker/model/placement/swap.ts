// Sandpiper's swaps (Wood et al. 2007): where no host has room for a VM that should leave, one that is little loaded makes room
// by sending a few VMs of low volume back.
import { fits, mayMove } from "./constraints.ts";
import { fullestOf, heatedBy, isHot } from "./hotspots.ts";
import type { Ladder } from "./ladder.ts";
import type { StrategyInput } from "./strategy.ts";
import { place, type World } from "./world.ts";
import { vmVsr } from "./volume.ts";

/** So many hosts, those of least volume, are asked to make room. */
const HOSTS_MAX = 8;
/** So many VMs are sent back for one. */
const BACK_MAX = 4;
/** A swap moves twice the bytes: it must make the source at least so much cooler. */
const RELIEF_MIN = 0.01;

export type Exchange = {
  input: StrategyInput;
  /** Changed by every move. */
  world: World;
  /** Hosts of known load, those of least volume first. */
  ladder: Ladder;
  /** By host: the sentence that says why it is hot. */
  hot: ReadonlyMap<number, string>;
  /** VMs that a move already takes. */
  moved: ReadonlySet<number>;
};

type Move = { vm: number; to: number };

/** The VM to a host of little volume and few VMs back, such that its host gets cooler and the other stays cool; null: none. */
export function swapFor(exchange: Exchange, vm: number): Move[] | null {
  const { world, ladder, hot } = exchange;
  const from = world.hostOf[vm] ?? 0;
  const others = ladder.hosts.filter((host) => host !== from && !hot.has(host) && world.isPlaceFor(vm, host));
  for (const host of others.slice(0, HOSTS_MAX)) {
    const swap = swapWith(exchange, vm, host);
    if (swap !== null) return swap;
  }
  return null;
}

function swapWith({ world, input, moved }: Exchange, vm: number, to: number): Move[] | null {
  const from = world.hostOf[vm] ?? 0;
  const before = fullestOf(world, from);
  const lowest = [...(world.vmsOn[to] ?? [])]
    .filter((other) => !moved.has(other) && !input.fixed.has(other) && world.cpuKnown[other] === 1)
    .filter((other) => mayMove(world, other) && world.isPlaceFor(other, from))
    .map((other) => ({ other, vsr: vmVsr(world, other) }))
    .sort((a, b) => a.vsr - b.vsr || a.other - b.other)
    .slice(0, BACK_MAX);
  const back: number[] = [];
  let hasRoom = false;
  for (const { other } of lowest) {
    place(world, other, from);
    back.push(other);
    hasRoom = fits(world, vm, to) && heatedBy(world, vm, to) === null;
    if (hasRoom) break;
  }
  input.isSpent(back.length + 1);
  const moves = [{ vm, to }, ...back.map((other) => ({ vm: other, to: from }))];
  const ok = hasRoom && isSound(world, moves, { from, to, before });
  for (const other of back) place(world, other, to);
  return ok && moves.every((move) => input.costOf(move.vm, move.to) !== null) ? moves : null;
}

/** Whether every VM of the exchange fits where it goes, once all are made, and it does good. */
function isSound(
  world: World,
  moves: readonly Move[],
  { from, to, before }: { from: number; to: number; before: number },
): boolean {
  const [first] = moves;
  if (first === undefined) return false;
  place(world, first.vm, to);
  const allFit = moves.slice(1).every(({ vm }) => {
    place(world, vm, to);
    const ok = fits(world, vm, from);
    place(world, vm, from);
    return ok;
  });
  const ok = allFit && !isHot(world, to) && fullestOf(world, from) <= before - RELIEF_MIN;
  place(world, first.vm, from);
  return ok;
}
