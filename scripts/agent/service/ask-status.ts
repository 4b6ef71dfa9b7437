// `drover-agent status`: asks the agent that works on this state folder.
import { request } from "node:http";
import type { Settings } from "../config.ts";
import { readBody } from "../serve.ts";
import { agentStatus, statusSocket, type AgentStatus } from "./status.ts";

const ANSWER_MS_MAX = 5000;
const BYTES_MAX = 1_048_576;
/** Heartbeats that may be missing before the agent counts as cut off. */
const MISSED_MAX = 3;
const MB = 1e6;

const [HEARD, UNHEARD, NONE] = [0, 1, 3];

function ask(file: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: file, path: "/", timeout: ANSWER_MS_MAX }, (response) => {
      readBody(response, BYTES_MAX).then(resolve, reject);
    });
    asked.once("timeout", () => asked.destroy(new Error(`no answer within ${ANSWER_MS_MAX} ms`)));
    asked.once("error", reject);
    asked.end();
  });
}

/** Null: no agent works on this folder. */
export async function askStatus(stateDir: string): Promise<AgentStatus | null> {
  try {
    return agentStatus.parse(JSON.parse(await ask(statusSocket(stateDir))));
  } catch (error) {
    if (["ENOENT", "ECONNREFUSED"].includes((error as NodeJS.ErrnoException).code ?? "")) return null;
    throw error;
  }
}

export function isHeard({ heartbeat }: AgentStatus, nowMs: number): boolean {
  return heartbeat.takenAt !== null && nowMs - heartbeat.takenAt <= (MISSED_MAX + 1) * heartbeat.everyMs;
}

const seconds = (ms: number): string => `${Math.max(0, Math.round(ms / 1000))} s`;

function heartbeatText({ takenAt, error }: AgentStatus["heartbeat"], nowMs: number): string {
  const taken = takenAt === null ? "none was taken yet" : `taken ${seconds(nowMs - takenAt)} ago`;
  return error === null ? taken : `${taken}; the last one failed: ${error}`;
}

/** For people, a line a matter. */
export function statusLines(status: AgentStatus, nowMs: number): string[] {
  const { spool, usage, migrations } = status;
  const moving = migrations.map(({ migrationId, side, vm }) => `${migrationId} (${side}, ${vm})`).join(", ");
  const stop = status.stopped ? "; the STOP file refuses everything new" : "";
  return [
    `drover-agent ${status.version} runs as process ${status.pid} since ${new Date(status.startedAt).toISOString()}`,
    `host        ${status.hostId} of cluster ${status.cluster}, driver ${status.driver}`,
    `policy      ${status.policy}${stop}`,
    `Drover      ${status.url}, channel ${status.channel}`,
    `peers       ${status.peerUrl}`,
    `heartbeat   ${heartbeatText(status.heartbeat, nowMs)}`,
    `spool       ${spool.waitingBatches} batches wait; lost so far: ${spool.droppedBatches} batches (${spool.droppedSamples} samples) dropped, ${spool.refusedSamples} samples refused`,
    `migrations  ${moving || "none"}`,
    `uses        ${(usage.cpuRatio * 100).toFixed(2)} % of a core, ${Math.round(usage.rssBytes / MB)} MB`,
  ];
}

/** Returns the exit code: 0 it runs and Drover hears it, 1 it runs and Drover does not, 3 none runs. */
export async function status(settings: Settings, json: boolean, say: (line: string) => void): Promise<number> {
  const { stateDir } = settings;
  const known = await askStatus(stateDir);
  if (known === null) {
    say(json ? JSON.stringify({ running: false, stateDir }) : `no agent runs on ${stateDir}`);
    return NONE;
  }
  const nowMs = Date.now();
  if (json) say(JSON.stringify({ running: true, stateDir, ...known }));
  else for (const line of statusLines(known, nowMs)) say(line);
  return isHeard(known, nowMs) ? HEARD : UNHEARD;
}
