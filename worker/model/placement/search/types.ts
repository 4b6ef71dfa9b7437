// What the search is asked and what it answers: flat arrays, one entry a host, a VM, or a resource of either. Indices are
// the caller's; nothing here knows snapshots.

/** What the arrays cannot say of a placement: affinity, networks, storage, huge pages, … */
export type PlacementRules = {
  /**
   * Whether the VM may run on the host beside what is there now, without the VM `without` (-1: none), which is leaving it.
   * Memory, and loads under `usedMax`, are checked by the search itself.
   */
  fits: (vm: number, host: number, without: number) => boolean;
  /**
   * Told of every move that the search makes or takes back, so that `fits` can answer for the placement of the moment; in the
   * end, of the moves that lead to the answer.
   */
  moved?: (vm: number, from: number, to: number) => void;
};

export type SearchInput = {
  /** How many resources a host and a VM have: the stride of the arrays below. */
  resources: number;
  /** What a unit of imbalance of each resource counts; 0 leaves it out. */
  weights: Float64Array;
  /** `capacity[h * resources + r]`; 0: unknown, this host's load of that resource then counts nowhere. */
  capacity: Float64Array;
  /** Load of each host, what its VMs use included, in the unit of `capacity`. */
  used: Float64Array;
  /** No arrival may bring a host's load over this; `Infinity`: no limit. */
  usedMax: Float64Array;
  /** Memory promised on each host, and how much may be, in bytes. */
  committed: Float64Array;
  committedMax: Float64Array;
  /** `demand[v * resources + r]`: what a host gains and another loses when the VM moves. */
  demand: Float64Array;
  /** What the VM commits on its host, in bytes. */
  vmBytes: Float64Array;
  /** What moving it costs, in bytes sent; `vmBytes` where absent. */
  moveBytes?: Float64Array;
  /** Where each VM runs. Not changed. */
  hostOf: Int32Array;
  /** 0: the VM stays where it is. */
  movable: Uint8Array;
  rules: PlacementRules;
};

export type SearchOptions = {
  /** Candidates (a move or a swap) that may be evaluated: the search's only clock. */
  evaluationsMax: number;
  seed: number;
  /** Share of the imbalance above its lower bound that may remain: once there only bytes matter. 0: as even as can be. */
  remainRatio: number;
  /**
   * What a byte must gain at least, of the sum over hosts and resources of weighted squared deviations: exchanges that gain less
   * are not made. 0: whatever gains.
   */
  pricePerByte: number;
  /** Bytes that may be moved in all. */
  movedBytesMax: number;
  /** VMs that may be moved in all. */
  movesMax: number;
  /** Perturbations tried after the last improvement before the search ends by itself. */
  kicksMax: number;
};

export const SEARCH_DEFAULTS: SearchOptions = {
  evaluationsMax: 100_000_000,
  seed: 1,
  remainRatio: 0.04,
  pricePerByte: 0,
  movedBytesMax: Infinity,
  movesMax: Infinity,
  kicksMax: 60,
};

export type FoundMove = { vm: number; from: number; to: number };

export type SearchResult = {
  /** Where each VM is to run. */
  hostOf: Int32Array;
  /** Every VM that changes its host, by index; the order in which they can be carried out is not said. */
  moves: FoundMove[];
  imbalanceBefore: number;
  imbalance: number;
  /** No placement has less (`imbalanceBound`). */
  bound: number;
  movedBytes: number;
  evaluations: number;
  /** The budget ended before the search did: this is the best so far. */
  cutShort: boolean;
};
