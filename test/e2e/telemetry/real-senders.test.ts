// Prometheus, vmagent and OpenTelemetry's SDK send this machine's and a libvirt VM's metrics to Drover; then Prometheus
// and Drover are asked the same questions.
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Dev, startDev } from "../../../scripts/dev/server.ts";
import { GIB } from "../../../worker/model/units.ts";
import { startOtel } from "../../support/senders/otel.ts";
import { type Running, whyNoSenders } from "../../support/senders/process.ts";
import {
  type Asking,
  createAsking,
  type Jobs,
  type Sample,
  startLibvirtExporter,
  startNodeExporter,
  startPrometheus,
  startVmagent,
  TEST_VM,
} from "../../support/senders/prometheus.ts";
import { until } from "../../support/until.ts";

const REMOTE_WRITE = "/v1/prometheus/write";
const OTLP = "/v1/otlp/v1/metrics";
const CLUSTER = "e2e";
const HOSTS = { prometheus: "hv-01", vmagent: "hv-02", otel: "hv-03" };
/** Scrapes that are compared, one a second. */
const SCRAPES = 20;
const LIMIT_MS = 60_000;

const missing = whyNoSenders();
// oxlint-disable-next-line no-console -- what is left out must be seen
if (missing !== null) console.warn(`real senders of telemetry are not tested: ${missing}`);

const running: Running[] = [];
let stateDir = "";
let dev: Dev;
let ingestToken: string;
let paths: Record<string, unknown>;
let jobs: Jobs;

function isMissing(path: string): boolean {
  // oxlint-disable-next-line no-console -- what is left out must be seen
  if (!(path in paths)) console.warn(`not tested: this Drover has no ${path}`);
  return !(path in paths);
}

async function call<T>(method: string, path: string, token: string, body?: unknown): Promise<T> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const response = await fetch(`${dev.url}${path}`, {
    method,
    headers,
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}

async function makeToken(body: Record<string, unknown>): Promise<string> {
  return (await call<{ token: string }>("POST", "/v1/tokens", dev.adminToken, { name: "e2e", ...body })).token;
}

/** A host of this cluster with libvirt's test VM or none. */
async function register(hostId: string, uuids: string[]): Promise<void> {
  const token = await makeToken({ scopes: ["agent"], hostId });
  const facts = { cluster: CLUSTER, sequence: 1, bootId: "b", hypervisor: "kvm", driver: { name: "libvirt" } };
  const size = { cpu: { cores: availableParallelism() }, memoryBytes: 1024 * GIB };
  const vm = { name: "test", state: "running", vcpus: 2, memoryBytes: 8 * GIB };
  await call("PUT", `/v1/hosts/${hostId}`, token, { ...facts, ...size, vms: uuids.map((uuid) => ({ uuid, ...vm })) });
}

type Series = { metric: string; values: (number | null)[] };

/** What Drover has of a series at times that are a step or more apart; null: nothing. */
async function inDrover(of: Record<string, string>, metric: string, times: readonly number[], stepMs = 1000) {
  // Half a step on either side: a scrape may be some milliseconds early or late.
  const from = (times[0] ?? 0) - stepMs / 2;
  const to = (times.at(-1) ?? 0) + stepMs / 2;
  const query = new URLSearchParams({ ...of, metric, from: `${from}`, to: `${to}`, step: `${stepMs}`, agg: "last" });
  const { series } = await call<{ series: Series[] }>("GET", `/v1/series?${query}`, dev.adminToken);
  return times.map((time) => series[0]?.values[Math.floor((time - from) / stepMs)] ?? null);
}

/** The same, once all of it is there. */
const allInDrover = (of: Record<string, string>, metric: string, times: readonly number[], stepMs?: number) =>
  until(
    () => inDrover(of, metric, times, stepMs),
    (values) => values.every((value) => value !== null),
    LIMIT_MS,
  );

/** Scrapes of a series that both sides can answer about: the first ones have no rate yet. */
async function scrapesOf(asking: Asking, selector: string): Promise<Sample[]> {
  const now = Date.now();
  const recent = await until(
    () => asking.raw(selector, now - 5000, Date.now()),
    (samples) => samples.length >= SCRAPES + 5,
    LIMIT_MS,
  );
  return recent.slice(3, SCRAPES + 3);
}

beforeAll(async () => {
  if (missing !== null) return;
  stateDir = mkdtempSync(join(tmpdir(), "drover-senders-"));
  dev = await startDev({ port: 0, stateDir, isScheduled: false });
  ({ paths } = await call<{ paths: Record<string, unknown> }>("GET", "/openapi.json", dev.adminToken));
  ingestToken = await makeToken({ scopes: ["ingest"], cluster: CLUSTER });
  await register(HOSTS.prometheus, [TEST_VM]);
  await register(HOSTS.vmagent, []);
  await register(HOSTS.otel, []);
  const [node, libvirt] = await Promise.all([startNodeExporter(), startLibvirtExporter()]);
  running.push(node, libvirt);
  jobs = { node, libvirt };
}, 120_000);

afterAll(async () => {
  await Promise.all(running.map(({ stop }) => stop()));
  await (dev as Dev | undefined)?.stop();
  if (stateDir !== "") rmSync(stateDir, { recursive: true, force: true });
}, 60_000);

/** Where it differs by more than rates are rounded to: six digits. */
function differences(expected: readonly Sample[], got: readonly (number | null)[]): unknown[] {
  return expected.flatMap(([time, value], index) => {
    const found = got[index] ?? Number.NaN;
    return Math.abs(found - value) <= 1e-5 * Math.max(1, Math.abs(value)) ? [] : [{ time, expected: value, found }];
  });
}

const remoteWrite = () => ({ url: `${dev.url}${REMOTE_WRITE}?host_label=host&vm_label=uuid`, token: ingestToken });
const inHost = { host: HOSTS.prometheus };
const inVm = { vm: TEST_VM, cluster: CLUSTER };

describe.skipIf(missing !== null)("remote write", { timeout: 180_000 }, () => {
  test("what Prometheus scraped, Drover answers: gauges as they are, counters as rates", async ({ skip }) => {
    skip(isMissing(REMOTE_WRITE));
    const prometheus = await startPrometheus(remoteWrite(), inHost, jobs);
    running.push(prometheus);
    const asking = createAsking(prometheus);
    const [host, vm] = await Promise.all([
      scrapesOf(asking, "node_load1"),
      scrapesOf(asking, "libvirt_domain_info_virtual_cpus"),
    ]);
    const hostTimes = host.map(([time]) => time);
    const vmTimes = vm.map(([time]) => time);

    const same: [typeof inHost | typeof inVm, string, number[]][] = [
      [inHost, "node_load1", hostTimes],
      [inHost, "node_load5", hostTimes],
      [inHost, "node_boot_time_seconds", hostTimes],
      [inVm, "libvirt_domain_info_virtual_cpus", vmTimes],
    ];
    for (const [of, metric, times] of same) {
      const expected = await asking.at(metric, times);
      expect({ metric, values: await allInDrover(of, metric, times) }).toEqual({
        metric,
        values: expected.map(([, value]) => value),
      });
    }
    const mapped: [typeof inHost | typeof inVm, string, number[], string][] = [
      [inHost, "cpu_used_cores", hostTimes, 'sum(irate(node_cpu_seconds_total{mode!~"idle|iowait"}[5s]))'],
      [inHost, "memory_used_bytes", hostTimes, "node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes"],
      [inVm, "cpu_used_cores", vmTimes, "irate(libvirt_domain_info_cpu_time_seconds_total[5s])"],
      [inVm, "disk_read_bytes_per_second", vmTimes, "sum(irate(libvirt_domain_block_stats_read_bytes_total[5s]))"],
      [inVm, "disk_write_bytes_per_second", vmTimes, "sum(irate(libvirt_domain_block_stats_write_bytes_total[5s]))"],
      [
        inVm,
        "network_receive_bytes_per_second",
        vmTimes,
        "sum(irate(libvirt_domain_interface_stats_receive_bytes_total[5s]))",
      ],
    ];
    for (const [of, metric, times, expression] of mapped) {
      const expected = await asking.at(expression, times);
      expect(expected).toHaveLength(times.length);
      const found = await allInDrover(of, metric, times);
      expect({ ...of, metric, differences: differences(expected, found) }).toEqual({ ...of, metric, differences: [] });
    }
  });

  test("vmagent's samples arrive, and the counters among them as rates", async ({ skip }) => {
    skip(isMissing(REMOTE_WRITE));
    const of = { host: HOSTS.vmagent };
    running.push(await startVmagent(remoteWrite(), of, { node: jobs["node"] as Running }));
    // With a sample a second there is one in any three of them, however busy the machine is. The first has no rate.
    const stepMs = 3000;
    const times = Array.from({ length: 5 }, (_, step) => Date.now() + (step + 2) * stepMs);
    const [booted] = await allInDrover(of, "node_boot_time_seconds", times, stepMs);
    const exported = await (await fetch(`${jobs["node"]?.url}/metrics`)).text();
    expect(booted).toBe(Number(/^node_boot_time_seconds (\S+)$/m.exec(exported)?.[1]));
    for (const cores of await allInDrover(of, "cpu_used_cores", times, stepMs)) {
      expect(cores).toBeGreaterThanOrEqual(0);
      expect(cores).toBeLessThanOrEqual(availableParallelism() * 1.1);
    }
  });
});

describe.skipIf(missing !== null).each(["json", "protobuf"] as const)("OTLP as %s", { timeout: 120_000 }, (format) => {
  test("what the SDK measured, Drover answers", async ({ skip }) => {
    skip(isMissing(OTLP));
    const otel = startOtel({ url: `${dev.url}${OTLP}`, token: ingestToken }, format, { "host.name": HOSTS.otel });
    try {
      const metric = `drover_test_level_${format}`;
      const gauge = otel.provider.getMeter("e2e").createGauge(metric);
      gauge.record(41.5);
      const latest = async (): Promise<number | null> => {
        const now = Date.now();
        const times = Array.from({ length: 10 }, (_, second) => now - (10 - second) * 1000);
        return (await inDrover({ host: HOSTS.otel }, metric, times)).findLast((value) => value !== null) ?? null;
      };
      expect(await until(latest, (value) => value !== null, LIMIT_MS)).toBe(41.5);
      gauge.record(42.25);
      expect(await until(latest, (value) => value !== 41.5, LIMIT_MS)).toBe(42.25);
    } finally {
      await otel.stop();
    }
  });
});
