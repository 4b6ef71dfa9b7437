// `virsh migrate` as a child process. It only waits: with --p2p libvirt itself carries the migration on, whatever becomes of it.
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import type { LibvirtSettings } from "./config.ts";
import type { Records } from "./records.ts";
import type { Ending } from "./state.ts";
import { ENGLISH, toComplaint } from "./virsh.ts";

export type MigrateChildren = {
  /** Starts it, detached, so that a signal to the agent's terminal does not abort the migration. */
  start: (uuid: string, args: string[], onEnd: () => void) => void;
  isBusy: (uuid: string) => boolean;
  ending: (uuid: string) => Ending;
  /** What the last one of this VM complained of, also one of an agent before; empty: of nothing. */
  complaint: (uuid: string) => string;
  /** How the last one ended is no longer of interest, its complaint is. */
  settle: (uuid: string) => void;
  forget: (uuid: string) => void;
};

/** How virsh says that it lost libvirt's daemon, and not that the migration failed. */
const LOST = /client socket is closed|End of file while reading|Cannot recv data|Disconnected from/;

export function createMigrateChildren(
  { virsh, uri }: Pick<LibvirtSettings, "virsh" | "uri">,
  records: Records,
): MigrateChildren {
  const busy = new Set<string>();
  const endings = new Map<string, Ending>();
  const complaint = (uuid: string): string => {
    try {
      return toComplaint(readFileSync(records.complaintFile(uuid), "utf8"));
    } catch {
      return "";
    }
  };
  return {
    start: (uuid, args, onEnd) => {
      const log = openSync(records.complaintFile(uuid), "w", 0o600);
      try {
        const child = spawn(virsh, ["-c", uri, ...args], {
          env: ENGLISH,
          detached: true,
          stdio: ["ignore", "ignore", log],
        });
        busy.add(uuid);
        endings.delete(uuid);
        const end = (ending: Ending): void => {
          busy.delete(uuid);
          endings.set(uuid, ending);
          onEnd();
        };
        child.once("error", (error) => end({ ok: false, complaint: error.message }));
        child.once("exit", (code) => {
          const said = complaint(uuid);
          end(code === null || LOST.test(said) ? null : { ok: code === 0, complaint: said });
        });
        child.unref();
      } finally {
        closeSync(log);
      }
    },
    isBusy: (uuid) => busy.has(uuid),
    ending: (uuid) => endings.get(uuid) ?? null,
    complaint,
    settle: (uuid) => void endings.delete(uuid),
    forget: (uuid) => {
      busy.delete(uuid);
      endings.delete(uuid);
    },
  };
}
