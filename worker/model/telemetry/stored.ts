// What stores of telemetry give and take.
import type { VmState } from "../wire/inventory.ts";
import type { Append, Tail } from "./append.ts";
import type { Arrival } from "./arrival.ts";
import type { BatchRing } from "./batch-ring.ts";
import type { CounterState } from "./foreign/counter-state.ts";
import type { Known, Room } from "./known.ts";
import type { StoredChunk } from "./stored-chunk.ts";

/** What a write of telemetry starts from. `version` guards it; 0: nothing was ever written of this host. */
export type HostTelemetry = {
  hostId: string;
  number: number;
  cluster: string;
  version: number;
  known: Known;
  ring: BatchRing;
  tails: readonly Tail[];
  lateHours: readonly number[];
  counters: CounterState;
  /** How batches came so far; not stored. */
  arrivals: readonly Arrival[];
  /**
   * What was known before and will be written over; the first to need it takes it. Without it each batch would leave some
   * kilobytes of long life to be collected. Who still reads it has an older version, and so writes nothing.
   */
  spare: { room: Room | null };
};

/** What changes in a host's state; null: stays as it is. */
export type HostWrite = {
  hostNumber: number;
  /** As it was read: where it is another by now, nothing is written. */
  version: number;
  appends: readonly Append[];
  latest: Uint8Array<ArrayBuffer>;
  layout: string | null;
  curves: string | null;
  tails: string;
  counters: string | null;
  lateHours: string | null;
  /** Characters that go at the start of the ring of batches, and what comes to its end. */
  ring: { drop: number; added: string };
  /** Run states that came with the samples, and when; null: none came. */
  heard: { at: number; vmStates: Record<string, VmState> } | null;
};

/** Chunks of whose ids both bounds are included. */
export type IdRange = { first: number; last: number };

/** What of live frames is wanted. */
export type LiveParts = { head: boolean; live: boolean };

/** A chunk without what is packed in it. */
export type ChunkStart = Omit<StoredChunk, "packed"> & {
  /** How long that is; null: nothing was packed. */
  packedBytes: number | null;
};

/** Bytes of a packed chunk, as long as it has that revision. */
export type PieceWanted = { id: number; revision: number; offset: number; length: number };
export type Piece = { id: number; offset: number; bytes: Uint8Array };

/** What is written of one host when hours of it are packed; all of it or nothing. */
export type HostClosing = {
  hostNumber: number;
  /** Raw chunks as they were read, 0: not there, and what they become; they must not have changed. */
  replaced: { id: number; revision: number; packed: Uint8Array | null }[];
  /** Raw chunks as they were read, of which nothing is left over; they must not have changed either. */
  removed: { id: number; revision: number }[];
  /** Roll-ups. `revision` as it was read, 0: not there, null: was not read. */
  written: { id: number; revision: number | null; packed: Uint8Array }[];
  /** `before`: when the one that was read was made, null: there was none. */
  summary: { before: number | null; summarizedAt: number; summary: string; window: Uint8Array } | null;
  /** Late hours that are left, as JSON, and the version of the state that they were read with. */
  late: { hours: string | null; version: number } | null;
};

export type SummaryInput = {
  /** When the present summary was made; null: there is none yet. */
  before: number | null;
  /** null: there is none yet. */
  window: Uint8Array | null;
  /** VMs on the host, as the last inventory or move said. */
  vms: string[];
  /** Windows of hosts that some of them have left. */
  elsewhere: Uint8Array[];
};
