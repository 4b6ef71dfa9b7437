// Maximum matching between items that each need a place of their own and the places they may have.

/**
 * Items that cannot all have a place of their own, and the places that they share: by Hall's theorem there are such items
 * exactly where no matching gives everyone one. Null: there is a place for each. Augmenting paths (Kuhn).
 */
export function crowded(places: readonly ReadonlySet<number>[]): { items: number[]; places: number[] } | null {
  const holder = new Map<number, number>();
  for (let item = 0; item < places.length; item++) {
    const seen = new Set<number>();
    if (seat(places, holder, item, seen)) continue;
    const items = [...seen].flatMap((place) => holder.get(place) ?? []);
    return { items: [...new Set([...items, item])].sort((a, b) => a - b), places: [...seen].sort((a, b) => a - b) };
  }
  return null;
}

/** Depth-first by an explicit stack: chains can be as long as a cluster has hosts. */
function seat(
  places: readonly ReadonlySet<number>[],
  holder: Map<number, number>,
  item: number,
  seen: Set<number>,
): boolean {
  const cameFrom = new Map<number, number>();
  const queue = [item];
  for (const one of queue) {
    for (const place of places[one] ?? []) {
      if (seen.has(place)) continue;
      seen.add(place);
      cameFrom.set(place, one);
      const other = holder.get(place);
      if (other !== undefined) {
        queue.push(other);
        continue;
      }
      reseat(holder, cameFrom, place, item);
      return true;
    }
  }
  return false;
}

/** Gives the free place to whoever looked for it, that one's place to whoever looked for it, up to the item itself. */
function reseat(holder: Map<number, number>, cameFrom: ReadonlyMap<number, number>, free: number, item: number): void {
  const held = new Map([...holder].map(([place, by]) => [by, place]));
  let place: number | undefined = free;
  while (place !== undefined) {
    const by = cameFrom.get(place);
    if (by === undefined) return;
    holder.set(place, by);
    place = by === item ? undefined : held.get(by);
  }
}
