// The host channel as agents have it: workerd with D1, Workflows and Durable Objects, real agents, and in between a proxy that
// cuts, delays, swallows and blocks.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Agent, type AgentConfig, startAgent } from "../../scripts/agent/agent.ts";
import { simulatedDriver } from "../../scripts/agent/simulated/driver.ts";
import { type Api, createApi } from "../../scripts/demo/api.ts";
import { type Dev, startDev } from "../../scripts/dev/server.ts";
import { GIB, MIB } from "../../worker/model/units.ts";
import { agentConfig, worldOf } from "../support/agent-config.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";

const CLUSTER = "channel";
const UUID = "e0000000-0000-4000-8000-000000000002";
const folder = mkdtempSync(join(tmpdir(), "drover-channel-"));
const world = worldOf(["hv-a", "hv-b", "hv-c"], {
  uuid: UUID,
  memoryBytes: GIB / 4,
  nonzeroRatio: 0.5,
  writes: { pagesPerSecond: 200, hotBytes: 4 * MIB, coldBytes: 8 * MIB, hotShare: 0.8 },
});

type Host = { agent: Agent; token: string; proxy: TcpProxy; lines: string[] };
let dev: Dev;
let api: Api;
const hosts = new Map<string, Host>();

async function start(hostId: string, changes: Partial<AgentConfig>): Promise<Host> {
  const [token, proxy] = [await api.agentToken(hostId), await startTcpProxy(dev.url)];
  // Telemetry brings commands too: it stays away from what is tested here.
  const own = { batchMs: 86_400_000, ...changes };
  const config = agentConfig({ folder, dev, url: proxy.url, token, hostId, cluster: CLUSTER }, own);
  const lines: string[] = [];
  const agent = await startAgent(config, simulatedDriver(world, hostId), { log: (line) => void lines.push(line) });
  const host = { agent, token, proxy, lines };
  hosts.set(hostId, host);
  return host;
}

const opened = ({ lines }: Host): number => lines.filter((line) => line.includes('"the channel is open"')).length;
const ended = ({ lines }: Host): number => lines.filter((line) => line.includes("the channel is not open")).length;
const more = (than: number) => (count: number) => count > than;

const get = async <T>(path: string): Promise<T> =>
  (await (await fetch(`${dev.url}${path}`, { headers: { authorization: `Bearer ${dev.adminToken}` } })).json()) as T;
const heardAt = async (hostId: string) => (await get<{ heardAt: number }>(`/v1/hosts/${hostId}`)).heardAt;

/** What the plan needs to know of a host; by itself the agent sends none here. */
async function load({ token }: Host, host: string, vms: Record<string, object>): Promise<void> {
  const body = { host, batch: `${host}-1`, times: [Date.now()], host_series: { cpu_used_cores: [1] }, vm_series: vms };
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answer = await fetch(`${dev.url}/v1/telemetry`, { method: "POST", headers, body: JSON.stringify(body) });
  expect(answer.status).toBe(200);
}

beforeAll(async () => {
  dev = await startDev({ port: 0, stateDir: join(folder, "worker"), isScheduled: false });
  api = createApi(dev.url, dev.adminToken);
}, 60_000);

afterAll(async () => {
  for (const { agent, proxy } of hosts.values()) {
    await agent.stop();
    await proxy.close();
  }
  await dev.stop();
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

test("whatever is in the way, the host stays heard and the channel comes back", async () => {
  const host = await start("hv-c", { heartbeatMs: 1000 });
  const { proxy } = host;
  await until(() => opened(host), more(0), 20_000);

  let before = opened(host);
  proxy.cut();
  await until(() => opened(host), more(before), 30_000);

  proxy.delayMs = 200;
  await until(() => heardAt("hv-c"), more(Date.now()), 20_000);
  proxy.delayMs = 0;

  // Nothing ends and nothing comes back: only its own clock tells the agent.
  const endings = ended(host);
  proxy.isBlackHole = true;
  await until(() => ended(host), more(endings), 30_000);
  proxy.isBlackHole = false;
  // What hung in the hole hangs still, as behind a router that has forgotten it.
  before = opened(host);
  await until(() => opened(host), more(before), 60_000);

  proxy.blocksUpgrades = true;
  proxy.cut();
  await until(
    () => host.lines.join("\n"),
    (lines) => lines.includes("403"),
    30_000,
  );
  await until(() => heardAt("hv-c"), more(Date.now()), 20_000);
  before = opened(host);
  proxy.blocksUpgrades = false;
  expect(await until(() => opened(host), more(before), 90_000)).toBe(before + 1);
}, 240_000);

test("the commands of a migration come by channels alone, which were cut before and are slow", async () => {
  // A heartbeat or telemetry would bring them too: none is due in time.
  const quiet = { heartbeatMs: 3_600_000 };
  const [a, b] = [await start("hv-a", quiet), await start("hv-b", quiet)];
  for (const host of [a, b]) {
    await until(() => opened(host), more(0), 20_000);
    host.proxy.cut();
    await until(() => opened(host), more(1), 30_000);
    host.proxy.delayMs = 20;
  }
  const vm = { cpu_used_cores: [0.5], memory_nonzero_bytes: [GIB / 8], memory_dirty_bytes_per_second: [1e6] };
  await load(a, "hv-a", { [UUID]: vm });
  await load(b, "hv-b", {});
  const plan = await api.plan(CLUSTER, "evacuate", { hostIds: ["hv-a"], mechanisms: ["pre-copy"] });
  await api.approve(plan, "e2e");
  const run = await until(
    async () => (await api.migrations(plan.planId))[0],
    (found) => found?.endedAt !== null && found?.endedAt !== undefined,
    60_000,
  );
  expect(run?.state).toBe("completed");
  expect((await world.inspect(UUID)).runningOn).toEqual(["hv-b"]);
  const taken = ({ lines }: Host) =>
    lines
      .map((line) => JSON.parse(line) as { msg: string; type: string })
      .filter(({ msg }) => msg === "a command was taken");
  expect(taken(b).map(({ type }) => type)).toEqual(["migration.prepare"]);
  expect(taken(a).map(({ type }) => type)).toEqual(["migration.start"]);
}, 120_000);
