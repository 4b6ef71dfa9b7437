// Telemetry between the agent and Drover: every batch is a file until Drover has answered for it. Bounded; the oldest is
// dropped first, and counted.
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { MIB } from "../../worker/model/units.ts";
import type { TelemetryBatch } from "../../worker/model/wire/telemetry.ts";
import { ApiError, isFinal, type Api } from "./api.ts";
import { ensureFolder, listFiles, removeFile, writeFileAtomically } from "./files.ts";
import { messageOf, type Log } from "./log.ts";

/** Some days of an outage on a host of 50 VMs: a gzipped minute of it is about 10 kB, hence 4500 minutes. */
export const SPOOL_BYTES_MAX = 64 * MIB;

export type Spool = {
  /** Takes a batch; it survives a restart from then on. */
  put: (batch: TelemetryBatch) => void;
  /** Sends what waits, oldest first, until one cannot be delivered now. One call at a time does the work. */
  drain: () => Promise<void>;
  /** Batches that had to be dropped because too many waited, since the start. */
  dropped: () => number;
  waiting: () => number;
};

type Parts = {
  stateDir: string;
  bytesMax: number;
  api: Api;
  log: Log;
  now: () => number;
  onCommands: (commands: readonly unknown[]) => void;
};

const ENDING = ".json.gz";

type Store = Parts & { folder: string; sizes: Map<string, number>; dropped: number };

function remove({ folder, sizes }: Store, name: string): void {
  sizes.delete(name);
  removeFile(path.join(folder, name));
}

function makeRoom(store: Store): void {
  const { sizes, bytesMax, log } = store;
  let bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  for (const [name, size] of sizes) {
    if (bytes <= bytesMax || sizes.size === 1) return;
    remove(store, name);
    bytes -= size;
    store.dropped++;
    log("warn", "telemetry was dropped: too much of it waits for Drover", { dropped: store.dropped });
  }
}

/** Sends one batch. True when the next may be tried. */
async function deliver(store: Store, name: string): Promise<boolean> {
  const { api, log, folder, sizes, onCommands } = store;
  try {
    const answer = await api.telemetry(new Uint8Array(readFileSync(path.join(folder, name))));
    remove(store, name);
    const { refusedCount: count, refused } = answer;
    if (count > 0) log("warn", "Drover refused series of a batch", { count, refused });
    onCommands(answer.commands);
    return true;
  } catch (error) {
    // A host that Drover does not know yet will be known once its inventory is taken.
    const final = isFinal(error) && !(error instanceof ApiError && error.status === 404);
    if (final) remove(store, name);
    const msg = final ? "Drover refused a batch of telemetry; it is given up" : "telemetry waits on the disk";
    log("warn", msg, { waiting: sizes.size, error: messageOf(error) });
    return final;
  }
}

async function drain(store: Store): Promise<void> {
  for (const name of store.sizes.keys()) if (!(await deliver(store, name))) return;
}

export function openSpool(parts: Parts): Spool {
  const folder = path.join(parts.stateDir, "spool");
  ensureFolder(folder);
  const names = listFiles(folder, ENDING);
  const sizes = new Map(names.map((name) => [name, statSync(path.join(folder, name)).size]));
  const store: Store = { ...parts, folder, sizes, dropped: 0 };
  let serial = 0;
  let draining: Promise<void> | null = null;
  return {
    put: (batch) => {
      const name = `${String(parts.now()).padStart(15, "0")}-${String(serial++).padStart(8, "0")}${ENDING}`;
      const bytes = gzipSync(JSON.stringify(batch));
      writeFileAtomically(path.join(folder, name), bytes, false);
      sizes.set(name, bytes.length);
      makeRoom(store);
    },
    drain: () => {
      draining ??= drain(store).finally(() => (draining = null));
      return draining;
    },
    dropped: () => store.dropped,
    waiting: () => sizes.size,
  };
}
