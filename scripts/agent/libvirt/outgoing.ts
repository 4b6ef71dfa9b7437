// The source's side of a migration: libvirt moves the VM, the driver starts that, watches it and steers it.
import { MIB } from "../../../worker/model/units.ts";
import { DriverError, type MigrationSpec } from "../driver.ts";
import { migrateArguments, migrateOptions, toMibPerSecond } from "./arguments.ts";
import { lookAt } from "./domains.ts";
import type { Libvirt } from "./libvirt.ts";
import { numberOf, parseFields } from "./raw.ts";
import type { Outgoing } from "./records.ts";
import { courseOf, hasLeft, isJobActive, isPostCopyBroken, toVmState, type Course, type View } from "./state.ts";

const ACCEPT_TIMEOUT_MS = 60_000;
/** libvirt tells of the first pass by an event; without it the driver asks. */
const ACCEPT_POLL_MS = 200;
const CANCEL_TIMEOUT_MS = 30_000;
const SETTLE_POLL_MS = 100;

const PAST_RETURN: Course[] = ["stopped", "paused", "completed", "vanished"];

export type Seen = View & { course: Course };

export const NO_MIGRATION = (uuid: string): DriverError =>
  new DriverError("no-migration", `no migration of VM ${uuid} was started here`);

export const refusePastReturn = (): never => {
  throw new DriverError(
    "past-point-of-no-return",
    "the VM is at its destination, or its newest memory is: it can only be completed or recovered",
  );
};

/** What only this look knows and a later one needs. */
function remember({ records }: Libvirt, uuid: string, { job, course, out }: Seen): Outgoing {
  const elapsedMs = isJobActive(job) ? numberOf(job, "time_elapsed") : null;
  const throttle = (numberOf(job, "auto_converge_throttle") ?? 0) / 100;
  records.updateOutgoing(uuid, (now) => ({
    ...now,
    // Every look is late by the time of its answer: the earliest is the best.
    jobBeganAtMs:
      elapsedMs === null ? now.jobBeganAtMs : Math.min(now.jobBeganAtMs ?? Infinity, Date.now() - elapsedMs),
    throttleRatioMax: Math.max(now.throttleRatioMax, throttle),
    postCopy: now.postCopy || course === "stopped" || course === "paused",
  }));
  return records.read(uuid)?.outgoing ?? out;
}

/** Null: no migration of this VM was taken up here. */
export async function view(libvirt: Libvirt, uuid: string): Promise<Seen | null> {
  const { virsh, records, children } = libvirt;
  if (records.read(uuid)?.outgoing === undefined) return null;
  const { domain, job: asked } = await lookAt(virsh, uuid);
  // Read after the answers: what an event or the child said meanwhile is newer than they are.
  const out = records.read(uuid)?.outgoing;
  if (out === undefined) return null;
  const job = asked === "arriving" ? {} : asked;
  const seen = { domain, job, isChildBusy: children.isBusy(uuid), ending: children.ending(uuid), out };
  const course = courseOf(seen);
  // What virsh complained of is over once the link is back, whoever saw to that.
  if (course === "paused" && isPostCopyBroken(domain)) children.settle(uuid);
  return { ...seen, course, out: remember(libvirt, uuid, { ...seen, course }) };
}

/** Resolves with the first view whose course is over. */
async function settled(libvirt: Libvirt, uuid: string): Promise<Seen> {
  const { events } = libvirt;
  for (const deadline = Date.now() + CANCEL_TIMEOUT_MS; Date.now() < deadline;) {
    const count = events.seen();
    const seen = await view(libvirt, uuid);
    if (seen === null) throw NO_MIGRATION(uuid);
    if (seen.course !== "active" && seen.course !== "settling") return seen;
    await events.wait(count, SETTLE_POLL_MS);
  }
  throw new DriverError("timeout", `the migration of VM ${uuid} has not ended within ${CANCEL_TIMEOUT_MS} ms`);
}

const isPersistent = async ({ virsh }: Libvirt, uuid: string): Promise<boolean> =>
  parseFields(await virsh("dominfo", uuid))["Persistent"] === "yes";

/** Where libvirt does not take it in time, pre-copy goes on as fast as it may. */
async function startPostCopyAtOnce(libvirt: Libvirt, { vm: { uuid }, parameters }: MigrationSpec): Promise<void> {
  const { events, virsh } = libvirt;
  for (const deadline = Date.now() + ACCEPT_TIMEOUT_MS; Date.now() < deadline;) {
    const count = events.seen();
    try {
      return void (await virsh("migrate-postcopy", uuid));
    } catch (error) {
      // Refused while the migration is set up, and once it is over.
      if ((await view(libvirt, uuid))?.course !== "active") return;
      if (!(error instanceof DriverError && error.reason === "hypervisor-refused")) throw error;
    }
    await events.wait(count, ACCEPT_POLL_MS);
  }
  await virsh("migrate-setspeed", uuid, "--bandwidth", toMibPerSecond(parameters.maxBandwidthBytesPerSecond));
}

/** Resolves once QEMU sends memory, or all is over; throws libvirt's reason when nothing came of it. */
async function accepted(libvirt: Libvirt, spec: MigrationSpec): Promise<void> {
  const { uuid } = spec.vm;
  const { events } = libvirt;
  for (const deadline = Date.now() + ACCEPT_TIMEOUT_MS; Date.now() < deadline;) {
    const count = events.seen();
    const seen = await view(libvirt, uuid);
    if (seen === null) throw NO_MIGRATION(uuid);
    if (seen.course === "failed" || seen.course === "cancelled")
      return nothing(libvirt, uuid, "hypervisor-refused", "libvirt took up no migration");
    const isSending = (numberOf(seen.job, "memory_total") ?? 0) > 0;
    if (isSending || (seen.course !== "active" && seen.course !== "settling")) return;
    await events.wait(count, ACCEPT_POLL_MS);
  }
  await libvirt.virsh("domjobabort", uuid);
  const end = await settled(libvirt, uuid);
  if (PAST_RETURN.includes(end.course)) return;
  return nothing(libvirt, uuid, "timeout", `the destination has not taken the VM within ${ACCEPT_TIMEOUT_MS} ms`);
}

/** The migration is over and the VM untouched: there is nothing to remember. */
function nothing({ records, children }: Libvirt, uuid: string, reason: string, otherwise: string): never {
  const detail = children.complaint(uuid) || otherwise;
  records.remove(uuid);
  throw new DriverError(reason, detail);
}

export async function startOutgoing(
  libvirt: Libvirt,
  spec: MigrationSpec,
  migrationUri: string,
): Promise<{ startedAtMs: number }> {
  const { virsh, records, events, children, settings } = libvirt;
  const { uuid, name } = spec.vm;
  events.open();
  const { domain, job } = await lookAt(virsh, uuid);
  if (domain === null || toVmState(domain, false) !== "running")
    throw new DriverError("not-running", `VM ${uuid} does not run here: only a running VM is migrated`);
  if (job === "arriving" || isJobActive(job))
    throw new DriverError("busy", `libvirt has another job for VM ${uuid}: wait for its end, or abort it`);
  const options = migrateOptions(spec, settings, await isPersistent(libvirt, uuid));
  const args = migrateArguments(uuid, options, migrationUri, settings);
  await virsh("migrate-setmaxdowntime", uuid, String(spec.parameters.downtimeLimitMs));
  const startedAtMs = Date.now();
  const { migrationId, mechanism, parameters } = spec;
  const unknown = { jobBeganAtMs: null, stoppedAtMs: null, leftAtMs: null, counters: null };
  const outgoing = { migrationId, mechanism, preCopyRounds: parameters.preCopyRounds, options, startedAtMs };
  records.write({
    uuid,
    name,
    outgoing: { ...outgoing, ...unknown, postCopy: false, cancelAsked: false, throttleRatioMax: 0 },
  });
  children.start(uuid, args, events.wake);
  if (mechanism === "post-copy") await startPostCopyAtOnce(libvirt, spec);
  await accepted(libvirt, spec);
  return { startedAtMs };
}

export async function setDowntimeLimit({ virsh }: Libvirt, uuid: string, downtimeLimitMs: number): Promise<void> {
  await virsh("migrate-setmaxdowntime", uuid, String(Math.max(1, Math.round(downtimeLimitMs))));
}

export async function setBandwidth(libvirt: Libvirt, uuid: string, bytesPerSecond: number): Promise<void> {
  if (bytesPerSecond < MIB)
    throw new DriverError("bad-parameters", `libvirt takes whole MiB/s: allow at least ${MIB} bytes per second`);
  const inPostCopy = (await view(libvirt, uuid))?.course === "stopped";
  const options = [...(inPostCopy ? ["--postcopy"] : []), "--bandwidth", toMibPerSecond(bytesPerSecond)];
  await libvirt.virsh("migrate-setspeed", uuid, ...options);
}

export async function startPostCopy({ virsh }: Libvirt, uuid: string): Promise<void> {
  await virsh("migrate-postcopy", uuid);
}

export async function forceSwitchover(libvirt: Libvirt, uuid: string): Promise<void> {
  const seen = await view(libvirt, uuid);
  if (seen?.course !== "active") throw new DriverError("no-migration", "there is no migration to end");
  // libvirt knows that the migration stopped it: the guest runs on at the destination, or here when it comes to nothing.
  await libvirt.virsh("suspend", uuid);
}

export async function cancelOutgoing(libvirt: Libvirt, uuid: string): Promise<void> {
  const seen = await view(libvirt, uuid);
  if (seen === null) throw NO_MIGRATION(uuid);
  if (seen.out.postCopy || PAST_RETURN.includes(seen.course)) refusePastReturn();
  if (seen.course === "failed" || seen.course === "cancelled") return;
  libvirt.records.updateOutgoing(uuid, (out) => ({ ...out, cancelAsked: true }));
  // Refused where it has just ended; its end tells how.
  await libvirt.virsh("domjobabort", uuid).catch((error: unknown) => {
    if (!(error instanceof DriverError && error.reason === "hypervisor-refused")) throw error;
  });
  const end = await settled(libvirt, uuid);
  if (PAST_RETURN.includes(end.course)) refusePastReturn();
}

/**
 * libvirt lets the guest run here again by itself after a migration that came to nothing. Where it has left it paused, it does
 * not know whether the guest runs at the destination, and neither does anybody here.
 */
export async function continueSource(libvirt: Libvirt, uuid: string): Promise<void> {
  const { domain } = await lookAt(libvirt.virsh, uuid);
  if (domain === null || hasLeft(domain)) return refusePastReturn();
  if (toVmState(domain, false) === "running") return;
  const seen = await view(libvirt, uuid);
  if (seen !== null && (seen.out.postCopy || PAST_RETURN.includes(seen.course))) refusePastReturn();
  throw new DriverError(
    "not-continued",
    `libvirt keeps VM ${uuid} stopped here: look whether it runs at its destination, then run it where it shall be`,
  );
}

/** libvirt has ended the source's side itself: this verifies it, and forgets the migration. */
export async function releaseSource(libvirt: Libvirt, uuid: string): Promise<void> {
  const seen = await view(libvirt, uuid);
  const isOver = seen === null ? hasLeft((await lookAt(libvirt.virsh, uuid)).domain) : hasLeft(seen.domain);
  if (!isOver || (seen !== null && seen.course !== "completed" && seen.course !== "vanished"))
    throw new DriverError(
      "not-completed",
      `the migration is ${seen?.course ?? "unknown"}: the VM is still needed here`,
    );
  libvirt.records.remove(uuid);
  libvirt.children.forget(uuid);
}
