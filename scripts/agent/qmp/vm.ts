// One VM on this host: its descriptor, its process and its QMP connection.
import { setTimeout as wait } from "node:timers/promises";
import type { z } from "zod";
import type { VmState } from "../../../worker/model/wire/inventory.ts";
import { DriverError } from "../driver.ts";
import { createMutex } from "../life.ts";
import { migrateAnswer, statusAnswer } from "./answers.ts";
import { QmpClient, QmpError, type QmpEvent } from "./client.ts";
import { readDescriptor, writeDescriptor, type Descriptor, type Outgoing } from "./descriptor.ts";
import { findProcess, type ProcessId } from "./process.ts";
import { toVmState, type Truth } from "./state.ts";

const CLOSED_RETRIES = 2;

export class Vm {
  readonly uuid: string;
  readonly client: QmpClient;
  /** One dirty-rate calculation at a time. */
  readonly alone = createMutex();
  readonly #directory: string;

  constructor(directory: string, known: Descriptor) {
    this.#directory = directory;
    this.uuid = known.vm.uuid;
    this.client = new QmpClient(known.qmpSocket, (event) => this.#note(event));
  }

  /** Throws `unknown-vm` once the VM was released or abandoned. */
  descriptor(): Descriptor {
    const content = readDescriptor(this.#directory, this.uuid);
    if (content === null) throw new DriverError("unknown-vm", `no VM ${this.uuid} on this host`);
    return content;
  }

  /** `listMs`: as `findProcess` has it. */
  process(listMs = 0): Promise<ProcessId | null> {
    return findProcess(this.descriptor(), listMs);
  }

  /** Runs a command and checks its answer. Throws DriverError `hypervisor-refused` with QEMU's words, or `hypervisor-silent`. */
  async query<T>(schema: z.ZodType<T>, command: string, args: Record<string, unknown> = {}): Promise<T> {
    return schema.parse(await this.command(command, args));
  }

  async command(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.client.execute(command, args);
      } catch (error) {
        if (!(error instanceof QmpError)) throw error;
        // Asking again is harmless; any other command may have been carried out already.
        const again = error.kind === "closed" && command.startsWith("query-") && attempt < CLOSED_RETRIES;
        if (!again) throw toDriverError(error);
      }
    }
  }

  /** Answered also while QEMU waits for a page of its guest: `migrate-pause` and `migrate-recover`. Throws as `query` does. */
  async urgent(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    try {
      return await this.client.executeUrgent(command, args);
    } catch (error) {
      throw error instanceof QmpError ? toDriverError(error) : error;
    }
  }

  /** The run state is asked last: a guest that is then seen to run does so after whatever its migration had come to. */
  async truth(): Promise<Truth> {
    const migration = await this.query(migrateAnswer, "query-migrate");
    const status = await this.query(statusAnswer, "query-status");
    return { runState: status.status, running: status.running, migration };
  }

  /** Null: an incoming side that has ended, nothing of a VM. `listMs`: as `findProcess` has it. */
  async state(listMs = 0): Promise<VmState | null> {
    const known = this.descriptor();
    if ((await findProcess(known, listMs)) === null) return neverRan(known) ? null : "shutoff";
    return toVmState(await this.truth(), neverRan(known));
  }

  updateOutgoing(change: (outgoing: Outgoing) => Outgoing): void {
    const content = readDescriptor(this.#directory, this.uuid);
    if (content?.outgoing === undefined) return;
    writeDescriptor(this.#directory, { ...content, outgoing: change(content.outgoing) });
  }

  setOutgoing(outgoing: Outgoing): void {
    writeDescriptor(this.#directory, { ...this.descriptor(), outgoing });
  }

  setIncoming(incoming: NonNullable<Descriptor["incoming"]>): void {
    writeDescriptor(this.#directory, { ...this.descriptor(), incoming });
  }

  /** Resolves with the first value that is not null; throws `timeout` naming what was waited for. */
  async until<T>(what: string, timeoutMs: number, pollMs: number, look: () => Promise<T | null>): Promise<T> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const seen = this.client.eventsSeen;
      const found = await look();
      if (found !== null) return found;
      if (Date.now() >= deadline) throw new DriverError("timeout", `${what}: not within ${timeoutMs} ms`);
      if (this.client.eventsSeen === seen) await this.client.waitForEvent(seen, pollMs);
      else await wait(1);
    }
  }

  /** Keeps what only an event says: when the guest stopped and when the migration ended. */
  #note(event: QmpEvent): void {
    try {
      this.#keep(event);
    } catch {
      // The disk refuses: the times are then worked out from QEMU's own figures, and the migration goes on.
    }
  }

  #keep(event: QmpEvent): void {
    if (event.name === "STOP") this.updateOutgoing((out) => (ended(out) ? out : { ...out, stoppedAtMs: event.atMs }));
    if (event.name === "RESUME") this.#noteResume(event.atMs);
    if (event.name === "MIGRATION") this.#noteMigration(String(event.data["status"]), event.atMs);
  }

  #noteResume(atMs: number): void {
    this.updateOutgoing((out) => ({ ...out, stoppedAtMs: null }));
    const known = readDescriptor(this.#directory, this.uuid);
    if (known?.incoming?.continuedAtMs !== undefined && known.incoming.resumedAtMs === undefined)
      this.setIncoming({ ...known.incoming, resumedAtMs: atMs });
  }

  #noteMigration(status: string, atMs: number): void {
    if (status === "completed") this.updateOutgoing((out) => (ended(out) ? out : { ...out, completedAtMs: atMs }));
    if (status === "postcopy-active") this.updateOutgoing((out) => ({ ...out, postCopy: true }));
  }
}

const ended = (out: Outgoing): boolean => out.completedAtMs !== null;

/** An incoming side that nobody has let run yet. */
export const neverRan = (known: Descriptor): boolean =>
  known.incoming !== undefined && known.incoming.continuedAtMs === undefined;

function toDriverError(error: QmpError): DriverError {
  return new DriverError(error.kind === "refused" ? "hypervisor-refused" : "hypervisor-silent", error.message);
}
