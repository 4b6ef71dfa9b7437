import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { chunkId, chunkKey, HOST_STRIDE } from "../../worker/model/telemetry/chunk-id.ts";
import { dayOf, isOpen } from "../../worker/model/telemetry/closing.ts";
import { runSchedule } from "../../worker/services/schedule.ts";
import {
  chunksOf,
  closeBefore,
  emptyFleetForEachTest,
  expectSummaryOfChunks,
  newHost,
  send,
  sendHour,
  summaryRow,
} from "../support/closing.ts";
import { type Tap, tappedD1 } from "../support/tapped-d1.ts";
import { depsOf, HOUR, lab, MINUTE, NOW, read } from "../support/telemetry.ts";

const H = NOW / HOUR;

emptyFleetForEachTest();

test("what is older than its tier is kept for goes, and nothing else", async () => {
  const host = await newHost();
  const days = 24;
  const kept: ["raw" | "5min" | "1h", number][] = [
    ["raw", H - 48],
    ["raw", H - 1],
    ["5min", H - 30 * days],
    ["5min", H - 49],
    ["1h", dayOf(H - 400 * days)],
    ["1h", H - 31 * days],
  ];
  const over: typeof kept = [
    ["raw", H - 49],
    ["raw", H - 5000],
    ["5min", H - 30 * days - 1],
    ["1h", dayOf(H - 400 * days) - 24],
  ];
  const idOf = ([tier, hour]: (typeof kept)[number]) => chunkId({ hostNumber: host.number, tier, hour, part: 0 });
  await env.DB.batch(
    [...kept, ...over].map((key) =>
      env.DB.prepare("INSERT INTO chunks (id, revision, packed) VALUES (?, 1, x'00')").bind(idOf(key)),
    ),
  );
  await runSchedule(depsOf());
  const { results } = await env.DB.prepare("SELECT id FROM chunks ORDER BY id").all<{ id: number }>();
  expect(results.map(({ id }) => id)).toEqual(kept.map(idOf).toSorted((a, b) => a - b));
  // Once an hour is enough.
  await env.DB.prepare("INSERT INTO chunks (id, revision, packed) VALUES (?, 1, x'00')")
    .bind(idOf(["raw", H - 49]))
    .run();
  lab.now += 59 * MINUTE;
  await runSchedule(depsOf());
  expect(await env.DB.prepare("SELECT count(*) AS n FROM chunks").first("n")).toBe(kept.length + 1);
  lab.now += MINUTE;
  await runSchedule(depsOf());
  expect(await env.DB.prepare("SELECT count(*) AS n FROM chunks").first("n")).toBe(kept.length - 2);
});

test("how far closing is shows in the status", async () => {
  const hosts = [await newHost(), await newHost(), await newHost()];
  for (const { id } of hosts) await sendHour(id, 1, [], H - 2);
  await closeBefore(H - 1);
  const closed = { closedUntil: (H - 1) * HOUR, hoursToPack: 0, lateHours: 0 };
  expect(await read("/v1/status")).toMatchObject({ now: lab.now, hosts: { known: 3 }, telemetry: closed });
  for (const { id } of hosts) await sendHour(id, 1, [], H - 1);
  lab.now = NOW + 4 * MINUTE;
  expect(await read("/v1/status")).toMatchObject({ telemetry: closed });
  lab.now = NOW + 5 * MINUTE;
  expect(await read("/v1/status")).toMatchObject({ telemetry: { ...closed, hoursToPack: 3 } });
  await runSchedule(depsOf());
  expect(await read("/v1/status")).toMatchObject({ telemetry: { ...closed, closedUntil: NOW } });
});

describe("a chunk that is harmed", () => {
  const harm = (number: number, hour: number, column: "packed" | "live" | "head", bytes: string) =>
    env.DB.prepare(`UPDATE chunks SET ${column} = ${bytes} WHERE id = ?`)
      .bind(chunkId({ hostNumber: number, tier: "raw", hour, part: 0 }))
      .run();

  test.each([
    ["live", "'AAAA'"],
    ["head", "'////' || head"],
    ["head", "'no base64!'"],
    ["packed", "x'0102030405'"],
  ] as const)("in %s (%s) does not stop the others, or the hours after it", async (column, bytes) => {
    const hosts = [await newHost(), await newHost(), await newHost()];
    const harmed = hosts[1] ?? { id: "", number: 0 };
    for (let hour = H - 4; hour < H + 1; hour++) {
      for (const { id } of hosts) await sendHour(id, 1, [], hour);
      if (hour === H - 3) await harm(harmed.number, hour, column, bytes);
      await closeBefore(hour + 1);
    }
    for (const { number } of hosts.filter((host) => host !== harmed)) {
      expect((await chunksOf(number, "raw")).some(isOpen)).toBe(false);
      await expectSummaryOfChunks(number, H, []);
    }
    // Of the harmed host all hours but that one are packed, and that one is left as it is.
    const open = await env.DB.prepare("SELECT id FROM chunks WHERE head IS NOT NULL OR live IS NOT NULL").all<{
      id: number;
    }>();
    expect(open.results.map(({ id }) => [chunkKey(id).hostNumber, chunkKey(id).hour])).toEqual([
      [harmed.number, H - 3],
    ]);
    expect((await summaryRow(harmed.number))?.at).toBe((H + 1) * HOUR);
    expect(await read("/v1/status")).toMatchObject({ telemetry: { closedUntil: (H + 1) * HOUR } });
  });

  test.each(["x'0102030405'", "substr(packed, 1, length(packed) - 5)", "substr(packed, 1, 20)", "x''"])(
    "(%s) of a host with late samples does not stop the late ones of others",
    async (bytes) => {
      const hosts = [await newHost(), await newHost()];
      for (let hour = H - 4; hour < H; hour++) {
        for (const { id } of hosts) await sendHour(id, 1, [], hour);
        await closeBefore(hour + 1);
      }
      await harm(hosts[0]?.number ?? 0, H - 3, "packed", bytes);
      for (const { id } of hosts)
        await send(id, { times: [(H - 3) * HOUR + 1], host_series: { cpu_used_cores: [99] } });
      lab.now += MINUTE;
      await runSchedule(depsOf());
      const well = hosts[1]?.number ?? 0;
      expect((await chunksOf(well, "raw")).some(isOpen)).toBe(false);
      await expectSummaryOfChunks(well, H - 1, []);
      expect(await env.DB.prepare("SELECT count(*) AS n FROM host_state WHERE late_hours IS NOT NULL").first("n")).toBe(
        0,
      );
    },
  );
});

describe("a fleet that is too large for one run", { timeout: 60_000 }, () => {
  const HOSTS = 230;

  /** Hosts with the same hours: copies of one, by number. */
  async function cloneHost({ id, number }: { id: string; number: number }): Promise<void> {
    const numbers = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${HOSTS - 1})`;
    const columns = async (table: string): Promise<string[]> =>
      (await env.DB.prepare(`SELECT name FROM pragma_table_info('${table}')`).all<{ name: string }>()).results.map(
        ({ name }) => name,
      );
    const copy = async (table: string, changed: Record<string, string>, where: string) => {
      const all = await columns(table);
      const values = all.map((name) => changed[name] ?? `t.${name}`);
      await env.DB.prepare(
        `INSERT INTO ${table} (${all}) ${numbers} SELECT ${values} FROM ${table} t, n WHERE ${where}`,
      ).run();
    };
    const first = chunkId({ hostNumber: number, tier: "raw", hour: 0, part: 0 });
    await copy("hosts", { id: "t.id || '-' || i", number: "t.number + i" }, `t.id = '${id}'`);
    await copy("host_state", { host_number: "t.host_number + i" }, `t.host_number = ${number}`);
    await copy("host_summaries", { host_number: "t.host_number + i" }, `t.host_number = ${number}`);
    await copy("chunks", { id: `t.id + i * ${HOST_STRIDE}` }, `t.id BETWEEN ${first} AND ${first + HOST_STRIDE - 1}`);
  }

  const toPack = async () => (await read<{ telemetry: { hoursToPack: number } }>("/v1/status")).telemetry.hoursToPack;

  /** Runs until nothing is left; how many statements each run had, and how many hours were left after it. */
  async function runs(): Promise<{ statements: number; left: number }[]> {
    const all = [];
    do {
      let statements = 0;
      const count: Tap = (go, of) => {
        statements += of;
        return go();
      };
      await runSchedule(depsOf(tappedD1(env.DB, count)));
      lab.now += MINUTE;
      all.push({ statements, left: await toPack() });
    } while ((all.at(-1)?.left ?? 0) > 0 && all.length < 20);
    return all;
  }

  /** Every run does its part and stays under what D1 allows. */
  function expectPortions(all: { statements: number; left: number }[], hours: number): void {
    for (const { statements } of all) expect(statements).toBeLessThan(1000);
    expect(all.length).toBeGreaterThan(1);
    expect(all.at(-1)?.left).toBe(0);
    for (const [index, { left }] of all.entries()) expect(left).toBeLessThan(all[index - 1]?.left ?? hours);
  }

  /** How often chunks were written, by tier and hour. */
  const revisions = async (): Promise<Record<string, number[]>> => {
    const { results } = await env.DB.prepare("SELECT id, revision FROM chunks").all<{ id: number; revision: number }>();
    const groups = Map.groupBy(results, ({ id }) => `${chunkKey(id).tier} ${H - chunkKey(id).hour}`);
    return Object.fromEntries(
      Array.from(groups, ([name, rows]) => [name, [...new Set(rows.map(({ revision }) => revision))]]),
    );
  };

  test.each(["known", "new"])("and is %s: several runs do it, nothing twice", async (kind) => {
    const host = await newHost();
    if (kind === "known") {
      await sendHour(host.id, 1, [], H - 2);
      await closeBefore(H - 1);
    }
    lab.now = NOW;
    await send(host.id, { times: [NOW - 1], host_series: { cpu_used_cores: [1] } });
    await cloneHost(host);
    lab.now = NOW + 5 * MINUTE;
    expect(await toPack()).toBe(HOSTS);
    expectPortions(await runs(), HOSTS);
    const written = await revisions();
    expect(written["raw 1"]).toEqual([2]);
    expect(written["5min 1"]).toEqual([1]);
    expect(
      await env.DB.prepare("SELECT count(*) AS n FROM host_summaries WHERE summarized_at = ?").bind(NOW).first("n"),
    ).toBe(HOSTS);
  });

  test("and has stragglers everywhere: several runs do it, nothing twice", async () => {
    const host = await newHost();
    await sendHour(host.id, 1, [], H - 2);
    await closeBefore(H - 1);
    await send(host.id, { times: [NOW - HOUR - 1], host_series: { cpu_used_cores: [1] } });
    lab.now = NOW;
    await send(host.id, { times: [NOW - 1], host_series: { cpu_used_cores: [1] } });
    const before = (await revisions())["raw 2"]?.[0] ?? 0;
    await cloneHost(host);
    lab.now = NOW + 5 * MINUTE;
    expect(await toPack()).toBe(2 * HOSTS);
    expectPortions(await runs(), 2 * HOSTS);
    const written = await revisions();
    expect([written["raw 2"], written["raw 1"]]).toEqual([[before + 1], [2]]);
  });

  test("and comes back with a day's spool each: several runs do it, nothing twice", async () => {
    const host = await newHost();
    await closeBefore(H);
    const hours = Array.from({ length: 24 }, (_, index) => H - 26 + index);
    await send(host.id, {
      times: hours.map((hour) => hour * HOUR + MINUTE),
      host_series: { cpu_used_cores: hours.map(() => 1) },
    });
    await cloneHost(host);
    await env.DB.prepare("DELETE FROM host_state WHERE host_number > ?")
      .bind(host.number + 9)
      .run();
    await env.DB.prepare("DELETE FROM chunks WHERE id >= ?")
      .bind(chunkId({ hostNumber: host.number + 10, tier: "raw", hour: 0, part: 0 }))
      .run();
    expect(await toPack()).toBe(240);
    const all = await runs();
    for (const { statements } of all) expect(statements).toBeLessThan(1000);
    expect(all.length).toBeGreaterThan(1);
    const written = await revisions();
    expect(new Set(Object.entries(written).flatMap(([name, of]) => (name.startsWith("raw") ? of : [])))).toEqual(
      new Set([2]),
    );
    expect(new Set(Object.entries(written).flatMap(([name, of]) => (name.startsWith("5min") ? of : [])))).toEqual(
      new Set([1]),
    );
  });

  test("after Cron stood still for long gets on all the same", async () => {
    const host = await newHost();
    await sendHour(host.id, 1, [], H - 1001);
    await closeBefore(H - 1000);
    lab.now = NOW;
    await send(host.id, { times: [NOW - 1], host_series: { cpu_used_cores: [1] } });
    lab.now = NOW + 5 * MINUTE;
    let statements = 0;
    for (let run = 0; run < 3; run++) {
      statements = 0;
      const count: Tap = (go, of) => {
        statements += of;
        return go();
      };
      await runSchedule(depsOf(tappedD1(env.DB, count)));
      expect(statements).toBeLessThan(1000);
    }
    expect(await read("/v1/status")).toMatchObject({ telemetry: { closedUntil: NOW, hoursToPack: 0 } });
  });
});
