// What is known of a VM besides its process: `<directory>/<uuid>.json`, written by whoever starts it (`launch`) and from
// then on by the driver alone. It survives the agent, and is how VMs are found again.
import { mkdirSync, statSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { mechanism } from "../../../worker/model/wire/common.ts";
import { vmInventory } from "../../../worker/model/wire/inventory.ts";
import { DriverError } from "../driver.ts";
import { listFiles, readJson, removeFile, writeFileAtomically } from "../files.ts";

/** A migration that arrives or arrived. `continuedAtMs` is written before `cont` is sent: from then on the VM may run here. */
const incoming = z.strictObject({
  migrationId: z.string(),
  continuedAtMs: z.number().optional(),
  resumedAtMs: z.number().optional(),
});

/** The last migration that left, or tried to. Times are those of QEMU's events. */
const outgoing = z.strictObject({
  migrationId: z.string(),
  mechanism,
  preCopyRounds: z.int(),
  startedAtMs: z.number(),
  stoppedAtMs: z.number().nullable(),
  completedAtMs: z.number().nullable(),
  /** The guest was stopped by the driver, not by QEMU: QEMU does not let it run again after a failure. */
  stoppedByDriver: z.boolean(),
  postCopy: z.boolean(),
  throttleRatioMax: z.number(),
});
export type Outgoing = z.infer<typeof outgoing>;

export const descriptor = z.strictObject({
  vm: vmInventory.omit({ state: true }),
  /** The command line exactly as the process shows it: this is how the process is told from all others. */
  argv: z.array(z.string()).min(1),
  qmpSocket: z.string().min(1),
  pidFile: z.string().min(1),
  /** Standard output and error of QEMU. */
  logFile: z.string().min(1),
  incoming: incoming.optional(),
  outgoing: outgoing.optional(),
});
export type Descriptor = z.infer<typeof descriptor>;

const fileOf = (directory: string, uuid: string): string => path.join(directory, `${uuid}.json`);

/** By file: what it held when it was last read, and how it is told that it holds something else. */
const known = new Map<string, { stamp: string; content: Descriptor }>();

/** A file that is replaced gets another inode, and one that is written another time. */
function stampOf(file: string): string | null {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat === undefined ? null : `${stat.ino} ${stat.size} ${stat.mtimeMs} ${stat.ctimeMs}`;
}

/** Null when this host knows no such VM. Throws `bad-descriptor` when the file cannot be understood. Not to be changed in place. */
export function readDescriptor(directory: string, uuid: string): Descriptor | null {
  const file = fileOf(directory, uuid);
  try {
    const stamp = stampOf(file);
    const before = known.get(file);
    if (stamp !== null && before?.stamp === stamp) return before.content;
    const content = readJson(file, descriptor);
    if (stamp === null || content === null) known.delete(file);
    else known.set(file, { stamp, content });
    return content;
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    // Leaving the VM out instead would tell the cluster that it is gone.
    throw new DriverError("bad-descriptor", `${file} cannot be understood; correct or remove it: ${why}`);
  }
}

export function listDescriptors(directory: string): Descriptor[] {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return listFiles(directory, ".json")
    .map((name) => readDescriptor(directory, name.slice(0, -".json".length)))
    .filter((each) => each !== null);
}

/** Outlives the agent, not the machine: with that the VM is gone as well, and a blackout need not wait for a disk. */
export function writeDescriptor(directory: string, content: Descriptor): void {
  const file = fileOf(directory, content.vm.uuid);
  known.delete(file);
  writeFileAtomically(file, JSON.stringify(descriptor.parse(content), null, 2), false);
}

/** Forgets the VM; the log stays. */
export function removeDescriptor(directory: string, content: Descriptor): void {
  for (const file of [content.qmpSocket, content.pidFile, fileOf(directory, content.vm.uuid)]) removeFile(file);
}
