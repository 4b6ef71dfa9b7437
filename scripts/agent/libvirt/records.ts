// What the driver must not forget of a migration over a restart of the agent: `<directory>/<uuid>.json`.
import { existsSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { mechanism } from "../../../worker/model/wire/common.ts";
import { DriverError } from "../driver.ts";
import { ensureFolder, listFiles, readJson, removeFile, writeFileAtomically } from "../files.ts";

/** Times are those at which virsh was told of libvirt's events. */
const outgoing = z.strictObject({
  migrationId: z.string(),
  mechanism,
  preCopyRounds: z.int(),
  /** Of `virsh migrate`: a post-copy is resumed with the same. */
  options: z.array(z.string()),
  startedAtMs: z.number(),
  /** When libvirt's job began, by this host's clock and the job's own age. */
  jobBeganAtMs: z.number().nullable(),
  stoppedAtMs: z.number().nullable(),
  /** libvirt ended the source's process after it had handed the VM over. */
  leftAtMs: z.number().nullable(),
  postCopy: z.boolean(),
  cancelAsked: z.boolean(),
  throttleRatioMax: z.number(),
  /** The finished job's figures, as libvirt's event gives them. */
  counters: z.record(z.string(), z.string()).nullable(),
});
export type Outgoing = z.infer<typeof outgoing>;

/** `seen`: the VM was here, arriving or running. */
const incoming = z.strictObject({
  migrationId: z.string(),
  seen: z.boolean(),
  resumedAtMs: z.number().nullable(),
  /** Nothing of the VM was here when it had to be. */
  lost: z.boolean(),
});
export type Incoming = z.infer<typeof incoming>;

const record = z.strictObject({
  uuid: z.string(),
  /** libvirt's events name domains, not UUIDs. */
  name: z.string(),
  incoming: incoming.optional(),
  outgoing: outgoing.optional(),
});
export type MigrationRecord = z.infer<typeof record>;

export type Records = {
  read: (uuid: string) => MigrationRecord | null;
  /** A name may be that of a VM of before as well. */
  withName: (name: string) => MigrationRecord[];
  write: (content: MigrationRecord) => void;
  updateOutgoing: (uuid: string, change: (outgoing: Outgoing) => Outgoing) => void;
  updateIncoming: (uuid: string, change: (incoming: Incoming) => Incoming) => void;
  remove: (uuid: string) => void;
  /** Where `virsh migrate` of this VM writes what went wrong. */
  complaintFile: (uuid: string) => string;
};

/** Outlives the agent, not the machine: with that its VMs are gone as well, and a blackout need not wait for a disk. */
const DURABLE = false;

export function openRecords(directory: string): Records {
  const fileOf = (uuid: string): string => path.join(directory, `${uuid}.json`);
  const complaintFile = (uuid: string): string => path.join(directory, `${uuid}.log`);
  const read = (uuid: string): MigrationRecord | null => {
    try {
      return readJson(fileOf(uuid), record);
    } catch (error) {
      const why = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
      throw new DriverError("bad-record", `${fileOf(uuid)} cannot be understood; correct or remove it: ${why}`);
    }
  };
  const write = (content: MigrationRecord): void => {
    ensureFolder(directory);
    writeFileAtomically(fileOf(content.uuid), JSON.stringify(record.parse(content), null, 2), DURABLE);
  };
  return {
    read,
    withName: (name) =>
      existsSync(directory)
        ? listFiles(directory, ".json")
            .map((file) => read(file.slice(0, -".json".length)))
            .filter((each) => each?.name === name)
            .filter((each) => each !== null)
        : [],
    write,
    updateOutgoing: (uuid, change) => {
      const content = read(uuid);
      if (content?.outgoing === undefined) return;
      const changed = change(content.outgoing);
      if (JSON.stringify(changed) !== JSON.stringify(content.outgoing)) write({ ...content, outgoing: changed });
    },
    updateIncoming: (uuid, change) => {
      const content = read(uuid);
      if (content?.incoming === undefined) return;
      const changed = change(content.incoming);
      if (JSON.stringify(changed) !== JSON.stringify(content.incoming)) write({ ...content, incoming: changed });
    },
    remove: (uuid) => {
      for (const file of [fileOf(uuid), complaintFile(uuid)]) removeFile(file);
    },
    complaintFile,
  };
}
