// `POST /v1/telemetry` through workerd and a local D1: what a batch costs, against an answer that does nothing.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { startDev } from "../dev/server.ts";
import { report, seeded } from "./report.ts";
import { workerdCpuSeconds } from "./telemetry/cpu.ts";

const HOSTS = 8;
const VMS = 20;
const HOST_METRICS = [
  "cpu_used_cores",
  "memory_used_bytes",
  "power_watts",
  "network_receive_bytes_per_second",
  "cpu_pressure_ratio",
];
const VM_METRICS = [
  "cpu_used_cores",
  "memory_used_bytes",
  "memory_dirty_bytes_per_second",
  "memory_nonzero_bytes",
  "cpu_steal_ratio",
  "disk_write_bytes_per_second",
];
const SERIES = HOST_METRICS.length + VMS * VM_METRICS.length;
const BATCHES = 15;

function bodyOf(host: string, batch: number, scrapes: number, random: () => number): Uint8Array<ArrayBuffer> {
  const last = Date.now() - (BATCHES - batch) * scrapes * 15_000;
  const times = Array.from({ length: scrapes }, (_, index) => last - (scrapes - 1 - index) * 15_000);
  const values = (metric: string): number[] =>
    times.map(() =>
      metric.endsWith("bytes") ? Math.floor(random() * 1e6) * 4096 : Math.round(random() * 1000) / 1000,
    );
  const series = (metrics: string[]) => Object.fromEntries(metrics.map((metric) => [metric, values(metric)]));
  const vms = Array.from({ length: VMS }, (_, index) => `b0000000-0000-4000-8000-${String(index).padStart(12, "0")}`);
  const body = {
    host,
    batch: `${batch}`,
    times,
    host_series: series(HOST_METRICS),
    vm_series: Object.fromEntries(vms.map((vm) => [vm, series(VM_METRICS)])),
  };
  return new Uint8Array(gzipSync(JSON.stringify(body)));
}

async function timed(act: () => Promise<number>): Promise<{ cpuMsEach: number; eachSecond: number }> {
  const cpu = workerdCpuSeconds();
  const began = performance.now();
  const done = await act();
  const seconds = (performance.now() - began) / 1000;
  return { cpuMsEach: ((workerdCpuSeconds() - cpu) * 1000) / done, eachSecond: done / seconds };
}

type Send = (method: string, path: string, body?: BodyInit, more?: Record<string, string>) => Promise<number>;

async function benchBatches(send: Send, scrapes: number): Promise<void> {
  const random = seeded(scrapes);
  const hosts = Array.from({ length: HOSTS }, (_, index) => `hv-${scrapes}-${index}`);
  for (const host of hosts) await send("PUT", `/v1/hosts/${host}`, JSON.stringify(inventoryOf()));
  const rounds = Array.from({ length: BATCHES }, (_, batch) =>
    hosts.map((host) => bodyOf(host, batch, scrapes, random)),
  );
  const { cpuMsEach, eachSecond } = await timed(async () => {
    for (const bodies of rounds)
      await Promise.all(bodies.map((body) => send("POST", "/v1/telemetry", body, { "content-encoding": "gzip" })));
    return BATCHES * HOSTS;
  });
  const samples = scrapes * SERIES;
  const figure = (metric: string, value: number, unit: string): void =>
    report({ bench: "ingest", case: `${SERIES} series, ${scrapes} scrapes a batch`, metric, value, unit });
  figure("workerdCpuMs", cpuMsEach, "ms/batch");
  figure("workerdCpu", (cpuMsEach / samples) * 1000, "s/M samples");
  figure("samplesPerSecond", eachSecond * samples, "1/s");
  figure("wire", (rounds[0]?.[0]?.length ?? 0) / samples, "B/sample");
}

export async function benchIngest(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "drover-bench-"));
  const dev = await startDev({ port: 0, stateDir: folder });
  const headers = { authorization: `Bearer ${dev.adminToken}`, "content-type": "application/json" };
  const send: Send = async (method, path, body, more) => {
    const init = { method, headers: { ...headers, ...more }, ...(body === undefined ? {} : { body }) };
    const answer = await fetch(`${dev.url}${path}`, init);
    await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`);
    return 1;
  };
  try {
    const idle = await timed(async () => {
      for (let turn = 0; turn < 200; turn++) await send("GET", "/healthz");
      return 200;
    });
    const peer = { bench: "ingest", case: "GET /healthz", peer: "nothing" };
    report({ ...peer, metric: "workerdCpuMs", value: idle.cpuMsEach, unit: "ms/request" });
    for (const scrapes of [1, 4, 20]) await benchBatches(send, scrapes);
  } finally {
    await dev.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const inventoryOf = () => ({
  cluster: "bench",
  sequence: 1,
  bootId: "b",
  hypervisor: "kvm",
  driver: { name: "libvirt" },
  cpu: { cores: 32 },
  memoryBytes: 2 ** 38,
  vms: [],
});
