// Local disks: copied before the memory while the VM writes to them, as libvirt's mirror does it, or after the switch-over.
import * as prior from "./priors.ts";
import type { Assumption, EstimateInput } from "./types.ts";

/** A part of a disk whose blocks are written equally often: distinct bytes a second, over all of it. */
export type WriteClass = { bytes: number; dirtyBytesPerSecond: number };

/** A disk as it is: what is allocated, of which the classes are written and the rest is not. */
export type LocalDisk = { bytes: number; classes: WriteClass[] };

/** A disk as it is known. */
type KnownDisk = {
  bytes: number;
  allocatedBytes: number;
  allocatedLnSd: number;
  dirtyLnSd: number;
  /** A number: so many distinct bytes a second, evenly over what is allocated. */
  writes: WriteClass[] | number;
};

export type StorageKnowledge = {
  disks: KnownDisk[];
  mode: "pre-copy" | "post-copy";
  order: "sequential" | "cold-first";
};

type Note = (field: string, value: Assumption["value"], why: string) => void;

/** The disks that exist at the source only, every gap filled and noted. */
export function resolveStorage({ vm, storage }: EstimateInput, note: Note): StorageKnowledge {
  const disks = (vm.disks ?? []).flatMap((disk, index) => resolveDisk(disk, `vm.disks.${index}`, note));
  const { mode = "pre-copy", order = "sequential" } = storage ?? {};
  if (disks.length === 0) return { disks, mode, order };
  note("storage", prior.MIRROR.bytesPerSecond, "bytes a second at which one disk is read, sent and written at most");
  if (mode === "post-copy") note("storage.mode", mode, "no driver copies disks after the switch-over");
  else if (order === "cold-first")
    note("storage.order", order, "no driver copies in that order: what one would save that knows the writes");
  return { disks, mode, order };
}

type InputDisk = NonNullable<EstimateInput["vm"]["disks"]>[number];

function resolveDisk(disk: InputDisk, path: string, note: Note): KnownDisk[] {
  if (disk.shared === undefined) note(`${path}.shared`, true, "not given: taken to be on shared storage");
  if (disk.shared !== false) return [];
  const { bytes, allocatedBytes } = disk;
  if (allocatedBytes === undefined) note(`${path}.allocatedBytes`, bytes, "not given: all of it");
  const allocatedLnSd = allocatedBytes === undefined ? prior.DISK_ALLOCATED_LN_SD : 0;
  return [{ bytes, allocatedBytes: allocatedBytes ?? bytes, allocatedLnSd, ...resolveWrites(disk, path, note) }];
}

function resolveWrites({ writeClasses, dirtyBytesPerSecond }: InputDisk, path: string, note: Note) {
  if (writeClasses !== undefined) return { writes: writeClasses, dirtyLnSd: prior.DISK_DIRTY.lnSd.given };
  if (dirtyBytesPerSecond === undefined) {
    note(`${path}.dirtyBytesPerSecond`, prior.DISK_DIRTY.bytesPerSecond, "not given: may be off by a factor of five");
    return { writes: prior.DISK_DIRTY.bytesPerSecond, dirtyLnSd: prior.DISK_DIRTY.lnSd.absent };
  }
  if (dirtyBytesPerSecond > 0)
    note(`${path}.writeClasses`, null, "not given: written evenly all over, which no order of copying can help");
  return { writes: dirtyBytesPerSecond, dirtyLnSd: prior.DISK_DIRTY.lnSd.given };
}

/** The disks of one scenario, at standard normal scores of what is allocated and of how much is written. */
export function disksAt({ disks }: StorageKnowledge, scores: { allocated: number; dirty: number }): LocalDisk[] {
  return disks.map(({ bytes, allocatedBytes, allocatedLnSd, dirtyLnSd, writes }) => {
    const factor = Math.exp(dirtyLnSd * scores.dirty);
    const allocated = Math.min(bytes, allocatedBytes * Math.exp(allocatedLnSd * scores.allocated));
    if (typeof writes === "number")
      return { bytes: allocated, classes: [{ bytes: allocated, dirtyBytesPerSecond: factor * writes }] };
    const written = writes.reduce((sum, each) => sum + each.bytes, 0);
    const classes = writes.map((each) => ({ ...each, dirtyBytesPerSecond: factor * each.dirtyBytesPerSecond }));
    return { bytes: Math.max(allocated, written), classes };
  });
}

/** One pass over what is allocated at that rate, bounded by what disks do; milliseconds. */
export function passMs({ disks }: StorageKnowledge, bytesPerSecond: number): number {
  const bytes = disks.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0);
  return (bytes / Math.min(bytesPerSecond, prior.MIRROR.bytesPerSecond)) * 1000;
}

/** What the disks can have: all together, and each. Bytes a second. */
export type DiskRates = { lineBytesPerSecond: number; perDiskBytesPerSecond: number };

/** How the disks get to the destination. */
export type DiskCopy = {
  /** What is allocated. */
  bytes: number;
  /** Before the memory; Infinity: more is written than can be copied, it is never ready. */
  beforeMs: number;
  /** After the switch-over. */
  afterMs: number;
  /** Copied again before it is ready, in the order used and in sequential order. Infinity where it is never ready. */
  extraBytes: number;
  sequentialExtraBytes: number;
  /** What goes on being mirrored while the memory is sent. */
  mirroredBytesPerSecond: number;
  /** All disks together. */
  bytesPerSecond: number;
};

/** The copy in the mode and order given: exact, of one scenario. */
export function copyDisks(
  disks: readonly LocalDisk[],
  rates: DiskRates,
  { mode, order }: Pick<StorageKnowledge, "mode" | "order">,
): DiskCopy {
  const bytes = disks.reduce((sum, disk) => sum + disk.bytes, 0);
  const bytesPerSecond = totalRate(disks, rates);
  const ends = passEnds(disks, rates);
  if (mode === "post-copy") {
    const none = { extraBytes: 0, sequentialExtraBytes: 0, mirroredBytesPerSecond: 0 };
    return { bytes, bytesPerSecond, beforeMs: 0, afterMs: Math.max(0, ...ends) * 1000, ...none };
  }
  const sequential = mirror(disks, rates, ends, sequentialRewritten);
  const used = order === "sequential" ? sequential : mirror(disks, rates, ends, coldFirstRewritten);
  return {
    bytes,
    bytesPerSecond,
    beforeMs: used.seconds * 1000,
    afterMs: 0,
    extraBytes: used.extraBytes,
    sequentialExtraBytes: sequential.extraBytes,
    mirroredBytesPerSecond: disks.reduce((sum, disk) => sum + writeRate(disk), 0),
  };
}

/** What is sent of the disks: `copiedMs` of copying where the mirror was not ready, else all, and `besideMs` of mirroring. */
export function diskTraffic(copy: DiskCopy, copiedMs: number | null, besideMs: number) {
  if (copiedMs !== null) {
    const bytes = (copy.bytesPerSecond * copiedMs) / 1000;
    const again = Math.max(0, bytes - copy.bytes);
    const [extraBytes, sequentialExtraBytes] = [copy.extraBytes, copy.sequentialExtraBytes];
    return {
      bytes,
      extraBytes: Math.min(again, extraBytes),
      sequentialExtraBytes: Math.min(again, sequentialExtraBytes),
    };
  }
  const beside = (copy.mirroredBytesPerSecond * besideMs) / 1000;
  return {
    bytes: copy.bytes + copy.extraBytes + beside,
    extraBytes: copy.extraBytes + beside,
    sequentialExtraBytes: copy.sequentialExtraBytes + beside,
  };
}

/** When the first pass over each disk ends, seconds: all at once, the line shared evenly by those not done yet. */
function passEnds(disks: readonly LocalDisk[], { lineBytesPerSecond, perDiskBytesPerSecond }: DiskRates): number[] {
  const ends = disks.map(() => 0);
  const bySize = disks.map(({ bytes }, index) => ({ bytes, index })).toSorted((a, b) => a.bytes - b.bytes);
  let [seconds, copied] = [0, 0];
  for (const [done, { bytes, index }] of bySize.entries()) {
    const rate = Math.min(perDiskBytesPerSecond, lineBytesPerSecond / (disks.length - done));
    seconds += (bytes - copied) / rate;
    copied = bytes;
    ends[index] = seconds;
  }
  return ends;
}

/**
 * The first pass, then what was written behind it until nothing is dirty: T = A/R + E/(R − w), E × R/(R − w) sent again (Pacer,
 * Zheng et al.). A disk that is done first goes on being mirrored until the last one is. Never ready where w ≥ R.
 */
function mirror(
  disks: readonly LocalDisk[],
  rates: DiskRates,
  ends: readonly number[],
  rewritten: (disk: LocalDisk, seconds: number) => number,
): { seconds: number; extraBytes: number } {
  const rate = totalRate(disks, rates);
  const last = Math.max(0, ...ends);
  let [behind, writes] = [0, 0];
  for (const [index, disk] of disks.entries()) {
    const end = ends[index] ?? 0;
    if (writeRate(disk) >= rates.perDiskBytesPerSecond) return { seconds: Infinity, extraBytes: Infinity };
    behind += rewritten(disk, end) + writeRate(disk) * (last - end);
    writes += writeRate(disk);
  }
  if (behind === 0) return { seconds: last, extraBytes: 0 };
  if (writes >= rate) return { seconds: Infinity, extraBytes: Infinity };
  return { seconds: last + behind / (rate - writes), extraBytes: (behind * rate) / (rate - writes) };
}

function totalRate(disks: readonly LocalDisk[], { lineBytesPerSecond, perDiskBytesPerSecond }: DiskRates): number {
  return Math.min(lineBytesPerSecond, perDiskBytesPerSecond * disks.length);
}

function writeRate({ classes }: LocalDisk): number {
  return classes.reduce((sum, { dirtyBytesPerSecond }) => sum + dirtyBytesPerSecond, 0);
}

/** Bytes written again behind a pass from start to end that takes `seconds`; a class may lie anywhere on the disk. */
export function sequentialRewritten({ classes }: LocalDisk, seconds: number): number {
  return classes.reduce((sum, each) => sum + each.bytes * rewrittenShare(popularity(each), 0, seconds), 0);
}

/**
 * The same with the blocks that are written least copied first (Zheng, Ng, Sripanidkulchai, workload-aware storage migration):
 * Σ size × (1 − e^(−w (T_end − t))), t being when a block's turn comes. Where several classes are so hot that they are written
 * again wherever they stand, the warm ones in front of them lose more than these gain: then the order stays sequential.
 */
export function coldFirstRewritten(disk: LocalDisk, seconds: number): number {
  let left = disk.classes.reduce((sum, { bytes }) => sum + bytes, 0);
  let coldFirst = 0;
  for (const each of disk.classes.toSorted((a, b) => popularity(a) - popularity(b))) {
    const from = ((left - each.bytes) / disk.bytes) * seconds;
    coldFirst += each.bytes * rewrittenShare(popularity(each), from, (left / disk.bytes) * seconds);
    left -= each.bytes;
  }
  return Math.min(coldFirst, sequentialRewritten(disk, seconds));
}

/** Writes to one byte, per second. */
function popularity({ bytes, dirtyBytesPerSecond }: WriteClass): number {
  return bytes > 0 ? dirtyBytesPerSecond / bytes : 0;
}

/** Mean of 1 − e^(−w τ) over windows τ from `least` to `most` seconds. */
function rewrittenShare(perSecond: number, least: number, most: number): number {
  const x = perSecond * (most - least);
  const mean = x > 0 ? -Math.expm1(-x) / x : 1;
  return 1 - Math.exp(-perSecond * least) * mean;
}
