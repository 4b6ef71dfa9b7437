// Telemetry between the agent and Drover: every batch is a file until Drover has answered for it. Bounded; the oldest is
// dropped first, and counted.
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { MIB } from "../../worker/model/units.ts";
import type { TelemetryBatch } from "../../worker/model/wire/telemetry.ts";
import { ApiError, isFinal, type Api } from "./api.ts";
import { ensureFolder, listFiles, removeFile, writeFileAtomically } from "./files.ts";
import type { Life } from "./life.ts";
import { messageOf, type Log } from "./log.ts";
import { openLosses, type LossCounter, type Losses } from "./losses.ts";
import { retryDelayMs } from "./retry.ts";

/** More than a day of an outage on a host of 50 VMs: a gzipped minute of it is up to 30 kB, hence 2200 minutes. */
export const SPOOL_BYTES_MAX = 64 * MIB;

export type Spool = {
  /** Takes a batch; it survives a restart from then on. */
  put: (batch: TelemetryBatch) => void;
  /**
   * Sends what waits, oldest first, until nothing waits or the agent stops. What Drover does not take now is tried again
   * later, after the time Drover asks for. One call at a time does the work.
   */
  send: () => Promise<void>;
  /** Does so in the background. */
  wake: () => void;
  /** Counts samples that were lost before they came here. */
  lose: (samples: number) => void;
  losses: () => Losses;
  /** Batches on the disk. */
  waiting: () => number;
};

type Parts = {
  stateDir: string;
  bytesMax: number;
  api: Api;
  life: Life;
  log: Log;
  now: () => number;
  /** From 0 to below 1. */
  random: () => number;
  onCommands: (commands: readonly unknown[]) => void;
};

const ENDING = ".json.gz";

type Store = Parts & {
  folder: string;
  sizes: Map<string, number>;
  lost: LossCounter;
  /** Is with Drover now: its answer decides about it. */
  sending: string | null;
};

type Columns = Record<string, unknown>;

/** Values in a batch; what cannot be read holds none that could be counted. */
function countSamples(gzipped: Uint8Array): number {
  try {
    const { host_series, vm_series } = JSON.parse(gunzipSync(gzipped).toString("utf8")) as TelemetryBatch;
    const all = [host_series ?? {}, ...Object.values((vm_series ?? {}) as Record<string, Columns>)];
    const values = all.flatMap((columns) => Object.values(columns)).flat();
    return values.filter((value) => value !== null).length;
  } catch {
    return 0;
  }
}

/** The content of a batch that waits; null: the disk does not give it back. */
function contentOf({ folder, log }: Store, name: string): Uint8Array<ArrayBuffer> | null {
  try {
    return new Uint8Array(readFileSync(path.join(folder, name)));
  } catch (error) {
    log("error", "a batch of telemetry cannot be read", { file: name, error: messageOf(error) });
    return null;
  }
}

function remove({ folder, sizes }: Store, name: string): void {
  sizes.delete(name);
  removeFile(path.join(folder, name));
}

/** Counts first: a crash in between counts a batch twice, and never leaves out one that is gone. */
function drop(store: Store, names: readonly string[]): void {
  const contents = names.map((name) => contentOf(store, name));
  const droppedSamples = contents.reduce((sum, bytes) => sum + (bytes === null ? 0 : countSamples(bytes)), 0);
  store.lost.add({ droppedBatches: names.length, droppedSamples });
  for (const name of names) remove(store, name);
}

/** Drops the oldest until the rest fits; the newest stays in any case, and what is being sent. */
function makeRoom(store: Store): void {
  const { sizes, bytesMax, sending, log } = store;
  let bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const oldest: string[] = [];
  for (const [name, size] of [...sizes].slice(0, -1)) {
    if (bytes <= bytesMax) break;
    if (name === sending) continue;
    oldest.push(name);
    bytes -= size;
  }
  if (oldest.length === 0) return;
  drop(store, oldest);
  log("warn", "telemetry was dropped: too much of it waits for Drover", {
    batches: oldest.length,
    ...store.lost.losses(),
  });
}

/** Sends one batch; null when it is done with, else what stood in the way. */
async function deliver(store: Store, name: string): Promise<unknown> {
  const { api, log, lost, onCommands } = store;
  const content = contentOf(store, name);
  if (content === null) return (drop(store, [name]), null);
  store.sending = name;
  try {
    const { refusedCount, refused, commands } = await api.telemetry(content);
    if (refusedCount > 0) {
      lost.add({ refusedSamples: refusedCount });
      log("warn", "Drover refused samples of a batch", { count: refusedCount, refused });
    }
    remove(store, name);
    onCommands(commands);
    return null;
  } catch (error) {
    // A host that Drover does not know yet will be known once its inventory is taken.
    if (!isFinal(error) || (error instanceof ApiError && error.status === 404)) return error;
    drop(store, [name]);
    log("warn", "Drover refused a batch of telemetry; it is dropped", { error: messageOf(error), ...lost.losses() });
    return null;
  } finally {
    store.sending = null;
  }
}

async function sendAll(store: Store): Promise<void> {
  const { sizes, life, log, random } = store;
  let failures = 0;
  while (!life.isStopping()) {
    const [name] = sizes.keys();
    if (name === undefined) return;
    const error = await deliver(store, name);
    if (error === null) {
      failures = 0;
      continue;
    }
    failures += 1;
    const retryMs = Math.round(retryDelayMs(failures, error instanceof ApiError ? error.retryAfterMs : null, random()));
    log("warn", "telemetry waits on the disk", { waiting: sizes.size, retryMs, error: messageOf(error) });
    await life.sleep(retryMs);
  }
}

export function openSpool(parts: Parts): Spool {
  const folder = path.join(parts.stateDir, "spool");
  ensureFolder(folder);
  const names = listFiles(folder, ENDING);
  const sizes = new Map(names.map((name) => [name, statSync(path.join(folder, name)).size]));
  const lost = openLosses(parts.stateDir, parts.log);
  const store: Store = { ...parts, folder, sizes, lost, sending: null };
  let serial = 0;
  let sendingAll: Promise<void> | null = null;
  const send = (): Promise<void> => {
    sendingAll ??= sendAll(store).finally(() => (sendingAll = null));
    return sendingAll;
  };
  return {
    put: (batch) => {
      const name = `${String(parts.now()).padStart(15, "0")}-${String(serial++).padStart(8, "0")}${ENDING}`;
      const bytes = gzipSync(JSON.stringify(batch));
      writeFileAtomically(path.join(folder, name), bytes, false);
      sizes.set(name, bytes.length);
      makeRoom(store);
    },
    send,
    wake: () => {
      if (sendingAll === null) parts.life.spawn("sending", send);
    },
    lose: (samples) => lost.add({ droppedSamples: samples }),
    losses: lost.losses,
    waiting: () => sizes.size,
  };
}
