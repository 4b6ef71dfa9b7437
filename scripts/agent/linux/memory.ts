// How much of a guest's memory has content, estimated by reading some of its pages from outside.
import { closeSync, openSync, readSync } from "node:fs";
import { setImmediate as othersTurn } from "node:timers/promises";
import { PAGE_BYTES } from "../../../worker/model/units.ts";
import type { Mapping } from "./proc.ts";

/** Standard error of the share at most 1 / (2 √1024) = 1.6 %. */
const SAMPLED_PAGES = 1024;
const ENTRY_BYTES = 8;
/** 64 segments of 8192 pages: all of a guest up to 2 GiB, a random part of a larger one. */
const SEGMENT_PAGES = 8192;
const SEGMENTS_MAX = 64;
/** Pages read before others get their turn: some 100 µs. */
const READS_A_TURN = 32;

/** SplitMix32: uniform in [0, 1), the same sequence for the same seed. */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 4294967296;
  };
}

/** `count` distinct members of 0…size-1, or all of them; sorted. */
export function drawDistinct(size: number, count: number, random: () => number): number[] {
  const drawn = new Set<number>();
  // Floyd's algorithm: one draw a member, no list of all members.
  for (let top = Math.max(0, size - count); top < size; top++) {
    const candidate = Math.floor(random() * (top + 1));
    drawn.add(drawn.has(candidate) ? top : candidate);
  }
  return [...drawn].sort((a, b) => a - b);
}

/** Indices of the present pages in a stretch of pagemap: bit 63 of each little-endian 64-bit entry. */
export function presentPages(entries: Buffer): number[] {
  const present: number[] = [];
  for (let index = 0; (index + 1) * ENTRY_BYTES <= entries.length; index++)
    if (((entries[index * ENTRY_BYTES + 7] ?? 0) & 0x80) !== 0) present.push(index);
  return present;
}

async function findPresent(
  pagemap: number,
  mapping: Mapping,
  random: () => number,
): Promise<{ present: number[]; lookedAt: number }> {
  const firstPage = mapping.startAddress / PAGE_BYTES;
  const pages = Math.floor(mapping.sizeBytes / PAGE_BYTES);
  const entries = Buffer.allocUnsafe(SEGMENT_PAGES * ENTRY_BYTES);
  const present: number[] = [];
  let lookedAt = 0;
  for (const segment of drawDistinct(Math.ceil(pages / SEGMENT_PAGES), SEGMENTS_MAX, random)) {
    const from = segment * SEGMENT_PAGES;
    const bytes = Math.min(SEGMENT_PAGES, pages - from) * ENTRY_BYTES;
    const bytesRead = readSync(pagemap, entries, 0, bytes, (firstPage + from) * ENTRY_BYTES);
    lookedAt += Math.floor(bytesRead / ENTRY_BYTES);
    for (const index of presentPages(entries.subarray(0, bytesRead))) present.push(from + index);
    await othersTurn();
  }
  return { present, lookedAt };
}

/**
 * Non-zero bytes of the mapping, swapped ones counted as non-zero; absent pages are zero. Null when the kernel does not let us
 * look. Reads in place, a little at a time: to hand 1024 reads to other threads costs ten times as much. Never for a guest that is arriving: reading a page that is missing there would wait for it to arrive.
 */
export async function estimateNonzeroBytes(pid: number, mapping: Mapping, seed: number): Promise<number | null> {
  const random = seededRandom(seed);
  const open: number[] = [];
  const opened = (file: string): number => {
    const descriptor = openSync(file, "r");
    open.push(descriptor);
    return descriptor;
  };
  try {
    const [pagemap, memory] = [opened(`/proc/${pid}/pagemap`), opened(`/proc/${pid}/mem`)];
    const { present, lookedAt } = await findPresent(pagemap, mapping, random);
    if (lookedAt === 0) return null;
    const [zero, page] = [Buffer.alloc(PAGE_BYTES), Buffer.alloc(PAGE_BYTES)];
    let [looked, read, withContent] = [0, 0, 0];
    for (const at of drawDistinct(present.length, SAMPLED_PAGES, random)) {
      const address = mapping.startAddress + (present[at] ?? 0) * PAGE_BYTES;
      if (++looked % READS_A_TURN === 0) await othersTurn();
      if (readSync(memory, page, 0, PAGE_BYTES, address) !== PAGE_BYTES) continue;
      read += 1;
      if (!page.equals(zero)) withContent += 1;
    }
    const presentBytes = (present.length / lookedAt) * mapping.sizeBytes;
    const share = read === 0 ? 0 : withContent / read;
    return Math.round(presentBytes * share + mapping.swappedBytes);
  } catch {
    return null;
  } finally {
    open.forEach(closeSync);
  }
}
