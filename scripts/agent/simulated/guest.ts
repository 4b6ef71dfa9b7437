// One guest: where its pages lie, which of them it writes, and what it uses of the host. Everything that depends on time is
// a function of time, so that a guest which nobody watches costs nothing.
import { PAGE_BYTES } from "../../../worker/model/units.ts";
import { createBitmap, setPage, type Bitmap } from "./bitmap.ts";
import { BLOCK_BYTES, type SimulatedVm } from "./config.ts";
import { createRandom, hashNormal, hashText, hashUniform, type Random } from "./random.ts";

const PAGES_PER_BLOCK = BLOCK_BYTES / PAGE_BYTES;
const CPU_NOISE_MS = 5000;
const ACTIVITY_NOISE_MS = 1000;
const DRIFT_PERIOD_MS = 3_600_000;

export type Guest = {
  readonly config: SimulatedVm;
  readonly seed: number;
  readonly pages: number;
  readonly nonzeroPages: number;
  readonly hotPages: number;
  readonly coldPages: number;
  /** Block of guest memory by logical block, shuffled; made when first needed. */
  blocks: Uint32Array | null;
};

export function createGuest(config: SimulatedVm, worldSeed: number): Guest {
  return {
    config,
    seed: (hashText(config.inventory.uuid) ^ Math.imul(worldSeed, 0x9e3779b1)) >>> 0,
    pages: config.inventory.memoryBytes / PAGE_BYTES,
    nonzeroPages: Math.round((config.inventory.memoryBytes * config.nonzeroRatio) / PAGE_BYTES),
    hotPages: Math.floor(config.writes.hotBytes / PAGE_BYTES),
    coldPages: Math.floor(config.writes.coldBytes / PAGE_BYTES),
    blocks: null,
  };
}

/** A stream of randomness of this guest for one purpose. */
export function guestRandom(guest: Guest, purpose: string): Random {
  return createRandom(guest.seed ^ hashText(purpose));
}

function blocksOf(guest: Guest): Uint32Array {
  if (guest.blocks !== null) return guest.blocks;
  const random = guestRandom(guest, "layout");
  const blocks = Uint32Array.from({ length: Math.ceil(guest.pages / PAGES_PER_BLOCK) }, (_, index) => index);
  for (let last = blocks.length - 1; last > 0; last--) {
    const other = Math.floor(random.next() * (last + 1));
    const kept = blocks[last] ?? 0;
    blocks[last] = blocks[other] ?? 0;
    blocks[other] = kept;
  }
  guest.blocks = blocks;
  return blocks;
}

/** The pages that are not zero: the first `nonzeroPages` of the logical order, of which hot and cold set are the beginning. */
export function nonzeroBitmap(guest: Guest): Bitmap {
  const blocks = blocksOf(guest);
  const bitmap = createBitmap(guest.pages);
  for (let logical = 0; logical < guest.nonzeroPages; logical++) {
    const block = blocks[Math.floor(logical / PAGES_PER_BLOCK)] ?? 0;
    setPage(bitmap, block * PAGES_PER_BLOCK + (logical % PAGES_PER_BLOCK));
  }
  return bitmap;
}

/** Share of its nominal activity that the guest shows at a moment: phases and a little noise. */
export function activityAt(guest: Guest, atMs: number): number {
  const { phases } = guest.config.writes;
  const noise = 1 + 0.08 * hashNormal(guest.seed ^ 0x51, Math.floor(atMs / ACTIVITY_NOISE_MS));
  if (phases === undefined) return noise;
  const offset = hashUniform(guest.seed, 1) * phases.periodMs;
  const busy = (atMs + offset) % phases.periodMs < phases.busyRatio * phases.periodMs;
  return noise * (busy ? 1 : phases.quietFactor);
}

/** Cores that the guest asks for at a moment: mean, slow drift and noise. */
export function cpuCoresAt(guest: Guest, atMs: number): number {
  const { meanCores, noiseRatio = 0.08, driftRatio = 0.1, driftPeriodMs = DRIFT_PERIOD_MS } = guest.config.cpu;
  const turn = atMs / driftPeriodMs + hashUniform(guest.seed, 2);
  const drift = 1 + driftRatio * Math.sin(2 * Math.PI * turn);
  const noise = 1 + noiseRatio * hashNormal(guest.seed ^ 0xc9, Math.floor(atMs / CPU_NOISE_MS));
  return Math.min(guest.config.inventory.vcpus, Math.max(0.005, meanCores * drift * noise));
}

let drawn = new Uint32Array(4096);

/**
 * The pages that `count` accesses touch, in logical hot and cold sets, repetitions included.
 * The array is valid until the next call.
 */
export function drawPages(guest: Guest, count: number, random: Random): Uint32Array {
  const { hotShare, skew = 1 } = guest.config.writes;
  const touchable = guest.hotPages + guest.coldPages;
  if (touchable === 0 || count === 0) return drawn.subarray(0, 0);
  if (drawn.length < count) drawn = new Uint32Array(count * 2);
  const blocks = blocksOf(guest);
  const share = guest.hotPages === 0 ? 0 : guest.coldPages === 0 ? 1 : hotShare;
  for (let index = 0; index < count; index++) {
    const isHot = random.next() < share;
    const position = random.next();
    const logical = isHot
      ? Math.floor(guest.hotPages * (skew === 1 ? position : position ** skew))
      : guest.hotPages + Math.floor(guest.coldPages * position);
    drawn[index] = (blocks[Math.floor(logical / PAGES_PER_BLOCK)] ?? 0) * PAGES_PER_BLOCK + (logical % PAGES_PER_BLOCK);
  }
  return drawn.subarray(0, count);
}

/** The pages written between `fromMs` and `fromMs + durationMs` by a guest that gets `speed` of the time it wants. */
export function writesIn(guest: Guest, fromMs: number, durationMs: number, speed: number, random: Random): Uint32Array {
  const mean = (guest.config.writes.pagesPerSecond * activityAt(guest, fromMs) * speed * durationMs) / 1000;
  return drawPages(guest, mean > 0 ? random.poisson(mean) : 0, random);
}
