// The Worker is killed at each step of a migration and started again on what it had stored: real workerd with D1 and Workflows,
// two agents, a simulated hypervisor in real time.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Agent, startAgent } from "../../scripts/agent/agent.ts";
import { simulatedDriver } from "../../scripts/agent/simulated/driver.ts";
import { createWorld } from "../../scripts/agent/simulated/world.ts";
import { type Api, createApi } from "../../scripts/demo/api.ts";
import { type Dev, startDev } from "../../scripts/dev/server.ts";
import { RUN_STATES, type RunState } from "../../worker/model/lifecycle.ts";
import type { MigrationRun } from "../../worker/model/run.ts";
import { GIB, MIB } from "../../worker/model/units.ts";

const CLUSTER = "killed";
const UUID = "e0000000-0000-4000-8000-000000000002";
const HOSTS = ["hv-a", "hv-b"];
const POLL_MS = 20;
const folder = mkdtempSync(join(tmpdir(), "drover-killed-"));
const world = createWorld({
  seed: 8,
  timeScale: 1,
  hosts: HOSTS.map((id) => ({
    id,
    cores: 8,
    memoryBytes: 32 * GIB,
    linkBytesPerSecond: 1e9,
    machineTypes: ["pc"],
  })),
  vms: [
    {
      hostId: "hv-a",
      inventory: { uuid: UUID, name: "guest", vcpus: 2, memoryBytes: GIB, machineType: "pc" },
      nonzeroRatio: 0.5,
      writes: { pagesPerSecond: 500, hotBytes: 16 * MIB, coldBytes: 64 * MIB, hotShare: 0.8 },
      cpu: { meanCores: 0.5 },
    },
  ],
});
let dev: Dev;
let api: Api;
const agents: Agent[] = [];

/** On the same state and at the same address, as after a deployment or a crash. */
async function startWorker(port: number): Promise<void> {
  dev = await startDev({ port, stateDir: join(folder, "worker") });
  api = createApi(dev.url, dev.adminToken);
}

/** Miniflare ends workerd by SIGKILL. */
async function killWorker(): Promise<void> {
  const port = Number(new URL(dev.url).port);
  await dev.stop();
  await startWorker(port);
}

async function startOn(hostId: string): Promise<void> {
  const state = join(folder, hostId);
  mkdirSync(state, { recursive: true });
  writeFileSync(join(state, "policy.json"), JSON.stringify({ mode: "in-out" }), { mode: 0o600 });
  const config = {
    url: dev.url,
    token: await api.agentToken(hostId),
    hostId,
    cluster: CLUSTER,
    stateDir: state,
    commandPublicKeys: [dev.commandPublicKey],
    peerSecret: "a-secret-of-this-test-only-0000",
    peer: { listenHost: "127.0.0.1" },
    driver: { name: "simulated" as const, host: hostId, socket: "" },
    heartbeatMs: 500,
    sampleMs: 500,
    batchMs: 1000,
    policyFile: join(state, "policy.json"),
    stopFile: join(state, "STOP"),
  };
  agents.push(await startAgent(config, simulatedDriver(world, hostId), { log: () => undefined }));
}

/** Asks again until it holds; these are processes at work, so it has to be waited for. */
async function until<T>(ask: () => Promise<T>, holds: (value: T) => boolean, limitMs: number): Promise<T> {
  const end = Date.now() + limitMs;
  for (;;) {
    const value = await ask();
    if (holds(value)) return value;
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${JSON.stringify(value)?.slice(0, 1000)}`);
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}

async function runOf(planId: string): Promise<MigrationRun> {
  const [found] = await api.migrations(planId);
  if (!found) throw new Error("the plan has no run");
  return found;
}

const step = (state: RunState): number => RUN_STATES.indexOf(state);

beforeAll(async () => {
  await startWorker(0);
  for (const hostId of HOSTS) await startOn(hostId);
  await until(
    () => api.fleet(CLUSTER),
    (hosts) => hosts.length === 2 && hosts.every((host) => host.latest?.host["cpu_used_cores"] !== undefined),
    20_000,
  );
}, 60_000);

afterAll(async () => {
  for (const agent of agents) await agent.stop();
  await dev.stop();
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

test.each(["queued", "claimed", "preparing", "prepared", "pre-copying", "switching", "verifying"] as const)(
  "a Worker that dies when a run is %s loses nothing of it and repeats nothing",
  { timeout: 120_000 },
  async (state) => {
    const [from = ""] = (await world.inspect(UUID)).runningOn;
    const to = HOSTS.find((hostId) => hostId !== from);
    await until(
      () => api.fleet(CLUSTER),
      (hosts) => hosts.find(({ hostId }) => hostId === from)?.vmUuids.includes(UUID) === true,
      20_000,
    );
    const parameters = {
      hostIds: [from],
      cooldownMs: 0,
      mechanisms: ["pre-copy" as const],
      bandwidthBytesPerSecondMax: 400 * MIB,
    };
    const plan = await until(
      () => api.plan(CLUSTER, "evacuate", parameters),
      ({ content }) => content.moves.length === 1,
      20_000,
    );
    await api.approve(plan, "to be killed");
    // Where that state was too short to be seen: at the first one after it.
    await until(
      () => runOf(plan.planId),
      (now) => step(now.state) >= step(state),
      30_000,
    );
    await killWorker();
    const ended = await until(
      () => runOf(plan.planId),
      ({ endedAt }) => endedAt !== null,
      60_000,
    );
    expect(ended).toMatchObject({ state: "completed", toHostId: to });
    expect((await world.inspect(UUID)).runningOn).toEqual([to]);
    const told = (await api.timeline(ended.migrationId)).map(({ type, hostId }) => `${type} ${hostId}`);
    expect(told.filter((one) => one === `accepted ${from}`)).toHaveLength(1);
    expect(ended.measured?.transferredBytes).toBeGreaterThan(GIB / 2);
    await until(
      () => api.readPlan(plan.planId),
      (now) => now.state === "done",
      20_000,
    );
  },
);
