// One host of the lab as the fault cases see it: what runs its guests, an agent as a process of its own, and a proxy between
// that agent and the edge.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { AgentConfig } from "../../agent/config.ts";
import { createAgentProcess, type AgentProcess } from "./agent-process.ts";
import type { SiteHost } from "./host.ts";
import { freePort, startProxy, type Proxy } from "./proxy.ts";

export type Site = {
  hostId: string;
  folder: string;
  host: SiteHost;
  agent: AgentProcess;
  proxy: Proxy;
  /** Where the agent takes signed commands directly. */
  webhookUrl: string;
};

export type SitePlan = {
  folder: string;
  hostId: string;
  cluster: string;
  host: SiteHost;
  /** The agent's one file. */
  agentFile: string;
  edgeUrl: string;
  token: string;
  commandPublicKey: string;
  peerSecret: string;
};

function configOf(plan: SitePlan, url: string, port: number): AgentConfig {
  const { folder, hostId, cluster, token, commandPublicKey, peerSecret, host } = plan;
  return {
    url,
    token,
    hostId,
    cluster,
    stateDir: path.join(folder, "state"),
    commandPublicKeys: [commandPublicKey],
    peerSecret,
    peer: { listenHost: "127.0.0.1" },
    webhook: { listenHost: "127.0.0.1", port },
    driver: host.driver,
    heartbeatMs: 1000,
    sampleMs: 5000,
    batchMs: 5000,
    policyFile: path.join(folder, "policy.json"),
    stopFile: path.join(folder, "STOP"),
  };
}

/** Starts the proxy and writes what the agent needs; the agent itself is not started yet. */
export async function prepareSite(plan: SitePlan): Promise<Site> {
  const { folder, hostId, host, agentFile, edgeUrl } = plan;
  mkdirSync(folder, { recursive: true });
  const proxy = await startProxy(edgeUrl);
  const port = await freePort();
  const secret = { mode: 0o600 };
  // What the operator of these hosts decides: VMs may come and go, post-copy included.
  writeFileSync(path.join(folder, "policy.json"), JSON.stringify({ mode: "in-out", postCopy: true }), secret);
  const configFile = path.join(folder, "agent.json");
  writeFileSync(configFile, JSON.stringify(configOf(plan, proxy.url, port)), secret);
  const agent = createAgentProcess(agentFile, configFile);
  return { hostId, folder, host, agent, proxy, webhookUrl: `http://127.0.0.1:${port}/commands` };
}
