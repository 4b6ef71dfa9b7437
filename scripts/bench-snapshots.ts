// `node scripts/bench-snapshots.ts`: what one read of a cluster costs the advisor: rows, CPU, heap. JSON lines on stdout, a table
// on stderr. Machines are shared: compare figures of one run.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { printTable, report } from "./bench/report.ts";
import { batchOf, hostName, inventoryOf, STEP_MS } from "./bench/snapshots/fleet.ts";
import { workerdCpuSeconds } from "./bench/telemetry/cpu.ts";
import { type Heap, watchHeap } from "./bench/telemetry/heap.ts";
import { freePort } from "./bench/telemetry/peers.ts";
import { call, inLanes, sleep } from "./bench/telemetry/send.ts";
import { type Dev, startDev } from "./dev/server.ts";

const { values } = parseArgs({
  options: {
    hosts: { type: "string", default: "200" },
    minutes: { type: "string", default: "60" },
    scrapes: { type: "string", default: "4" },
    times: { type: "string", default: "5" },
    heap: { type: "boolean", default: false },
  },
});
const hosts = Number(values.hosts);
const times = Number(values.times);
const minutes = Number(values.minutes);
const scrapes = Number(values.scrapes);

const HOUR_MS = 3_600_000;
/** Twenty past: half of the last half hour lies in the hour before. */
const NOW = Math.floor(Date.now() / HOUR_MS) * HOUR_MS + 20 * 60_000;
const MB = 1e6;
const SETTLE_MS = 1500;

const stateDir = mkdtempSync(join(tmpdir(), "drover-bench-"));
const inspectorPort = values.heap ? await freePort() : undefined;
const start = (): Promise<Dev> =>
  startDev({
    port: 0,
    stateDir,
    isScheduled: false,
    entry: resolve(import.meta.dirname, "bench/snapshots/worker.ts"),
    bindings: { NOW: String(NOW) },
    ...(inspectorPort === undefined ? {} : { inspectorPort }),
  });
let dev = await start();
const headers = { authorization: `Bearer ${dev.adminToken}`, "content-type": "application/json" };

async function fill(): Promise<void> {
  const indexes = Array.from({ length: hosts }, (_, index) => index);
  await inLanes(indexes, hostName, async (host, agent) => {
    await call(`${dev.url}/v1/hosts/${hostName(host)}`, {
      method: "PUT",
      headers,
      body: JSON.stringify(inventoryOf(host)),
      agent,
    });
    const spanMs = minutes * 60_000;
    for (let until = NOW - spanMs + scrapes * STEP_MS; until <= NOW; until += scrapes * STEP_MS)
      await call(`${dev.url}/v1/telemetry`, { method: "POST", headers, body: batchOf(host, until, scrapes), agent });
  });
}

type Read = Record<string, number>;
const read = async (what: string): Promise<Read> =>
  JSON.parse((await call(`${dev.url}/bench/${what}`, { headers })).toString()) as Read;

/** How many hours are closed and not packed yet. */
async function hoursToPack(): Promise<number> {
  const status = JSON.parse((await call(`${dev.url}/v1/status`, { headers })).toString()) as {
    telemetry: { hoursToPack: number };
  };
  return status.telemetry.hoursToPack;
}

const figure = (name: string, metric: string, value: number, unit: string): void =>
  report({ bench: "snapshots", case: `${name}-${hosts}`, metric, value, unit });

/** An isolate that remembers nothing of what it took in. */
async function restart(): Promise<void> {
  await dev.stop();
  dev = await start();
}

/** The heap is looked at in a run of its own: an inspector makes everything else slower. */
async function measureHeap(name: string, what: string, port: number): Promise<void> {
  await restart();
  await call(`${dev.url}/healthz`, {});
  const heap: Heap = await watchHeap(port, true);
  await sleep(SETTLE_MS);
  const before = heap.peak();
  for (let turn = 0; turn < times; turn++) await read(what);
  figure(name, "heapMegabytesMax", (heap.peak() - before) / MB, "MB");
  heap.close();
}

async function measureCost(name: string, what: string): Promise<void> {
  const counts = await read(what);
  for (const [metric, value] of Object.entries(counts)) figure(name, metric, value, "count");
  const [cpu, began] = [workerdCpuSeconds(), performance.now()];
  for (let turn = 0; turn < times; turn++) await read(what);
  figure(name, "cpuMs", ((workerdCpuSeconds() - cpu) * 1000) / times, "ms");
  figure(name, "wallMs", (performance.now() - began) / times, "ms");
}

const measure = (name: string, what: string): Promise<void> =>
  inspectorPort === undefined ? measureCost(name, what) : measureHeap(name, what, inspectorPort);

try {
  await fill();
  await restart();
  await measure("facts-live", "facts");
  await measure("recent-live", "recent");
  while ((await hoursToPack()) > 0) await read("schedule");
  await restart();
  await measure("facts-packed", "facts");
  await measure("recent-packed", "recent");
  printTable();
} finally {
  await dev.stop();
  rmSync(stateDir, { recursive: true, force: true });
}
process.exit();
