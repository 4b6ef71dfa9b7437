// A post-copy that has lost its link. libvirt keeps both sides of it, and goes on when `virsh migrate` is given again on the source
// with `--postcopy-resume`: the destination listens anew by itself.
import { DriverError } from "../driver.ts";
import { migrateArguments, toMigrationUri } from "./arguments.ts";
import { lookAt } from "./domains.ts";
import type { Libvirt } from "./libvirt.ts";
import { NO_MIGRATION, view } from "./outgoing.ts";
import { isInPostCopy, toVmState } from "./state.ts";

/** The destination may learn of the loss a moment after the source; then the source asks again. */
const NOTICE_TIMEOUT_MS = 2000;
const RESUME_TIMEOUT_MS = 30_000;
const POLL_MS = 100;

/**
 * Resolves once libvirt here knows that the link is lost. It has no way to be told so: it goes on waiting for a connection that
 * only its other end has given up until the kernel does, some 15 minutes later at the most.
 */
export async function recoverIncoming(libvirt: Libvirt, uuid: string): Promise<{ migrationUri: string }> {
  const { virsh, events, settings } = libvirt;
  events.open();
  for (const deadline = Date.now() + NOTICE_TIMEOUT_MS; ;) {
    const count = events.seen();
    const { domain } = await lookAt(virsh, uuid);
    if (domain !== null && toVmState(domain, false) === "postcopy-paused")
      return { migrationUri: toMigrationUri(settings) };
    if (domain === null || !isInPostCopy(domain))
      throw new DriverError("not-paused", `VM ${uuid} is not in post-copy here: there is nothing to recover`);
    if (Date.now() >= deadline)
      throw new DriverError(
        "not-paused",
        `libvirt on this host still waits for the source of VM ${uuid}: it learns of the loss from the kernel, at once if you end QEMU's connection (ss -K)`,
      );
    await events.wait(count, POLL_MS);
  }
}

export async function recoverOutgoing(libvirt: Libvirt, uuid: string, migrationUri: string): Promise<void> {
  const { settings, children, events } = libvirt;
  const before = await view(libvirt, uuid);
  if (before === null) throw NO_MIGRATION(uuid);
  if (before.course !== "paused")
    throw new DriverError("not-paused", `the migration is ${before.course}: there is nothing to recover`);
  let isAsked = false;
  for (const deadline = Date.now() + RESUME_TIMEOUT_MS; Date.now() < deadline;) {
    const count = events.seen();
    const seen = await view(libvirt, uuid);
    if (seen === null) throw NO_MIGRATION(uuid);
    if (seen.course !== "paused") return;
    // The virsh that began the migration, or resumed it before, may take a moment to hear of the loss.
    if (!seen.isChildBusy) {
      if (isAsked)
        throw new DriverError("hypervisor-refused", children.complaint(uuid) || "libvirt does not say why it refused");
      children.start(uuid, migrateArguments(uuid, seen.out.options, migrationUri, settings, true), events.wake);
      isAsked = true;
    }
    await events.wait(count, POLL_MS);
  }
  throw new DriverError("timeout", `post-copy has not gone on within ${RESUME_TIMEOUT_MS} ms`);
}
