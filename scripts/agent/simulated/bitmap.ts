// Bitmaps of guest pages: one bit a page, 32 pages a word.

export type Bitmap = Uint32Array;

export function createBitmap(pages: number): Bitmap {
  return new Uint32Array(Math.ceil(pages / 32));
}

/** A bitmap whose first `pages` bits are set. */
export function fullBitmap(pages: number): Bitmap {
  const bitmap = createBitmap(pages).fill(0xffffffff);
  const rest = pages % 32;
  if (rest > 0) bitmap[bitmap.length - 1] = 2 ** rest - 1;
  return bitmap;
}

export function hasPage(bitmap: Bitmap, page: number): boolean {
  return ((bitmap[page >>> 5] ?? 0) & (1 << (page & 31))) !== 0;
}

export function setPage(bitmap: Bitmap, page: number): void {
  bitmap[page >>> 5] = (bitmap[page >>> 5] ?? 0) | (1 << (page & 31));
}

export function clearPage(bitmap: Bitmap, page: number): void {
  bitmap[page >>> 5] = (bitmap[page >>> 5] ?? 0) & ~(1 << (page & 31));
}

function countBits(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const nibbles = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((nibbles + (nibbles >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

export function countPages(bitmap: Bitmap): number {
  let count = 0;
  for (const word of bitmap) count += countBits(word);
  return count;
}

/** Moves every page of `from` into `into` and returns how many were not there before; `from` is empty afterwards. */
export function drainInto(into: Bitmap, from: Bitmap): number {
  let added = 0;
  for (let word = 0; word < from.length; word++) {
    const bits = from[word] ?? 0;
    if (bits === 0) continue;
    const before = into[word] ?? 0;
    added += countBits(bits & ~before);
    into[word] = before | bits;
    from[word] = 0;
  }
  return added;
}

/** Clears in `bitmap` what is set in `mask`, for the pages from `first` up to but not including `end` (multiples of 32, or the end). */
export function subtractRange(bitmap: Bitmap, mask: Bitmap, first: number, end: number): void {
  const last = Math.min(Math.ceil(end / 32), bitmap.length);
  for (let word = first >>> 5; word < last; word++) bitmap[word] = (bitmap[word] ?? 0) & ~(mask[word] ?? 0);
}

/** The first page set at or after `from`, wrapping round once; -1 when the bitmap is empty. */
export function nextPage(bitmap: Bitmap, from: number): number {
  const start = from >>> 5;
  const head = (bitmap[start] ?? 0) & (0xffffffff << (from & 31));
  if (head !== 0) return (start << 5) + 31 - Math.clz32(head & -head);
  for (let step = 1; step <= bitmap.length; step++) {
    const word = (start + step) % bitmap.length;
    const bits = bitmap[word] ?? 0;
    if (bits !== 0) return (word << 5) + 31 - Math.clz32(bits & -bits);
  }
  return -1;
}
