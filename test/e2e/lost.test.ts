// The whole of Drover in one process tree: workerd with D1 and Workflows, two agents, a simulated hypervisor in real time.
// The source's agent dies in mid-migration; what Drover knows then, and what it learns when the agent comes back.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Agent, startAgent } from "../../scripts/agent/agent.ts";
import { simulatedDriver } from "../../scripts/agent/simulated/driver.ts";
import { type Api, createApi } from "../../scripts/demo/api.ts";
import { type Dev, startDev } from "../../scripts/dev/server.ts";
import { GIB, MIB } from "../../worker/model/units.ts";
import type { MigrationRun } from "../../worker/model/run.ts";
import { agentConfig, BRISK, worldOf } from "../support/agent-config.ts";
import { until } from "../support/until.ts";

const CLUSTER = "e2e";
const UUID = "e0000000-0000-4000-8000-000000000001";
const folder = mkdtempSync(join(tmpdir(), "drover-e2e-"));
const world = worldOf(["hv-a", "hv-b"], {
  uuid: UUID,
  memoryBytes: 2 * GIB,
  nonzeroRatio: 0.8,
  writes: { pagesPerSecond: 500, hotBytes: 16 * MIB, coldBytes: 64 * MIB, hotShare: 0.8 },
});
let dev: Dev;
let api: Api;
const agents = new Map<string, Agent>();

async function startOn(hostId: string, token: string): Promise<void> {
  const config = agentConfig({ folder, dev, url: dev.url, token, hostId, cluster: CLUSTER }, BRISK);
  agents.set(hostId, await startAgent(config, simulatedDriver(world, hostId), { log: () => undefined }));
}

beforeAll(async () => {
  dev = await startDev({ port: 0, stateDir: join(folder, "worker") });
  api = createApi(dev.url, dev.adminToken);
}, 60_000);

afterAll(async () => {
  for (const agent of agents.values()) await agent.stop();
  await dev.stop();
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

test("an agent that dies in mid-migration leaves the run lost, with its claim; its return brings the truth, and the VM never ran twice", async () => {
  const token = await api.agentToken("hv-a");
  await startOn("hv-a", token);
  await startOn("hv-b", await api.agentToken("hv-b"));
  const known = await until(
    () => api.fleet(CLUSTER),
    (hosts) => hosts.length === 2 && hosts.every((host) => host.latest?.host["cpu_used_cores"] !== undefined),
    20_000,
  );
  expect(known.find((host) => host.hostId === "hv-a")?.vmUuids).toEqual([UUID]);
  const parameters = { hostIds: ["hv-a"], mechanisms: ["pre-copy" as const], bandwidthBytesPerSecondMax: 100 * MIB };
  const plan = await api.plan(CLUSTER, "evacuate", parameters);
  await api.approve(plan, "e2e");
  const run = async (): Promise<MigrationRun> => {
    const [found] = await api.migrations(plan.planId);
    if (!found) throw new Error("the plan has no run");
    return found;
  };
  await until(run, (now) => now.state === "pre-copying" && now.progress !== null, 30_000);
  agents.get("hv-a")?.kill();

  const lost = await until(run, (now) => now.state === "lost" || now.endedAt !== null, 100_000);
  expect(lost).toMatchObject({ state: "lost", endedAt: null, failure: { reason: "silent" } });
  // Without the source's proof the destination's side never ran, however long the source was silent.
  expect((await world.inspect(UUID)).runningOn.length).toBeLessThan(2);
  expect((await world.inspect(UUID)).runningOn).not.toContain("hv-b");

  await startOn("hv-a", token);
  const ended = await until(run, (now) => now.endedAt !== null, 60_000);
  expect(ended.state).toBe("completed");
  expect(ended.measured?.transferredBytes).toBeGreaterThan(GIB);
  expect((await world.inspect(UUID)).runningOn).toEqual(["hv-b"]);
}, 200_000);
