// The classic closed forms of pre-copy, for comparison only: what the literature's formulas say of the same migration.
import { DAY_MS } from "../units.ts";
import { SDPS, XEN_POLICIES } from "./full-pass.ts";
import type { Known } from "./resolve.ts";
import type { Scenario } from "./scenario.ts";
import type { Comparison } from "./types.ts";

/** What the closed forms take: constants, where the loops have curves. */
export type ClosedFormFacts = {
  /** To be sent once. */
  memoryBytes: number;
  bytesPerSecond: number;
  dirtyBytesPerSecond: number;
  workingSetBytes: number;
  /** The VM is stopped when no more is left. */
  thresholdBytes: number;
  pageBytes: number;
  /** Before the first page; from the stop to the VM running again, without the memory sent. */
  setupMs: number;
  switchoverMs: number;
};

/**
 * The constants for one scenario: of a measured curve, what it dirties in a second and in a day; of the threshold, that of
 * the hypervisor's own loop.
 */
export function closedFormFacts({ dirty }: Known, scenario: Scenario): ClosedFormFacts {
  const { pageBytes, rates, setupMs, switchoverMs } = scenario;
  const [windowMs, bytes] =
    dirty.from === "point" ? [dirty.point.windowMs, dirty.point.bytes] : [1000, scenario.dirtied(1000)];
  return {
    memoryBytes: scenario.nonzeroBytes,
    bytesPerSecond: rates.roundsBytesPerSecond,
    dirtyBytesPerSecond: (bytes * 1000) / windowMs,
    workingSetBytes: scenario.dirtied(DAY_MS),
    thresholdBytes: thresholdBytes(scenario),
    pageBytes,
    setupMs,
    switchoverMs,
  };
}

function thresholdBytes({ hypervisor, rates, parameters, xenPolicy, pageBytes }: Scenario): number {
  switch (hypervisor) {
    case "kvm":
      return (rates.roundsBytesPerSecond * parameters.downtimeLimitMs) / 1000;
    case "xen":
      return XEN_POLICIES[xenPolicy].dirtyPages * pageBytes;
    case "vmware":
      return SDPS.switchSeconds * rates.lineBytesPerSecond;
  }
}

export type Geometric = { rounds: number; bytes: number; totalMs: number; lastRoundMs: number };

type Rates = Pick<ClosedFormFacts, "memoryBytes" | "bytesPerSecond" | "dirtyBytesPerSecond" | "thresholdBytes">;

/**
 * A constant dirty rate (Clark et al., NSDI 2005; Liu et al., HPDC 2011): λ = D/R, n = ⌈log_λ(threshold / memory)⌉ rounds after
 * the first, memory × (1 − λ^(n+1)) / (1 − λ) sent in all, memory × λ^n of it with the VM stopped. Null for λ ≥ 1: it does
 * not converge.
 */
export function geometricPreCopy(of: Rates): Geometric | null {
  const ratio = of.dirtyBytesPerSecond / of.bytesPerSecond;
  if (of.memoryBytes > of.thresholdBytes && ratio >= 1) return null;
  const rounds = roundsAfterFirst(of, ratio);
  const bytes = ratio === 1 ? of.memoryBytes : (of.memoryBytes * (1 - ratio ** (rounds + 1))) / (1 - ratio);
  const lastRoundMs = ((of.memoryBytes * ratio ** rounds) / of.bytesPerSecond) * 1000;
  return { rounds, bytes, totalMs: (bytes / of.bytesPerSecond) * 1000, lastRoundMs };
}

function roundsAfterFirst({ memoryBytes, thresholdBytes }: Rates, ratio: number): number {
  if (memoryBytes <= thresholdBytes) return 0;
  return ratio === 0 ? 1 : Math.ceil(Math.log(thresholdBytes / memoryBytes) / Math.log(ratio));
}

/**
 * A round dirties D × its length, but no more than the working set: V₁ = min(D × V₀/R, W), from then on geometric. A working
 * set under the threshold converges even where D ≥ R (why KubeVirt's VEP 248 rejects the plain series). Null: it does not.
 */
export function workingSetCappedPreCopy(of: Rates & Pick<ClosedFormFacts, "workingSetBytes">): Geometric | null {
  if (of.memoryBytes <= of.thresholdBytes) return geometricPreCopy(of);
  const firstSeconds = of.memoryBytes / of.bytesPerSecond;
  const left = Math.min(of.dirtyBytesPerSecond * firstSeconds, of.workingSetBytes);
  const rest = geometricPreCopy({ ...of, memoryBytes: left });
  if (rest === null) return null;
  const { rounds, bytes, totalMs, lastRoundMs } = rest;
  return { rounds: rounds + 1, bytes: of.memoryBytes + bytes, totalMs: firstSeconds * 1000 + totalMs, lastRoundMs };
}

/**
 * Between which any pre-copy of Xen's of that time lies (Akoush et al., MASCOTS 2010): one pass and nothing dirtied, or five
 * times the memory but a page, all of it still to be sent at the stop.
 */
export function akoushBounds(of: ClosedFormFacts): { lower: Comparison; upper: Comparison } {
  const { memoryBytes, bytesPerSecond, pageBytes, setupMs, switchoverMs } = of;
  const passMs = (memoryBytes / bytesPerSecond) * 1000;
  const most = Math.max(memoryBytes, 5 * memoryBytes - pageBytes);
  const source = "Akoush et al., MASCOTS 2010, bounds for Xen";
  return {
    lower: {
      model: "akoush-lower",
      source,
      rounds: 1,
      totalMs: setupMs + passMs,
      downtimeMs: switchoverMs,
      transferredBytes: memoryBytes,
    },
    upper: {
      model: "akoush-upper",
      source,
      rounds: null,
      totalMs: setupMs + switchoverMs + (most / bytesPerSecond) * 1000,
      downtimeMs: switchoverMs + passMs,
      transferredBytes: most,
    },
  };
}

/** From the stop to the VM running again in Liu's model. */
const LIU_RESUME_MS = 20;

/** What each closed form says, in the order geometric, Akoush's bounds, working-set-capped, naive. */
export function closedForms(facts: ClosedFormFacts): Comparison[] {
  const { lower, upper } = akoushBounds(facts);
  const { memoryBytes, bytesPerSecond } = facts;
  const all: Comparison[] = [
    comparisonOf(
      "geometric",
      "Clark et al., NSDI 2005; Liu et al., HPDC 2011: constant dirty rate",
      geometricPreCopy(facts),
    ),
    lower,
    upper,
    comparisonOf(
      "working-set-capped",
      "Clark et al., NSDI 2005, writable working set: constant dirty rate up to it",
      workingSetCappedPreCopy(facts),
    ),
    {
      model: "naive",
      source: "memory / rate, as CloudSim has it (Voorsluys et al., CloudCom 2009)",
      rounds: 1,
      totalMs: (memoryBytes / bytesPerSecond) * 1000,
      downtimeMs: null,
      transferredBytes: memoryBytes,
    },
  ];
  return all.map(rounded);
}

function comparisonOf(model: Comparison["model"], source: string, of: Geometric | null): Comparison {
  return {
    model,
    source,
    // The first and all after it; the last of them goes out with the VM stopped.
    rounds: of === null ? null : of.rounds + 1,
    totalMs: of === null ? null : of.totalMs + LIU_RESUME_MS,
    downtimeMs: of === null ? null : of.lastRoundMs + LIU_RESUME_MS,
    transferredBytes: of?.bytes ?? null,
  };
}

function rounded(of: Comparison): Comparison {
  const to = (value: number | null, scale: number) => (value === null ? null : Math.round(value * scale) / scale);
  return {
    ...of,
    totalMs: to(of.totalMs, 1000),
    downtimeMs: to(of.downtimeMs, 1000),
    transferredBytes: to(of.transferredBytes, 1),
  };
}

/** What page sampling found: of `sampledPages`, how many differed after each period, and how many were zero. */
export type DirtyTable = {
  periodsMs: readonly number[];
  dirtySamples: readonly number[];
  sampledPages: number;
  zeroSamples: number;
  totalPages: number;
  pageBytes: number;
};

const TABLE_HEADER_BYTES = 8;

/**
 * The tier-2 prediction of the "Predict migration" proposal to qemu-devel (Gudkov, 2023): a round dirties what the sampled table
 * says of its length, until one takes no longer than `downtimeMs`. Null: not within `deadlineMs`.
 */
export function dirtyTablePreCopy(
  table: DirtyTable,
  link: { bytesPerSecond: number; downtimeMs: number; deadlineMs: number },
): { rounds: number; totalMs: number; bytes: number } | null {
  const perSample = table.totalPages / table.sampledPages;
  const nonzero = (table.sampledPages - table.zeroSamples) * perSample;
  let [normal, zero, totalMs, sent] = [nonzero, table.totalPages - nonzero, 0, 0];
  for (let rounds = 1; ; rounds++) {
    const bytes = normal * (table.pageBytes + TABLE_HEADER_BYTES) + zero * TABLE_HEADER_BYTES;
    const durationMs = (bytes / link.bytesPerSecond) * 1000;
    totalMs += durationMs;
    sent += bytes;
    if (totalMs > link.deadlineMs) return null;
    if (durationMs <= link.downtimeMs) return { rounds, totalMs, bytes: sent };
    normal = Math.min(nonzero, dirtySamplesIn(table, durationMs) * perSample);
    zero = 0;
  }
}

/** Straight lines between the periods; left of the first and right of the last the nearest one goes on, not under 0. */
function dirtySamplesIn({ periodsMs, dirtySamples }: DirtyTable, windowMs: number): number {
  const after = periodsMs.findIndex((period) => period >= windowMs);
  const right = after < 0 ? periodsMs.length - 1 : Math.max(1, after);
  const [fromMs = 0, toMs = 0] = [periodsMs[right - 1], periodsMs[right]];
  const [from = 0, to = 0] = [dirtySamples[right - 1], dirtySamples[right]];
  return Math.max(0, from + ((to - from) * (windowMs - fromMs)) / (toMs - fromMs));
}
