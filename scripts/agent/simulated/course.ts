// The course of a migration in time: set-up, pre-copy passes by QEMU's rules, switch-over, post-copy. Each step does the work
// of one short slice and says when the next is due, so that the result does not depend on who looks when.
import { GIB, PAGE_BYTES } from "../../../worker/model/units.ts";
import { countPages, hasPage, setPage } from "./bitmap.ts";
import { cpuCoresAt, drawPages, writesIn, activityAt } from "./guest.ts";
import { countPage, createMemory, pageCost, sendPages, syncBitmap, type Memory, type Migration } from "./migration.ts";

/** The rate limit and the bandwidth estimate work in windows of this length. */
const WINDOW_MS = 100;
/** One call of the sender lasts at most this long. */
const ITERATION_MS = 50;
const POST_COPY_SLICE_MS = 20;
/** Dirty rate and throttle are judged at most this often. */
const EVALUATION_MS = 1000;
/** Auto-converge fetches the dirty log at least this often after the first pass. */
const AUTO_CONVERGE_SYNC_MS = 5000;
const THROTTLE_INITIAL = 0.2;
const THROTTLE_INCREMENT = 0.1;
const THROTTLE_MAX = 0.99;
/** Reads and writes together, per write. */
const ACCESSES_PER_WRITE = 3;

/** What the world knows and the migration does not. */
export type Surroundings = {
  /** Payload rate that the line would carry for this migration now, the others considered. */
  lineBytesPerSecond: (migration: Migration) => number;
};

export function stepMigration(migration: Migration, surroundings: Surroundings): void {
  switch (migration.phase) {
    case "setup":
      return finishSetup(migration);
    case "pre-copy":
      return stepPreCopy(migration, surroundings);
    case "switchover":
      return finishSwitchover(migration);
    case "post-copy":
      return stepPostCopy(migration, surroundings);
    default:
      migration.nextAt = Infinity;
  }
}

function finishSetup(migration: Migration): void {
  const at = migration.nextAt;
  migration.memory = createMemory(migration.guest);
  migration.phase = "pre-copy";
  migration.syncs = 1;
  migration.lastSyncAt = at;
  migration.evaluation.at = at;
  migration.window = { startAt: at, bytes: 0 };
}

/** How much of the time it wants the guest gets: auto-converge takes idle time first. */
function guestSpeed(migration: Migration): number {
  if (migration.stoppedAt !== null) return 0;
  if (migration.throttleRatio === 0) return 1;
  const busy = cpuCoresAt(migration.guest, migration.nextAt) / migration.guest.config.inventory.vcpus;
  return Math.min(1, (1 - migration.throttleRatio) / Math.max(0.02, busy));
}

function guestWrites(migration: Migration, memory: Memory, durationMs: number): void {
  const speed = guestSpeed(migration);
  if (speed === 0) return;
  for (const page of writesIn(migration.guest, migration.nextAt, durationMs, speed, migration.random)) {
    setPage(memory.log, page);
    setPage(memory.stale, page);
  }
}

function syncPass(migration: Migration, memory: Memory): void {
  const at = migration.nextAt;
  const { evaluation } = migration;
  evaluation.dirtyPages += syncBitmap(memory);
  if (migration.sentInPass) migration.rounds++;
  migration.sentInPass = false;
  migration.syncs++;
  migration.lastSyncAt = at;
  const periodMs = at - evaluation.at;
  if (periodMs <= EVALUATION_MS) return;
  const dirtyBytes = evaluation.dirtyPages * PAGE_BYTES;
  migration.dirtyBytesPerSecond = (dirtyBytes * 1000) / periodMs;
  if (migration.spec.parameters.autoConverge && dirtyBytes > evaluation.sentBytes / 2) evaluation.highSyncs++;
  if (evaluation.highSyncs >= 2) {
    evaluation.highSyncs = 0;
    migration.throttleRatio =
      migration.throttleRatio === 0
        ? THROTTLE_INITIAL
        : Math.min(THROTTLE_MAX, migration.throttleRatio + THROTTLE_INCREMENT);
    migration.throttleRatioMax = Math.max(migration.throttleRatioMax, migration.throttleRatio);
  }
  migration.evaluation = { at, dirtyPages: 0, sentBytes: 0, highSyncs: evaluation.highSyncs };
}

/** QEMU's rule: below the threshold by estimate, fetch the log; still below, stop the guest. */
function mayStop(migration: Migration, memory: Memory): boolean {
  const thresholdBytes = ((migration.bytesPerSecond ?? 0) / 1000) * migration.downtimeLimitMs;
  const isBelow = (): boolean => memory.pendingPages === 0 || memory.pendingPages * PAGE_BYTES < thresholdBytes;
  if (!isBelow()) return false;
  syncPass(migration, memory);
  return isBelow();
}

function wantsPostCopy(migration: Migration): boolean {
  const { mechanism, parameters } = migration.spec;
  return migration.postCopyRequested || (mechanism === "hybrid" && migration.syncs > parameters.preCopyRounds);
}

function stepPreCopy(migration: Migration, surroundings: Surroundings): void {
  const memory = migration.memory;
  if (memory === null) return;
  const syncsBefore = migration.syncs;
  if (mayStop(migration, memory)) return beginSwitchover(migration, memory, surroundings, false);
  if (wantsPostCopy(migration)) return beginSwitchover(migration, memory, surroundings, true);
  const isDue = migration.nextAt - migration.lastSyncAt >= AUTO_CONVERGE_SYNC_MS && migration.syncs > 1;
  if (migration.spec.parameters.autoConverge && isDue) syncPass(migration, memory);
  const syncMs = migration.syncs > syncsBefore ? syncTimeMs(migration) : 0;

  const { window } = migration;
  const windowEnd = window.startAt + WINDOW_MS;
  const budgetBytes = (migration.maxBandwidthBytesPerSecond * WINDOW_MS) / 1000 - window.bytes;
  const budgetMs = Math.max(0.5, Math.min(ITERATION_MS, windowEnd - migration.nextAt));
  const cost = pageCost(migration, unevenLine(migration, surroundings));
  const sent = sendPages(migration, memory, { bytes: budgetBytes, ms: budgetMs }, cost);
  const mustSleep = sent.bytes >= budgetBytes;
  const workedMs = Math.max(0.5, sent.ms + syncMs);
  const durationMs = mustSleep ? Math.max(workedMs, windowEnd - migration.nextAt) : workedMs;
  guestWrites(migration, memory, durationMs);
  migration.nextAt += durationMs;
  closeWindow(migration);
}

function closeWindow(migration: Migration): void {
  const { window } = migration;
  const elapsedMs = migration.nextAt - window.startAt;
  if (elapsedMs < WINDOW_MS - 1e-6) return;
  migration.bytesPerSecond = (window.bytes * 1000) / elapsedMs;
  migration.window = { startAt: migration.nextAt, bytes: 0 };
}

/** The line is never quite even, and now and then the receiver stalls. */
function unevenLine(migration: Migration, surroundings: Surroundings): number {
  const { random } = migration;
  const stall = random.next() < 0.01 ? 0.5 + 0.4 * random.next() : 1;
  return surroundings.lineBytesPerSecond(migration) * Math.min(1, random.logNormal(0.99, 0.02)) * stall;
}

function syncTimeMs(migration: Migration): number {
  return migration.random.logNormal((0.4 * migration.guest.pages * PAGE_BYTES) / GIB, 0.2);
}

function beginSwitchover(migration: Migration, memory: Memory, surroundings: Surroundings, postCopy: boolean): void {
  const { random } = migration;
  const stopMs = migration.stoppedAt === null ? random.logNormal(2, 0.4) : 0;
  guestWrites(migration, memory, stopMs);
  migration.stoppedAt ??= migration.nextAt + stopMs;
  if (migration.sentInPass) migration.rounds++;
  migration.sentInPass = false;
  syncBitmap(memory);
  migration.syncs++;
  migration.postCopy = postCopy;
  migration.phase = "switchover";
  const gigabytes = (migration.guest.pages * PAGE_BYTES) / GIB;
  const deviceMs = random.logNormal(6, 0.35) + migration.rttMs;
  let sendMs = postCopy ? random.logNormal(0.8 * gigabytes, 0.2) : 0;
  if (!postCopy) {
    const cost = pageCost(migration, unevenLine(migration, surroundings));
    sendMs = sendPages(migration, memory, { bytes: Infinity, ms: Infinity }, cost).ms;
  }
  // The hypervisor's own figure leaves out an earlier pause and, in post-copy, the loading at the destination.
  migration.hypervisorDowntimeMs = stopMs + sendMs + (postCopy ? deviceMs / 3 : deviceMs);
  migration.nextAt += stopMs + syncTimeMs(migration) + sendMs + deviceMs;
}

function finishSwitchover(migration: Migration): void {
  migration.readyAt = migration.nextAt;
  migration.window = { startAt: migration.nextAt, bytes: 0 };
  migration.phase = migration.postCopy ? "post-copy" : "loaded";
  if (!migration.postCopy) {
    migration.sentAt = migration.nextAt;
    migration.nextAt = Infinity;
  }
}

/** Time that one access to a missing page costs a vCPU. Without `postcopy-preempt` it queues behind the background. */
function faultLatencyMs(migration: Migration): number {
  const { random } = migration;
  if (random.next() < 0.004) return 1 + 15 * random.next();
  const queueMs = migration.spec.parameters.postCopyPreempt ? 0 : -0.5 * Math.log(1 - random.next());
  return random.logNormal(0.17, 0.45) + migration.rttMs + queueMs;
}

/** Lets the guest run at the destination: an access to a page that is still missing fetches it and blocks one vCPU. */
function runAtDestination(migration: Migration, memory: Memory, durationMs: number, lineRate: number): void {
  const { guest } = migration;
  const rate = guest.config.writes.pagesPerSecond * ACCESSES_PER_WRITE * activityAt(guest, migration.nextAt);
  const wanted = migration.random.poisson((rate * durationMs) / 1000);
  const vcpuMs = guest.config.inventory.vcpus * durationMs;
  const cost = pageCost(migration, lineRate);
  let usedMs = 0;
  for (const page of drawPages(guest, wanted, migration.random)) {
    usedMs += vcpuMs / wanted;
    if (hasPage(memory.pending, page)) {
      usedMs += faultLatencyMs(migration);
      const bytes = countPage(migration, memory, page, cost);
      migration.transferredBytes += bytes;
      migration.window.bytes += bytes;
      migration.remoteFaults++;
      migration.debtMs += cost.normalMs;
    }
    if (usedMs >= vcpuMs) return;
  }
}

function stepPostCopy(migration: Migration, surroundings: Surroundings): void {
  const memory = migration.memory;
  if (memory === null) return;
  const lineRate = unevenLine(migration, surroundings);
  const budgetMs = Math.max(0, POST_COPY_SLICE_MS - migration.debtMs);
  migration.debtMs = Math.max(0, migration.debtMs - POST_COPY_SLICE_MS);
  const budget = { bytes: (migration.maxPostCopyBytesPerSecond * POST_COPY_SLICE_MS) / 1000, ms: budgetMs };
  const sent = sendPages(migration, memory, budget, pageCost(migration, lineRate));
  const isDrained = memory.pendingPages === 0;
  const durationMs = isDrained ? Math.max(0.5, sent.ms) : POST_COPY_SLICE_MS;
  if (migration.resumedAt !== null) runAtDestination(migration, memory, durationMs, lineRate);
  migration.nextAt += durationMs;
  closeWindow(migration);
  if (memory.pendingPages > 0) return;
  migration.sentAt = migration.nextAt + migration.rttMs + migration.random.logNormal(1, 0.3);
  migration.nextAt = Infinity;
}

/** A page that nobody sent or that was written after it was sent: 0 after every completed migration. */
export function stalePages(migration: Migration): number {
  return migration.memory === null ? migration.guest.pages : countPages(migration.memory.stale);
}
