// What the agent's tests need of commands and agents; each shows only what matters to it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { startAgent, type Agent, type AgentConfig } from "../../scripts/agent/agent.ts";
import type { CancelCommand, PrepareCommand, StartCommand } from "../../worker/model/wire/command.ts";
import type { VmInventory } from "../../worker/model/wire/inventory.ts";
import { createSigner, startEdge, type Edge } from "../support/edge.ts";
import { createScript, type Script } from "./scripted-driver.ts";

export const VM = "11111111-2222-4333-8444-555555555555";
export const SECRET = "the secret of this cluster";

export const vmInventory = (changes: Partial<VmInventory> = {}): VmInventory => ({
  uuid: VM,
  name: "web-1",
  state: "running",
  vcpus: 2,
  memoryBytes: 2 ** 30,
  ...changes,
});

const head = () => ({
  migrationId: "m1",
  issuedAt: Date.now(),
  expiresAt: Date.now() + 60_000,
  fencingToken: 7,
  vm: vmInventory(),
  fromHostId: "hv-a",
  toHostId: "hv-b",
  mechanism: "pre-copy" as const,
  parameters: {
    maxBandwidthBytesPerSecond: 1e8,
    downtimeLimitMs: 300,
    autoConverge: false,
    xbzrle: false,
    multifdChannels: 0,
    compression: "none" as const,
    postCopyPreempt: false,
    preCopyRounds: 1,
    postCopyAfterMs: null,
    deadlineMs: 90_000,
    onDeadline: "cancel" as const,
  },
  limits: { downtimeMsMax: 1000, bandwidthBytesPerSecondMax: 1e9, postCopyPermitted: false },
});

export const prepareCommand = (changes: Partial<PrepareCommand> = {}): PrepareCommand => ({
  type: "migration.prepare",
  id: "c-prepare",
  hostId: "hv-b",
  leaseMs: 60_000,
  ...head(),
  ...changes,
});

export const startCommand = (changes: Partial<StartCommand> = {}): StartCommand => ({
  type: "migration.start",
  id: "c-start",
  hostId: "hv-a",
  destination: { migrationUri: "tcp:127.0.0.1:4444", peerUrl: "http://127.0.0.1:9" },
  ...head(),
  ...changes,
});

export const cancelCommand = (changes: Partial<CancelCommand> = {}): CancelCommand => {
  const { migrationId, issuedAt, expiresAt, fencingToken } = head();
  const own = { type: "migration.cancel" as const, id: "c-cancel", hostId: "hv-a", vmUuid: VM, reason: "not wanted" };
  return { ...own, migrationId, issuedAt, expiresAt, fencingToken, ...changes };
};

export type Bench = {
  edge: Edge;
  signer: ReturnType<typeof createSigner>;
  lines: string[];
  /** A host of its own with an agent that can be killed and started again on the same state. */
  host: (hostId: string, vms?: VmInventory[], changes?: Partial<AgentConfig>) => Host;
  close: () => Promise<void>;
};

export type Host = {
  hostId: string;
  script: Script;
  stateDir: string;
  policyFile: string;
  stopFile: string;
  config: AgentConfig;
  agent: Agent | null;
  start: () => Promise<Agent>;
};

/** An edge and as many hosts as a test wants; `close` ends them all. */
export async function createBench(): Promise<Bench> {
  const edge = await startEdge();
  const signer = createSigner();
  const folder = mkdtempSync(path.join(tmpdir(), "drover-agent-"));
  const hosts: Host[] = [];
  const lines: string[] = [];
  const host: Bench["host"] = (hostId, vms = [], changes = {}) => {
    const stateDir = path.join(folder, `${hostId}-${hosts.length}`);
    const policyFile = `${stateDir}.policy.json`;
    const stopFile = `${stateDir}.STOP`;
    writeFileSync(policyFile, JSON.stringify({ mode: "in-out", postCopy: true }), { mode: 0o600 });
    const config: AgentConfig = {
      url: edge.url,
      token: `drv_${hostId}`,
      hostId,
      cluster: "lab",
      stateDir,
      commandPublicKeys: [signer.publicKey],
      peerSecret: SECRET,
      peer: { listenHost: "127.0.0.1" },
      driver: { name: "simulated" },
      channel: "off",
      heartbeatMs: 50,
      sampleMs: 50,
      batchMs: 100,
      policyFile,
      stopFile,
      ...changes,
    };
    const script = createScript(vms);
    const one: Host = {
      hostId,
      script,
      stateDir,
      policyFile,
      stopFile,
      config,
      agent: null,
      start: async () => {
        one.agent = await startAgent(config, script.driver, { log: (line) => lines.push(line) });
        return one.agent;
      },
    };
    hosts.push(one);
    return one;
  };
  return {
    edge,
    signer,
    lines,
    host,
    close: async () => {
      for (const one of hosts) one.agent?.kill();
      await edge.close();
      rmSync(folder, { recursive: true });
    },
  };
}
