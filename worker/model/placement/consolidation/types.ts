// What consolidation is told, and what it answers: plain data, hosts and VMs by their index.
import type { Demand } from "./demand.ts";

export type ConsolidationHost = {
  /** All it can do, in the unit of the VMs' loads. */
  cores: number;
  /** For VMs, reserves deducted; Infinity: memory is no constraint. */
  memoryBytes: number;
  /** At equal steps of load from idle to all cores busy; off it draws nothing. */
  watts: readonly number[];
  /** A host with VMs is on whatever this says. */
  on: boolean;
  /** Joules to switch it on; absent: it stays off where it is off. */
  bootJoules?: number;
  /** Neither emptied nor filled. */
  closed?: boolean;
};

export type ConsolidationVm = {
  host: number;
  /** Cores in use, oldest first, evenly spaced; the last is now. At least one. */
  recentCores: ArrayLike<number>;
  /** What it will want, where that is known otherwise than from samples. */
  demand?: Demand;
  /** It never wants more, in the unit of its load. */
  coresMax: number;
  memoryBytes: number;
  /** Joules that moving it costs, at both ends. */
  moveJoules: number;
  /** Since its last move; absent: none that is known. */
  movedAgoMs?: number;
  /** It cannot be moved. */
  fixed?: boolean;
};

export type ConsolidationInput = {
  hosts: readonly ConsolidationHost[];
  vms: readonly ConsolidationVm[];
  /**
   * Hard constraints beyond cores and memory. `placement`: the host of each VM with what is planned so far. It is also asked of the
   * host where a VM is: false there means that it must leave.
   */
  fits: (vm: number, host: number, placement: readonly number[]) => boolean;
  /** Told of every VM that is put somewhere, or back, as it is tried. */
  moved?: (vm: number, to: number) => void;
};

export type ConsolidationParameters = {
  /** Weight of the newest sample in the forecast; a load moves slowly under much noise. */
  newestWeight: number;
  /** A host needs the mean of its VMs' loads and so many standard deviations of their sum. */
  deviations: number;
  /** Standard deviation of a VM of which little is known, as a share of `coresMax`; it counts like `priorSamples` samples. */
  priorDeviationRatio: number;
  priorSamples: number;
  /** A host is relieved if it needs more than this share of its cores, and then until it needs no more than `fillRatio`. */
  relieveRatio: number;
  /** No host is filled beyond this share of its cores; at most `relieveRatio`. */
  fillRatio: number;
  /** A VM that was moved less than this ago is not moved to save energy. */
  cooldownMs: number;
  /** Over which a saving must pay for its moves and boots. */
  horizonMs: number;
  /** Saving, after all costs, below which nothing is done: watts over the horizon for each move. */
  wattsPerMoveMin: number;
  movesMax: number;
};

/** `relieve`: the host needs more than it has. `unfit`: the VM does not fit where it is. `drain`: its host is emptied. */
export type MoveReason =
  | { kind: "relieve"; neededCores: number; cores: number }
  | { kind: "unfit" }
  | { kind: "drain"; savedWatts: number; netJoules: number };

export type ConsolidationMove = { vm: number; from: number; to: number; reason: MoveReason };

/** A host that stays on, and why. */
export type NotDrained = {
  host: number;
  why: "no-room" | "cooldown" | "fixed" | "not-worth" | "moves-max";
  /** Of the plan that was not worth it. */
  netJoules?: number;
  /** The VM that found no host, or may not move. */
  vm?: number;
};

export type Consolidation = {
  moves: ConsolidationMove[];
  /** Emptied by the moves, and switched on for them. */
  emptied: number[];
  woken: number[];
  notDrained: NotDrained[];
  /** VMs that should leave their host and found none. */
  stuck: number[];
};
