// The ledger on disk: what was judged, written before anything is done about it.
import path from "node:path";
import { z } from "zod";
import type { Command } from "../../worker/model/wire/command.ts";
import { vmUuid } from "../../worker/model/wire/common.ts";
import { readJson, writeFileAtomically } from "./files.ts";
import { recordCommand, type LedgerState } from "./judge.ts";
import { messageOf } from "./log.ts";

const commandType = z.enum([
  "migration.prepare",
  "migration.start",
  "migration.cancel",
  "migration.steer",
  "migration.recover",
]);
const token = z.int().min(1);

const ledgerFile = z.strictObject({
  commands: z.record(
    z.string(),
    z.strictObject({
      type: commandType,
      migrationId: z.string(),
      vmUuid,
      fencingToken: token,
      at: z.number(),
      taken: z.boolean(),
    }),
  ),
  vms: z.record(vmUuid, z.strictObject({ token, taken: z.partialRecord(commandType, z.string()) })),
});

export type Ledger = {
  state: () => LedgerState;
  /** On the disk when it returns; only then may the agent act. */
  record: (command: Command, taken: boolean, nowMs: number) => void;
};

/** Opens the ledger. One that cannot be read stops the agent: without it, an old command could be taken again. */
export function openLedger(stateDir: string): Ledger {
  const file = path.join(stateDir, "ledger.json");
  let state: LedgerState;
  try {
    state = (readJson(file, ledgerFile) as LedgerState | null) ?? { commands: {}, vms: {} };
  } catch (error) {
    const advice = "restore it, or remove it once no migration of this host is under way";
    throw new Error(`${file} cannot be read (${messageOf(error)}): ${advice}`, { cause: error });
  }
  return {
    state: () => state,
    record: (command, taken, nowMs) => {
      const next = recordCommand(state, command, taken, nowMs);
      writeFileAtomically(file, JSON.stringify(next), true);
      state = next;
    },
  };
}
