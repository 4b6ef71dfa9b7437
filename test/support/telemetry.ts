// The API as telemetry's tests use it: on a clock that the test sets, with one fresh host a test.
import { env } from "cloudflare:workers";
import { beforeEach, expect } from "vitest";
import { createApp } from "../../worker/app.ts";
import { type Deps, makeDeps } from "../../worker/env.ts";
import type { TelemetryBatch } from "../../worker/model/wire/telemetry.ts";
import { type Answer, inventory, tokenFor, vm } from "./api.ts";

export const HOUR = 3_600_000;
export const MINUTE = 60_000;
/** On the hour. */
export const NOW = 1_795_399_200_000;
export const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
export const ADMIN = String(env.ADMIN_TOKEN);

/** Drover's clock, and the test's host with its agent's token. */
export const lab = { now: NOW, host: "", hostNumber: 0, token: "" };

const app = createApp((bindings) => ({ ...makeDeps(bindings), now: () => lab.now }));

/** What services take, on the test's clock; nothing is remembered of what others did. */
export const depsOf = (DB: D1Database = env.DB): Deps => ({ ...makeDeps({ ...env, DB }), now: () => lab.now });

export const request = async (path: string, init: RequestInit): Promise<Response> => app.request(path, init, env);

export async function call(
  method: string,
  path: string,
  token: string,
  body?: BodyInit,
  headers = {},
): Promise<Answer> {
  const response = await request(path, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body }),
  });
  return { status: response.status, body: await response.json(), headers: response.headers };
}

/** A batch of the test's host at this moment, but for what is stated. */
export const batchOf = (stated: Partial<TelemetryBatch>): TelemetryBatch => ({
  host: lab.host,
  batch: "b1",
  times: [lab.now],
  ...stated,
});

export const post = (stated: Partial<TelemetryBatch>, token = lab.token): Promise<Answer> =>
  call("POST", "/v1/telemetry", token, JSON.stringify(batchOf(stated)));

export async function read<T>(path: string): Promise<T> {
  const answer = await call("GET", path, ADMIN);
  expect(answer).toMatchObject({ status: 200 });
  return answer.body as T;
}

export type Series = {
  cluster: string;
  host: string | null;
  vm: string | null;
  metric: string;
  unit: string | null;
  values: (number | null)[];
  gaps: unknown[];
};
export type SeriesPage = {
  tier: string;
  why: string;
  approximate: boolean;
  harmedChunks: number;
  series: Series[];
  next: string | null;
};
export const series = async (query: string): Promise<Series[]> =>
  (await read<SeriesPage>(`/v1/series?${query}`)).series;

/** Why a query is refused: the path and message of its first issue. */
export async function refusal(query: string): Promise<{ status: number; path: string; message: string }> {
  const { status, body } = await call("GET", `/v1/series?${query}`, ADMIN);
  const [issue] = (body["issues"] ?? []) as { path: string; message: string }[];
  return { status, path: issue?.path ?? "", message: issue?.message ?? "" };
}

/** What one series of the host has: the last sample of every second, of every minute where that would be too many. */
export async function samples(metric: string, from = lab.now - HOUR, to = lab.now + 1000): Promise<number[]> {
  const step = to - from > 3 * HOUR ? MINUTE : 1000;
  const [found] = await series(`host=${lab.host}&metric=${metric}&from=${from}&to=${to}&step=${step}&agg=last`);
  return found?.values.filter((value) => value !== null) ?? [];
}

type Latest = { host: Record<string, number[]>; vms: Record<string, unknown> };
export const latestOf = async (host: string): Promise<Latest | undefined> =>
  (await read<{ items: { latest: Latest }[] }>(`/v1/latest?host=${host}`)).items[0]?.latest;

/** Registers a host with running VMs, as its agent would. */
export async function register(host: string, uuids: string[] = [], cluster = "lab"): Promise<void> {
  const body = inventory(
    cluster,
    uuids.map((uuid) => vm({ uuid })),
  );
  expect(await call("PUT", `/v1/hosts/${host}`, ADMIN, JSON.stringify(body))).toMatchObject({ status: 200 });
}

let hosts = 0;
export function freshHostForEachTest(): void {
  beforeEach(async () => {
    const host = `hv-${++hosts}`;
    Object.assign(lab, { now: NOW, host });
    await register(host);
    const row = await env.DB.prepare("SELECT number FROM hosts WHERE id = ?").bind(host).first<{ number: number }>();
    Object.assign(lab, { hostNumber: row?.number ?? 0, token: await tokenFor(["agent"], { hostId: host }) });
  });
}
