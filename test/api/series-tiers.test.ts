import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { chunkId } from "../../worker/model/telemetry/chunk-id.ts";
import { type Rollup, ROLLUP_AGGREGATES, rollUp } from "../../worker/model/telemetry/rollup.ts";
import type { Frame } from "../../worker/model/telemetry/frame.ts";
import {
  closeBefore,
  emptyFleetForEachTest,
  frameOfHour,
  newHost,
  samplesOf,
  send,
  sendHour,
} from "../support/closing.ts";
import {
  depsOf,
  HOUR,
  lab,
  MINUTE,
  NOW,
  read,
  refusal,
  register,
  series,
  type SeriesPage,
  VM,
} from "../support/telemetry.ts";

const H = NOW / HOUR;
const DAY = 24 * HOUR;

emptyFleetForEachTest();

describe("the tier that answers", () => {
  test.each<[string, number, number, string, string]>([
    ["", 6 * HOUR, HOUR, "raw", "the range is at most 6 h"],
    ["", DAY, MINUTE, "raw", "steps are under 5 min"],
    ["&agg=p99", DAY, HOUR, "raw", "roll-ups have no p99"],
    ["", DAY, 5 * MINUTE, "5min", "enough for this step"],
    ["", 3 * DAY, HOUR, "5min", "raw samples are kept for 48 h"],
    ["", 4 * DAY, HOUR, "1h", "enough for this step and range"],
    ["", 40 * DAY, HOUR, "1h", "the finer ones are kept for 30 d"],
    ["&tier=1h", 6 * HOUR, HOUR, "1h", "as asked for"],
    ["&tier=raw", 48 * HOUR, HOUR, "raw", "as asked for"],
  ])("%s over %i ms in steps of %i ms is %s: %s", async (more, range, step, tier, why) => {
    const host = await newHost();
    const answer = await read<SeriesPage>(
      `/v1/series?host=${host.id}&metric=a&from=${NOW - range}&to=${NOW}&step=${step}${more}`,
    );
    expect(answer).toMatchObject({ tier, why: expect.stringContaining(why), series: [], next: null });
  });

  test.each<[string, string, string]>([
    [`from=${NOW - HOUR}&tier=5min&agg=p99`, "tier", "5-minute roll-ups have no p99"],
    [`from=${NOW - 4 * DAY}&agg=rate&step=${HOUR}`, "from", "or for min, max, mean, last, p50 or p95"],
    [`from=${NOW - 4 * DAY}&tier=raw&step=${HOUR}`, "tier", "raw samples are kept for 48 h"],
    [`from=${NOW - 31 * DAY}&tier=5min&step=${HOUR}`, "tier", "5-minute roll-ups are kept for 30 d"],
    [`from=${NOW - 31 * DAY}&step=${10 * MINUTE}`, "from", "ask for a `step` of at least 3600000 ms"],
    [`from=${NOW - HOUR}&tier=1h&step=${MINUTE}`, "tier", "ask for a `step` of at least 3600000 ms"],
    [`from=${NOW - 401 * DAY}&step=${HOUR}`, "from", "at most 400 d before to"],
    [`from=${NOW - 48 * HOUR}&step=1000`, "step", "at most 11520 steps"],
    [`from=${NOW}`, "from", "must be before to"],
    [`from=${NOW - HOUR}&step=999`, "step", ""],
  ])("%s is refused at %s: %s", async (query, path, message) => {
    const host = await newHost();
    expect(await refusal(`host=${host.id}&metric=a&to=${NOW}&${query}`)).toEqual({
      status: 422,
      path,
      message: expect.stringContaining(message),
    });
  });
});

/** What a roll-up says of a series, by the starts of buckets. */
const figures = (rollup: Rollup, entity: string, metric: string, agg: number): Map<number, number> => {
  const column = rollup.columns.find((one) => one.entity === entity && one.metric === metric);
  return new Map(rollup.times.map((time, place) => [time, column?.values[agg]?.[place] ?? Number.NaN]));
};

/** What a tier must answer for samples of these hours, closed or not: null where there are none. */
function expected(
  frames: readonly Frame[],
  bucket: number,
  from: number,
  to: number,
  agg: number,
  entity = "",
): (number | null)[] {
  const all = frames.map((frame) => figures(rollUp(frame, bucket, from, to), entity, "cpu_used_cores", agg));
  return Array.from({ length: Math.ceil((to - from) / bucket) }, (_, step) => {
    const found = all.map((one) => one.get(from + step * bucket)).find((value) => value !== undefined);
    return found ?? null;
  });
}

describe("roll-ups", () => {
  test.each([
    ["5min", 5 * MINUTE],
    ["1h", HOUR],
  ] as const)("of %s go on with samples where hours are not closed yet", async (tier, bucket) => {
    const host = await newHost([VM]);
    for (const hour of [H - 5, H - 4, H - 2, H - 1]) await sendHour(host.id, 1, [VM], hour);
    // Cron has come as far as the hour before the last.
    await closeBefore(H - 1);
    lab.now = NOW + 20 * MINUTE;
    await send(host.id, samplesOf(1, [VM], NOW, lab.now));
    const frames = [];
    for (const hour of [H - 5, H - 4, H - 2, H - 1, H]) frames.push(await frameOfHour(host.number, hour));
    const [from, to] = [(H - 5) * HOUR, NOW + HOUR];
    for (const [place, agg] of ROLLUP_AGGREGATES.entries()) {
      const query = `metric=cpu_used_cores&from=${from}&to=${to}&step=${bucket}&agg=${agg}&tier=${tier}`;
      const [ofHost] = await series(`host=${host.id}&${query}`);
      expect([agg, ofHost?.values]).toEqual([agg, expected(frames, bucket, from, to, place)]);
      const [ofVm] = await series(`vm=${VM}&${query}`);
      expect([agg, ofVm?.values]).toEqual([agg, expected(frames, bucket, from, to, place, VM)]);
    }
    const [gappy] = await series(
      `host=${host.id}&metric=cpu_used_cores&from=${from}&to=${to}&step=${bucket}&tier=${tier}`,
    );
    expect(gappy?.values.filter((value) => value === null)).toHaveLength(HOUR / bucket + (tier === "1h" ? 0 : 8));
  });

  test("of a host that is closed and of one that is not are told alike", async () => {
    const [closed, open] = [await newHost(), await newHost()];
    for (const { id } of [closed, open]) for (const hour of [H - 2, H - 1]) await sendHour(id, 1, [], hour);
    const query = `host=${closed.id},${open.id}&metric=*&from=${NOW - 2 * HOUR}&to=${NOW}&step=${5 * MINUTE}&tier=5min`;
    lab.now = NOW + 5 * MINUTE;
    const before = await series(query);
    // As if the run had ended after the first of them.
    await depsOf().store.jobs.write("close-hours", { hour: H - 2, host: closed.number }, lab.now);
    await closeBefore(H - 1);
    await depsOf().store.jobs.write("close-hours", { hour: H - 1, host: closed.number }, lab.now);
    await closeBefore(H);
    expect(await series(query)).toEqual(before);
    expect(before).toHaveLength(6);
  });

  test("follow a VM over its moves", async () => {
    lab.now = (H - 3) * HOUR;
    const [source, destination] = [await newHost([VM]), await newHost()];
    await sendHour(source.id, 1, [VM], H - 3);
    lab.now = (H - 2) * HOUR + 30 * MINUTE;
    await send(source.id, samplesOf(1, [VM], (H - 2) * HOUR, lab.now));
    await register(destination.id, [VM]);
    lab.now = (H - 1) * HOUR;
    await send(destination.id, samplesOf(5, [VM], (H - 2) * HOUR + 30 * MINUTE, lab.now));
    // What the source still says of it counts no more.
    await send(source.id, samplesOf(9, [VM], (H - 2) * HOUR + 30 * MINUTE, lab.now));
    const [from, to] = [(H - 3) * HOUR, (H - 1) * HOUR];
    const parts = [
      await frameOfHour(source.number, H - 3),
      await frameOfHour(source.number, H - 2),
      await frameOfHour(destination.number, H - 2),
    ] as const;
    const bucket = 5 * MINUTE;
    const split = (H - 2) * HOUR + 30 * MINUTE;
    const means = [
      ...expected(parts.slice(0, 2), bucket, from, split, 1, VM),
      ...expected(parts.slice(2), bucket, split, to, 1, VM),
    ];
    const ask = async () =>
      (await series(`vm=${VM}&metric=cpu_used_cores&from=${from}&to=${to}&step=${bucket}&tier=5min&agg=mean`))[0];
    expect((await ask())?.values).toEqual(means);
    await closeBefore(H - 1);
    expect((await ask())?.values).toEqual(means);
    expect(await ask()).toMatchObject({ host: destination.id, vm: VM, gaps: [] });
  });
});

test("one answer has packed hours, hours that are open and hours that were opened again", async () => {
  const host = await newHost([VM]);
  for (const hour of [H - 3, H - 2]) await sendHour(host.id, 1, [VM], hour);
  await closeBefore(H - 1);
  await sendHour(host.id, 1, [VM], H - 1);
  const [from, to] = [(H - 3) * HOUR, NOW];
  const ask = () => series(`host=${host.id}&metric=*&from=${from}&to=${to}&step=${MINUTE}&agg=last&tier=raw`);
  const { times, host_series } = samplesOf(1, [VM], from, to);
  const found = await ask();
  for (const { metric, values } of found)
    expect([metric, values]).toEqual([metric, host_series[metric as keyof typeof host_series]]);
  expect(found).toHaveLength(3);
  // A correction of what was packed, and a sample between two.
  await send(host.id, { times: [times[0] ?? 0, (times[0] ?? 0) + 1], host_series: { custom: [7, 8] } });
  expect((await ask()).find(({ metric }) => metric === "custom")?.values[0]).toBe(8);
  const [fine] = await series(`host=${host.id}&metric=custom&from=${from}&to=${from + 1}&step=1000&agg=last`);
  expect(fine?.values).toEqual([7]);
});

test("a chunk of one host that is harmed is told, and the other hosts are answered", async () => {
  const hosts = [await newHost(), await newHost(), await newHost()];
  for (const { id } of hosts) for (const hour of [H - 2, H - 1]) await sendHour(id, 1, [], hour);
  const [from, to] = [(H - 2) * HOUR, NOW];
  const ask = () =>
    read<SeriesPage>(`/v1/series?host=closing-*&metric=custom&from=${from}&to=${to}&step=${MINUTE}&agg=last`);
  const before = await ask();
  expect(before).toMatchObject({ harmedChunks: 0, series: [{}, {}, {}] });
  const id = chunkId({ hostNumber: hosts[1]?.number ?? 0, tier: "raw", hour: H - 1, part: 0 });
  await env.DB.prepare("UPDATE chunks SET head = '////' || head WHERE id = ?").bind(id).run();
  const after = await ask();
  expect(after.harmedChunks).toBe(1);
  for (const [index, { host, values }] of after.series.entries()) {
    const whole = before.series[index]?.values ?? [];
    // Of the harmed host the other hour is still there.
    const expected = host === hosts[1]?.id ? whole.map((value, step) => (step < 60 ? value : null)) : whole;
    expect([host, values]).toEqual([hosts[index]?.id, expected]);
  }
});
