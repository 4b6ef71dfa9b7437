// What post-copy is told besides the migration's own parameters: how pages arrive, at which rate, and what is not sent at all.
import { FAULT_MS, PUSH_QUEUE, STREAM_BYTES_PER_SECOND } from "./priors.ts";
import type { Platform } from "./priors.ts";
import type { Assumption, EstimateInput } from "./types.ts";

export type Paging = NonNullable<NonNullable<EstimateInput["postCopy"]>["paging"]>;

export type PostCopyKnowledge = {
  paging: Paging;
  /** `max-postcopy-bandwidth`; null: no limit but the line. */
  capBytesPerSecond: number | null;
  /** Given back by a balloon before, and not sent. */
  freeBytes: number;
};

type Note = (field: string, value: Assumption["value"], why: string) => void;

/** Gaps filled as QEMU does it: pushing on from each fault, with no limit of its own. */
export function resolvePostCopy(
  { vm, parameters, postCopy, mechanisms }: EstimateInput,
  note: Note,
): PostCopyKnowledge {
  const paging = postCopy?.paging ?? "pre-paging";
  const cap = parameters.maxPostCopyBandwidthBytesPerSecond;
  const selfBallooning = postCopy?.selfBallooning ?? false;
  const capBytesPerSecond = cap ?? null;
  const freeBytes = selfBallooning ? Math.min(vm.freeBytes ?? 0, vm.memoryBytes) : 0;
  if (!mechanisms.some((mechanism) => mechanism === "post-copy" || mechanism === "hybrid"))
    return { paging, capBytesPerSecond, freeBytes };
  if (postCopy?.paging === undefined)
    note("postCopy.paging", paging, "as QEMU does it: the push goes on from each fault");
  if (cap === undefined)
    note("parameters.maxPostCopyBandwidthBytesPerSecond", null, "not given: QEMU's default, no limit but the link");
  if (selfBallooning && vm.freeBytes === undefined)
    note("vm.freeBytes", 0, "not given: nothing is known that the balloon could take");
  return { paging, capBytesPerSecond, freeBytes };
}

/**
 * One fault but for the time on the wire, in milliseconds: the two hosts' work, and the background pages on the way before it,
 * unless nothing is pushed or `postcopy-preempt` gives requests a channel of their own (`ownWay`). They pile up where the link
 * or the destination is slower than the sender.
 */
export function faultServiceMs(ownWay: boolean, platform: Platform, lineBytesPerSecond: number): number {
  const piledUp = platform === "emulated" || lineBytesPerSecond < PUSH_QUEUE.fullBelowRatio * STREAM_BYTES_PER_SECOND;
  const queueMs = ownWay || !piledUp ? 0 : (1000 * PUSH_QUEUE.bytes) / lineBytesPerSecond;
  return FAULT_MS + queueMs;
}
