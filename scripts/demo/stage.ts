// Everything that the demo starts, and its end: the Worker, the simulated world, the agents, one folder for all of it.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serveWorld } from "../agent/simulated/daemon.ts";
import { createWorld } from "../agent/simulated/world.ts";
import { startDev } from "../dev/server.ts";
import { buildAgent, startAgentProcess, type AgentProcess } from "./agents.ts";
import { createApi, type Api } from "./api.ts";
import { CLUSTER, demoWorld } from "./fleet.ts";

const SEED = 2026;

export type Running = {
  url: string;
  adminToken: string;
  api: Api;
  hosts: number;
  vms: number;
  /** Throws when one of the agents has ended by itself. */
  check: () => void;
};

export type Backstage = {
  start: (port: number) => Promise<Running>;
  /** What the agents had to complain of, for whoever has to find out why something failed. */
  troubles: () => string;
  stop: () => Promise<void>;
};

/** `stop` ends whatever was started so far, in reverse order, and removes the folder. */
export function createBackstage(): Backstage {
  const folder = mkdtempSync(join(tmpdir(), "drover-demo-"));
  const ends: (() => Promise<void>)[] = [async () => rmSync(folder, { recursive: true, force: true })];
  const agents: AgentProcess[] = [];
  let stopping: Promise<void> | null = null;

  const start = async (port: number): Promise<Running> => {
    const config = demoWorld(SEED);
    const [dev, bundle] = await Promise.all([startDev({ port, stateDir: join(folder, "worker") }), buildAgent()]);
    ends.push(dev.stop);
    const socket = join(folder, "world.sock");
    const served = await serveWorld(createWorld(config), socket);
    ends.push(served.close);
    const api = createApi(dev.url, dev.adminToken);
    const peerSecret = randomBytes(24).toString("base64url");
    ends.push(async () => void (await Promise.all(agents.map((agent) => agent.stop()))));
    for (const { id } of config.hosts) {
      const token = await api.agentToken(id);
      const { url, commandPublicKey } = dev;
      const plan = { url, token, hostId: id, cluster: CLUSTER, peerSecret, commandPublicKey, socket };
      agents.push(await startAgentProcess(bundle, folder, plan));
    }
    await optIn(api, agents, config.hosts.length);
    const check = (): void => {
      for (const agent of agents) {
        const ended = agent.ended();
        if (ended !== null && stopping === null) throw new Error(ended);
      }
    };
    return { url: dev.url, adminToken: dev.adminToken, api, hosts: config.hosts.length, vms: config.vms.length, check };
  };
  const stop = async (): Promise<void> => {
    for (const end of ends.toReversed()) await end().catch((error: unknown) => console.error(error));
  };
  const troubles = (): string => agents.flatMap((agent) => agent.troubles()).join("\n");
  return { start, troubles, stop: () => (stopping ??= stop()) };
}

/** The operator lets Drover reach the agents, so that commands need not wait for their next heartbeat. */
async function optIn(api: Api, agents: AgentProcess[], hosts: number): Promise<void> {
  for (let known = 0; known < hosts;) {
    known = (await api.fleet(CLUSTER)).length;
    for (const agent of agents) {
      const ended = agent.ended();
      if (ended !== null) throw new Error(ended);
    }
    if (known < hosts) await new Promise((resolve) => setTimeout(resolve, 100));
  }
  for (const { hostId, webhookUrl } of agents) await api.setAgentUrl(hostId, webhookUrl);
}
