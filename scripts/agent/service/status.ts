// What a running agent says of itself, over a unix socket in its state folder: whoever may read the folder may ask.
import { rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import path from "node:path";
import { z } from "zod";
import { messageOf, type Log } from "../log.ts";
import { answer } from "../serve.ts";

/** Times are ms since 1970; null: never, or not known. */
export const agentStatus = z.object({
  version: z.string(),
  pid: z.int(),
  startedAt: z.number(),
  hostId: z.string(),
  cluster: z.string(),
  driver: z.string(),
  url: z.string(),
  peerUrl: z.string(),
  /** `mode` of the local policy; `unreadable` permits nothing. */
  policy: z.string(),
  /** The STOP file is there. */
  stopped: z.boolean(),
  channel: z.enum(["open", "closed", "off"]),
  /** When Drover last took a heartbeat, how often one is due, and what went wrong with the last if it did. */
  heartbeat: z.object({ takenAt: z.number().nullable(), everyMs: z.number(), error: z.string().nullable() }),
  spool: z.object({
    waitingBatches: z.int(),
    droppedBatches: z.int(),
    droppedSamples: z.int(),
    refusedSamples: z.int(),
  }),
  /** Migrations under way here. */
  migrations: z.array(z.object({ migrationId: z.string(), side: z.enum(["source", "destination"]), vm: z.string() })),
  /** CPU seconds over seconds since it started; resident memory. */
  usage: z.object({ cpuRatio: z.number(), rssBytes: z.number() }),
});
export type AgentStatus = z.infer<typeof agentStatus>;

export const statusSocket = (stateDir: string): string => path.join(path.resolve(stateDir), "agent.sock");

/** Answers whoever connects. Null: it cannot listen there, which is logged and costs nothing else. The caller holds the folder's lock. */
export async function serveStatus(stateDir: string, read: () => AgentStatus, log: Log): Promise<Server | null> {
  const file = statusSocket(stateDir);
  const server = createServer((_, response) => answer(response, 200, JSON.stringify(read())));
  try {
    // Of an agent that ended without a word.
    rmSync(file, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(file, resolve);
    });
    return server;
  } catch (error) {
    log("warn", "the status of this agent cannot be asked for", { file, error: messageOf(error) });
    return null;
  }
}

const startedAt = Math.round(performance.timeOrigin);

export function processStatus(): Pick<AgentStatus, "pid" | "startedAt" | "usage"> {
  const { user, system } = process.cpuUsage();
  const cpuRatio = (user + system) / 1e6 / process.uptime();
  return { pid: process.pid, startedAt, usage: { cpuRatio, rssBytes: process.memoryUsage.rss() } };
}
