// A fleet whose hours are sent and closed on the test's clock, and all that D1 holds of it, decoded.
import { env } from "cloudflare:workers";
import { beforeEach, expect } from "vitest";
import type { Deps } from "../../worker/env.ts";
import { chunkKey } from "../../worker/model/telemetry/chunk-id.ts";
import { isOpen, rebuildWindow, windowHours } from "../../worker/model/telemetry/closing.ts";
import { type Frame, HOST } from "../../worker/model/telemetry/frame.ts";
import { chunkFrame, type StoredChunk, unpack } from "../../worker/model/telemetry/stored-chunk.ts";
import { summaryOf } from "../../worker/model/telemetry/summary.ts";
import { readWindow, writeWindow } from "../../worker/model/telemetry/window.ts";
import type { TelemetryBatch } from "../../worker/model/wire/telemetry.ts";
import { runSchedule } from "../../worker/services/schedule.ts";
import { ingest } from "../../worker/services/telemetry.ts";
import { depsOf, HOUR, lab, MINUTE, NOW, register } from "./telemetry.ts";

const TABLES: readonly string[] = ["chunks", "host_state", "host_summaries", "jobs", "hosts", "vms", "placements"];

/** No host any more. */
export async function emptyFleet(): Promise<void> {
  await env.DB.batch(TABLES.map((table) => env.DB.prepare(`DELETE FROM ${table}`)));
  lab.now = NOW;
}

export const emptyFleetForEachTest = (): void => beforeEach(emptyFleet);

/** Keeps the tables as they are; what is given back brings them back. */
export async function keepTables(tables = TABLES): Promise<() => Promise<void>> {
  await env.DB.batch(
    tables.flatMap((table) => [
      env.DB.prepare(`DROP TABLE IF EXISTS kept_${table}`),
      env.DB.prepare(`CREATE TABLE kept_${table} AS SELECT * FROM ${table}`),
    ]),
  );
  return async () => {
    await env.DB.batch(
      tables.flatMap((table) => [
        env.DB.prepare(`DELETE FROM ${table}`),
        env.DB.prepare(`INSERT INTO ${table} SELECT * FROM kept_${table}`),
      ]),
    );
  };
}

let registered = 0;
/** A new host with these VMs. */
export async function newHost(vms: string[] = []): Promise<{ id: string; number: number }> {
  const id = `closing-${String(++registered).padStart(4, "0")}`;
  await register(id, vms);
  const row = await env.DB.prepare("SELECT number FROM hosts WHERE id = ?").bind(id).first<{ number: number }>();
  return { id, number: row?.number ?? 0 };
}

const SENDER = { id: "t", name: "t", scopes: ["ingest"], hostId: null, cluster: null } as const;
let batches = 0;

/** Stores samples as a sender of that host would; every call is a batch of its own. */
export const send = (host: string, stated: Partial<TelemetryBatch>, deps: Deps = depsOf()) =>
  ingest(deps, SENDER, { host, batch: `b${++batches}`, times: [lab.now], ...stated }, `h${batches}`);

/** What a series of these tests has at a time: rises and falls, different for every seed. */
export const wave = (seed: number, time: number): number =>
  Math.round((20 + seed + 10 * Math.sin(time / 700_000 + seed) + (time % 7)) * 1000) / 1000;

export const STEP = MINUTE;

/** Samples a minute of the host and its VMs, from `from` to before `to`. */
export function samplesOf(seed: number, vms: readonly string[], from: number, to: number) {
  const times = Array.from({ length: (to - from) / STEP }, (_, index) => from + index * STEP);
  const of = (offset: number): number[] => times.map((time) => wave(seed + offset, time));
  return {
    times,
    host_series: { cpu_used_cores: of(0), memory_used_bytes: of(1), custom: of(2) },
    vm_series: Object.fromEntries(
      vms.map((uuid, index) => [uuid, { cpu_used_cores: of(3 + index), memory_nonzero_bytes: of(4 + index) }]),
    ),
  };
}

/** Sends an hour in quarters, the clock going along; it ends at the end of the hour. */
export async function sendHour(host: string, seed: number, vms: readonly string[], hour: number, deps = depsOf()) {
  for (let quarter = 0; quarter < 4; quarter++) {
    const from = hour * HOUR + quarter * 15 * MINUTE;
    lab.now = from + 15 * MINUTE;
    await send(host, samplesOf(seed, vms, from, lab.now), deps);
  }
}

/** Cron's minute after the closing of the hours before `hour`. */
export async function closeBefore(hour: number, deps = depsOf()): Promise<void> {
  lab.now = hour * HOUR + 5 * MINUTE;
  await runSchedule(deps);
}

export const chunksOf = (hostNumber: number, tier: "raw" | "5min" | "1h"): Promise<StoredChunk[]> =>
  allChunks().then((chunks) =>
    chunks.filter(({ id }) => chunkKey(id).hostNumber === hostNumber && chunkKey(id).tier === tier),
  );

const allChunks = (): Promise<StoredChunk[]> =>
  depsOf().store.chunks.whole([{ first: 0, last: Number.MAX_SAFE_INTEGER }]);

/** Samples of a host's hour as D1 has them. */
export const frameOfHour = async (hostNumber: number, hour: number): Promise<Frame> =>
  chunkFrame((await chunksOf(hostNumber, "raw")).filter(({ id }) => chunkKey(id).hour === hour));

/** A frame as a table: series and time to value. */
export function tableOf({ times, columns }: Frame): Record<string, number> {
  const cells = columns.flatMap(({ entity, metric, values }) =>
    times.flatMap((time, index): [string, number][] => {
      const value = values[index] ?? Number.NaN;
      return Number.isNaN(value) ? [] : [[`${entity === HOST ? "host" : entity} ${metric} ${time}`, value]];
    }),
  );
  return Object.fromEntries(cells.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

const NUMBERS_ONLY = (values: Float64Array): string => JSON.stringify([...values]);

/**
 * All that closing makes, decoded, a line a series, hour, summary and host: the same content is equal however it came about.
 * Hours that are not packed have the line `<host number> raw <hour> is open`.
 */
export async function fleetContent(): Promise<string[]> {
  const chunks = await allChunks();
  const hours = Map.groupBy(chunks, ({ id }) => {
    const { hostNumber, tier, hour } = chunkKey(id);
    return `${hostNumber} ${tier} ${hour}`;
  });
  const lines = Array.from(hours).flatMap(([name, parts]) => {
    if (parts.some(({ id }) => chunkKey(id).tier !== "raw"))
      return parts.flatMap(({ packed }) => {
        const { times, columns } = unpack(packed ?? new Uint8Array());
        return columns.map((one) => `${name} ${one.entity} ${one.metric} [${times}] ${one.values.map(NUMBERS_ONLY)}`);
      });
    const { times, columns } = chunkFrame(parts);
    const series = columns.map((one) => `${name} ${one.entity} ${one.metric} [${times}] ${NUMBERS_ONLY(one.values)}`);
    return parts.some(isOpen) ? [...series, `${name} is open`] : series;
  });
  const summaries = await env.DB.prepare("SELECT * FROM host_summaries").all();
  const late = await env.DB.prepare("SELECT host_number, late_hours FROM host_state").all();
  return [...lines, ...[...summaries.results, ...late.results].map((row) => JSON.stringify(row))].toSorted();
}

/** The host's summary as it is stored. */
export const summaryRow = (number: number) =>
  env.DB.prepare("SELECT summarized_at AS at, summary, window FROM host_summaries WHERE host_number = ?")
    .bind(number)
    .first<{ at: number; summary: string; window: string }>();

/** A summary made anew from the chunks of the last 24 h must be what is stored. */
export async function expectSummaryOfChunks(number: number, hour: number, vms: string[]): Promise<void> {
  const hours: [number, Frame][] = [];
  for (const of of windowHours(hour)) hours.push([of, await frameOfHour(number, of)]);
  const window = rebuildWindow(hours.filter(([, { times }]) => times.length > 0));
  const row = await summaryRow(number);
  expect(row?.at).toBe((hour + 1) * HOUR);
  const stored = readWindow(Uint8Array.fromBase64(row?.window ?? ""));
  expect([...stored.hours]).toEqual([...window.hours]);
  expect(row?.window).toBe(writeWindow(window).toBase64());
  const summary = summaryOf(window, hour, await frameOfHour(number, hour), vms);
  expect(JSON.parse(row?.summary ?? "")).toEqual(summary);
}
