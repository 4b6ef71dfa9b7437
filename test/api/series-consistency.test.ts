import { env } from "cloudflare:workers";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { PART_BYTES_MAX } from "../../worker/model/telemetry/chunk-id.ts";
import { runSchedule } from "../../worker/services/schedule.ts";
import { querySeries, type SeriesQuery } from "../../worker/services/series.ts";
import { closeBefore, emptyFleet, keepTables, newHost, send, sendHour } from "../support/closing.ts";
import { type Tap, tappedD1 } from "../support/tapped-d1.ts";
import { depsOf, HOUR, lab, MINUTE, NOW, VM } from "../support/telemetry.ts";

const H = NOW / HOUR;
const FIRST = H - 26;
const WIDE = Array.from({ length: 60 }, (_, index) => `wide_${index}`);

let hostId = "";
let restore = async (): Promise<void> => undefined;

/** Noise, so that packed frames are longer than what is read of them at first. */
const wide = (times: readonly number[]) =>
  Object.fromEntries(WIDE.map((name, place) => [name, times.map((time) => Math.sin(time * (place + 1)) * 1e6)]));

/** 26 hours of two parts each (the first of one); six of them are packed, two of those got late samples, the rest is open. */
beforeAll(async () => {
  await emptyFleet();
  lab.now = FIRST * HOUR;
  const { id, number } = await newHost([VM]);
  hostId = id;
  for (let hour = FIRST; hour < H; hour++) {
    await sendHour(id, 1, [VM], hour);
    if (hour !== FIRST)
      await env.DB.prepare(
        `UPDATE host_state SET version = version + 1, tails = json_set(tails, '$[#-1].size', ${PART_BYTES_MAX}) WHERE host_number = ?`,
      )
        .bind(number)
        .run();
    const times = Array.from({ length: 30 }, (_, minute) => hour * HOUR + minute * 2 * MINUTE + 1);
    lab.now = (hour + 1) * HOUR - 1;
    await send(id, { times, host_series: wide(times), vm_series: { [VM]: { late: times.map(() => hour) } } });
    if (hour < FIRST + 6) await closeBefore(hour + 1);
  }
  lab.now = NOW + 5 * MINUTE;
  for (const hour of [FIRST + 1, FIRST + 3])
    await send(id, {
      times: [hour * HOUR + 2],
      host_series: wide([hour * HOUR + 2]),
      vm_series: { [VM]: { late: [-1] } },
    });
  restore = await keepTables();
}, 60_000);

beforeEach(async () => {
  await restore();
  lab.now = NOW + 5 * MINUTE;
});

const query = (stated: Partial<SeriesQuery>): SeriesQuery => ({
  hosts: [hostId],
  vms: null,
  cluster: null,
  metrics: ["*"],
  from: FIRST * HOUR,
  to: NOW,
  stepMs: 5 * MINUTE,
  agg: "last",
  by: null,
  across: "mean",
  tier: "raw",
  after: null,
  ...stated,
});

const asked = async (DB: D1Database, stated: Partial<SeriesQuery>) => {
  const { series } = await querySeries(depsOf(DB), query(stated));
  return series.map(({ metric, values, gaps }) => ({ metric, values: [...values], gaps }));
};

describe("an answer is the same when hours are packed while it is made", () => {
  test.each<[string, Partial<SeriesQuery>]>([
    ["of a host's samples", {}],
    ["of a VM's samples, several pages of rows", { hosts: null, vms: [VM] }],
    ["of a host's 5-minute roll-ups", { tier: "5min", metrics: ["cpu_used_cores", "wide_1"], agg: "max" }],
    ["of a VM's 1-hour roll-ups", { hosts: null, vms: [VM], tier: "1h", stepMs: HOUR, agg: "max" }],
  ])("%s", { timeout: 60_000 }, async (_, stated) => {
    let calls = 0;
    const count: Tap = (go) => {
      calls += 1;
      return go();
    };
    const expected = await asked(tappedD1(env.DB, count), stated);
    expect(expected.length).toBeGreaterThan(1);
    const all = calls;
    expect(all).toBeGreaterThan(2);
    for (let call = 0; call < all; call++) {
      await restore();
      let now = 0;
      const tap: Tap = async (go) => {
        if (now++ === call) await runSchedule(depsOf());
        return go();
      };
      expect(await asked(tappedD1(env.DB, tap), stated), `packed before call ${call} of ${all}`).toEqual(expected);
    }
  });
});
