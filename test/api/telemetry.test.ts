import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { parseRing } from "../../worker/model/telemetry/batch-ring.ts";
import { chunkId, PART_BYTES_MAX } from "../../worker/model/telemetry/chunk-id.ts";
import { ingest } from "../../worker/services/telemetry.ts";
import type { HostTelemetry, HostWrite } from "../../worker/model/telemetry/stored.ts";
import { tokenFor } from "../support/api.ts";
import { tappedD1 } from "../support/tapped-d1.ts";
import {
  ADMIN,
  batchOf,
  call,
  depsOf,
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

type Row = { revision: number; bytes: number };
async function chunkOf(time: number, part = 0): Promise<Row | null> {
  const id = chunkId({ hostNumber: lab.hostNumber, tier: "raw", hour: Math.floor(time / HOUR), part });
  return env.DB.prepare(
    "SELECT revision, length(coalesce(head, '')) + length(coalesce(live, '')) AS bytes FROM chunks WHERE id = ?",
  )
    .bind(id)
    .first<Row>();
}

const stateOf = () =>
  env.DB.prepare("SELECT * FROM host_state WHERE host_number = ?")
    .bind(lab.hostNumber)
    .first<{ version: number; batches: string; tails: string }>();

/** As an isolate knows the host that has read it just now. */
async function knownHost(): Promise<HostTelemetry> {
  const [host] = await depsOf().store.telemetry.hosts([lab.host]);
  if (host === undefined) throw new Error("no such host");
  return host;
}

/** A write of nothing but these appends. */
const writeOf = ({ number, version }: HostTelemetry, appends: HostWrite["appends"]): HostWrite => ({
  hostNumber: number,
  version,
  appends,
  latest: new Uint8Array(),
  layout: null,
  curves: null,
  tails: "[]",
  counters: null,
  lateHours: null,
  ring: { drop: 0, added: "" },
  heard: null,
});

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
    const ring = parseRing((await stateOf())?.batches ?? null);
    expect(ring.map(({ id }) => id).toSorted()).toEqual(indexes.map((index) => `b${index}`).toSorted());
  });

  test("of isolates that do not know of each other loses nothing", async () => {
    const agent = { id: "a", name: "a", scopes: ["ingest"], hostId: null, cluster: null } as const;
    const isolates = [depsOf(), depsOf(), depsOf()];
    const before = (await stateOf())?.version ?? 0;
    for (let minute = 0; minute < 5; minute++)
      for (const [place, isolate] of isolates.entries()) {
        const time = NOW + minute * MINUTE + place * 1000;
        lab.now = time;
        const batch = batchOf({ batch: `i${time}`, times: [time], host_series: { a: [time - NOW] } });
        expect(await ingest(isolate, agent, batch, `h${time}`)).toMatchObject({ stored: 1 });
        // What another isolate has stored is known by its id.
        const other = isolates[(place + 1) % isolates.length] ?? isolate;
        expect(await ingest(other, agent, batch, `h${time}`)).toMatchObject({ stored: 1 });
      }
    const sent = Array.from({ length: 15 }, (_, index) => Math.floor(index / 3) * MINUTE + (index % 3) * 1000);
    expect(await samples("a")).toEqual(sent);
    expect((await stateOf())?.version).toBe(before + sent.length);
  });

  test("with a version that is not the present one writes nothing at all", async () => {
    const { store } = depsOf();
    await post({ host_series: { a: [1] } });
    const [known, before] = [await knownHost(), await stateOf()];
    const id = chunkId({ hostNumber: lab.hostNumber, tier: "raw", hour: NOW / HOUR, part: 5 });
    const write = writeOf(known, [{ id, revision: null, head: new Uint8Array(3), live: null }]);
    expect(await store.telemetry.append([{ ...write, version: known.version - 1 }], null)).toBe("version");
    expect(await chunkOf(NOW, 5)).toBeNull();
    expect(await stateOf()).toEqual(before);
    expect(await store.telemetry.append([write], null)).toEqual({ commands: [] });
    expect(await store.telemetry.append([write], null)).toBe("version");
    expect(await chunkOf(NOW, 5)).toEqual({ revision: 1, bytes: 4 });
  });

  test("with a chunk that has changed writes nothing at all", async () => {
    const { store } = depsOf();
    await post({ host_series: { a: [1] } });
    const [known, before, chunk] = [await knownHost(), await stateOf(), await chunkOf(NOW)];
    const id = chunkId({ hostNumber: lab.hostNumber, tier: "raw", hour: NOW / HOUR, part: 0 });
    const write = (revision: number) => writeOf(known, [{ id, revision, head: new Uint8Array(3), live: null }]);
    expect(await store.telemetry.append([write(7)], null)).toBe("revision");
    expect([await stateOf(), await chunkOf(NOW)]).toEqual([before, chunk]);
    expect(await store.telemetry.append([write(chunk?.revision ?? 0)], null)).toEqual({ commands: [] });
  });

  test("appends, and goes on in the next part when one is full", async () => {
    await post({ batch: "b1", host_series: { a: [1] } });
    const before = await chunkOf(NOW);
    const state = await stateOf();
    const [tail] = JSON.parse(state?.tails ?? "[]") as { size: number }[];
    expect(tail?.size).toBe(before?.bytes);
    // As if it were nearly full.
    await env.DB.prepare("UPDATE host_state SET version = version + 1, tails = ? WHERE host_number = ?")
      .bind(JSON.stringify([{ ...tail, size: PART_BYTES_MAX - 10 }]), lab.hostNumber)
      .run();
    await post({ batch: "b2", times: [lab.now + 1000], host_series: { a: [2] } });
    expect(await chunkOf(NOW)).toEqual(before);
    expect((await chunkOf(NOW, 1))?.bytes).toBeGreaterThan(10);
    await post({ batch: "b3", times: [lab.now + 2000], host_series: { a: [3] } });
    expect(await chunkOf(NOW, 2)).toBeNull();
    expect(await samples("a", lab.now, lab.now + MINUTE)).toEqual([1, 2, 3]);
  });

  test("stores a batch larger than a part in several, and reads it back", async () => {
    const times = Array.from({ length: 400 }, (_, index) => NOW + index * 1000);
    // Figures without a pattern take the most room.
    const values = times.map((_, index) => Math.sin(index) * 1e9);
    const names = Array.from({ length: 300 }, (_, index) => `m${index}`);
    lab.now += 59 * MINUTE;
    const { body } = await post({ times, host_series: Object.fromEntries(names.map((name) => [name, values])) });
    expect(body).toMatchObject({ stored: 120_000, refusedCount: 0 });
    const parts = [await chunkOf(NOW), await chunkOf(NOW, 1)].map((part) => part?.bytes ?? 0);
    expect(Math.min(...parts)).toBeGreaterThan(0);
    expect(Math.max(...parts)).toBeLessThanOrEqual(PART_BYTES_MAX);
    expect(await samples("m299", NOW, lab.now)).toEqual(values);
  });

  test("writes at most two rows per host and hour touched, index entries counted", async () => {
    const sent = { statements: 0 };
    const deps = depsOf(
      tappedD1(env.DB, (send, statements) => {
        sent.statements += statements;
        return send();
      }),
    );
    const agent = { id: "a", name: "a", scopes: ["ingest"], hostId: lab.host, cluster: null } as const;
    let batches = 0;
    const rowsFor = async (hours: number, more: object): Promise<{ rows: number; statements: number }> => {
      const before = { rows: deps.counts.d1.rowsWritten, statements: sent.statements };
      lab.now += 15_000;
      const batch = batchOf({
        batch: `b${++batches}`,
        times: Array.from({ length: hours }, (_, index) => lab.now - (hours - 1 - index) * HOUR),
        host_series: { cpu_used_cores: Array.from({ length: hours }, () => 1) },
        vm_series: { [VM]: { cpu_used_cores: Array.from({ length: hours }, () => 1) } },
        ...more,
      });
      expect(await ingest(deps, agent, batch, "h")).toMatchObject({ stored: 2 * hours });
      return { rows: deps.counts.d1.rowsWritten - before.rows, statements: sent.statements - before.statements };
    };
    const states = { vm_states: { [VM]: "running" } };
    expect(await rowsFor(1, states)).toMatchObject({ rows: 2 });
    // Known by now: nothing is read.
    expect(await rowsFor(1, {})).toEqual({ rows: 2, statements: 2 });
    expect(await rowsFor(3, states)).toMatchObject({ rows: 4 });
    const { results } = await env.DB.prepare(
      "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name IN ('chunks', 'host_state')",
    ).all();
    expect(results).toEqual([]);
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
