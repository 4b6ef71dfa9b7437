// An hour that fills several chunks, and writers that still know them when Cron has made one of them.
import { expect, test } from "vitest";
import { chunkKey } from "../../worker/model/telemetry/chunk-id.ts";
import { isOpen } from "../../worker/model/telemetry/closing.ts";
import { chunksOf, closeBefore, emptyFleetForEachTest, frameOfHour, newHost, send } from "../support/closing.ts";
import { depsOf, HOUR, lab, MINUTE, NOW } from "../support/telemetry.ts";
import { samplesOf } from "../model/telemetry/chunk-rows.ts";

const H = NOW / HOUR;
const BATCH = 5 * MINUTE;
const METRICS = Array.from({ length: 80 }, (_, index) => `noise_${index}`);

emptyFleetForEachTest();

/** Nothing of it can be made smaller. */
const noise = (seed: number): number => Math.sin(seed * 12.9898) * 43_758.5453;

async function sendNoise(hostId: string, hour: number, deps: ReturnType<typeof depsOf>): Promise<void> {
  for (let from = hour * HOUR; from < (hour + 1) * HOUR; from += BATCH) {
    const times = Array.from({ length: BATCH / MINUTE }, (_, index) => from + index * MINUTE);
    lab.now = from + BATCH;
    const series = METRICS.map((name, index) => [name, times.map((time) => noise(index + time / MINUTE))]);
    await send(hostId, { times, host_series: Object.fromEntries(series) }, deps);
  }
}

test("one row is left of them, and what comes late from who relies on those that are gone is stored", async () => {
  const host = await newHost();
  const [sender, other] = [depsOf(), depsOf()];
  await sendNoise(host.id, H - 1, sender);
  const open = await chunksOf(host.number, "raw");
  expect(open.length).toBeGreaterThan(1);
  const samples = samplesOf(await frameOfHour(host.number, H - 1));
  expect(samples.size).toBe(METRICS.length * 60);
  await closeBefore(H);
  const rows = (await chunksOf(host.number, "raw")).map((row) => [chunkKey(row.id).part, isOpen(row)]);
  expect(rows).toEqual([[0, false]]);
  expect(samplesOf(await frameOfHour(host.number, H - 1))).toEqual(samples);
  for (const [late, deps] of [sender, other, sender].entries()) {
    const time = NOW - 1 - late;
    // The same series in the same order, so that they are written as in the batch before.
    const series = METRICS.map((name, index) => [name, [index + late]] as const);
    await send(host.id, { times: [time], host_series: Object.fromEntries(series) }, deps);
    for (const [name, [value]] of series) samples.set(`/${name}@${time}`, value ?? Number.NaN);
  }
  expect(samplesOf(await frameOfHour(host.number, H - 1))).toEqual(samples);
  await closeBefore(H + 1);
  expect(samplesOf(await frameOfHour(host.number, H - 1))).toEqual(samples);
  expect((await chunksOf(host.number, "raw")).some(isOpen)).toBe(false);
});
