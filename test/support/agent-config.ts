// What an agent of a simulated host needs to work with a Drover of a test's own, and a world for it with one guest.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AgentConfig } from "../../scripts/agent/agent.ts";
import { createWorld } from "../../scripts/agent/simulated/world.ts";
import type { Dev } from "../../scripts/dev/server.ts";
import { GIB } from "../../worker/model/units.ts";

type WorldOptions = Parameters<typeof createWorld>[0];
type GuestSpec = Omit<WorldOptions["vms"][number], "hostId" | "inventory" | "cpu"> & {
  uuid: string;
  memoryBytes: number;
};

/** In real time: hosts that are alike, and one guest on the first of them. */
export function worldOf(hostIds: readonly string[], { uuid, memoryBytes, ...guest }: GuestSpec) {
  return createWorld({
    seed: 7,
    timeScale: 1,
    hosts: hostIds.map((id) => ({
      id,
      cores: 8,
      memoryBytes: 32 * GIB,
      linkBytesPerSecond: 1e9,
      machineTypes: ["pc"],
    })),
    vms: [
      {
        hostId: hostIds[0] ?? "",
        inventory: { uuid, name: "guest", vcpus: 2, memoryBytes, machineType: "pc" },
        cpu: { meanCores: 0.5 },
        ...guest,
      },
    ],
  });
}

type Place = Pick<AgentConfig, "url" | "token" | "hostId" | "cluster"> & { folder: string; dev: Dev };

/** Makes the agent's folder, with a local policy that lets VMs in and out. */
export function agentConfig({ folder, dev, ...place }: Place, changes: Partial<AgentConfig>): AgentConfig {
  const stateDir = join(folder, place.hostId);
  mkdirSync(stateDir, { recursive: true });
  const policyFile = join(stateDir, "policy.json");
  writeFileSync(policyFile, JSON.stringify({ mode: "in-out" }), { mode: 0o600 });
  return {
    ...place,
    stateDir,
    commandPublicKeys: [dev.commandPublicKey],
    peerSecret: "a-secret-of-this-test-only-0000",
    peer: { listenHost: "127.0.0.1" },
    driver: { name: "simulated", host: place.hostId, socket: "" },
    policyFile,
    stopFile: join(stateDir, "STOP"),
    ...changes,
  };
}

/** An agent that looks and speaks twice a second. */
export const BRISK: Partial<AgentConfig> = { heartbeatMs: 500, sampleMs: 500, batchMs: 1000 };
