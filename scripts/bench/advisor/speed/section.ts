// Speed: what a plan costs in workerd, by strategy, with the parameters that it ships with. Machines are shared: compare figures of
// one run.
import { resolve } from "node:path";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { report } from "../../report.ts";
import { workerdCpuSeconds } from "../../telemetry/cpu.ts";
import { type Heap, watchHeap } from "../../telemetry/heap.ts";
import { freePort } from "../../telemetry/peers.ts";
import { call, sleep } from "../../telemetry/send.ts";
import { type BenchOptions, say, type Section } from "../section.ts";
import { requests } from "./requests.ts";

const HOSTS = [100, 1000];
const TIMES = 5;
/** With so few evaluations a search of a large cluster ends early. */
const FEW_EVALUATIONS = 1000;
/** The kernel counts CPU in hundredths of a second: it has settled by then. */
const SETTLE_MS = 50;
const HEAP_SETTLE_MS = 700;
const MB = 1e6;

export const speedSection: Section = { cases: ["speed"], run };

type Answer = { moves: number; notMoved: number; cutShort: boolean; bytes: number };
type Server = { ask: (path: string) => Promise<Answer & { vms: number }>; stop: () => Promise<void> };

async function run({ hosts, seed }: BenchOptions): Promise<void> {
  for (const size of hosts.length > 0 ? hosts : HOSTS) {
    await withServer(size, seed, undefined, (server, vms) => cpuOf(server, size, vms));
    const port = await freePort();
    await withServer(size, seed, port, async (server, vms) => {
      const heap = await watchHeap(port);
      await heapOf(server, heap, size, vms).finally(heap.close);
    });
  }
}

async function withServer(
  hosts: number,
  seed: number,
  inspectorPort: number | undefined,
  act: (server: Server, vms: number) => Promise<void>,
): Promise<void> {
  const server = await start(inspectorPort);
  try {
    const { vms } = await server.ask(`/cluster?hosts=${hosts}&seed=${seed}`);
    await act(server, vms);
  } finally {
    await server.stop();
  }
}

async function start(inspectorPort?: number): Promise<Server> {
  const { outputFiles } = await build({
    entryPoints: [resolve(import.meta.dirname, "worker.ts")],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    logLevel: "error",
  });
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      ...(inspectorPort === undefined ? {} : { inspectorPort }),
      cf: false,
      log: new Log(LogLevel.WARN),
      compatibilityDate: "2026-11-01",
      modules: [{ type: "ESModule", path: "index.js", contents: outputFiles[0]?.text ?? "" }],
    }),
  );
  const url = (await miniflare.ready).origin;
  return {
    ask: async (path) => JSON.parse((await call(`${url}${path}`)).toString()) as Answer & { vms: number },
    stop: () => miniflare.dispose(),
  };
}

function figure(hosts: number, vms: number, strategy: string, metric: string, value: number, unit: string): void {
  report({ bench: "advisor", case: "speed", hosts, vms, strategy, metric, value, unit });
}

/** The first plan, the median of some more, and one that is given few evaluations. */
async function cpuOf(server: Server, hosts: number, vms: number): Promise<void> {
  say(`speed, ${hosts} hosts, ${vms} VMs: CPU ms first, median, cut short; moves`);
  for (const { strategy } of requests) {
    const timed = async (query = ""): Promise<{ answer: Answer; ms: number }> => {
      const before = workerdCpuSeconds();
      const answer = await server.ask(`/plan?strategy=${strategy}${query}`);
      await sleep(SETTLE_MS);
      return { answer, ms: 1000 * (workerdCpuSeconds() - before) };
    };
    const first = await timed();
    const more: number[] = [];
    for (let turn = 0; turn < TIMES; turn++) more.push((await timed()).ms);
    const median = more.sort((a, b) => a - b)[Math.floor(TIMES / 2)] ?? 0;
    const few = await timed(`&evaluations=${FEW_EVALUATIONS}`);
    figure(hosts, vms, strategy, "cpuMs", median, "ms");
    figure(hosts, vms, strategy, "cpuMsFirst", first.ms, "ms");
    figure(hosts, vms, strategy, "cpuMsFewEvaluations", few.ms, "ms");
    figure(hosts, vms, strategy, "moves", first.answer.moves, "moves");
    figure(hosts, vms, strategy, "movesFewEvaluations", few.answer.moves, "moves");
    figure(hosts, vms, strategy, "cutShortByFewEvaluations", Number(few.answer.cutShort), "plans");
    say(
      `  ${strategy.padEnd(20)} ${[first.ms, median, few.ms].map((ms) => ms.toFixed(0).padStart(6)).join(" ")}  ${first.answer.moves} moves, ${few.answer.moves} when cut short (${few.answer.cutShort ? "it says so" : "it was not"})`,
    );
  }
}

/** What is in use and what was, looked at while plans are made one after the other; the snapshot is in it. */
async function heapOf(server: Server, heap: Heap, hosts: number, vms: number): Promise<void> {
  for (const { strategy } of requests) {
    heap.peak();
    for (let turn = 0; turn < 2; turn++) {
      await server.ask(`/plan?strategy=${strategy}`);
      await sleep(HEAP_SETTLE_MS);
    }
    const peak = heap.peak() / MB;
    figure(hosts, vms, strategy, "heapMb", peak, "MB");
    say(`  ${strategy.padEnd(20)} heap ${peak.toFixed(0)} MB`);
  }
}
