import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { chunkKey } from "../../worker/model/telemetry/chunk-id.ts";
import { dayOf, isOpen, windowHours } from "../../worker/model/telemetry/closing.ts";
import { latestOf } from "../../worker/model/telemetry/known.ts";
import { rebuildKnown } from "../../worker/model/telemetry/rebuild.ts";
import { rollUp, ROLLUP_AGGREGATES } from "../../worker/model/telemetry/rollup.ts";
import { unpack } from "../../worker/model/telemetry/stored-chunk.ts";
import { type Summary, summaryFigures } from "../../worker/model/telemetry/summary.ts";
import { runSchedule } from "../../worker/services/schedule.ts";
import {
  chunksOf,
  closeBefore,
  emptyFleetForEachTest,
  expectSummaryOfChunks,
  frameOfHour,
  newHost,
  samplesOf,
  send,
  sendHour,
  summaryRow,
  tableOf,
} from "../support/closing.ts";
import { depsOf, HOUR, lab, MINUTE, NOW, read, register, series, VM } from "../support/telemetry.ts";

const H = NOW / HOUR;

emptyFleetForEachTest();

describe("an hour that Cron closes", () => {
  test("reads the same before and after, and is packed", async () => {
    const host = await newHost([VM]);
    await sendHour(host.id, 1, [VM], H - 1);
    lab.now = NOW + 4 * MINUTE;
    const range = `metric=*&from=${NOW - HOUR}&to=${NOW}&step=15000&agg=last`;
    const both = async () => [await series(`host=${host.id}&${range}`), await series(`vm=${VM}&${range}`)];
    const before = await both();
    expect(before.map((all) => all.length)).toEqual([3, 2]);
    await runSchedule(depsOf());
    expect((await chunksOf(host.number, "raw")).some(isOpen)).toBe(true);
    lab.now = NOW + 5 * MINUTE;
    await runSchedule(depsOf());
    const [chunk, ...others] = await chunksOf(host.number, "raw");
    expect(others).toEqual([]);
    expect(chunk).toMatchObject({ head: null, live: null });
    expect(await both()).toEqual(before);
    const { columns } = unpack(chunk?.packed ?? new Uint8Array());
    expect(columns).toHaveLength(5);
  });

  test.each([
    ["5min", 5 * MINUTE],
    ["1h", HOUR],
  ] as const)("answers for %s as its samples say", async (tier, bucket) => {
    const host = await newHost([VM]);
    for (const hour of [H - 2, H - 1]) await sendHour(host.id, 1, [VM], hour);
    const day = dayOf(H - 2) * HOUR;
    const frames = [await frameOfHour(host.number, H - 2), await frameOfHour(host.number, H - 1)];
    await closeBefore(H);
    for (const [place, agg] of ROLLUP_AGGREGATES.entries()) {
      const found = await series(
        `host=${host.id}&metric=*&from=${NOW - 2 * HOUR}&to=${NOW}&step=${bucket}&agg=${agg}&tier=${tier}`,
      );
      for (const { metric, values } of found) {
        const expected = frames.flatMap((frame, index) => {
          const from = NOW - (2 - index) * HOUR;
          const column = rollUp(frame, bucket, from, from + HOUR).columns.find(
            (one) => one.entity === "" && one.metric === metric,
          );
          return [...(column?.values[place] ?? [])];
        });
        expect([agg, metric, values]).toEqual([agg, metric, expected]);
      }
      expect(found).toHaveLength(3);
    }
    const days = (await chunksOf(host.number, "1h")).map(({ id }) => chunkKey(id).hour * HOUR);
    expect(days).toEqual([...new Set([day, dayOf(H - 1) * HOUR])]);
  });

  test("hour by hour leaves the summary that the chunks of its last 24 h give, and latest values too", async () => {
    const host = await newHost([VM]);
    const first = H - 26;
    const deps = depsOf();
    for (let hour = first; hour < H; hour++) {
      // An hour of silence is no reason to lose count.
      if (hour !== first + 7) await sendHour(host.id, 1, [VM], hour, deps);
      lab.now = (hour + 1) * HOUR;
      if ((hour - first) % 8 === 0) {
        // From the present hour, too: it is not closed with the one before.
        lab.now += 2 * MINUTE;
        await send(host.id, samplesOf(1, [VM], (hour + 1) * HOUR, lab.now), deps);
      }
      await closeBefore(hour + 1, deps);
      if (hour === first || hour === first + 8) await expectSummaryOfChunks(host.number, hour, [VM]);
    }
    await expectSummaryOfChunks(host.number, H - 1, [VM]);
    const [state] = await deps.store.telemetry.latest([host.number]);
    const frames = [];
    for (const hour of [...windowHours(H - 1), H]) frames.push(await frameOfHour(host.number, hour));
    const all = (): boolean => true;
    const rebuilt = rebuildKnown(frames, new Map(), lab.now);
    expect(state).toBeDefined();
    expect(latestOf(rebuilt, all)).toEqual(state === undefined ? {} : latestOf(state.known, all));
  });

  test("takes the day of a VM along that has moved", async () => {
    const [source, destination] = [await newHost([VM]), await newHost()];
    const at = (host: string, hour: number, value: number) =>
      send(host, {
        times: Array.from({ length: 60 }, (_, minute) => hour * HOUR + minute * MINUTE),
        host_series: { cpu_used_cores: Array.from({ length: 60 }, () => 5) },
        vm_series: { [VM]: { cpu_used_cores: Array.from({ length: 60 }, () => value) } },
      });
    for (const hour of [H - 4, H - 3, H - 2]) {
      lab.now = (hour + 1) * HOUR;
      await at(source.id, hour, 1);
      await closeBefore(hour + 1);
    }
    lab.now = (H - 1) * HOUR + 6 * MINUTE;
    await register(destination.id, [VM]);
    lab.now = NOW;
    await at(destination.id, H - 1, 3);
    await closeBefore(H);
    const row = await summaryRow(destination.number);
    const summary = JSON.parse(row?.summary ?? "") as Summary;
    const { p50Hour, p50Day, p95Day } = summaryFigures(summary, VM, "cpu_used_cores") ?? {};
    expect(p50Hour).toBeCloseTo(3, 1);
    expect(p50Day).toBeCloseTo(1, 1);
    expect(p95Day).toBeCloseTo(3, 1);
    expect(summary.hours).toBe(1);
    const left = JSON.parse((await summaryRow(source.number))?.summary ?? "") as Summary;
    expect(Object.keys(left.vms)).toEqual([VM]);
  });
});

describe("samples that come after their hour was closed", () => {
  test("are picked up an hour later, in samples, roll-ups and summary", async () => {
    const host = await newHost([VM]);
    await sendHour(host.id, 1, [VM], H - 3);
    await closeBefore(H - 2);
    await sendHour(host.id, 1, [VM], H - 2);
    await closeBefore(H - 1);
    lab.now = (H - 1) * HOUR + 20 * MINUTE;
    const time = (H - 1) * HOUR - 30_000;
    await send(host.id, { times: [time], host_series: { cpu_used_cores: [99] }, vm_series: { [VM]: { late: [1] } } });
    await sendHour(host.id, 1, [VM], H - 1);
    await closeBefore(H);
    expect((await chunksOf(host.number, "raw")).some(isOpen)).toBe(false);
    expect(tableOf(await frameOfHour(host.number, H - 2))).toMatchObject({
      [`host cpu_used_cores ${time}`]: 99,
      [`${VM} late ${time}`]: 1,
    });
    const from = (H - 2) * HOUR;
    const [hourly] = await series(
      `host=${host.id}&metric=cpu_used_cores&from=${from}&to=${NOW}&step=${HOUR}&agg=max&tier=1h`,
    );
    expect(hourly?.values[0]).toBe(99);
    await expectSummaryOfChunks(host.number, H - 1, [VM]);
  });

  test("are in the summary, too, of a host that has nothing to say any more", async () => {
    const host = await newHost();
    await sendHour(host.id, 1, [], H - 2);
    await closeBefore(H - 1);
    lab.now += MINUTE;
    await send(host.id, { times: [(H - 1) * HOUR - 1], host_series: { cpu_used_cores: [99] } });
    await closeBefore(H);
    await expectSummaryOfChunks(host.number, H - 2, []);
  });

  test("by more than an hour are packed and rolled up anew, and the list of such hours is empty then", async () => {
    const host = await newHost([VM]);
    for (let hour = H - 4; hour < H; hour++) {
      await sendHour(host.id, 1, [VM], hour);
      await closeBefore(hour + 1);
    }
    const times = [H - 4, H - 3].map((hour) => hour * HOUR + 30_000);
    lab.now += MINUTE;
    await send(host.id, { times, host_series: { cpu_used_cores: [99, 98] } });
    const older = (H - 30) * HOUR + MINUTE;
    await send(host.id, { times: [older], host_series: { cpu_used_cores: [97] } });
    const lateHours = () =>
      env.DB.prepare("SELECT late_hours AS hours FROM host_state WHERE host_number = ?")
        .bind(host.number)
        .first("hours");
    expect(await lateHours()).toBe(JSON.stringify([H - 30, H - 4, H - 3]));
    expect(await read("/v1/status")).toMatchObject({ telemetry: { lateHours: 3, hoursToPack: 3 } });
    lab.now += MINUTE;
    await runSchedule(depsOf());
    expect(await lateHours()).toBeNull();
    expect(await read("/v1/status")).toMatchObject({ telemetry: { lateHours: 0, hoursToPack: 0 } });
    expect((await chunksOf(host.number, "raw")).some(isOpen)).toBe(false);
    const maxima = async (from: number, tier: string) =>
      (
        await series(`host=${host.id}&metric=cpu_used_cores&from=${from}&to=${NOW}&step=${HOUR}&agg=max&tier=${tier}`)
      )[0]?.values;
    for (const tier of ["raw", "5min", "1h"]) {
      expect((await maxima((H - 4) * HOUR, tier))?.slice(0, 2)).toEqual([99, 98]);
      expect((await maxima((H - 30) * HOUR, tier))?.[0]).toBe(97);
    }
    await expectSummaryOfChunks(host.number, H - 1, [VM]);
  });

  test("while closing lags behind leave the summary that the chunks give", async () => {
    const host = await newHost([VM]);
    for (let hour = H - 6; hour < H - 4; hour++) {
      await sendHour(host.id, 1, [VM], hour);
      await closeBefore(hour + 1);
    }
    // Cron stands still for four hours, and a spool brings samples over an hour late.
    for (let hour = H - 4; hour < H; hour++) await sendHour(host.id, 1, [VM], hour);
    await send(host.id, { times: [(H - 3) * HOUR + 1], host_series: { cpu_used_cores: [99] } });
    await closeBefore(H);
    await expectSummaryOfChunks(host.number, H - 1, [VM]);
    await sendHour(host.id, 1, [VM], H);
    await closeBefore(H + 1);
    await expectSummaryOfChunks(host.number, H, [VM]);
  });
});
