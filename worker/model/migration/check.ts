// What zod cannot say of an estimate's input: fields that contradict each other and figures no host can have.
import type { PowerModel } from "../wire/inventory.ts";
import { PAGE_BYTES } from "../units.ts";
import type { EstimateInput, InputProblem } from "./types.ts";

/** Slower than any network that carries a VM: below it, times are beyond all meaning. */
export const BYTES_PER_SECOND_MIN = 1000;

/** All problems of an input, each with the field and the bound; none: `estimateMigration` can work with it. */
export function checkEstimateInput(input: EstimateInput): InputProblem[] {
  return [
    ...checkMemory(input),
    ...checkDirtying(input),
    ...checkDisks(input),
    ...checkHosts(input),
    ...checkRates(input),
    ...checkQemu(input),
    ...checkForecast(input),
    ...checkChoices(input),
  ];
}

function atMost(path: string, value: number | undefined, bound: number, what: string): InputProblem[] {
  return value !== undefined && value > bound
    ? [{ path, message: `is ${value}, must be at most ${what} (${bound})` }]
    : [];
}

function atLeast(path: string, value: number | undefined, bound: number, what: string): InputProblem[] {
  return value !== undefined && value < bound
    ? [{ path, message: `is ${value}, must be at least ${what} (${bound})` }]
    : [];
}

function powerOfTwo(path: string, value: number | undefined): InputProblem[] {
  return value !== undefined && 2 ** Math.round(Math.log2(value)) !== value
    ? [{ path, message: `is ${value}, must be a power of two` }]
    : [];
}

function checkMemory({ vm }: EstimateInput): InputProblem[] {
  const page = vm.pageSizeBytes;
  return [
    ...atMost("vm.nonzeroBytes", vm.nonzeroBytes, vm.memoryBytes, "vm.memoryBytes"),
    ...atMost("vm.workingSetBytes", vm.workingSetBytes, vm.memoryBytes, "vm.memoryBytes"),
    // Not what is left beside the non-zero bytes: a page that the guest has freed keeps what was in it.
    ...atMost("vm.freeBytes", vm.freeBytes, vm.memoryBytes, "vm.memoryBytes"),
    ...atMost("vm.pageSizeBytes", page, vm.memoryBytes, "vm.memoryBytes"),
    ...powerOfTwo("vm.pageSizeBytes", page),
    ...(vm.vcpus === undefined ? [] : atMost("vm.cpuUsedCores", vm.cpuUsedCores, 2 * vm.vcpus, "twice vm.vcpus")),
  ];
}

function checkDirtying({ vm }: EstimateInput): InputProblem[] {
  const problems: InputProblem[] = [];
  const curve = vm.dirtyCurve ?? [];
  for (const [index, { windowMs, bytes }] of curve.entries()) {
    const path = `vm.dirtyCurve.${index}`;
    problems.push(...atMost(`${path}.bytes`, bytes, vm.memoryBytes, "vm.memoryBytes"));
    const before = curve[index - 1];
    if (before === undefined) continue;
    if (windowMs <= before.windowMs)
      problems.push({
        path: `${path}.windowMs`,
        message: `is ${windowMs}, must be more than the window before it (${before.windowMs})`,
      });
    else problems.push(...atLeast(`${path}.bytes`, bytes, before.bytes, "the bytes of the shorter window before it"));
  }
  const rate = vm.dirtyRateBytesPerSecond;
  const windowMs = vm.dirtyRateWindowMs ?? 1000;
  const bound = (vm.memoryBytes * 1000) / windowMs;
  problems.push(
    ...atMost("vm.dirtyRateBytesPerSecond", rate, bound, "vm.memoryBytes per window: it counts distinct bytes"),
  );
  return problems;
}

function checkDisks({ vm }: EstimateInput): InputProblem[] {
  return (vm.disks ?? []).flatMap(({ bytes, allocatedBytes, dirtyBytesPerSecond, writeClasses = [] }, index) => {
    const path = `vm.disks.${index}`;
    const used = allocatedBytes ?? bytes;
    const written = writeClasses.reduce((sum, each) => sum + each.bytes, 0);
    return [
      ...atMost(`${path}.allocatedBytes`, allocatedBytes, bytes, "the disk's bytes"),
      ...atMost(
        `${path}.dirtyBytesPerSecond`,
        dirtyBytesPerSecond,
        used,
        "all of it in a second: it counts distinct bytes",
      ),
      ...atMost(`${path}.writeClasses`, written, used, "what is allocated of the disk, all classes together"),
      ...writeClasses.flatMap((each, place) =>
        atMost(
          `${path}.writeClasses.${place}.dirtyBytesPerSecond`,
          each.dirtyBytesPerSecond,
          each.bytes,
          "all of the class in a second: it counts distinct bytes",
        ),
      ),
    ];
  });
}

function checkHosts({ hosts }: EstimateInput): InputProblem[] {
  return (["source", "destination"] as const).flatMap((side) => {
    const { cores, cpuUsedCores, power } = hosts?.[side] ?? {};
    return [
      ...(cores === undefined ? [] : atMost(`hosts.${side}.cpuUsedCores`, cpuUsedCores, cores, "the host's cores")),
      ...(power === undefined ? [] : checkPower(`hosts.${side}.power`, power)),
    ];
  });
}

function checkPower(path: string, power: PowerModel): InputProblem[] {
  if ("peakWatts" in power) return atLeast(`${path}.peakWatts`, power.peakWatts, power.idleWatts, "the idle watts");
  return power.tableWatts.flatMap((watts, step) =>
    atLeast(`${path}.tableWatts.${step}`, watts, power.tableWatts[step - 1] ?? 0, "the watts of the load before it"),
  );
}

function checkRates({ link, parameters }: EstimateInput): InputProblem[] {
  const { maxBandwidthBytesPerSecond, maxPostCopyBandwidthBytesPerSecond } = parameters;
  const rates = {
    "link.bytesPerSecond": link?.bytesPerSecond,
    "parameters.maxBandwidthBytesPerSecond": maxBandwidthBytesPerSecond,
    "parameters.maxPostCopyBandwidthBytesPerSecond": maxPostCopyBandwidthBytesPerSecond ?? undefined,
  };
  return Object.entries(rates).flatMap(([path, rate]) =>
    atLeast(path, rate, BYTES_PER_SECOND_MIN, "what migrations are modelled for"),
  );
}

/** What QEMU itself refuses, and what only QEMU has. */
function checkQemu({ hypervisor, accelerator, resumedBy, vm, parameters }: EstimateInput): InputProblem[] {
  const { compressThreads = 0, compression = "none", multifdChannels = 0, xbzrleCacheBytes: cache } = parameters;
  const both = { "parameters.multifdChannels": multifdChannels, "parameters.compression": compression };
  return [
    ...Object.entries(both).flatMap(([path, value]) =>
      compressThreads > 0 && value !== 0 && value !== "none"
        ? [{ path, message: `is ${value}, must be off with parameters.compressThreads (${compressThreads})` }]
        : [],
    ),
    ...atLeast("parameters.xbzrleCacheBytes", cache, vm.pageSizeBytes ?? PAGE_BYTES, "a page"),
    ...powerOfTwo("parameters.xbzrleCacheBytes", cache),
    ...(accelerator !== undefined && hypervisor !== "kvm"
      ? [{ path: "accelerator", message: `is ${accelerator}, must be absent with the hypervisor ${hypervisor}` }]
      : []),
    ...(resumedBy === "agents" && hypervisor !== "kvm"
      ? [{ path: "resumedBy", message: `is agents, must be hypervisor with ${hypervisor}, which no driver runs` }]
      : []),
  ];
}

function checkForecast({ forecast = [] }: EstimateInput): InputProblem[] {
  let endMs = 0;
  return forecast.flatMap(({ startsInMs, durationMs }, index) => {
    const problems = atLeast(`forecast.${index}.startsInMs`, startsInMs, endMs, "the end of the window before");
    endMs = startsInMs + durationMs;
    return problems;
  });
}

function checkChoices({ parameters, mechanisms }: EstimateInput): InputProblem[] {
  const { postCopyAfterMs, deadlineMs } = parameters;
  const twice = mechanisms.findIndex((mechanism, index) => mechanisms.indexOf(mechanism) < index);
  return [
    ...(deadlineMs === undefined
      ? []
      : atMost("parameters.postCopyAfterMs", postCopyAfterMs ?? undefined, deadlineMs, "parameters.deadlineMs")),
    ...(twice < 0 ? [] : [{ path: `mechanisms.${twice}`, message: `${mechanisms[twice]} is there twice` }]),
  ];
}
