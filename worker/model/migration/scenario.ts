// One possible world: everything known exactly. The mechanisms compute one course in one scenario.
import type { MigrationParameters } from "../wire/command.ts";
import type { Hypervisor } from "../wire/common.ts";
import { GIB, MIB } from "../units.ts";
import { measuredCurve, saturatingCurve } from "./dirty-curve.ts";
import type { DirtyCurve } from "./dirty-curve.ts";
import type { Scores } from "./draws.ts";
import { rates, senderBytesPerSecond } from "./link.ts";
import type { Rates } from "./link.ts";
import * as prior from "./priors.ts";
import type { Known } from "./resolve.ts";
import type { StopRule } from "./types.ts";

export type Scenario = {
  hypervisor: Hypervisor;
  memoryBytes: number;
  nonzeroBytes: number;
  pageBytes: number;
  vcpus: number;
  cpuUsedCores: number;
  dirtied: DirtyCurve;
  rates: Rates;
  rttMs: number;
  parameters: MigrationParameters;
  /** Bytes on the wire for one byte of a normal page, and for one byte of a zero page. */
  wirePerNormalByte: number;
  wirePerZeroByte: number;
  setupMs: number;
  disksMs: number;
  diskBytes: number;
  /** What is dirtied ahead of the scan is sent in the same pass and not counted again. */
  skipsAheadOfScan: boolean;
  /** Downtime that no bandwidth shortens. */
  switchoverMs: number;
  /** One byte of the last burst, sent with the VM standing still; of a page that was never sent before, this much more. */
  burstMsPerByte: number;
  firstTouchMsPerByte: number;
  /** Hybrid: one byte of the pages that the destination has to drop. */
  discardMsPerByte: number;
  /** How much of the end of the first round is not zero. */
  endNormalRatio: number;
  /** How late QEMU notices that it could switch over, as a share of a slice. */
  lateness: number;
  /** One remote page fault, all in. */
  faultMs: number;
  brownoutRatio: number;
  energyFactor: number;
};

export type Round = { bytes: number; durationMs: number };

/** What one mechanism does in one scenario. */
export type Course = {
  /** Memory that was still to be sent fell under what the stop rule wants. True where nothing has to converge. */
  converged: boolean;
  stopRule: StopRule;
  preparationMs: number;
  /** Null: cancelled, the VM never stopped. */
  downtimeMs: number | null;
  resumeMs: number;
  /** The same time, by phase. */
  phaseMs: { setup: number; disks: number; rounds: number; switchover: number; "post-copy": number };
  wireBytes: number;
  pages: number;
  zeroPages: number;
  remoteFaults: number;
  lostVcpuSeconds: number;
  rounds: Round[];
};

/** Anything up to a slice in one round; a course of several has seen some of each. */
const LATENESS = { least: 0.25, most: 0.75 };

/** How much more or less of the memory's end than of the whole is not zero: measured on Linux guests. */
const SCATTER = { least: 0.3, most: 1.3 };

const between = ({ least, most }: { least: number; most: number }, at: number): number => least + (most - least) * at;

const DISK_DIRTY_RATIO_MAX = 0.9;

/** The scenario at these scores; `parameters` as the mechanism is run with. */
export function scenarioOf(known: Known, parameters: MigrationParameters, scores: Scores): Scenario {
  const spread = (lnSd: number, source: keyof Scores["normal"]) => Math.exp(lnSd * scores.normal[source]);
  const nonzeroBytes = Math.min(known.memoryBytes, known.nonzeroBytes * spread(known.nonzeroLnSd, "nonzero"));
  const sender = senderBytesPerSecond(known.hypervisor, parameters.multifdChannels);
  const linkFactor = spread(known.linkLnSd, "link");
  const pace = rates(known.shareBytesPerSecond * linkFactor, sender, known.capBytesPerSecond);
  const burstLine = Math.max(pace.lineBytesPerSecond, Math.min(sender, known.spareBytesPerSecond * linkFactor));
  const burstFactor = spread(prior.BURST_LN_SD, "burst");
  const switchover = prior.SWITCHOVER[known.hypervisor];
  const setup = prior.SETUP[known.driver];
  const setupMs = Math.min(setup.msMax, setup.baseMs + (setup.msPerGib * known.memoryBytes) / GIB);
  const handover = prior.HANDOVER[known.driver];
  const { faultBytesMs, headers } = wire(known, parameters, pace);
  const queue = parameters.postCopyPreempt ? prior.FAULT_MS.preempt : prior.FAULT_MS.queued;
  return {
    hypervisor: known.hypervisor,
    memoryBytes: known.memoryBytes,
    nonzeroBytes,
    pageBytes: known.pageBytes,
    vcpus: known.vcpus,
    cpuUsedCores: known.cpuUsedCores,
    dirtied: dirtyingOf(known, nonzeroBytes, scores),
    rates: pace,
    rttMs: known.rttMs,
    parameters,
    ...headers,
    setupMs: setupMs * spread(setup.lnSd, "setup"),
    skipsAheadOfScan: known.hypervisor === "kvm" && prior.SKIPS_AHEAD_OF_SCAN[known.driver],
    ...disks(known, pace),
    switchoverMs:
      switchover.ms * spread(switchover.lnSd, "switchover") +
      handover.ms * spread(handover.lnSd, "handover") +
      known.rttMs,
    burstMsPerByte: burst(burstLine, burstFactor),
    firstTouchMsPerByte:
      (prior.FIRST_TOUCH.msPerMib[known.driver] / MIB) * spread(prior.FIRST_TOUCH.lnSd, "firstTouch"),
    discardMsPerByte: (prior.DISCARD.msPerMib / MIB) * spread(prior.DISCARD.lnSd, "burst"),
    endNormalRatio: Math.min(1, (nonzeroBytes / known.memoryBytes) * between(SCATTER, scores.scatter)),
    lateness: between(LATENESS, scores.lateness),
    faultMs: queue * spread(prior.FAULT_LN_SD, "fault") + known.rttMs + faultBytesMs,
    brownoutRatio: Math.min(1, prior.BROWNOUT_RATIO * spread(prior.BROWNOUT_LN_SD, "brownout")),
    energyFactor: spread(prior.ENERGY.lnSd, "energy"),
  };
}

/** Line rate, and what the end points' memory adds or spares: as much time on a slow link as on a fast one. */
function burst(line: number, factor: number): number {
  return 1000 * (1 / line + (factor - 1) / Math.max(line, prior.STREAM_BYTES_PER_SECOND));
}

function dirtyingOf({ dirty }: Known, nonzeroBytes: number, scores: Scores): DirtyCurve {
  const scale = Math.exp(dirty.lnSd * scores.normal.dirty);
  if (dirty.from === "curve") {
    const curve = measuredCurve(dirty.points, nonzeroBytes / scale);
    return (windowMs) => scale * curve(windowMs);
  }
  const bytes = Math.min(nonzeroBytes, dirty.point.bytes * scale);
  const guess = prior.WORKING_SET_PER_WINDOW * bytes * Math.exp(prior.WORKING_SET_LN_SD * scores.normal.workingSet);
  return saturatingCurve(bytes, dirty.point.windowMs, Math.min(nonzeroBytes, dirty.workingSetBytes ?? guess));
}

function wire(known: Known, { multifdChannels }: MigrationParameters, pace: Rates) {
  const page = known.pageBytes;
  const multifd = multifdChannels > 0;
  const header = multifd ? prior.MULTIFD_PAGE_HEADER_BYTES : prior.PAGE_HEADER_BYTES;
  const zero = multifd ? prior.MULTIFD_ZERO_PAGE_BYTES : prior.ZERO_PAGE_BYTES;
  const ratio = multifd ? known.compressionRatio : 1;
  return {
    faultBytesMs: ((page + header) / pace.lineBytesPerSecond) * 1000,
    headers: { wirePerNormalByte: (page / ratio + header) / page, wirePerZeroByte: zero / page },
  };
}

/** Block copy before memory: A/R, stretched by what is written meanwhile (it does not end where that outruns the rate). */
function disks(known: Known, pace: Rates) {
  const rate = pace.roundsBytesPerSecond;
  const rewritten = Math.min(DISK_DIRTY_RATIO_MAX, known.localDiskDirtyBytesPerSecond / rate);
  const diskBytes = known.localDiskBytes / (1 - rewritten);
  return { diskBytes, disksMs: (diskBytes / rate) * 1000 };
}
