// One possible world: everything known exactly. The mechanisms compute one course in one scenario.
import type { MigrationParameters } from "../wire/command.ts";
import type { Hypervisor } from "../wire/common.ts";
import { GIB, MIB } from "../units.ts";
import type { DirtyCurve } from "./dirty-curve.ts";
import { dirtyingOf } from "./dirtying.ts";
import { MEDIAN } from "./draws.ts";
import type { Scores } from "./draws.ts";
import type { EnergyModel } from "./energy.ts";
import { factorsOf } from "./factors.ts";
import type { XenPolicyName } from "./full-pass.ts";
import { rates, senderBytesPerSecond } from "./link.ts";
import type { Rates } from "./link.ts";
import { faultServiceMs } from "./paging.ts";
import type { Paging } from "./paging.ts";
import * as prior from "./priors.ts";
import type { Known } from "./resolve.ts";
import { copyDisks, disksAt } from "./storage.ts";
import type { DiskCopy } from "./storage.ts";
import type { StopRule } from "./types.ts";

export type Scenario = {
  hypervisor: Hypervisor;
  memoryBytes: number;
  nonzeroBytes: number;
  pageBytes: number;
  vcpus: number;
  cpuUsedCores: number;
  xenPolicy: XenPolicyName;
  dirtied: DirtyCurve;
  /** No more than this can be dirty at once. */
  dirtiedMaxBytes: number;
  rates: Rates;
  rttMs: number;
  parameters: MigrationParameters;
  /** Bytes on the wire for one byte of a normal page, and for one byte of a zero page. */
  wirePerNormalByte: number;
  wirePerZeroByte: number;
  /** Raw bytes that the sender can compress; Infinity where it does not. */
  compressBytesPerSecond: number;
  /** xbzrle: of the pages in its cache, those that go as a delta; null: off. */
  delta: { hitRatio: number; cacheBytes: number } | null;
  setupMs: number;
  disks: DiskCopy;
  /** Before the memory, cut off at the deadline. */
  disksMs: number;
  /** The deadline does not strike before the disks are mirrored. */
  disksReady: boolean;
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
  endNormalMaxBytes: number;
  /** How late QEMU notices that it could switch over, as a share of a slice. */
  lateness: number;
  /** Post-copy: how missing pages arrive, and how fast at most; never above the line. */
  paging: Paging;
  postCopyBytesPerSecond: number;
  /** Given back by a balloon before post-copy or hybrid, and not sent. */
  freeBytes: number;
  /** One remote page fault, all in but for waiting until the push may spend its next slice. */
  faultMs: number;
  /** Rounds are told one by one, not only summed. */
  listsRounds: boolean;
  brownoutRatio: number;
  energy: EnergyModel;
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
  /** Of the pages that the guest uses. */
  remoteFaultRatio: number;
  /** Time in which the guest stands still at the destination for missing pages. */
  stallMs: number;
  lostVcpuSeconds: number;
  rounds: Round[];
};

/** Anything up to a slice in one round; a course of several has seen some of each. */
const LATENESS = { least: 0.25, most: 0.75 };

/** How much more or less of the memory's end than of the whole is not zero: measured on Linux guests. */
const SCATTER = { least: 0.3, most: 1.3 };

/** Disks that are written to faster than that are never ready: the rest of the course does not happen. */
const LEFT_RATIO_MIN = 0.01;

const between = ({ least, most }: { least: number; most: number }, at: number): number => least + (most - least) * at;

/** The scenario at these scores; `parameters` as the mechanism is run with. */
export const scenarioOf = (known: Known, parameters: MigrationParameters, scores: Scores): Scenario =>
  scenariosFor(known, parameters)(scores);

/** The same for any number of scores: what does not depend on them is worked out once. */
export function scenariosFor(known: Known, parameters: MigrationParameters): (scores: Scores) => Scenario {
  const constant = constantsOf(known, parameters);
  return (scores) => scenarioAt(known, parameters, constant, scores);
}

type Constants = {
  sender: number;
  setupMs: number;
  switchoverMs: number;
  handover: keyof typeof prior.HANDOVER;
  handoverMs: number;
  wirePerNormalByte: number;
  wirePerZeroByte: number;
};

function constantsOf(known: Known, parameters: MigrationParameters): Constants {
  const handover = known.platform === "simulated" ? "simulated" : "real";
  return {
    sender: senderBytesPerSecond(known.hypervisor, parameters.multifdChannels),
    setupMs: setupMsOf(known),
    switchoverMs: prior.SWITCHOVER[known.hypervisor].ms,
    handover,
    handoverMs: known.resumedByAgents ? prior.HANDOVER[handover].ms : 0,
    ...wire(known, parameters),
  };
}

function scenarioAt(known: Known, parameters: MigrationParameters, constant: Constants, scores: Scores): Scenario {
  const { hypervisor, memoryBytes, platform, rttMs, postCopy } = known;
  const factors = factorsOf(scores);
  const linkFactor = Math.exp(known.linkLnSd * scores.normal.link);
  const nonzeroBytes = Math.min(memoryBytes, known.nonzeroBytes * Math.exp(known.nonzeroLnSd * scores.normal.nonzero));
  const pace = paceOf(known, parameters, constant.sender, linkFactor * known.shareBytesPerSecond, factors.fresh);
  const { dirtied, dirtiedMax } = dirtyingOf(known, nonzeroBytes, scores);
  const setupMs = constant.setupMs * factors.setup;
  const storage = storageOf(known, pace, scores, parameters.deadlineMs - setupMs);
  const handoverMs = constant.handoverMs * factors.handover[constant.handover];
  // Every property by name: objects that are spread into one another are several times as slow to make and to read.
  return {
    hypervisor,
    memoryBytes,
    nonzeroBytes,
    pageBytes: known.pageBytes,
    vcpus: known.vcpus,
    cpuUsedCores: known.cpuUsedCores,
    xenPolicy: known.xenPolicy,
    dirtied,
    dirtiedMaxBytes: dirtiedMax,
    rates: beside(pace, storage.disks.mirroredBytesPerSecond),
    rttMs,
    parameters,
    wirePerNormalByte: constant.wirePerNormalByte,
    wirePerZeroByte: constant.wirePerZeroByte,
    compressBytesPerSecond: known.compressBytesPerSecond,
    delta: known.delta,
    setupMs,
    disks: storage.disks,
    disksMs: storage.disksMs,
    disksReady: storage.disksReady,
    skipsAheadOfScan: known.skipsAheadOfScan,
    switchoverMs: constant.switchoverMs * factors.switchover[hypervisor] + handoverMs + rttMs,
    burstMsPerByte: burstOf(known, constant.sender, linkFactor, factors.burst),
    firstTouchMsPerByte: (prior.FIRST_TOUCH.msPerMib[platform] / MIB) * factors.firstTouch,
    discardMsPerByte: (prior.DISCARD.msPerMib[platform] / MIB) * factors.discard,
    endNormalRatio: Math.min(1, (nonzeroBytes / memoryBytes) * between(SCATTER, scores.scatter)),
    endNormalMaxBytes: prior.TAIL_RATIO * memoryBytes * between(SCATTER, scores.scatter),
    lateness: between(LATENESS, scores.lateness),
    paging: postCopy.paging,
    postCopyBytesPerSecond: Math.min(pace.lineBytesPerSecond, postCopy.capBytesPerSecond ?? Number.POSITIVE_INFINITY),
    freeBytes: postCopy.freeBytes,
    faultMs: faultMsOf(known, parameters, pace, factors.fault),
    listsRounds: scores === MEDIAN,
    brownoutRatio: Math.min(1, prior.BROWNOUT_RATIO * factors.brownout),
    energy: known.energy,
    energyFactor: factors.energy[known.energy.from],
  };
}

function paceOf(
  known: Known,
  { multifdChannels }: MigrationParameters,
  sender: number,
  shareBytesPerSecond: number,
  freshFactor: number,
): Rates {
  const fresh = prior.FRESH_BYTES_PER_SECOND[known.platform] * Math.max(1, multifdChannels) * freshFactor;
  return rates(shareBytesPerSecond, sender, known.capBytesPerSecond, fresh);
}

function setupMsOf({ platform, memoryBytes, driver }: Known): number {
  const { baseMs, msPerGib, msMax } = prior.SETUP[platform];
  const qemuMs = Math.min(msMax, baseMs + (msPerGib * memoryBytes) / GIB);
  return driver === "libvirt" ? qemuMs + prior.LIBVIRT_SETUP_MS : qemuMs;
}

/** Line rate, and what the end points' memory adds or spares: as much time on a slow link as on a fast one. */
function burstOf(
  { platform, shareBytesPerSecond, spareBytesPerSecond }: Known,
  sender: number,
  linkFactor: number,
  factor: number,
): number {
  const copying = prior.BURST_BYTES_PER_SECOND[platform];
  const most = sender * (copying / prior.STREAM_BYTES_PER_SECOND);
  const line = Math.max(
    Math.min(most, shareBytesPerSecond * linkFactor),
    Math.min(most, spareBytesPerSecond * linkFactor),
  );
  return 1000 * (1 / line + (factor - 1) / Math.max(line, copying));
}

function wire(known: Known, { multifdChannels }: MigrationParameters) {
  const page = known.pageBytes;
  const multifd = multifdChannels > 0;
  const header = multifd ? prior.MULTIFD_PAGE_HEADER_BYTES : prior.PAGE_HEADER_BYTES;
  const zero = multifd ? prior.MULTIFD_ZERO_PAGE_BYTES : prior.ZERO_PAGE_BYTES;
  return { wirePerNormalByte: (page / known.compressionRatio + header) / page, wirePerZeroByte: zero / page };
}

function faultMsOf(
  { postCopy, platform, pageBytes, rttMs }: Known,
  parameters: MigrationParameters,
  { lineBytesPerSecond: line }: Rates,
  factor: number,
): number {
  const ownWay = parameters.postCopyPreempt || postCopy.paging === "demand-paging";
  return faultServiceMs(ownWay, platform, line) * factor + rttMs + (1000 * pageBytes) / line;
}

/** Nothing to copy. */
const NO_DISKS = {
  disks: {
    bytes: 0,
    beforeMs: 0,
    afterMs: 0,
    extraBytes: 0,
    sequentialExtraBytes: 0,
    mirroredBytesPerSecond: 0,
    bytesPerSecond: 0,
  },
  disksMs: 0,
  disksReady: true,
};

/** The disks, copied within the link, each within max-bandwidth and within what disks do; `untilMs` is left for it. */
function storageOf(known: Known, pace: Rates, scores: Scores, untilMs: number) {
  if (known.storage.disks.length === 0) return NO_DISKS;
  const { dirty, nonzero, link } = scores.normal;
  const each = Math.min(
    known.capBytesPerSecond ?? Number.POSITIVE_INFINITY,
    prior.MIRROR.bytesPerSecond * Math.exp(prior.MIRROR.lnSd * link),
  );
  const rates = { lineBytesPerSecond: pace.lineBytesPerSecond, perDiskBytesPerSecond: each };
  const disks = copyDisks(disksAt(known.storage, { allocated: nonzero, dirty }), rates, known.storage);
  const disksReady = disks.beforeMs === 0 || disks.beforeMs <= untilMs;
  return { disks, disksMs: disksReady ? disks.beforeMs : Math.max(0, untilMs), disksReady };
}

/** What the mirrors leave of the line while the memory is sent. */
function beside(pace: Rates, mirroredBytesPerSecond: number): Rates {
  if (mirroredBytesPerSecond === 0) return pace;
  const left = Math.max(pace.lineBytesPerSecond - mirroredBytesPerSecond, LEFT_RATIO_MIN * pace.lineBytesPerSecond);
  return {
    ...pace,
    roundsBytesPerSecond: Math.min(pace.roundsBytesPerSecond, left),
    firstRoundBytesPerSecond: Math.min(pace.firstRoundBytesPerSecond, left),
  };
}
