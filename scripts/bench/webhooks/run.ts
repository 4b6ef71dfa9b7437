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
  /** From the first event's making to the last delivery. */
  tookMs: number;
  /** How long after its first receiver each of the others had an event; of those that take everything, sorted. */
  delaysMs: number[];
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

type Api = (method: string, path: string, body: object) => Promise<Record<string, unknown>>;

const apiOf =
  (url: string, token: string): Api =>
  async (method, path, body) => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const answer = await fetch(`${url}${path}`, { method, headers, body: JSON.stringify(body) });
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
    for (const name of manners.keys())
      await api("POST", "/v1/webhooks", {
        url: receivers.urlOf(name),
        events: ["freeze.created"],
        timeoutMs: plan.timeoutMs,
      });
    return await measured(plan, api, receivers, inspectorPort, dev.runSchedule);
  } finally {
    delete process.env.MINIFLARE_WORKERD_V8_FLAGS;
    await dev.stop();
    await receivers.close();
    rmSync(stateDir, { recursive: true, force: true });
  }
}

const came = ({ logs }: Receivers): number =>
  [...logs.values()].reduce((sum, { manner, cameAt }) => sum + (manner === "good" ? cameAt.size : 0), 0);

async function measured(
  plan: Plan,
  api: Api,
  receivers: Receivers,
  inspectorPort: number | undefined,
  runSchedule: () => Promise<void>,
): Promise<Result> {
  const heap = inspectorPort === undefined ? null : await watchHeap(inspectorPort, true);
  const deliverable = plan.events * plan.good;
  const began = Date.now();
  let sweptAt = began;
  let made = 0;
  const lane = async (): Promise<void> => {
    while (made < plan.events) await api("POST", "/v1/freezes", { cluster: CLUSTER, from: 1, reason: String(++made) });
  };
  const sending = Promise.all(Array.from({ length: LANES }, lane));
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
  await sending;
  heap?.close();
  return { ...summed(receivers, began), deliverable, heapBytes: heap === null ? null : heapBytes };
}

function summed({ logs }: Receivers, began: number): Omit<Result, "deliverable" | "heapBytes"> {
  const all = [...logs.values()];
  const good = all.filter(({ manner }) => manner === "good");
  const firstAt = new Map<string, number>();
  for (const { cameAt } of good)
    for (const [id, at] of cameAt) firstAt.set(id, Math.min(at, firstAt.get(id) ?? Infinity));
  const requests = (manner: Manner) => all.reduce((sum, log) => sum + (log.manner === manner ? log.requests : 0), 0);
  return {
    delivered: good.reduce((sum, { cameAt }) => sum + cameAt.size, 0),
    duplicates: good.reduce((sum, { duplicates }) => sum + duplicates, 0),
    tookMs: Math.max(...good.flatMap(({ cameAt }) => [...cameAt.values()])) - began,
    // Behind the receiver that had the event first: what one receiver is held up by others.
    delaysMs: good
      .flatMap(({ cameAt }) => Array.from(cameAt, ([id, at]) => at - (firstAt.get(id) ?? at)))
      .toSorted((a, b) => a - b),
    inFlightMax: Math.max(...all.map(({ inFlightMax }) => inFlightMax)),
    attemptsAtHanging: requests("hangs"),
    attemptsAtFailing: requests("fails"),
  };
}
