// One migration of one guest, page by page. This file holds its state and what a sender does with pages; the course of
// pre-copy, switch-over and post-copy is in course.ts.
import { PAGE_BYTES } from "../../../worker/model/units.ts";
import type { MigrationSpec } from "../driver.ts";
import {
  clearPage,
  createBitmap,
  drainInto,
  fullBitmap,
  hasPage,
  nextPage,
  subtractRange,
  type Bitmap,
} from "./bitmap.ts";
import { guestRandom, nonzeroBitmap, type Guest } from "./guest.ts";
import type { Random } from "./random.ts";

/** KVM re-protects dirty pages in chunks of 2^18 pages, when the scan reaches the chunk. */
const CHUNK_PAGES = 262_144;
/** Stream cost of a page: 8 bytes of header; of a zero page, header and one byte. */
const PAGE_HEADER_BYTES = 8;
const ZERO_PAGE_BYTES = 9;
/** multifd: 1,344 bytes of header for 128 pages; a zero page is an 8-byte offset. */
const MULTIFD_HEADER_BYTES = 10.5;
const MULTIFD_ZERO_BYTES = 8;
/** One sending thread, before it is the bottleneck instead of the NIC. */
const STREAM_BYTES_PER_SECOND = 1.25e9;
/** Raw memory that one channel compresses per second. */
const COMPRESS_BYTES_PER_SECOND = { none: Infinity, zstd: 5e8, zlib: 6e7 };
/** Looking for zero pages runs at about 8 GB/s. */
const ZERO_SCAN_MS = (PAGE_BYTES / 8e9) * 1000;
/** The destination faults in a page that it sees for the first time. */
const FIRST_TOUCH_MS = 0.000_15;
/** A delta of xbzrle: header, 3 bytes and about a tenth of a page. */
const DELTA_BYTES = 11 + PAGE_BYTES / 10;

export type Phase =
  | "setup"
  | "pre-copy"
  | "switchover"
  /** All was sent and loaded, the guest stopped; waits to be continued at the destination. */
  | "loaded"
  | "post-copy"
  | "paused"
  | "completed"
  | "failed"
  | "cancelled";

export type Memory = {
  nonzero: Bitmap;
  /** Still to be sent in this pass. */
  pending: Bitmap;
  pendingPages: number;
  /** Written since the last sync, as the hypervisor logs it. */
  log: Bitmap;
  /** Not yet at the destination in its newest content. Kept apart from the machinery, so that tests can judge it. */
  stale: Bitmap;
  /** Chunks whose protection was renewed in this pass. */
  renewed: Uint8Array;
  cursor: number;
};

export type Migration = {
  readonly spec: MigrationSpec;
  readonly guest: Guest;
  readonly fromHostId: string;
  readonly toHostId: string;
  readonly rttMs: number;
  readonly random: Random;
  /** Share of the line that this stream gets in practice. */
  readonly efficiency: number;
  readonly startedAt: number;
  memory: Memory | null;
  phase: Phase;
  detail: string;
  /** When the next step is due, simulated ms; Infinity when nothing happens by itself. */
  nextAt: number;
  maxBandwidthBytesPerSecond: number;
  /** `max-postcopy-bandwidth`: unlimited until it is set while post-copy runs. */
  maxPostCopyBytesPerSecond: number;
  downtimeLimitMs: number;
  postCopyRequested: boolean;
  postCopy: boolean;
  stoppedAt: number | null;
  readyAt: number | null;
  resumedAt: number | null;
  sentAt: number | null;
  completedAt: number | null;
  syncs: number;
  rounds: number;
  sentInPass: boolean;
  lastSyncAt: number;
  evaluation: { at: number; dirtyPages: number; sentBytes: number; highSyncs: number };
  dirtyBytesPerSecond: number | null;
  throttleRatio: number;
  throttleRatioMax: number;
  window: { startAt: number; bytes: number };
  bytesPerSecond: number | null;
  transferredBytes: number;
  normalPages: number;
  zeroPages: number;
  remoteFaults: number;
  hypervisorDowntimeMs: number;
  /** Line time that requested pages took from the background of the next slice. */
  debtMs: number;
};

export type NewMigration = Pick<
  Migration,
  "spec" | "guest" | "fromHostId" | "toHostId" | "rttMs" | "startedAt" | "stoppedAt"
>;

export function createMigration(given: NewMigration): Migration {
  const random = guestRandom(given.guest, `migration ${given.startedAt}`);
  const { spec, startedAt } = given;
  return {
    ...given,
    random,
    efficiency: Math.min(1, random.logNormal(0.975, 0.015)),
    memory: null,
    phase: "setup",
    detail: "",
    nextAt: startedAt + random.logNormal(20 + (3 * given.guest.pages) / CHUNK_PAGES, 0.3),
    maxBandwidthBytesPerSecond: spec.parameters.maxBandwidthBytesPerSecond,
    maxPostCopyBytesPerSecond: Infinity,
    downtimeLimitMs: spec.parameters.downtimeLimitMs,
    postCopyRequested: spec.mechanism === "post-copy",
    postCopy: false,
    readyAt: null,
    resumedAt: null,
    sentAt: null,
    completedAt: null,
    syncs: 0,
    rounds: 0,
    sentInPass: false,
    lastSyncAt: startedAt,
    evaluation: { at: startedAt, dirtyPages: 0, sentBytes: 0, highSyncs: 0 },
    dirtyBytesPerSecond: null,
    throttleRatio: 0,
    throttleRatioMax: 0,
    window: { startAt: startedAt, bytes: 0 },
    bytesPerSecond: null,
    transferredBytes: 0,
    normalPages: 0,
    zeroPages: 0,
    remoteFaults: 0,
    hypervisorDowntimeMs: 0,
    debtMs: 0,
  };
}

/** Everything is to be sent once: the bitmap starts with all ones. */
export function createMemory(guest: Guest): Memory {
  return {
    nonzero: nonzeroBitmap(guest),
    pending: fullBitmap(guest.pages),
    pendingPages: guest.pages,
    log: createBitmap(guest.pages),
    stale: fullBitmap(guest.pages),
    renewed: new Uint8Array(Math.ceil(guest.pages / CHUNK_PAGES)),
    cursor: 0,
  };
}

/** Fetches the dirty log into the bitmap; returns how many pages it added. */
export function syncBitmap(memory: Memory): number {
  const added = drainInto(memory.pending, memory.log);
  memory.pendingPages += added;
  memory.renewed.fill(0);
  return added;
}

export type PageCost = { normalBytes: number; normalMs: number; zeroBytes: number; zeroMs: number };

/** What a page costs the stream in bytes and in line time. */
export function pageCost(migration: Migration, lineBytesPerSecond: number): PageCost {
  const { multifdChannels, compression } = migration.spec.parameters;
  const hasMultifd = multifdChannels > 0;
  const ratio = hasMultifd && compression !== "none" ? (migration.guest.config.compressionRatio ?? 2) : 1;
  const normalBytes = PAGE_BYTES / ratio + (hasMultifd ? MULTIFD_HEADER_BYTES : PAGE_HEADER_BYTES);
  const stream = STREAM_BYTES_PER_SECOND * (hasMultifd ? Math.max(1, 0.8 * multifdChannels) : 1);
  const line = Math.min(lineBytesPerSecond * migration.efficiency, stream);
  const compressMs = hasMultifd ? (PAGE_BYTES / (COMPRESS_BYTES_PER_SECOND[compression] * multifdChannels)) * 1000 : 0;
  const zeroBytes = hasMultifd ? MULTIFD_ZERO_BYTES : ZERO_PAGE_BYTES;
  return {
    normalBytes,
    normalMs: Math.max((normalBytes / line) * 1000, compressMs) + (migration.syncs <= 1 ? FIRST_TOUCH_MS : 0),
    zeroBytes,
    zeroMs: ZERO_SCAN_MS + (zeroBytes / line) * 1000,
  };
}

/** Marks one page as sent and counts it; returns the bytes that went over the line. */
export function countPage(migration: Migration, memory: Memory, page: number, cost: PageCost): number {
  clearPage(memory.pending, page);
  clearPage(memory.stale, page);
  memory.pendingPages--;
  if (!hasPage(memory.nonzero, page)) {
    migration.zeroPages++;
    return cost.zeroBytes;
  }
  migration.normalPages++;
  // xbzrle: the first pass is raw, the second fills the cache, from the third on deltas are found.
  const isDelta =
    migration.spec.parameters.xbzrle &&
    !migration.postCopy &&
    migration.syncs >= 3 &&
    migration.random.next() < (migration.guest.config.deltaHitRatio ?? 0.5);
  return isDelta ? DELTA_BYTES : cost.normalBytes;
}

/** Sends pages in the order of the scan until bytes, line time or pages run out. */
export function sendPages(
  migration: Migration,
  memory: Memory,
  budget: { bytes: number; ms: number },
  cost: PageCost,
): { bytes: number; ms: number } {
  let bytes = 0;
  let ms = 0;
  while (memory.pendingPages > 0 && bytes < budget.bytes && ms < budget.ms) {
    const page = nextPage(memory.pending, memory.cursor);
    if (page < 0) break;
    const chunk = Math.floor(page / CHUNK_PAGES);
    if (memory.renewed[chunk] === 0) {
      memory.renewed[chunk] = 1;
      // What was written before its protection is renewed is sent with this pass and not logged a second time.
      subtractRange(memory.log, memory.pending, chunk * CHUNK_PAGES, (chunk + 1) * CHUNK_PAGES);
    }
    const sent = countPage(migration, memory, page, cost);
    bytes += sent;
    ms += sent === cost.zeroBytes ? cost.zeroMs : cost.normalMs * (sent / cost.normalBytes);
    memory.cursor = page + 1 < migration.guest.pages ? page + 1 : 0;
  }
  if (bytes > 0) migration.sentInPass = true;
  migration.transferredBytes += bytes;
  migration.window.bytes += bytes;
  migration.evaluation.sentBytes += bytes;
  return { bytes, ms };
}
