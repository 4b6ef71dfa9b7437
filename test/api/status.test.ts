import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { runSchedule } from "../../worker/services/schedule.ts";
import { querySeries } from "../../worker/services/series.ts";
import { readStatus } from "../../worker/services/status.ts";
import { tokenFor } from "../support/api.ts";
import { closeBefore, emptyFleetForEachTest, newHost, send, sendHour } from "../support/closing.ts";
import { tappedD1 } from "../support/tapped-d1.ts";
import {
  ADMIN,
  call,
  depsOf,
  HOUR,
  lab,
  latestOf,
  MINUTE,
  NOW,
  read,
  register,
  request,
  VM,
} from "../support/telemetry.ts";

const H = NOW / HOUR;

emptyFleetForEachTest();

type Family = { help: string; type: string; samples: [name: string, value: number][] };

/** Prometheus text (0.0.4) by family; throws where a line is none, or a family is begun twice. */
function parseMetrics(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  expect(text.endsWith("\n")).toBe(true);
  for (const line of text.slice(0, -1).split("\n")) {
    const help = /^# HELP ([a-z_][a-z0-9_]*) (.+)$/.exec(line);
    const type = /^# TYPE ([a-z_][a-z0-9_]*) (counter|gauge)$/.exec(line);
    const sample = /^([a-z_][a-z0-9_]*) (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/.exec(line);
    const name = (help ?? type ?? sample)?.[1] ?? "";
    const family = families.get(name);
    if (help) {
      expect(family, `a second HELP of ${name}`).toBeUndefined();
      families.set(name, { help: help[2] ?? "", type: "", samples: [] });
    } else if (type && family) {
      expect(family.type, `a second TYPE of ${name}`).toBe("");
      family.type = type[2] ?? "";
    } else if (sample && family) family.samples.push([name, Number(sample[2])]);
    else throw new Error(`not a line of Prometheus text: ${line}`);
  }
  return families;
}

async function metrics(): Promise<Map<string, Family>> {
  const answer = await request("/metrics", { headers: { authorization: `Bearer ${ADMIN}` } });
  expect([answer.status, answer.headers.get("content-type")]).toEqual([
    200,
    "text/plain; version=0.0.4; charset=utf-8",
  ]);
  return parseMetrics(await answer.text());
}

const valueOf = (families: Map<string, Family>, name: string): number =>
  families.get(name)?.samples[0]?.[1] ?? Number.NaN;

describe("/metrics", () => {
  test("is Prometheus text: every family with HELP, TYPE and a sample, once", async () => {
    const families = await metrics();
    expect(families.size).toBeGreaterThan(5);
    for (const [name, { help, type, samples }] of families) {
      expect([name, help.length > 0, samples.length]).toEqual([name, true, 1]);
      expect(type).toBe(name.endsWith("_total") ? "counter" : "gauge");
      expect(name).toMatch(/^drover_/);
    }
  });

  test("needs the scope `read`", async () => {
    const agent = await newHost();
    for (const path of ["/metrics", "/v1/status"]) {
      expect(await call("GET", path, await tokenFor(["agent"], { hostId: agent.id }))).toMatchObject({ status: 403 });
      expect(await call("GET", path, "drv_nobody")).toMatchObject({ status: 401 });
      const reader = await tokenFor(["read"]);
      const answer = await request(path, { headers: { authorization: `Bearer ${reader}` } });
      expect(answer.status).toBe(200);
    }
  });

  test("counts what was stored and refused, and what D1 did for it", async () => {
    const host = await newHost();
    const before = await metrics();
    const body = { host: host.id, batch: "b", times: [NOW - 1, NOW], host_series: { a: [1, 2], "not-a-name": [1, 2] } };
    const token = await tokenFor(["ingest"], { cluster: "lab" });
    expect(await call("POST", "/v1/telemetry", token, JSON.stringify(body))).toMatchObject({ status: 200 });
    const after = await metrics();
    const rise = (name: string): number => valueOf(after, name) - valueOf(before, name);
    expect([rise("drover_samples_stored_total"), rise("drover_samples_refused_total")]).toEqual([2, 1]);
    expect(rise("drover_d1_rows_written_total")).toBeGreaterThanOrEqual(2);
    expect(rise("drover_d1_queries_total")).toBeGreaterThan(2);
  });

  test("shows hosts and how far closing is", async () => {
    const [host, silent] = [await newHost(), await newHost()];
    await sendHour(host.id, 1, [], H - 1);
    lab.now = NOW + 5 * MINUTE;
    await env.DB.prepare("UPDATE host_state SET heard_at = ? WHERE host_number = ?").bind(lab.now, host.number).run();
    const before = await metrics();
    expect(valueOf(before, "drover_hosts")).toBe(2);
    expect(valueOf(before, "drover_hosts_fresh")).toBe(1);
    expect(valueOf(before, "drover_telemetry_hours_to_pack")).toBe(1);
    await closeBefore(H);
    await send(silent.id, { times: [NOW - 3 * HOUR], host_series: { a: [1] } });
    const after = await metrics();
    expect(valueOf(after, "drover_telemetry_closed_until_timestamp_seconds")).toBe(NOW / 1000);
    expect(valueOf(after, "drover_telemetry_hours_to_pack")).toBe(1);
    expect(valueOf(after, "drover_telemetry_late_hours")).toBe(1);
  });
});

describe("latest values", () => {
  const fleet = async (): Promise<string[]> => {
    const ids = ["l-1", "l-2", "l-3"];
    for (const id of ids) {
      await register(id, [], id === "l-3" ? "other" : "lab");
      await send(id, {
        times: [NOW],
        host_series: { cpu_used_cores: [1], memory_used_bytes: [2], custom: [3] },
        vm_series: { [VM]: { cpu_used_cores: [4], memory_dirty_bytes_per_second: [5] } },
        vm_dirty_curves: { [VM]: { at: NOW, method: "page-sampling", points: [[1000, 4096]] } },
      });
    }
    return ids;
  };
  type Page = {
    items: { hostId: string; latest: { host: object; vms: Record<string, { metrics: object; curve?: object }> } }[];
    next: string | null;
  };

  test.each<[string, string[], string[], boolean]>([
    ["", ["cpu_used_cores", "custom", "memory_used_bytes"], ["cpu_used_cores", "memory_dirty_bytes_per_second"], true],
    ["&metric=cpu_*", ["cpu_used_cores"], ["cpu_used_cores"], false],
    ["&metric=custom,memory_*", ["custom", "memory_used_bytes"], ["memory_dirty_bytes_per_second"], true],
    ["&metric=nothing", [], [], false],
  ])("%s are those of these metrics", async (query, host, vm, hasCurve) => {
    await fleet();
    const { items } = await read<Page>(`/v1/latest?host=l-2${query}`);
    expect(items).toHaveLength(1);
    expect(Object.keys(items[0]?.latest.host ?? {}).toSorted()).toEqual(host);
    expect(Object.keys(items[0]?.latest.vms[VM]?.metrics ?? {}).toSorted()).toEqual(vm);
    expect(items[0]?.latest.vms[VM]?.curve !== undefined).toBe(hasCurve);
  });

  test("come in pages, complete and without doubles, a host that never sent anything among them", async () => {
    await fleet();
    await register("l-4");
    const found: string[] = [];
    let after = "";
    do {
      const { items, next } = await read<Page>(`/v1/latest?metric=cpu_*&limit=1${after}`);
      expect(items.length).toBeLessThanOrEqual(1);
      found.push(...items.map(({ hostId }) => hostId));
      after = next === null ? "" : `&after=${next}`;
    } while (after !== "");
    expect(found).toEqual(["l-1", "l-2", "l-3", "l-4"]);
    expect((await read<Page>("/v1/latest?cluster=other")).items.map(({ hostId }) => hostId)).toEqual(["l-3"]);
    expect(await latestOf("l-4")).toEqual({ host: {}, vms: {} });
    expect(await call("GET", "/v1/latest?metric=a-b", ADMIN)).toMatchObject({ status: 422 });
  });
});

test("no statement of ingest, closing or queries scans all chunks", async () => {
  const host = await newHost([VM]);
  const texts = new Set<string>();
  const watched: D1Database = {
    ...tappedD1(env.DB, (go) => go()),
    prepare: (text: string) => {
      texts.add(text);
      return env.DB.prepare(text);
    },
    batch: (all: D1PreparedStatement[]) => env.DB.batch(all),
  } as D1Database;
  const deps = depsOf(watched);
  for (let hour = H - 3; hour < H; hour++) await sendHour(host.id, 1, [VM], hour, deps);
  await closeBefore(H, deps);
  lab.now += MINUTE;
  await send(host.id, { times: [NOW - 3 * HOUR], host_series: { a: [1] } }, deps);
  await runSchedule(deps);
  const query = { cluster: null, from: NOW - 3 * HOUR, to: NOW, stepMs: 5 * MINUTE, agg: "mean", after: null } as const;
  for (const tier of ["raw", "5min"] as const)
    for (const of of [
      { hosts: [host.id], vms: null },
      { hosts: null, vms: [VM] },
    ])
      await querySeries(deps, { ...query, ...of, metrics: ["*"], by: null, across: "mean", tier });
  await readStatus(deps);
  const ofChunks = [...texts].filter((text) => /\bchunks"?\b/.test(text));
  expect(ofChunks.length).toBeGreaterThan(6);
  for (const text of ofChunks) {
    const nulls = Array.from({ length: text.split("?").length - 1 }, () => null);
    const { results } = await env.DB.prepare(`EXPLAIN QUERY PLAN ${text}`)
      .bind(...nulls)
      .all<{ detail: string }>();
    const scans = results.map(({ detail }) => detail).filter((detail) => /^SCAN (c|chunks)\b/.test(detail));
    expect({ text, scans }).toEqual({ text, scans: [] });
  }
});
