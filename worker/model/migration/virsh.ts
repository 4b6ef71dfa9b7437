// The recommended migration as `virsh` takes it, on the source.
import { MIB } from "../units.ts";
import { switchoverBytesPerSecond } from "./command-run.ts";
import type { CommandRun } from "./command-run.ts";

/**
 * Commands in order. Those after `virsh migrate`, which returns when all is over, are for a second shell; the comment says when.
 * Without `--live` libvirt stops the VM first and lets it run again at the end, on either side: that is stop-and-copy.
 */
export function virshCommands(run: CommandRun): string[] {
  const { mechanism, parameters } = run;
  const live = mechanism === "stop-and-copy" ? [] : ["--live"];
  const options = [
    ...live,
    "--p2p",
    // Else the VM would stay defined at the source and be gone from the destination after its next stop.
    "--persistent",
    "--undefinesource",
    ...postCopyOptions(run),
    ...(parameters.autoConverge && mechanism !== "stop-and-copy" ? ["--auto-converge"] : []),
    ...compressionOptions(run),
    ...(run.localDisks ? ["--copy-storage-all"] : []),
    ...rateOptions(run),
    ...deadlineOptions(run),
  ];
  return [
    `virsh migrate-setmaxdowntime VM_NAME ${parameters.downtimeLimitMs}`,
    `virsh migrate ${options.join(" ")} VM_NAME DESTINATION_LIBVIRT_URI`,
    ...later(run),
  ];
}

/** libvirt turns postcopy-preempt on by itself where both sides have it. */
function postCopyOptions({ mechanism, parameters, mayPostCopy }: CommandRun): string[] {
  if (!mayPostCopy) return [];
  const afterFirstPass =
    mechanism === "hybrid" && parameters.preCopyRounds === 1 && parameters.postCopyAfterMs === null
      ? ["--postcopy-after-precopy"]
      : [];
  return ["--postcopy", ...afterFirstPass];
}

/** With `--parallel` libvirt takes zlib and zstd only, without it xbzrle and mt. */
function compressionOptions(run: CommandRun): string[] {
  const { multifd, xbzrle, xbzrleCacheBytes, compressThreads } = run;
  const { multifdChannels, compression } = run.parameters;
  if (multifd) {
    const method = compression === "none" ? [] : ["--compressed", `--comp-methods ${compression}`];
    return ["--parallel", `--parallel-connections ${multifdChannels}`, ...method];
  }
  const methods = [...(xbzrle ? ["xbzrle"] : []), ...(compressThreads > 0 ? ["mt"] : [])];
  return [
    ...(methods.length > 0 ? ["--compressed", `--comp-methods ${methods.join(",")}`] : []),
    ...(xbzrle && xbzrleCacheBytes !== null ? [`--comp-xbzrle-cache ${xbzrleCacheBytes}`] : []),
    ...(compressThreads > 0 ? [`--comp-mt-threads ${compressThreads}`] : []),
  ];
}

/** libvirt's own default is no limit: what was not asked for is left to it. */
function rateOptions({ parameters, mayPostCopy, input }: CommandRun): string[] {
  const { maxBandwidthBytesPerSecond: asked, maxPostCopyBandwidthBytesPerSecond: postCopyRate } = input.parameters;
  const unlimited = asked === undefined && input.driver === "libvirt";
  const switchover = switchoverBytesPerSecond(input, parameters);
  return [
    ...(unlimited ? [] : [`--bandwidth ${mibPerSecond(parameters.maxBandwidthBytesPerSecond)}`]),
    ...(mayPostCopy && postCopyRate != null ? [`--postcopy-bandwidth ${mibPerSecond(postCopyRate)}`] : []),
    ...(switchover === null ? [] : [`--available-switchover-bandwidth ${mibPerSecond(switchover)}`]),
  ];
}

/** `virsh` can suspend or go on to post-copy after a time, and not cancel. */
function deadlineOptions({ mechanism, parameters }: CommandRun): string[] {
  const { deadlineMs, onDeadline, postCopyAfterMs } = parameters;
  if (mechanism === "hybrid" && postCopyAfterMs !== null)
    return [`--timeout ${wholeSeconds(postCopyAfterMs)}`, "--timeout-postcopy"];
  if (mechanism !== "pre-copy" || onDeadline === "cancel") return [];
  return [`--timeout ${wholeSeconds(deadlineMs)}`, onDeadline === "force" ? "--timeout-suspend" : "--timeout-postcopy"];
}

function later({ mechanism, parameters }: CommandRun): string[] {
  const { preCopyRounds, postCopyAfterMs, deadlineMs, onDeadline } = parameters;
  if (mechanism === "post-copy") return ["virsh migrate-postcopy VM_NAME  # second shell: at once"];
  if (mechanism === "hybrid" && preCopyRounds > 1)
    return [
      `virsh migrate-postcopy VM_NAME  # second shell: when 'virsh domjobinfo VM_NAME' says iteration ${preCopyRounds + 1}`,
    ];
  const cancels = onDeadline === "cancel" && !(mechanism === "hybrid" && postCopyAfterMs === null);
  return cancels
    ? [`virsh domjobabort VM_NAME  # second shell: if it still runs after ${wholeSeconds(deadlineMs)} s`]
    : [];
}

function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

/** `virsh` takes rates in MiB/s, and 0 is no limit: never less than 1. */
function mibPerSecond(bytesPerSecond: number): number {
  return Math.max(1, Math.floor(bytesPerSecond / MIB));
}
