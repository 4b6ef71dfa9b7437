import { env } from "cloudflare:workers";
import { drizzle } from "drizzle-orm/d1";
import { describe, expect, test } from "vitest";
import { chunkId, PART_BYTES_MAX } from "../../worker/model/telemetry/chunk-id.ts";
import { telemetryStore } from "../../worker/store/telemetry.ts";
import { tokenFor } from "../support/api.ts";
import {
  ADMIN,
  batchOf,
  call,
  freshHostForEachTest,
  HOUR,
  lab,
  latestOf,
  MINUTE,
  NOW,
  post,
  read,
  register,
  samples,
  VM,
} from "../support/telemetry.ts";

freshHostForEachTest();

describe("a batch", () => {
  test("that is answered is stored: samples, latest values and averages", async () => {
    const { status, body } = await post({
      times: [lab.now - 15_000, lab.now],
      host_series: { cpu_used_cores: [11.25, 12.5], memory_used_bytes: [88_046_829_568, null] },
      vm_series: { [VM]: { cpu_used_cores: [0.8, -0] } },
      vm_dirty_curves: { [VM]: { at: lab.now, method: "page-sampling", points: [[1000, 217_055_232]] } },
    });
    expect(status).toBe(200);
    expect(body).toEqual({ batch: "b1", stored: 5, refused: [], refusedCount: 0, commands: [] });
    expect(await samples("cpu_used_cores")).toEqual([11.25, 12.5]);
    expect(await latestOf(lab.host)).toMatchObject({
      host: {
        cpu_used_cores: [lab.now, 12.5, 11.2926],
        memory_used_bytes: [lab.now - 15_000, 88_046_829_568, 88_046_800_000],
      },
      vms: { [VM]: { curve: { at: lab.now, points: [[1000, 217_055_232]] } } },
    });
  });

  test("sent again is answered the same and stored once; under the same id nothing else is taken", async () => {
    const sent = { host_series: { a: [1, 2], bad: [1] }, times: [lab.now - 1000, lab.now] };
    const first = await post(sent);
    lab.now += MINUTE;
    const again = await post(sent);
    expect(again.body).toEqual(first.body);
    expect(again.body).toMatchObject({ stored: 2, refusedCount: 1 });
    const { bytes } = (await chunkOf(NOW)) ?? { bytes: 0 };
    const other = await post({ ...sent, host_series: { a: [1, 3] } });
    expect(other).toMatchObject({ status: 409, body: { type: "/problems/batch-conflict" } });
    expect((await chunkOf(NOW))?.bytes).toBe(bytes);
  });

  test("whose samples were stored before under another id merges with them: the later wins", async () => {
    const times = [lab.now - 2000, lab.now - 1000, lab.now];
    await post({ batch: "b1", times, host_series: { a: [1, 2, 3] } });
    await post({ batch: "b2", times, host_series: { a: [1, 2, 3] } });
    await post({ batch: "b3", times: times.slice(1), host_series: { a: [20, null] } });
    expect(await samples("a")).toEqual([1, 20, 3]);
  });

  test("with late samples is stored whole, but only the last hour touches latest values", async () => {
    await post({
      batch: "b1",
      times: [lab.now - 47 * HOUR, lab.now - 2 * HOUR],
      host_series: { a: [1, 2], b: [3, 4] },
    });
    expect(await samples("a", lab.now - 48 * HOUR + 1)).toEqual([1, 2]);
    await post({ batch: "b2", times: [lab.now - 30 * MINUTE], host_series: { a: [5] } });
    expect((await latestOf(lab.host))?.host).toEqual({ a: [lab.now - 30 * MINUTE, 5, 5] });
  });

  test("with future or too old samples and malformed series: those are refused, the rest is kept", async () => {
    const { status, body } = await post({
      times: [lab.now - 48 * HOUR - 1, lab.now, lab.now + 6 * MINUTE],
      host_series: { a: [1, 2, 3], cpu_pressure_ratio: [0, 2, 0], bad: 7 },
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({ stored: 1, refusedCount: 4 });
    expect(body["refused"]).toMatchObject([
      { series: "times", index: 0 },
      { series: "times", index: 2 },
      { series: "host_series.cpu_pressure_ratio", index: 1 },
      { series: "host_series.bad" },
    ]);
    expect(await samples("a", lab.now - HOUR, lab.now + HOUR)).toEqual([2]);
  });

  test("of a host that is not registered, or that is not the token's, is refused", async () => {
    expect(await post({ host: "hv-nobody" }, ADMIN)).toMatchObject({ status: 404 });
    await register("hv-other");
    expect(await post({ host: "hv-other" })).toMatchObject({ status: 403 });
    const elsewhere = await tokenFor(["ingest"], { cluster: "elsewhere" });
    expect(await post({}, elsewhere)).toMatchObject({ status: 404, body: { type: "/problems/host-not-found" } });
    const reader = await tokenFor(["read"], {});
    expect(await post({}, reader)).toMatchObject({ status: 403 });
    expect(await call("GET", `/v1/series?host=${lab.host}&metric=a`, lab.token)).toMatchObject({ status: 403 });
  });

  test("says of the host that it lives, if it has run states and reaches to the present", async () => {
    const heardAt = async () => (await read<{ heardAt: number }>(`/v1/hosts/${lab.host}`)).heardAt;
    lab.now += HOUR;
    await post({ batch: "b1", times: [lab.now], host_series: { a: [1] } });
    await post({ batch: "b2", times: [lab.now - MINUTE], vm_states: { [VM]: "running" } });
    expect(await heardAt()).toBe(NOW);
    await post({ batch: "b3", times: [lab.now - MINUTE, lab.now], vm_states: { [VM]: "running" } });
    expect(await heardAt()).toBe(lab.now);
  });
});

async function chunkOf(time: number, part = 0): Promise<{ bytes: number } | null> {
  const id = chunkId({ hostNumber: lab.hostNumber, tier: "raw", hour: Math.floor(time / HOUR), part });
  return env.DB.prepare("SELECT length(data) AS bytes FROM chunks WHERE id = ?").bind(id).first<{ bytes: number }>();
}

describe("the write path", () => {
  test("of parallel posts loses nothing: each is stored, or told to come again", async () => {
    const send = async (index: number): Promise<number> => {
      const { status, headers } = await post({
        batch: `b${index}`,
        times: [lab.now - index * 1000],
        host_series: { a: [index], [`only_${index}`]: [index] },
      });
      return status === 503 && headers.get("retry-after") === "2" ? send(index) : status;
    };
    const indexes = Array.from({ length: 20 }, (_, index) => index);
    expect(await Promise.all(indexes.map(send))).toEqual(indexes.map(() => 200));
    expect(await samples("a")).toEqual(indexes.toReversed());
    expect(Object.keys((await latestOf(lab.host))?.host ?? {})).toHaveLength(21);
    const state = await env.DB.prepare("SELECT version, batches FROM host_state WHERE host_number = ?")
      .bind(lab.hostNumber)
      .first<{ version: number; batches: string }>();
    expect((JSON.parse(state?.batches ?? "[]") as unknown[]).length).toBe(20);
  });

  test("with a version that is not the present one writes nothing at all", async () => {
    const store = telemetryStore(drizzle(env.DB));
    await post({ host_series: { a: [1] } });
    const known = await store.read(lab.host, null);
    const id = chunkId({ hostNumber: lab.hostNumber, tier: "raw", hour: NOW / HOUR, part: 5 });
    const write = {
      hostNumber: lab.hostNumber,
      version: (known?.version ?? 0) - 1,
      appends: [{ id, data: new Uint8Array([1]) }],
      latest: { host: {}, vms: {} },
      batches: [],
      heard: null,
    };
    expect(await store.append(write)).toBe(false);
    expect(await store.read(lab.host, { fromHour: NOW / HOUR, toHour: NOW / HOUR })).toMatchObject({
      ...known,
      parts: [{ bytes: (await chunkOf(NOW))?.bytes }],
    });
    expect(await store.append({ ...write, version: known?.version ?? 0 })).toBe(true);
    expect(await store.append({ ...write, version: known?.version ?? 0 })).toBe(false);
  });

  test("appends bytes as they are, and goes on in the next part when one is full", async () => {
    const store = telemetryStore(drizzle(env.DB));
    const full = chunkId({ hostNumber: lab.hostNumber, tier: "raw", hour: NOW / HOUR, part: 0 });
    // A row that is nearly full: one frame of samples, then room is up.
    await post({ batch: "b1", host_series: { a: [1] } });
    await env.DB.prepare("UPDATE chunks SET data = zeroblob(?) WHERE id = ?")
      .bind(PART_BYTES_MAX - 10, full)
      .run();
    await post({ batch: "b2", times: [lab.now + 1000], host_series: { a: [2] } });
    expect((await chunkOf(NOW))?.bytes).toBe(PART_BYTES_MAX - 10);
    expect((await chunkOf(NOW, 1))?.bytes).toBeGreaterThan(10);
    await post({ batch: "b3", times: [lab.now + 2000], host_series: { a: [3] } });
    expect(await chunkOf(NOW, 2)).toBeNull();
    await env.DB.prepare("DELETE FROM chunks WHERE id = ?").bind(full).run();
    expect(await samples("a", lab.now, lab.now + MINUTE)).toEqual([2, 3]);
    expect((await store.read(lab.host, { fromHour: NOW / HOUR, toHour: NOW / HOUR }))?.parts).toHaveLength(1);
  });

  test("stores a batch larger than a part in several, and reads it back", async () => {
    const times = Array.from({ length: 400 }, (_, index) => lab.now - index * 1000);
    const values = times.map((_, index) => index + 0.5);
    const names = Array.from({ length: 300 }, (_, index) => `m${index}`);
    lab.now += 59 * MINUTE;
    const { body } = await post({
      times: times.map((time) => time + 58 * MINUTE),
      host_series: Object.fromEntries(names.map((name) => [name, values])),
    });
    expect(body).toMatchObject({ stored: 120_000, refusedCount: 0 });
    expect((await chunkOf(NOW, 1))?.bytes).toBeGreaterThan(0);
    expect(await samples("m299")).toEqual(values.toReversed());
  });

  test("writes at most two rows per host and hour touched", async () => {
    let written = 0;
    const counted: Pick<D1Database, "prepare" | "batch"> = {
      prepare: (query) => env.DB.prepare(query),
      batch: async <T>(statements: D1PreparedStatement[]) => {
        const results = await env.DB.batch<T>(statements);
        for (const { meta } of results) written += meta.rows_written;
        return results;
      },
    };
    const store = telemetryStore(drizzle(counted as D1Database));
    const rowsFor = async (hours: number): Promise<number> => {
      const known = await store.read(lab.host, null);
      written = 0;
      const appends = Array.from({ length: hours }, (_, index) => ({
        id: chunkId({ hostNumber: lab.hostNumber, tier: "raw", hour: NOW / HOUR - index, part: 0 }),
        data: new Uint8Array([0]),
      }));
      const write = {
        hostNumber: lab.hostNumber,
        version: known?.version ?? 0,
        appends,
        latest: { host: {}, vms: {} },
        batches: [],
      };
      expect(await store.append({ ...write, heard: { at: lab.now, vmStates: {} } })).toBe(true);
      return written;
    };
    expect([await rowsFor(1), await rowsFor(1), await rowsFor(3)]).toEqual([2, 2, 4]);
  });
});

describe("the body", () => {
  const gzip = async (text: string): Promise<ArrayBuffer> =>
    new Response(new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
  const send = (body: BodyInit, headers: object) => call("POST", "/v1/telemetry", lab.token, body, headers);

  test("may be gzip", async () => {
    const body = await gzip(JSON.stringify(batchOf({ host_series: { a: [7] } })));
    expect(await send(body, { "content-encoding": "gzip" })).toMatchObject({ status: 200, body: { stored: 1 } });
    expect(await samples("a")).toEqual([7]);
  });

  test("over 5 MiB is refused, also when it only inflates to that", async () => {
    const large = JSON.stringify(batchOf({ host_series: { a: "x".repeat(5 * 2 ** 20) } }));
    expect(await send(large, {})).toMatchObject({ status: 413 });
    const packed = await gzip(large);
    expect(packed.byteLength).toBeLessThan(100_000);
    expect(await send(packed, { "content-encoding": "gzip" })).toMatchObject({ status: 413 });
  });

  test.each<[string, BodyInit, object, number]>([
    ["of another type", "{}", { "content-type": "text/plain" }, 415],
    ["in another encoding", "{}", { "content-encoding": "br" }, 415],
    ["that is not gzip", "{}", { "content-encoding": "gzip" }, 400],
    ["that is not JSON", "{", {}, 400],
    ["that is no batch", "{}", {}, 422],
  ])("%s is refused", async (_, body, headers, status) => {
    expect((await send(body, headers)).status).toBe(status);
  });
});
