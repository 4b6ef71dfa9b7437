// Hosts in the order of a figure that changes as VMs are moved: two of them a move, so that nothing is sorted again.

export type Ladder = {
  /** In rising order of their figures, equal ones by index. Do not keep it over an update. */
  readonly hosts: readonly number[];
  /** To be told of every host whose figure may have changed. */
  update: (host: number) => void;
};

/** `figureOf`: of a host as it is now. */
export function ladderOf(hosts: readonly number[], figureOf: (host: number) => number): Ladder {
  const figures = new Map(hosts.map((host) => [host, figureOf(host)]));
  const figure = (host: number): number => figures.get(host) ?? 0;
  const ordered = hosts.toSorted((a, b) => figure(a) - figure(b) || a - b);
  /** How many stand before a host with this figure. */
  const placeOf = (host: number, value: number): number => {
    let [low, high] = [0, ordered.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = ordered[middle] ?? 0;
      const isBefore = figure(other) < value || (figure(other) === value && other < host);
      if (isBefore) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return {
    hosts: ordered,
    update(host) {
      if (!figures.has(host)) return;
      ordered.splice(placeOf(host, figure(host)), 1);
      const value = figureOf(host);
      ordered.splice(placeOf(host, value), 0, host);
      figures.set(host, value);
    },
  };
}
