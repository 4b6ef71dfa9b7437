// What the spool guarantees: an outage of a day loses nothing, and whatever is lost is counted.
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createApi } from "../../scripts/agent/api.ts";
import { buildBatch } from "../../scripts/agent/collect.ts";
import { parseConfig } from "../../scripts/agent/config.ts";
import { createLife, type Life } from "../../scripts/agent/life.ts";
import { parseRetryAfter, retryDelayMs } from "../../scripts/agent/retry.ts";
import { openSpool, SPOOL_BYTES_MAX, type Spool } from "../../scripts/agent/spool.ts";
import { CATALOGUE } from "../../worker/model/telemetry/catalogue.ts";
import { HOUR_MS } from "../../worker/model/units.ts";
import type { TelemetryBatch } from "../../worker/model/wire/telemetry.ts";
import { createBench, type Bench } from "./builders.ts";

describe("waiting before the next attempt", () => {
  const nowMs = Date.UTC(2026, 0, 1);
  test.each([
    ["120", 120_000],
    [" 0 ", 0],
    ["Thu, 01 Jan 2026 00:00:07 GMT", 7000],
    ["Wed, 31 Dec 2025 00:00:00 GMT", 0],
    ["99999999999", HOUR_MS],
    ["-5", null],
    ["1.5", null],
    ["soon", null],
    ["", null],
    [null, null],
  ])("Retry-After %j asks for %s ms", (header, ms) => expect(parseRetryAfter(header, nowMs)).toBe(ms));

  test("doubles up to a minute, is spread, and is never shorter than what was asked for", () => {
    const failures = fc.integer({ min: 1, max: 2000 });
    const asked = fc.option(fc.integer({ min: 0, max: HOUR_MS }));
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(failures, asked, random, (count, retryAfterMs, at) => {
        const ceiling = Math.min(500 * 2 ** (count - 1), 60_000);
        const delay = retryDelayMs(count, retryAfterMs, at);
        expect(delay).toBeGreaterThanOrEqual(Math.max(ceiling / 2, retryAfterMs ?? 0));
        expect(delay).toBeLessThanOrEqual(Math.max(ceiling, (retryAfterMs ?? 0) * 1.25));
      }),
      { seed: 1 },
    );
    expect(retryDelayMs(1, 10_000, 0)).not.toBe(retryDelayMs(1, 10_000, 0.9));
  });
});

const MINUTES = 24 * 60;
const uuids = Array.from({ length: 50 }, (_, n) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`);

/** Figures that nothing can compress: rates and ratios with all their digits, whole bytes. */
function figures(scope: "host" | "vm", random: () => number): Record<string, number> {
  const metrics = CATALOGUE.filter((one) => one.scope === "both" || one.scope === scope).slice(0, 16);
  return Object.fromEntries(
    metrics.map(({ name, kind }) => [name, kind === "bytes" ? Math.floor(random() * 2 ** 34) : random() * 100]),
  );
}

/** A minute of a host with 50 VMs: four samples, and the dirty curves of those ten whose turn it is. */
function minuteOf(minute: number, random: () => number): TelemetryBatch {
  const samples = [0, 15, 30, 45].map((second) => ({
    at: Date.UTC(2026, 0, 1) + minute * 60_000 + second * 1000,
    sample: { host: figures("host", random), vms: Object.fromEntries(uuids.map((id) => [id, figures("vm", random)])) },
  }));
  const due = uuids.filter((_, n) => n % 5 === minute % 5);
  const point = (n: number): [number, number] => [100 * 2 ** n, Math.floor(random() * 2 ** 30)];
  const curve = { at: samples[0]?.at ?? 0, method: "page-sampling" as const, points: [0, 1, 2, 3, 4, 5].map(point) };
  const states = Object.fromEntries(uuids.map((id) => [id, "running" as const]));
  return buildBatch(
    { host: "hv-a", batch: `minute ${minute}` },
    samples,
    Object.fromEntries(due.map((id) => [id, curve])),
    states,
  );
}

/** xorshift32: the same figures in every run. */
function createRandom(): () => number {
  let state = 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const small = (n: number): TelemetryBatch => ({
  host: "hv-a",
  batch: `b${n}`,
  times: [n, n + 1],
  host_series: { a: [1, null] },
  vm_series: { x: { a: [1, 2] } },
});
const SMALL_SAMPLES = 3;

describe("with an edge", () => {
  let bench: Bench;
  let stateDir: string;
  let lines: string[];
  let lives: Life[];
  beforeEach(async () => {
    bench = await createBench();
    stateDir = mkdtempSync(path.join(tmpdir(), "drover-spool-"));
    [lines, lives] = [[], []];
  });
  afterEach(async () => {
    for (const life of lives) life.kill();
    await bench.close();
    rmSync(stateDir, { recursive: true });
  });

  /** The spool as a new life of the agent finds it. */
  const open = (bytesMax = SPOOL_BYTES_MAX): Spool => {
    const log = (level: string, msg: string, fields = {}) => void lines.push(JSON.stringify({ level, msg, ...fields }));
    const life = createLife(log);
    lives.push(life);
    const api = createApi(parseConfig(bench.host("hv-a").config), life);
    let at = lives.length * 1_000_000;
    return openSpool({ stateDir, bytesMax, api, life, log, now: () => at++, random: () => 0, onCommands: () => {} });
  };
  const arrived = () => bench.edge.batches().map(({ batch }) => batch);
  const bytesOnDisk = () => {
    const folder = path.join(stateDir, "spool");
    return readdirSync(folder).reduce((sum, name) => sum + statSync(path.join(folder, name)).size, 0);
  };

  test("a day of a host with 50 VMs waits while Drover is away, and arrives in order with nothing lost", async () => {
    bench.edge.down = true;
    const random = createRandom();
    const first = open();
    const sending = first.send();
    for (let minute = 0; minute < MINUTES; minute++) first.put(minuteOf(minute, random));
    expect(first.waiting()).toBe(MINUTES);
    expect(bytesOnDisk()).toBeLessThanOrEqual(SPOOL_BYTES_MAX);
    await lives[0]?.stop(1000);
    await sending;

    bench.edge.down = false;
    const second = open();
    expect(second.waiting()).toBe(MINUTES);
    await second.send();
    expect(arrived()).toEqual(Array.from({ length: MINUTES }, (_, minute) => `minute ${minute}`));
    expect(second.losses()).toEqual({ droppedBatches: 0, droppedSamples: 0, refusedSamples: 0 });
    expect(bytesOnDisk()).toBe(0);
  }, 120_000);

  test("where the bound is too small the oldest is dropped and counted, over restarts", async () => {
    bench.edge.down = true;
    const first = open(1000);
    for (let n = 0; n < 25; n++) first.put(small(n));
    expect(first.losses().droppedBatches).toBe(25 - first.waiting());
    const second = open(1000);
    expect(second.losses()).toEqual(first.losses());
    for (let n = 25; n < 50; n++) second.put(small(n));
    expect(bytesOnDisk()).toBeLessThanOrEqual(1000);
    const { droppedBatches, droppedSamples } = second.losses();
    expect(droppedBatches + second.waiting()).toBe(50);
    expect(droppedSamples).toBe(droppedBatches * SMALL_SAMPLES);

    bench.edge.down = false;
    await second.send();
    expect(arrived()).toEqual(Array.from({ length: 50 - droppedBatches }, (_, n) => `b${n + droppedBatches}`));
  });

  test.each([400, 409, 413])("a batch answered %i is dropped, counted and told with the reason", async (status) => {
    bench.edge.answer = ({ body }) =>
      (body as TelemetryBatch).batch === "b1" ? { status, body: { title: "no", detail: "because" } } : null;
    const spool = open();
    for (let n = 0; n < 3; n++) spool.put(small(n));
    await spool.send();
    expect(arrived()).toEqual(["b0", "b2"]);
    expect(spool.losses()).toEqual({ droppedBatches: 1, droppedSamples: SMALL_SAMPLES, refusedSamples: 0 });
    expect(lines.join("\n")).toContain("no: because");
  });

  test("samples that Drover left out of a batch are counted", async () => {
    const taken = { batch: "b", stored: 1, refused: [], refusedCount: 2, commands: [] };
    bench.edge.answer = () => ({ status: 200, body: taken });
    const spool = open();
    spool.put(small(0));
    spool.put(small(1));
    await spool.send();
    expect(open().losses()).toEqual({ droppedBatches: 0, droppedSamples: 0, refusedSamples: 4 });
  });

  test.each([
    [401, null, 250],
    [404, null, 250],
    [429, "1", 1000],
    [500, null, 250],
    [503, "1", 1000],
  ])("a batch answered %i with Retry-After %s is not lost, and sent again after %i ms", async (status, asked, ms) => {
    const headers: Record<string, string> = asked === null ? {} : { "retry-after": asked };
    let attempts = 0;
    bench.edge.answer = () => (attempts++ < 1 ? { status, body: {}, headers } : null);
    const spool = open();
    spool.put(small(0));
    await spool.send();
    expect(arrived()).toEqual(["b0"]);
    expect(spool.losses().droppedBatches).toBe(0);
    expect(lines.join("\n")).toContain(`"retryMs":${ms},`);
  });

  test("files that hold nothing to send or to count do not stand in the way", async () => {
    bench.edge.answer = ({ body }) => (body === null ? { status: 400, body: { title: "empty" } } : null);
    writeFileSync(path.join(stateDir, "losses.json"), "{");
    const before = open();
    before.put(small(0));
    const [name = ""] = readdirSync(path.join(stateDir, "spool"));
    writeFileSync(path.join(stateDir, "spool", name), gzipSync(""));
    const spool = open();
    spool.put(small(1));
    await spool.send();
    expect(arrived()).toEqual(["b1"]);
    expect(spool.losses()).toEqual({ droppedBatches: 1, droppedSamples: 0, refusedSamples: 0 });
  });
});
