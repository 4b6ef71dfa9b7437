// From what was asked to what the models need: every gap filled with a stated prior and a wider spread, and listed.
import type { MigrationParameters } from "../wire/command.ts";
import type { DriverName, Hypervisor } from "../wire/common.ts";
import { MIB, PAGE_BYTES } from "../units.ts";
import { curveThrough, usablePoints } from "./dirty-curve.ts";
import { resolveEnergy } from "./energy.ts";
import type { EnergyModel } from "./energy.ts";
import type { XenPolicyName } from "./full-pass.ts";
import { rates, senderBytesPerSecond } from "./link.ts";
import { defaultDeadlineMs, driverDefaults } from "./parameters.ts";
import type { DriverDefaults } from "./parameters.ts";
import { resolvePostCopy } from "./paging.ts";
import type { PostCopyKnowledge } from "./paging.ts";
import * as prior from "./priors.ts";
import { olderThan, resolveCompression, resolveDelta, resolvePlatform } from "./resolve-stream.ts";
import { passMs, resolveStorage } from "./storage.ts";
import type { StorageKnowledge } from "./storage.ts";
import type { Assumption, DirtyPoint, EstimateInput } from "./types.ts";

/** How U(t) is known. */
export type DirtyKnowledge =
  | { from: "curve"; points: DirtyPoint[]; curve: ReturnType<typeof curveThrough>; lnSd: number }
  | { from: "point"; point: DirtyPoint; lnSd: number; workingSetBytes: number | null };

/** An estimate's input with nothing missing. */
export type Known = {
  hypervisor: Hypervisor;
  driver: DriverName;
  memoryBytes: number;
  nonzeroBytes: number;
  nonzeroLnSd: number;
  pageBytes: number;
  vcpus: number;
  cpuUsedCores: number;
  /** When Xen stops the VM. */
  xenPolicy: XenPolicyName;
  dirty: DirtyKnowledge;
  dirtyGrowthRatio: number;
  platform: prior.Platform;
  /** What is dirtied ahead of the scan is sent in the same pass and not counted again. */
  skipsAheadOfScan: boolean;
  /** Agents continue the VM, not the hypervisor. */
  resumedByAgents: boolean;
  /** Raw / encoded; 1 when nothing is compressed. */
  compressionRatio: number;
  /** Raw bytes that the sender can compress; Infinity when nothing is compressed. */
  compressBytesPerSecond: number;
  /** xbzrle: of the pages in the cache, those that can be sent as a delta; null: off. */
  delta: { hitRatio: number; cacheBytes: number } | null;
  storage: StorageKnowledge;
  energy: EnergyModel;
  /** After division among concurrent migrations. */
  shareBytesPerSecond: number;
  /** What the others leave when they go at this one's max-bandwidth: the last burst has that, if it is more. */
  spareBytesPerSecond: number;
  linkLnSd: number;
  rttMs: number;
  /** Null: no limit but the line. */
  capBytesPerSecond: number | null;
  postCopy: PostCopyKnowledge;
  parameters: MigrationParameters;
};

type Note = (field: string, value: Assumption["value"], why: string) => void;

/** Fills the gaps of a checked input (see `checkEstimateInput`). */
export function resolveInput(input: EstimateInput): { known: Known; assumptions: Assumption[] } {
  const assumptions: Assumption[] = [];
  const note: Note = (field, value, why) => void assumptions.push({ field, value, why });
  const memory = resolveMemory(input, note);
  const processor = resolveProcessor(input, note);
  const dirty = resolveDirtying(input, memory.nonzeroBytes, note);
  const { linkBytesPerSecond, others, ...network } = resolveLink(input, note);
  const choices = resolveChoices(input, note);
  const platform = resolvePlatform(input, note);
  const compression = resolveCompression(input, choices, note);
  const storage = resolveStorage(input, note);
  const sender = senderBytesPerSecond(input.hypervisor, choices.multifdChannels);
  const cap = input.hypervisor === "kvm" ? choices.maxBandwidthBytesPerSecond : null;
  const { roundsBytesPerSecond } = rates(network.shareBytesPerSecond, sender, cap);
  const deadlineMs = input.parameters.deadlineMs ?? deadlineFor(memory.nonzeroBytes, storage, roundsBytesPerSecond);
  if (input.parameters.deadlineMs === undefined)
    note(
      "parameters.deadlineMs",
      deadlineMs,
      "90 s, or three times the non-zero bytes at this rate if that is longer; three times the copy of local disks more",
    );
  noteLimits(input, network.shareBytesPerSecond, sender, note);
  const known: Known = {
    hypervisor: input.hypervisor,
    driver: input.driver,
    ...memory,
    ...processor,
    xenPolicy: olderThan(input.hypervisorVersion, 4, 6) ? "libxc" : "libxl",
    dirty,
    dirtyGrowthRatio: input.vm.dirtyGrowthRatio ?? 1,
    ...platform,
    ...compression,
    delta: resolveDelta(input, choices, note),
    storage,
    energy: resolveEnergy(input, note),
    postCopy: resolvePostCopy(input, note),
    ...network,
    spareBytesPerSecond: cap === null ? 0 : linkBytesPerSecond - others * cap,
    capBytesPerSecond: cap,
    parameters: {
      ...choices,
      maxBandwidthBytesPerSecond: choices.maxBandwidthBytesPerSecond ?? roundsBytesPerSecond,
      deadlineMs,
    },
  };
  return { known, assumptions };
}

function deadlineFor(nonzeroBytes: number, storage: StorageKnowledge, bytesPerSecond: number): number {
  const disksMs = storage.mode === "pre-copy" ? passMs(storage, bytesPerSecond) : 0;
  return Math.min(86_400_000, defaultDeadlineMs(nonzeroBytes, bytesPerSecond) + Math.ceil(3 * disksMs));
}

function resolveMemory({ vm }: EstimateInput, note: Note) {
  const pageBytes = vm.pageSizeBytes ?? PAGE_BYTES;
  if (vm.pageSizeBytes === undefined) note("vm.pageSizeBytes", pageBytes, "the page size of an x86 guest");
  if (vm.nonzeroBytes === undefined) {
    note("vm.nonzeroBytes", vm.memoryBytes, "not given: all of the memory may have to be sent");
    return {
      memoryBytes: vm.memoryBytes,
      pageBytes,
      nonzeroBytes: vm.memoryBytes,
      nonzeroLnSd: prior.NONZERO_LN_SD.absent,
    };
  }
  const nonzeroBytes = Math.min(vm.nonzeroBytes, vm.memoryBytes);
  const share = Math.max(nonzeroBytes / vm.memoryBytes, 1 / prior.NONZERO_SAMPLED_PAGES);
  const sampling = Math.sqrt((1 - share) / (share * prior.NONZERO_SAMPLED_PAGES));
  return {
    memoryBytes: vm.memoryBytes,
    pageBytes,
    nonzeroBytes,
    nonzeroLnSd: Math.hypot(sampling, prior.NONZERO_LN_SD.drift),
  };
}

function resolveProcessor({ vm }: EstimateInput, note: Note) {
  const vcpus = vm.vcpus ?? Math.max(prior.VCPUS, Math.ceil(vm.cpuUsedCores ?? 0));
  if (vm.vcpus === undefined) note("vm.vcpus", vcpus, "not given: the fewest that can do the work");
  const cpuUsedCores = vm.cpuUsedCores ?? vcpus * prior.CPU_RATIO;
  if (vm.cpuUsedCores === undefined) note("vm.cpuUsedCores", cpuUsedCores, "not given: a quarter of the vCPUs busy");
  return { vcpus, cpuUsedCores: Math.min(cpuUsedCores, vcpus) };
}

function resolveDirtying({ vm }: EstimateInput, nonzeroBytes: number, note: Note): DirtyKnowledge {
  const points = usablePoints(vm.dirtyCurve ?? []);
  if (points.length >= 2) {
    const lnSd = Math.max(prior.DIRTY_LN_SD.curveLeast, prior.DIRTY_LN_SD.rate / Math.sqrt(points.length));
    return { from: "curve", points, curve: curveThrough(points), lnSd };
  }
  const workingSetBytes = vm.workingSetBytes ?? null;
  if (workingSetBytes === null)
    note("vm.workingSetBytes", null, "not given: anything from what one window dirties to all non-zero memory");
  const [single] = points;
  if (single !== undefined) return { from: "point", point: single, lnSd: prior.DIRTY_LN_SD.rate, workingSetBytes };
  const windowMs = vm.dirtyRateWindowMs ?? prior.DIRTY_WINDOW_MS;
  if (vm.dirtyRateBytesPerSecond !== undefined) {
    if (vm.dirtyRateWindowMs === undefined)
      note("vm.dirtyRateWindowMs", windowMs, "not given: the window of QEMU's calc-dirty-rate");
    const point = { windowMs, bytes: (vm.dirtyRateBytesPerSecond * windowMs) / 1000 };
    return { from: "point", point, lnSd: prior.DIRTY_LN_SD.rate, workingSetBytes };
  }
  const bytes = nonzeroBytes * prior.DIRTY_RATIO;
  note(
    "vm.dirtyRateBytesPerSecond",
    bytes,
    "not given: 1 % of the non-zero memory a second; may be off by a factor of five",
  );
  return {
    from: "point",
    point: { windowMs: prior.DIRTY_WINDOW_MS, bytes },
    lnSd: prior.DIRTY_LN_SD.absent,
    workingSetBytes,
  };
}

function resolveLink({ link }: EstimateInput, note: Note) {
  const bytesPerSecond = link?.bytesPerSecond ?? prior.LINK_BYTES_PER_SECOND;
  if (link === undefined)
    note("link.bytesPerSecond", bytesPerSecond, "not given: payload of 10 GbE; may be off by a factor of ten");
  if (link?.rttMs === undefined) note("link.rttMs", prior.RTT_MS, "not given: hosts in one rack");
  const others = link?.concurrentMigrations ?? 0;
  if (link?.concurrentMigrations === undefined)
    note("link.concurrentMigrations", 0, "not given: no other migration on the link");
  return {
    linkBytesPerSecond: bytesPerSecond,
    others,
    shareBytesPerSecond: bytesPerSecond / (others + 1),
    linkLnSd: link === undefined ? prior.LINK_LN_SD.absent : prior.LINK_LN_SD.given,
    rttMs: link?.rttMs ?? prior.RTT_MS,
  };
}

function resolveChoices({ driver, parameters }: EstimateInput, note: Note): DriverDefaults {
  const defaults = driverDefaults(driver);
  for (const [name, value] of Object.entries(defaults))
    if (parameters[name as keyof DriverDefaults] === undefined)
      note(
        `parameters.${name}`,
        value,
        value === null && name !== "postCopyAfterMs" ? `${driver} sets no limit` : `default of ${driver}`,
      );
  const {
    deadlineMs: _,
    maxPostCopyBandwidthBytesPerSecond: __,
    xbzrleCacheBytes: ___,
    compressThreads: ____,
    ...given
  } = parameters;
  const chosen = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return { ...defaults, ...chosen };
}

function noteLimits(input: EstimateInput, share: number, sender: number, note: Note): void {
  if (sender < share)
    note("link.bytesPerSecond", sender, "one QEMU stream does not carry more; more multifd channels would");
  if (input.hypervisor === "xen")
    note(
      "hypervisor",
      "xen",
      `estimate only, no driver: stopped ${olderThan(input.hypervisorVersion, 4, 6) ? "after 29 rounds, three times the memory" : "after 5 rounds"} or with fewer than 50 dirty pages; max-bandwidth, downtime-limit and deadline have no effect`,
    );
  if (input.hypervisor === "vmware")
    note(
      "hypervisor",
      "vmware",
      "estimate only, no driver: vCPUs are slowed until the memory converges (SDPS); max-bandwidth, downtime-limit and deadline have no effect",
    );
}

/** For sentences: bytes in MiB. */
export function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0)} MiB`;
}
