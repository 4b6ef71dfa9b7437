// Six agents as they are deployed: the bundled file, one process and one state folder each. Their hypervisors are the
// simulated world, which this process serves over a unix socket.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import type { AgentConfig } from "../agent/config.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const STOP_MS = 5000;
const LOG_LINES = 15;

export type AgentPlan = Pick<AgentConfig, "url" | "token" | "hostId" | "cluster" | "peerSecret"> & {
  commandPublicKey: string;
  /** Where the world is served. */
  socket: string;
};

export type AgentProcess = {
  hostId: string;
  webhookUrl: string;
  /** Its last words, when it has ended by itself; null: it runs. */
  ended: () => string | null;
  /** The last lines of its log that are warnings or errors. */
  troubles: () => string[];
  stop: () => Promise<void>;
};

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** `npm run build:agent`. */
export async function buildAgent(): Promise<string> {
  const child = spawn(process.execPath, [join(ROOT, "scripts/build-agent.ts")], {
    cwd: ROOT,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error("the agent could not be bundled: run npm run build:agent to see why");
  return join(ROOT, "dist/drover-agent.js");
}

function configOf(plan: AgentPlan, folder: string, webhookPort: number): AgentConfig {
  const { url, token, hostId, cluster, peerSecret, commandPublicKey, socket } = plan;
  return {
    url,
    token,
    hostId,
    cluster,
    peerSecret,
    stateDir: join(folder, "state"),
    commandPublicKeys: [commandPublicKey],
    peer: { listenHost: "127.0.0.1" },
    webhook: { listenHost: "127.0.0.1", port: webhookPort },
    driver: { name: "simulated", host: hostId, socket },
    heartbeatMs: 1000,
    sampleMs: 1000,
    batchMs: 2000,
    policyFile: join(folder, "policy.json"),
    stopFile: join(folder, "STOP"),
  };
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await exited;
  clearTimeout(timer);
}

/** Starts one agent in a folder of its own under `stateDir`. */
export async function startAgentProcess(bundle: string, stateDir: string, plan: AgentPlan): Promise<AgentProcess> {
  const folder = join(stateDir, plan.hostId);
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const configFile = join(folder, "agent.json");
  const logFile = join(folder, "agent.log");
  writeFileSync(configFile, JSON.stringify(configOf(plan, folder, port)), { mode: 0o600 });
  // What the operator of a host decides: here VMs may come and go, post-copy included.
  writeFileSync(join(folder, "policy.json"), JSON.stringify({ mode: "in-out", postCopy: true }), { mode: 0o600 });
  const log = openSync(logFile, "w");
  const child = spawn(process.execPath, [bundle, "run", "--config", configFile], { stdio: ["ignore", log, log] });
  closeSync(log);
  const logged = (): string[] => readFileSync(logFile, "utf8").trimEnd().split("\n");
  return {
    hostId: plan.hostId,
    webhookUrl: `http://127.0.0.1:${port}`,
    ended: () => {
      if (child.exitCode === null && child.signalCode === null) return null;
      const words = logged().slice(-LOG_LINES).join("\n");
      return `the agent of ${plan.hostId} ended (${child.signalCode ?? child.exitCode}):\n${words}`;
    },
    troubles: () =>
      logged()
        .filter((line) => /"level":"(warn|error)"/.test(line))
        .slice(-LOG_LINES),
    stop: () => stopProcess(child),
  };
}
