// What the stream is made of and what sends it: compression, deltas, and how the guest's code runs.
import type { DriverDefaults } from "./parameters.ts";
import * as prior from "./priors.ts";
import type { Assumption, EstimateInput } from "./types.ts";

type Note = (field: string, value: Assumption["value"], why: string) => void;

/** Multifd's compression, or that of the old `compress` threads; before QEMU 8.1 multifd's is neither counted nor paced. */
export function resolveCompression(
  { vm, parameters, hypervisorVersion }: EstimateInput,
  choices: DriverDefaults,
  note: Note,
) {
  const none = { compressionRatio: 1, compressBytesPerSecond: Number.POSITIVE_INFINITY };
  const threads = parameters.compressThreads ?? 0;
  const kind = choices.compression;
  if (kind === "none" && threads === 0) return none;
  if (kind !== "none" && choices.multifdChannels === 0) {
    note("parameters.compression", "none", `${kind} needs multifd, which is off: nothing is compressed`);
    return none;
  }
  if (vm.compressionRatio === undefined)
    note("vm.compressionRatio", prior.COMPRESSION_RATIO, "not given: ordinary memory at level 1");
  const compressionRatio = vm.compressionRatio ?? prior.COMPRESSION_RATIO;
  if (kind === "none")
    return { compressionRatio, compressBytesPerSecond: threads * prior.COMPRESS_BYTES_PER_SECOND.threads };
  if (olderThan(hypervisorVersion, 8, 1)) {
    note(
      "parameters.compression",
      kind,
      "QEMU before 8.1 paces and counts multifd's pages as if they were not compressed",
    );
    return none;
  }
  return { compressionRatio, compressBytesPerSecond: choices.multifdChannels * prior.COMPRESS_BYTES_PER_SECOND[kind] };
}

/** Of versions such as `7.2.22` or `QEMU 7.2`. One that is not given or cannot be read is not older. */
export function olderThan(version: string | undefined, major: number, minor: number): boolean {
  const [, majorText, minorText] = /(\d+)\.(\d+)/.exec(version ?? "") ?? [];
  if (majorText === undefined || minorText === undefined) return false;
  return Number(majorText) < major || (Number(majorText) === major && Number(minorText) < minor);
}

export function resolveDelta(
  { vm, parameters }: EstimateInput,
  choices: DriverDefaults,
  note: Note,
): { hitRatio: number; cacheBytes: number } | null {
  if (!choices.xbzrle) return null;
  const hitRatio = vm.deltaHitRatio ?? prior.DELTA.hitRatio;
  if (vm.deltaHitRatio === undefined)
    note("vm.deltaHitRatio", hitRatio, "not given: most re-sent pages changed in a few words");
  const cacheBytes = parameters.xbzrleCacheBytes ?? prior.XBZRLE_CACHE_BYTES;
  if (parameters.xbzrleCacheBytes === undefined)
    note("parameters.xbzrleCacheBytes", cacheBytes, "not given: QEMU's default");
  return { hitRatio, cacheBytes };
}

export function resolvePlatform(input: EstimateInput, note: Note) {
  const platform = platformOf(input, note);
  return {
    platform,
    resumedByAgents: (input.resumedBy ?? "agents") === "agents",
    skipsAheadOfScan:
      input.hypervisor === "kvm" &&
      prior.SKIPS_AHEAD_OF_SCAN[platform] &&
      // Rounds of a migration have left those pages out already.
      input.vm.dirtyMethod !== "migration-rounds",
  };
}

function platformOf({ hypervisor, driver, accelerator }: EstimateInput, note: Note): prior.Platform {
  if (driver === "simulated") return "simulated";
  if (accelerator !== undefined || driver === "libvirt" || hypervisor !== "kvm")
    return accelerator === "tcg" ? "emulated" : "accelerated";
  note(
    "accelerator",
    "tcg",
    "not given: setup, dirty log and first pass as slow as on emulated guests; with KVM setup is some milliseconds and pages written ahead of the scan are not sent twice",
  );
  return "emulated";
}
