// What the network carries for one migration. Two rates, because QEMU lifts `max-bandwidth` once the VM has stopped.
import type { Hypervisor } from "../wire/common.ts";
import { STREAM_BYTES_PER_SECOND } from "./priors.ts";

export type Rates = {
  /** While the VM runs: `max-bandwidth` or the line, whichever is less. Sets the switch-over threshold too. */
  roundsBytesPerSecond: number;
  /** In the first round: not more than the destination can make memory for. */
  firstRoundBytesPerSecond: number;
  /** With the VM stopped, and for post-copy: no limit but the line. */
  lineBytesPerSecond: number;
};

/** What one migration's sender can put on a link, `Infinity` where the sender is not QEMU. 0 channels: one plain stream. */
export function senderBytesPerSecond(hypervisor: Hypervisor, multifdChannels: number): number {
  return hypervisor === "kvm" ? STREAM_BYTES_PER_SECOND * Math.max(1, multifdChannels) : Number.POSITIVE_INFINITY;
}

/**
 * `shareBytesPerSecond`: payload rate after division among concurrent migrations; a null cap is no cap; `freshBytesPerSecond`:
 * how fast the destination makes memory.
 */
export function rates(
  shareBytesPerSecond: number,
  senderMax: number,
  cap: number | null,
  freshBytesPerSecond = Number.POSITIVE_INFINITY,
): Rates {
  const line = Math.min(shareBytesPerSecond, senderMax);
  const rounds = cap === null ? line : Math.min(cap, line);
  return {
    roundsBytesPerSecond: rounds,
    firstRoundBytesPerSecond: Math.min(rounds, freshBytesPerSecond),
    lineBytesPerSecond: line,
  };
}
