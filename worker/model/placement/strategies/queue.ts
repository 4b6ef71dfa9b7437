// Which VM to look at next: the one that might bring most. What is known of a VM changes while it waits; then it is entered anew,
// and its older entries are passed over.

export type Entry = {
  vm: number;
  /** It brings no more than this; `isExact`: it brings this. */
  netMax: number;
  isExact: boolean;
  /** How often something had been learned of the VM when it was entered. */
  version: number;
};

/** What could bring more comes first; of equals what is not known exactly, then the lower VM. */
const before = (a: Entry, b: Entry): boolean => {
  if (a.netMax !== b.netMax) return a.netMax > b.netMax;
  return a.isExact === b.isExact ? a.vm < b.vm : b.isExact;
};

export function push(heap: Entry[], entry: Entry): void {
  let at = heap.push(entry) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent];
    if (above === undefined || !before(entry, above)) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = entry;
}

export function pop(heap: Entry[]): Entry | undefined {
  const top = heap[0];
  const last = heap.pop();
  if (top === undefined || last === undefined || heap.length === 0) return top;
  let at = 0;
  for (;;) {
    const left = heap[2 * at + 1];
    const right = heap[2 * at + 2];
    const isRight = right !== undefined && left !== undefined && before(right, left);
    const child = isRight ? right : left;
    if (child === undefined || !before(child, last)) break;
    heap[at] = child;
    at = 2 * at + (isRight ? 2 : 1);
  }
  heap[at] = last;
  return top;
}
