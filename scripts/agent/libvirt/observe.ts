// Where an outgoing migration stands, for whoever waits for it to change.
import { DriverError, type OutgoingState } from "../driver.ts";
import type { Libvirt } from "./libvirt.ts";
import { view, type Seen } from "./outgoing.ts";
import { numberOf } from "./raw.ts";
import { momentsOf, toCounters, toProgress, toVmState } from "./state.ts";

/** libvirt's events wake the driver; this is for what has none. Each look costs a process. */
const POLL_MS = 1000;
const SETTLE_POLL_MS = 100;
/** The figures of a finished job come by an event, a moment after `virsh migrate` has ended. */
const COUNTERS_TIMEOUT_MS = 1000;
/** Ending QEMU takes libvirt seconds. */
const SETTLE_TIMEOUT_MS = 30_000;

async function driveHybrid({ virsh }: Libvirt, uuid: string, { course, out, job }: Seen): Promise<void> {
  const isDue = out.mechanism === "hybrid" && (numberOf(job, "memory_iteration") ?? 0) > out.preCopyRounds;
  if (course !== "active" || !isDue) return;
  // Refused only when QEMU went on to switch over by itself meanwhile, which ends the migration as well.
  await virsh("migrate-postcopy", uuid).catch(() => undefined);
}

/** Nobody may miss that it stopped: `completed` is told to those who know. */
function toGone(seen: Seen, since: OutgoingState["state"] | null): OutgoingState {
  const { out } = seen;
  const { postCopy } = out;
  const progress = toProgress(seen);
  const moments = momentsOf(out, Date.now());
  return since === "stopped" || since === "completed"
    ? { state: "completed", postCopy, ...moments, progress, counters: toCounters(out) }
    : { state: "stopped", postCopy, stoppedAtMs: moments.stoppedAtMs, progress };
}

function toState(
  { children }: Libvirt,
  uuid: string,
  seen: Seen,
  since: OutgoingState["state"] | null,
): OutgoingState | null {
  const { course, domain, ending, out } = seen;
  const detail =
    ending?.complaint || children.complaint(uuid) || `the migration has ${course}, libvirt does not say why`;
  switch (course) {
    case "settling":
      return null;
    case "active":
      return { state: "active", progress: toProgress(seen) };
    case "paused":
      return { state: "paused", detail, progress: toProgress(seen) };
    case "stopped":
      return { state: "stopped", postCopy: true, stoppedAtMs: out.stoppedAtMs, progress: toProgress(seen) };
    case "failed":
    case "cancelled":
      return { state: course, detail, vmState: domain === null ? "shutoff" : toVmState(domain, false) };
    // A source that is gone says nothing of why; its destination does, when it is asked to take the stop as proven.
    case "vanished":
    case "completed":
      return toGone(seen, since);
  }
}

/** libvirt has no job, and yet has not let the guest run: only a person can find out why. */
const unsettled = ({ domain }: Seen): OutgoingState => ({
  state: "failed",
  detail: "libvirt has ended the migration and keeps the VM stopped: look whether it runs at its destination",
  vmState: domain === null ? "shutoff" : toVmState(domain, false),
});

export async function observeOutgoing(
  libvirt: Libvirt,
  uuid: string,
  since: OutgoingState["state"] | null,
  timeoutMs: number,
): Promise<OutgoingState> {
  const { events } = libvirt;
  events.open();
  const deadline = Date.now() + timeoutMs;
  const look = createLook(libvirt, uuid, since);
  for (;;) {
    const count = events.seen();
    const state = await look();
    if (state !== null && (state.state !== since || Date.now() >= deadline)) return state;
    const waitMs = state === null ? SETTLE_POLL_MS : Math.max(1, Math.min(POLL_MS, deadline - Date.now()));
    await events.wait(count, waitMs);
  }
}

/** Looks again and again; null while libvirt is about to say more. */
function createLook(
  libvirt: Libvirt,
  uuid: string,
  since: OutgoingState["state"] | null,
): () => Promise<OutgoingState | null> {
  let [endedAtMs, settlingSinceMs]: (number | null)[] = [null, null];
  return async () => {
    const seen = await view(libvirt, uuid);
    if (seen === null) throw new DriverError("no-migration", `no migration of VM ${uuid} was started here`);
    await driveHybrid(libvirt, uuid, seen);
    const nowMs = Date.now();
    if (seen.course === "completed") endedAtMs ??= nowMs;
    const isLate = (sinceMs: number | null | undefined, limitMs: number): boolean =>
      nowMs > (sinceMs ?? nowMs) + limitMs;
    const isWhole = seen.out.counters !== null || endedAtMs === null || isLate(endedAtMs, COUNTERS_TIMEOUT_MS);
    const state = isWhole ? toState(libvirt, uuid, seen, since) : null;
    settlingSinceMs = state === null ? (settlingSinceMs ?? nowMs) : null;
    return isLate(settlingSinceMs, SETTLE_TIMEOUT_MS) ? unsettled(seen) : state;
  };
}
