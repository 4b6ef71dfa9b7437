// What the peers are asked, and what they take on disk.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Bench, figure, spanEnd, wants } from "./bench.ts";
import { measureQuery, reportQuery } from "./measure.ts";
import { type Peer, startPeer } from "./peers.ts";
import { FLEET_METRIC } from "./queries.ts";
import { call, sleep } from "./send.ts";
import { hostLoad, type Span, STEP_MS, VM_METRICS, VMS } from "./workload.ts";

type Asked = { case: string; url: (base: string) => string; expected: number };

/** The same questions in PromQL. */
function questions({ hosts }: Bench, span: Span): Asked[] {
  const seconds = spanEnd(span) / 1000;
  const range = (span.steps * STEP_MS) / 1000;
  const uuid = hostLoad(Math.min(7, hosts - 1), span).vms[0]?.uuid ?? "";
  const url = (path: string, parameters: Record<string, string | number>) => (base: string) => {
    const pairs = Object.entries({ nocache: 1, ...parameters }).map(([name, value]) => [name, String(value)]);
    return `${base}/api/v1/${path}?${new URLSearchParams(pairs).toString()}`;
  };
  const atEnd = (query: string) => url("query", { query, time: seconds });
  return [
    { case: "query-latest", url: atEnd('{__name__=~"hv_vm_.+"}'), expected: hosts * VMS * VM_METRICS.length },
    {
      case: "query-vm-1h",
      url: url("query_range", { query: `{vm="${uuid}"}`, start: seconds - range, end: seconds, step: STEP_MS / 1000 }),
      expected: VM_METRICS.length,
    },
    {
      case: "query-fleet-p95",
      url: atEnd(`quantile_over_time(0.95, ${FLEET_METRIC}[${range}s])`),
      expected: hosts,
    },
  ];
}

function check(body: Buffer, expected: number): void {
  const { data } = JSON.parse(body.toString()) as { data: { result: unknown[] } };
  if (data.result.length < expected) throw new Error(`${data.result.length} series instead of ${expected}`);
}

/** `as`: the names under which the figures are reported, by case; those that are not in it are not asked. */
export async function askPeer(bench: Bench, peer: Peer, span: Span, as: Record<string, string>): Promise<void> {
  for (const question of questions(bench, span)) {
    const name = as[question.case];
    if (name === undefined || !wants(bench, name)) continue;
    const ask = () => call(question.url(peer.url));
    const asked = await measureQuery(peer.cpuSeconds, ask, (body) => check(body, question.expected));
    reportQuery(name, asked, peer.peer);
  }
}

function folderBytes(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

const MERGE_ROUNDS_MAX = 40;

/** VictoriaMetrics: parts merged into one. `stored`: data, and the index on top of it. */
export async function mergedVictoriaMetrics(bench: Bench, peer: Peer, samples: number): Promise<void> {
  await call(`${peer.url}/internal/force_merge`);
  for (let round = 0; round < MERGE_ROUNDS_MAX; round++) {
    const before = peer.cpuSeconds();
    await sleep(1000);
    if (peer.cpuSeconds() - before < 0.03) break;
  }
  if (!wants(bench, "stored")) return;
  figure("stored", "bytesPerSample", folderBytes(join(peer.dataDir, "data")) / samples, "B/sample", peer.peer);
  figure("stored", "indexBytesPerSample", folderBytes(join(peer.dataDir, "indexdb")) / samples, "B/sample", peer.peer);
}

/** Prometheus: the head as a block, by its snapshot, and a Prometheus that holds nothing else. */
export async function prometheusOnBlock(bench: Bench, head: Peer, binary: string, samples: number): Promise<Peer> {
  const body = await call(`${head.url}/api/v1/admin/tsdb/snapshot`, { method: "POST" });
  const { data } = JSON.parse(body.toString()) as { data: { name: string } };
  const folder = join(head.dataDir, "snapshots", data.name);
  if (wants(bench, "stored")) figure("stored", "bytesPerSample", folderBytes(folder) / samples, "B/sample", head.peer);
  await head.end();
  return startPeer("prometheus", binary, folder);
}
