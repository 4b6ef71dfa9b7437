// Events of migrations on their way to Drover: on the disk before they are sent, in order a migration, repeated until
// acknowledged. One file a migration.
import path from "node:path";
import { z } from "zod";
import { migrationEvent, type MigrationEvent } from "../../worker/model/wire/event.ts";
import { isFinal, type Api } from "./api.ts";
import { ensureFolder, fileAgeMs, fileNameFor, listFiles, readJson, removeFile, writeFileAtomically } from "./files.ts";
import type { Life } from "./life.ts";
import { messageOf, type Log } from "./log.ts";
import { DAY_MS } from "../../worker/model/units.ts";

const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 5000;
/** An event that Drover would not take for this long (a token never renewed) is given up. */
const GIVE_UP_MS = 2 * DAY_MS;
const KEEP_FILES_MS = 7 * DAY_MS;
/** Progress takes sequence numbers without writing them down; a restart steps over all that one life could have used. */
const SEQUENCES_A_LIFE = 1_000_000;

const queueFile = z.strictObject({
  migrationId: z.string(),
  /** The next number, as far as events on the disk know. */
  sequence: z.int().min(0),
  /** Events that happen once and were recorded: a restart does not record them again. */
  recorded: z.array(z.string()),
  /** The event that answered a command, by command id. */
  answers: z.record(z.string(), migrationEvent),
  waiting: z.array(migrationEvent),
});
type QueueFile = z.output<typeof queueFile>;
type Queue = QueueFile & { progress: EventDraft | null; sending: boolean };

type DraftOf<Event> = Event extends unknown ? Omit<Event, "hostId" | "bootId" | "sequence" | "at"> : never;
/** An event without what the outbox adds: who says it, when, and in which place. */
export type EventDraft = DraftOf<MigrationEvent>;

export type Outbox = {
  /** Durable when it returns. An event that happens once (everything but `progress`, `steered`, `paused`, `resumed`) is added once. */
  add: (migrationId: string, event: EventDraft) => void;
  /** Not durable: the newest replaces an older one that still waits. */
  progress: (migrationId: string, event: EventDraft) => void;
  /** Sends the answer to a command again. False: there is none yet. */
  repeat: (migrationId: string, commandId: string) => boolean;
};

const ANSWERS: readonly MigrationEvent["type"][] = [
  "prepared",
  "accepted",
  "steered",
  "refused",
  "failed",
  "cancelled",
];
const REPEATABLE: readonly MigrationEvent["type"][] = ["paused", "resumed", "steered"];

function keyOf(event: EventDraft): string | null {
  if (REPEATABLE.includes(event.type)) return null;
  if (event.type === "refused") return `refused ${event.commandId ?? ""}`;
  if (event.type === "hook") return `hook ${event.name} ${event.when}`;
  if (event.type === "address-checked") return `address-checked ${event.name}`;
  return event.type === "switched" ? `switched ${event.side}` : event.type;
}

type Parts = {
  stateDir: string;
  hostId: string;
  bootId: string;
  api: Api;
  life: Life;
  log: Log;
  now: () => number;
  /** What came in the answer to an event. */
  onCommands: (commands: readonly unknown[]) => void;
};

function openQueues(folder: string, { log, now }: Parts): Map<string, Queue> {
  ensureFolder(folder);
  const queues = new Map<string, Queue>();
  for (const name of listFiles(folder, ".json")) {
    const file = path.join(folder, name);
    try {
      const stored = readJson(file, queueFile);
      if (stored === null) continue;
      if (stored.waiting.length === 0 && fileAgeMs(file, now()) > KEEP_FILES_MS) removeFile(file);
      else
        queues.set(stored.migrationId, {
          ...stored,
          sequence: stored.sequence + SEQUENCES_A_LIFE,
          progress: null,
          sending: false,
        });
    } catch (error) {
      log("error", "a file of events cannot be read; it is left as it is", { file, error: messageOf(error) });
    }
  }
  return queues;
}

type Box = { folder: string; queues: Map<string, Queue>; parts: Parts };

function queueOf({ queues }: Box, migrationId: string): Queue {
  const present = queues.get(migrationId);
  if (present) return present;
  const empty = { sequence: 0, recorded: [], answers: {}, waiting: [], progress: null, sending: false };
  const fresh: Queue = { migrationId, ...empty };
  queues.set(migrationId, fresh);
  return fresh;
}

function save({ folder }: Box, queue: Queue, durable: boolean): void {
  const { progress: _progress, sending: _sending, ...stored } = queue;
  writeFileAtomically(path.join(folder, fileNameFor(queue.migrationId)), JSON.stringify(stored), durable);
}

function complete({ parts: { hostId, bootId, now } }: Box, queue: Queue, draft: EventDraft): MigrationEvent {
  return migrationEvent.parse({ ...draft, hostId, bootId, sequence: queue.sequence++, at: now() });
}

/** Sends one event; true when it need not be sent again. */
async function deliver(
  { api, log, now, onCommands }: Parts,
  migrationId: string,
  event: MigrationEvent,
): Promise<boolean> {
  try {
    onCommands((await api.event(migrationId, event)).commands);
    return true;
  } catch (error) {
    const given = isFinal(error) || event.type === "progress" || now() - event.at > GIVE_UP_MS;
    const fields = { migrationId, event: event.type, sequence: event.sequence, error: messageOf(error) };
    log(given ? "warn" : "info", given ? "an event was not taken and is given up" : "an event waits", fields);
    return given;
  }
}

async function sendAll(box: Box, queue: Queue): Promise<void> {
  const { life } = box.parts;
  let retryMs = RETRY_MS_MIN;
  while (!life.isStopping()) {
    const next = queue.waiting[0];
    if (next === undefined) {
      if (queue.progress === null) return;
      const draft = queue.progress;
      queue.progress = null;
      await deliver(box.parts, queue.migrationId, complete(box, queue, draft));
    } else if (await deliver(box.parts, queue.migrationId, next)) {
      queue.waiting.shift();
      save(box, queue, false);
      retryMs = RETRY_MS_MIN;
    } else {
      await life.sleep(retryMs);
      retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
    }
  }
}

function wake(box: Box, queue: Queue): void {
  if (queue.sending) return;
  queue.sending = true;
  box.parts.life.spawn("events", async () => {
    try {
      await sendAll(box, queue);
    } finally {
      queue.sending = false;
    }
  });
}

function add(box: Box, migrationId: string, draft: EventDraft): void {
  const queue = queueOf(box, migrationId);
  const key = keyOf(draft);
  if (key !== null && queue.recorded.includes(key)) return;
  const event = complete(box, queue, draft);
  if (key !== null) queue.recorded.push(key);
  queue.waiting.push(event);
  if (event.commandId !== undefined && ANSWERS.includes(event.type)) queue.answers[event.commandId] ??= event;
  // What is told here is newer than any progress that still waits.
  queue.progress = null;
  save(box, queue, true);
  wake(box, queue);
}

function repeat(box: Box, migrationId: string, commandId: string): boolean {
  const queue = queueOf(box, migrationId);
  const answer = queue.answers[commandId];
  if (answer === undefined) return false;
  if (queue.waiting.some((event) => event.sequence === answer.sequence)) return true;
  queue.waiting.push(answer);
  save(box, queue, true);
  wake(box, queue);
  return true;
}

/** Opens what an earlier life left and goes on sending it. */
export function openOutbox(parts: Parts): Outbox {
  const folder = path.join(parts.stateDir, "events");
  const box: Box = { folder, queues: openQueues(folder, parts), parts };
  for (const queue of box.queues.values()) if (queue.waiting.length > 0) wake(box, queue);
  return {
    add: (migrationId, event) => add(box, migrationId, event),
    progress: (migrationId, event) => {
      const queue = queueOf(box, migrationId);
      queue.progress = event;
      wake(box, queue);
    },
    repeat: (migrationId, commandId) => repeat(box, migrationId, commandId),
  };
}
