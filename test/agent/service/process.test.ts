// The agent as it is deployed: the bundled file, a process of its own.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { bundleAgent } from "../../../scripts/agent-bundle.ts";
import type { AgentConfig } from "../../../scripts/agent/config.ts";
import { NODE_FLAGS } from "../../../scripts/agent/service/flags.ts";
import { serveWorld } from "../../../scripts/agent/simulated/daemon.ts";
import { createWorld } from "../../../scripts/agent/simulated/world.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import { createSigner, startEdge, type Edge, type Received } from "../../support/edge.ts";
import { vmInventory } from "../builders.ts";

const TOKEN = "drv_of_this_test";
const signer = createSigner();

let folder: string;
let bundle: string;
let world: { close: () => Promise<void> };
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "drover-service-"));
  bundle = path.join(folder, "drover-agent.js");
  await bundleAgent(bundle);
  const { state: _, ...inventory } = vmInventory();
  const guest = {
    hostId: "hv-a",
    nonzeroRatio: 0.5,
    writes: { pagesPerSecond: 100, hotBytes: MIB, coldBytes: MIB, hotShare: 0.5 },
    cpu: { meanCores: 0.5 },
  };
  const hosts = [{ id: "hv-a", cores: 8, memoryBytes: 64 * GIB, linkBytesPerSecond: 1e9 }];
  const vms = [{ ...guest, inventory: { ...inventory, memoryBytes: GIB } }];
  world = await serveWorld(createWorld({ seed: 1, timeScale: 1, hosts, vms }), path.join(folder, "world"));
});
afterAll(async () => {
  await world.close();
  rmSync(folder, { recursive: true });
});

/** What Drover answers besides what the agent's own work needs. */
function ofDrover({ path: at, authorization }: Received): { status: number; body: unknown } | null {
  if (at === "/healthz") return { status: 200, body: { status: "ok", now: Date.now() } };
  if (at === "/v1/keys") return { status: 200, body: { commandPublicKeys: [signer.publicKey] } };
  if (authorization !== `Bearer ${TOKEN}`)
    return { status: 401, body: { title: "Not authenticated", detail: "The token is unknown." } };
  return at.endsWith("/channel") ? { status: 426, body: { title: "Upgrade required", detail: "" } } : null;
}

let edge: Edge;
let stateDir: string;
beforeEach(async () => {
  edge = await startEdge();
  edge.answer = ofDrover;
  stateDir = mkdtempSync(path.join(folder, "state-"));
});
afterEach(() => edge.close());

function writeConfig(changes: Partial<AgentConfig> = {}): string {
  const file = path.join(stateDir, "agent.json");
  const config: AgentConfig = {
    url: edge.url,
    token: TOKEN,
    hostId: "hv-a",
    cluster: "lab",
    stateDir,
    commandPublicKeys: [signer.publicKey],
    peerSecret: "the secret of this cluster",
    peer: { listenHost: "127.0.0.1" },
    driver: { name: "simulated", host: "hv-a", socket: path.join(folder, "world") },
    policyFile: path.join(stateDir, "policy.json"),
    stopFile: path.join(stateDir, "STOP"),
    ...changes,
  };
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}

type Said = { stdout: string; stderr: string };

function start(args: string[], env: Record<string, string> = {}): { child: ChildProcess; said: Said } {
  const said: Said = { stdout: "", stderr: "" };
  const child = spawn(process.execPath, [...NODE_FLAGS, bundle, ...args], {
    env: { PATH: process.env["PATH"], ...env },
  });
  child.stdout.on("data", (text) => (said.stdout += String(text)));
  child.stderr.on("data", (text) => (said.stderr += String(text)));
  return { child, said };
}

async function run(args: string[], env?: Record<string, string>): Promise<Said & { status: number | null }> {
  const { child, said } = start(args, env);
  const [status] = (await once(child, "close")) as [number | null];
  return { ...said, status };
}

const eventually = (look: () => void) => vi.waitFor(look, { timeout: 20_000, interval: 20 });

test("wrong usage is one line and status 2; help is on stdout", async () => {
  const [wrong, help] = [await run(["rnu"]), await run(["help"])];
  expect(wrong).toMatchObject({ status: 2, stdout: "" });
  expect(wrong.stderr).toMatch(/^drover-agent: there is no command "rnu"/);
  expect(help).toMatchObject({ status: 0, stderr: "" });
  expect(help.stdout).toContain("drover-agent status");
});

test("check tells a line for each matter, ok where nothing is missing", async () => {
  const { status, stdout } = await run(["check"], { DROVER_CONFIG: writeConfig() });
  const lines = stdout.trimEnd().split("\n");
  expect(lines.filter((line) => !/^(ok {2}|warn|fail) {2}[^:]+: ./.test(line))).toEqual([]);
  expect(lines.filter((line) => !line.startsWith("ok"))).toEqual([
    expect.stringMatching(/^warn {2}local policy: there is no .*only observes; write one/),
  ]);
  for (const about of [
    "node",
    "state",
    "disk",
    "peer port",
    "simulated hypervisor",
    "Drover",
    "clock",
    "token",
    "command keys",
  ])
    expect(stdout).toMatch(new RegExp(`^ok {4}${about}: `, "m"));
  expect(status).toBe(0);
});

test("check ends with 1 where something must be put right, and says how", async () => {
  const file = writeConfig({ commandPublicKeys: [createSigner().publicKey], peer: { listenHost: "192.0.2.1" } });
  const { status, stdout } = await run(["check", "--config", file], { DROVER_TOKEN: "drv_another" });
  expect(status).toBe(1);
  expect(stdout).toMatch(/^fail {2}token: Drover answers 401 .*make one: POST \/v1\/tokens/m);
  expect(stdout).toMatch(/^fail {2}command keys: .*pin the key/m);
  expect(stdout).toMatch(/^fail {2}peer port: .*no address of this host/m);
  expect(stdout).not.toContain("drv_another");
});

test("once sends inventory and one batch with rates, permits no moves, and says what was taken", async () => {
  const { status, stdout } = await run(["once", "--config", writeConfig()]);
  expect(status).toBe(0);
  expect(edge.to("PUT", /\/v1\/hosts\/hv-a$/).map(({ body }) => body)).toMatchObject([
    { policy: { in: false, out: false } },
  ]);
  const [batch, ...more] = edge.batches();
  expect(more).toEqual([]);
  expect(batch?.host_series?.["cpu_used_cores"]).toEqual([expect.any(Number)]);
  expect(stdout).toContain(`batch ${batch?.batch}`);
  expect(stdout).toMatch(/1 VMs; taken by http.*\n.*, 0 samples refused\n$/);
});

test("once says what Drover had against it", async () => {
  const { status, stdout } = await run(["once", "--config", writeConfig()], { DROVER_TOKEN: "drv_another" });
  expect(status).toBe(1);
  expect(stdout).toMatch(/^failed: PUT .* 401 Not authenticated: The token is unknown\.; drover-agent check/m);
});

test("status says that none runs, then how the one that runs does; a SIGTERM leaves samples in the spool and no agent", async () => {
  const file = writeConfig({ channel: "off", heartbeatMs: 200, sampleMs: 200, log: { format: "text" } });
  const none = await run(["status", "--config", file]);
  expect(none).toMatchObject({ status: 3, stdout: `no agent runs on ${stateDir}\n` });

  const { child, said } = start(["run", "--config", file]);
  await eventually(() => expect(edge.to("POST", /\/heartbeat$/).length).toBeGreaterThan(3));
  const [text, json] = [await run(["status", "--config", file]), await run(["status", "--json", "--config", file])];
  expect(text).toMatchObject({ status: 0, stderr: "" });
  expect(text.stdout).toMatch(/^heartbeat +taken \d+ s ago$/m);
  expect(JSON.parse(json.stdout)).toMatchObject({
    running: true,
    pid: child.pid,
    hostId: "hv-a",
    driver: "simulated",
    policy: "observe",
    stopped: false,
    migrations: [],
  });
  const second = await run(["once", "--config", file]);
  expect(second).toMatchObject({ status: 1, stderr: expect.stringMatching(/another agent \(pid \d+\) works on/) });

  child.kill("SIGTERM");
  expect(await once(child, "close")).toEqual([0, null]);
  expect(said.stderr).toMatch(/^\S+Z info {2}the agent runs hostId=hv-a driver=simulated /m);
  expect(readdirSync(path.join(stateDir, "spool"))).toHaveLength(1);
  expect((await run(["status", "--config", file])).status).toBe(3);
});
