// One run: a new Drover, its webhooks, events, and what came of them.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDev } from "../../dev/server.ts";
import { watchHeap } from "../telemetry/heap.ts";
import { freePort } from "../telemetry/peers.ts";
import { sleep } from "../telemetry/send.ts";
import { type Manner, startReceivers, type Receivers } from "./receivers.ts";

export type Plan = {
  events: number;
  good: number;
  hanging: number;
  failing: number;
  timeoutMs: number;
  withHeap: boolean;
};
export type Result = {
  deliverable: number;
  delivered: number;
  duplicates: number;
  /** From the first webhook's being resumed to the last delivery. */
  tookMs: number;
  /** From its being resumed to its last delivery, of each webhook that takes everything; sorted. */
  servedMs: number[];
  inFlightMax: number;
  attemptsAtHanging: number;
  attemptsAtFailing: number;
  /** The most in use in each quarter of the deliveries; null: not looked at. */
  heapBytes: number[] | null;
};

const CLUSTER = "bench";
const LANES = 4;
const WAIT_MS_MAX = 600_000;

const names = (manner: Manner, count: number) =>
  Array.from({ length: count }, (_, n): [string, Manner] => [`${manner}-${n}`, manner]);

type Api = (method: string, path: string, body?: object) => Promise<Record<string, unknown>>;

const apiOf =
  (url: string, token: string): Api =>
  async (method, path, body) => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const answer = await fetch(`${url}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as Record<string, unknown>;
  };

export async function run(plan: Plan): Promise<Result> {
  const manners = new Map([
    ...names("good", plan.good),
    ...names("hangs", plan.hanging),
    ...names("fails", plan.failing),
  ]);
  const receivers = await startReceivers(manners);
  const stateDir = mkdtempSync(join(tmpdir(), "drover-bench-"));
  const inspectorPort = plan.withHeap ? await freePort() : undefined;
  // What a Worker has; without a limit V8 lets garbage lie as long as the machine has memory.
  if (plan.withHeap) process.env.MINIFLARE_WORKERD_V8_FLAGS = "--max-heap-size=128";
  const dev = await startDev({
    port: 0,
    stateDir,
    isScheduled: false,
    ...(inspectorPort === undefined ? {} : { inspectorPort }),
  });
  try {
    const api = apiOf(dev.url, dev.adminToken);
    const webhookIds = new Map<string, string>();
    for (const name of manners.keys()) {
      const url = receivers.urlOf(name);
      const made = await api("POST", "/v1/webhooks", { url, events: ["freeze.created"], timeoutMs: plan.timeoutMs });
      webhookIds.set(name, (made["webhook"] as { webhookId: string }).webhookId);
    }
    return await measured(plan, { api, receivers, webhookIds, inspectorPort, runSchedule: dev.runSchedule });
  } finally {
    delete process.env.MINIFLARE_WORKERD_V8_FLAGS;
    await dev.stop();
    await receivers.close();
    rmSync(stateDir, { recursive: true, force: true });
  }
}

const came = ({ logs }: Receivers): number =>
  [...logs.values()].reduce((sum, { manner, cameAt }) => sum + (manner === "good" ? cameAt.size : 0), 0);

async function inLanes<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const lane = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await act(item);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

type Status = { webhooks: { waiting: number; eventsWaiting: number } };

/** Everything that is to be delivered waits for webhooks that are paused. */
async function backlog(
  plan: Plan,
  api: Api,
  webhookIds: readonly string[],
  runSchedule: () => Promise<void>,
): Promise<void> {
  await inLanes(webhookIds, async (id) => void (await api("POST", `/v1/webhooks/${id}/pause`, { reason: "bench" })));
  const numbers = Array.from({ length: plan.events }, (_, n) => String(n));
  await inLanes(
    numbers,
    async (reason) => void (await api("POST", "/v1/freezes", { cluster: CLUSTER, from: 1, reason })),
  );
  for (const until = Date.now() + WAIT_MS_MAX; Date.now() < until; await sleep(500)) {
    await runSchedule();
    const { webhooks } = (await api("GET", "/v1/status")) as Status;
    if (webhooks.eventsWaiting === 0 && webhooks.waiting === plan.events * webhookIds.length) return;
  }
  throw new Error("the events were not fanned out");
}

type Measuring = {
  api: Api;
  receivers: Receivers;
  /** Webhooks by the names of their receivers. */
  webhookIds: ReadonlyMap<string, string>;
  inspectorPort: number | undefined;
  runSchedule: () => Promise<void>;
};

async function measured(
  plan: Plan,
  { api, receivers, webhookIds, inspectorPort, runSchedule }: Measuring,
): Promise<Result> {
  await backlog(plan, api, [...webhookIds.values()], runSchedule);
  const heap = inspectorPort === undefined ? null : await watchHeap(inspectorPort, true);
  const deliverable = plan.events * plan.good;
  const began = Date.now();
  let sweptAt = began;
  const resumedAt = new Map<string, number>();
  const resuming = inLanes([...webhookIds], async ([name, id]) => {
    resumedAt.set(name, Date.now());
    await api("POST", `/v1/webhooks/${id}/resume`, { reason: "bench" });
  });
  const heapBytes: number[] = [];
  for (let quarter = 1; quarter <= 4; quarter++) {
    while (came(receivers) < (deliverable * quarter) / 4 && Date.now() - began < WAIT_MS_MAX) {
      await sleep(50);
      if (Date.now() - sweptAt < 60_000) continue;
      // As Cron does.
      sweptAt = Date.now();
      await runSchedule();
    }
    if (heap !== null) heapBytes.push(heap.peak());
  }
  await resuming;
  heap?.close();
  return { ...summed(receivers, began, resumedAt), deliverable, heapBytes: heap === null ? null : heapBytes };
}

function summed(
  { logs }: Receivers,
  began: number,
  resumedAt: ReadonlyMap<string, number>,
): Omit<Result, "deliverable" | "heapBytes"> {
  const all = [...logs.values()];
  const good = [...logs].filter(([, { manner }]) => manner === "good");
  const lastAt = ([, { cameAt }]: (typeof good)[number]) => Math.max(0, ...cameAt.values());
  const requests = (manner: Manner) => all.reduce((sum, log) => sum + (log.manner === manner ? log.requests : 0), 0);
  return {
    delivered: good.reduce((sum, [, { cameAt }]) => sum + cameAt.size, 0),
    duplicates: good.reduce((sum, [, { duplicates }]) => sum + duplicates, 0),
    tookMs: Math.max(...good.map(lastAt)) - began,
    servedMs: good.map((one) => lastAt(one) - (resumedAt.get(one[0]) ?? began)).toSorted((a, b) => a - b),
    inFlightMax: Math.max(...all.map(({ inFlightMax }) => inFlightMax)),
    attemptsAtHanging: requests("hangs"),
    attemptsAtFailing: requests("fails"),
  };
}
