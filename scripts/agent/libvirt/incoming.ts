// The destination's side of a migration. libvirt starts the incoming VM when its source's libvirt asks, and lets it run itself:
// what is prepared here is the leave to come, and what is told is what libvirt does.
import { setTimeout as wait } from "node:timers/promises";
import { DriverError, type IncomingState, type MigrationSpec } from "../driver.ts";
import { toMigrationUri } from "./arguments.ts";
import type { Libvirt } from "./libvirt.ts";
import { isArriving, lookAt } from "./domains.ts";
import { hasLeft, isInPostCopy, toVmState } from "./state.ts";

/** Then the source asks again. */
const RESUME_TIMEOUT_MS = 2000;
const EVENT_TIMEOUT_MS = 500;
const POLL_MS = 100;

export async function prepareIncoming(libvirt: Libvirt, spec: MigrationSpec): Promise<{ migrationUri: string }> {
  const { virsh, records, events, settings } = libvirt;
  const { uuid, name } = spec.vm;
  events.open();
  const { domain } = await lookAt(virsh, uuid);
  if (!hasLeft(domain)) throw new DriverError("already-here", `this host already has VM ${uuid}: undefine it first`);
  const incoming = { migrationId: spec.migrationId, seen: false, resumedAtMs: null, lost: false };
  records.write({ uuid, name, incoming });
  return { migrationUri: toMigrationUri(settings) };
}

export async function observeIncoming(libvirt: Libvirt, uuid: string): Promise<IncomingState> {
  const { virsh, records, events } = libvirt;
  events.open();
  const look = await lookAt(virsh, uuid);
  const { domain } = look;
  const known = records.read(uuid)?.incoming;
  if (domain === null || hasLeft(domain)) {
    if (known === undefined) return { state: "gone" };
    if (known.lost || known.seen) return { state: "failed", detail: "libvirt has ended the VM that came here" };
    return { state: "listening" };
  }
  records.updateIncoming(uuid, (now) => ({ ...now, seen: true }));
  const state = toVmState(domain, isArriving(look));
  if (state === "running") return { state: "running", postCopy: isInPostCopy(domain) };
  if (state === "postcopy-paused") return { state: "running", postCopy: true, detail: "post-copy has lost its source" };
  if (state === "shutoff") return { state: "failed", detail: "the VM is shut off here" };
  return { state: "loaded", detail: state };
}

/** The event of the resume comes a moment after libvirt says that the VM runs. */
async function resumedAt({ records, events }: Libvirt, uuid: string): Promise<number | null> {
  const read = (): number | null => records.read(uuid)?.incoming?.resumedAtMs ?? null;
  for (const deadline = Date.now() + EVENT_TIMEOUT_MS; read() === null && Date.now() < deadline;)
    await events.wait(events.seen(), POLL_MS);
  return read();
}

/** Verifies that libvirt has let the VM run. Errors of the reason `not-loaded` say that it did not run. */
export async function continueIncoming(libvirt: Libvirt, uuid: string): Promise<{ resumedAtMs: number | null }> {
  const { records, events } = libvirt;
  if (records.read(uuid)?.incoming === undefined)
    throw new DriverError("not-incoming", `VM ${uuid} was not prepared to come here`);
  for (const deadline = Date.now() + RESUME_TIMEOUT_MS; ;) {
    const seen = events.seen();
    const { state, detail } = await observeIncoming(libvirt, uuid);
    if (state === "running") return { resumedAtMs: await resumedAt(libvirt, uuid) };
    if (state !== "loaded") {
      // The source has shown that the VM is not there; what was here must have ended, and may have run before.
      records.updateIncoming(uuid, (now) => ({ ...now, lost: true }));
      throw new DriverError("not-here", `VM ${uuid} is not on this host: ${detail ?? state}`);
    }
    if (Date.now() >= deadline)
      throw new DriverError("not-loaded", `libvirt has not let VM ${uuid} run: it is ${detail ?? state}`);
    await events.wait(seen, POLL_MS);
    await wait(1);
  }
}

/** Withdraws the leave. A VM that libvirt is receiving is its source's to cancel; one that runs is not ended. */
export async function abandonIncoming({ virsh, records }: Libvirt, uuid: string): Promise<void> {
  if (records.read(uuid)?.incoming === undefined) return;
  const look = await lookAt(virsh, uuid);
  if (look.domain !== null && !hasLeft(look.domain)) {
    const state = toVmState(look.domain, isArriving(look));
    if (state === "inmigrate")
      throw new DriverError("past-point-of-no-return", `VM ${uuid} is arriving: cancel the migration at its source`);
    if (state !== "shutoff")
      throw new DriverError("already-running", `VM ${uuid} is ${state} on this host: it is not ended`);
  }
  records.remove(uuid);
}
