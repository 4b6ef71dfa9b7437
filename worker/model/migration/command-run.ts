// What the forms of a recommended migration, QMP and virsh, are made from, and what QEMU's versions can do.
import type { MigrationParameters } from "../wire/command.ts";
import type { Mechanism } from "../wire/common.ts";
import { senderBytesPerSecond } from "./link.ts";
import { olderThan } from "./resolve-stream.ts";
import type { EstimateInput } from "./types.ts";

export type CommandRun = {
  mechanism: Mechanism;
  parameters: MigrationParameters;
  input: EstimateInput;
  /** Post-copy may be started, by the mechanism or at the deadline: QEMU wants to know before it begins. */
  mayPostCopy: boolean;
  multifd: boolean;
  xbzrle: boolean;
  /** Null: QEMU's default. */
  xbzrleCacheBytes: number | null;
  /** Sender threads of the `compress` capability. */
  compressThreads: number;
  localDisks: boolean;
};

export function commandRun(input: EstimateInput, mechanism: Mechanism, parameters: MigrationParameters): CommandRun {
  const onDeadline = mechanism === "pre-copy" && parameters.onDeadline === "post-copy";
  const mayPostCopy = mechanism === "post-copy" || mechanism === "hybrid" || onDeadline;
  // Before 10.1 QEMU refuses the two together, or ends the destination (7.2); multifd carries no deltas in any version.
  const multifd = parameters.multifdChannels > 0 && (!mayPostCopy || isSince(input.hypervisorVersion, 10, 1));
  const localDisks = (input.vm.disks ?? []).some(({ shared }) => shared === false);
  const { xbzrleCacheBytes, compressThreads = 0 } = input.parameters;
  // 9.1 took it out; before, QEMU refused it together with either.
  const canCompress = !multifd && !mayPostCopy && !isSince(input.hypervisorVersion, 9, 1);
  return {
    mechanism,
    parameters,
    input,
    mayPostCopy,
    multifd,
    xbzrle: parameters.xbzrle && !multifd,
    // QEMU takes powers of two only.
    xbzrleCacheBytes: xbzrleCacheBytes === undefined ? null : 2 ** Math.floor(Math.log2(xbzrleCacheBytes)),
    compressThreads: canCompress ? compressThreads : 0,
    localDisks,
  };
}

/** A version that is not given or cannot be read is not known to be recent. */
function isSince(version: string | undefined, major: number, minor: number): boolean {
  return /\d+\.\d+/.test(version ?? "") && !olderThan(version, major, minor);
}

/**
 * The rate by which the estimate sets the threshold: max-bandwidth, or the line where that is slower. With it QEMU (8.2 and
 * later) does not guess the rate from its last 100 ms, which a short stall or burst falsifies. Null: the version does not have
 * it or is unknown, or the line is.
 */
export function switchoverBytesPerSecond(
  { hypervisor, hypervisorVersion, link }: EstimateInput,
  { maxBandwidthBytesPerSecond, multifdChannels }: MigrationParameters,
): number | null {
  if (link === undefined || !isSince(hypervisorVersion, 8, 2)) return null;
  const share = link.bytesPerSecond / ((link.concurrentMigrations ?? 0) + 1);
  return Math.round(Math.min(maxBandwidthBytesPerSecond, share, senderBytesPerSecond(hypervisor, multifdChannels)));
}
