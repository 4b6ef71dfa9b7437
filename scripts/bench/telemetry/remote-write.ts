// Remote write into Drover and its peers: the same bodies to each. The peers' figures stand under the native cases of the same
// batching too: remote write is what they are fastest at.
import { type Bench, closedSpan, hostIndexes, say, wants, warmUpIndexes } from "./bench.ts";
import { workerdCpuSeconds } from "./cpu.ts";
import { measureLoad, reportLoad, type Server } from "./measure.ts";
import { askPeer, mergedVictoriaMetrics, prometheusOnBlock } from "./peer-cases.ts";
import { binaryOf, type Peer, type PeerName, PEERS, startPeer } from "./peers.ts";
import { remoteWriteBodies } from "./remote-write-bodies.ts";
import { attempt, checkStored, type Section, SETTLE_MS, warmUpHosts, withDrover } from "./sections.ts";
import { type Body, sleep } from "./send.ts";
import type { Span } from "./workload.ts";

type Batching = {
  hosts: number;
  scrapes: number;
  /** Drover's case; null: only the peers are asked. */
  drover: string | null;
  /** Cases under which the peers' figures stand. */
  peers: string[];
  /** Whether the peers are asked questions and weighed as well. */
  isAsked?: boolean;
};

/** The first minutes only: Prometheus refuses what is more than an hour older than the newest it has. */
const WARM_UP_STEPS = 48;
const WARM_UP_BODIES = 96;

const ASKED_ON_HEAD = { "query-fleet-p95": "query-fleet-p95-live", "query-vm-1h": "query-vm-1h-live" };
const ASKED = { "query-latest": "query-latest", "query-vm-1h": "query-vm-1h", "query-fleet-p95": "query-fleet-p95" };
const ASKED_CASES = ["stored", ...Object.values(ASKED), ...Object.values(ASKED_ON_HEAD)];

function warmUp(bench: Bench, span: Span, { hosts, scrapes }: Batching): Body[] {
  const early = { ...span, steps: Math.min(WARM_UP_STEPS, span.steps) };
  const indexes = warmUpIndexes(bench, warmUpHosts(bench));
  return remoteWriteBodies({ span: early, hostIndexes: indexes, hosts, scrapes }).slice(0, WARM_UP_BODIES);
}

const wantsAny = (bench: Bench, names: readonly string[]): boolean => names.some((name) => wants(bench, name));

const section = (batching: Batching): Section => ({
  cases: [
    ...(batching.drover === null ? [] : [batching.drover]),
    ...batching.peers,
    ...(batching.isAsked ? ASKED_CASES : []),
  ],
  run: async (bench) => {
    const forDrover = batching.drover !== null && wants(bench, batching.drover);
    const peers = bench.withPeers ? PEERS : [];
    if (!forDrover && peers.length === 0) return;
    const span = closedSpan(bench);
    const bodies = remoteWriteBodies({ span, hostIndexes: hostIndexes(bench), ...batching });
    const first = warmUp(bench, span, batching);
    if (batching.drover !== null && forDrover) await intoDrover(bench, span, batching.drover, first, bodies);
    for (const peer of peers) await intoPeer(bench, span, batching, peer, first, bodies);
  },
});

async function intoDrover(bench: Bench, span: Span, name: string, first: Body[], bodies: Body[]): Promise<void> {
  await withDrover({ bench, span }, async (drover) => {
    if (!(await drover.sendRemoteWrite(first))) {
      say(`SKIPPED ${name}: POST /v1/prometheus/write is 404`);
      return;
    }
    const server: Server = {
      cpuSeconds: workerdCpuSeconds,
      send: async (sent) => void (await drover.sendRemoteWrite(sent)),
      settle: () => sleep(SETTLE_MS),
    };
    reportLoad(name, await measureLoad(server, [], bodies));
    await attempt("what was stored", () => checkStored(drover, span, 0));
  });
}

async function intoPeer(
  bench: Bench,
  span: Span,
  { drover, peers, isAsked = false }: Batching,
  name: PeerName,
  first: Body[],
  bodies: Body[],
): Promise<void> {
  const cases = [...new Set([...peers, ...(drover === null ? [] : [drover])])].filter((each) => wants(bench, each));
  const isWeighed = isAsked && wantsAny(bench, ASKED_CASES);
  if (cases.length === 0 && !isWeighed) return;
  const binary = binaryOf(name);
  if (binary === null) {
    say(`SKIPPED ${name}: not on PATH`);
    return;
  }
  const peer = await startPeer(name, binary);
  try {
    const load = await measureLoad(peer, first, bodies);
    for (const each of cases) reportLoad(each, load, name);
    if (isWeighed) await weigh(bench, span, peer, binary, [...first, ...bodies]);
  } finally {
    await peer.stop();
  }
}

async function weigh(bench: Bench, span: Span, peer: Peer, binary: string, sent: readonly Body[]): Promise<void> {
  const samples = sent.reduce((sum, body) => sum + body.samples, 0);
  await askPeer(bench, peer, span, ASKED_ON_HEAD);
  if (peer.peer === "victoria-metrics") {
    await mergedVictoriaMetrics(bench, peer, samples);
    await askPeer(bench, peer, span, ASKED);
    return;
  }
  const onBlock = await prometheusOnBlock(bench, peer, binary, samples);
  try {
    await askPeer(bench, onBlock, span, ASKED);
  } finally {
    await onBlock.stop();
  }
}

export const remoteWriteSections: Section[] = [
  section({
    hosts: 1,
    scrapes: 20,
    drover: "ingest-remote-write-20",
    peers: ["ingest-native-20"],
    isAsked: true,
  }),
  section({ hosts: 10, scrapes: 1, drover: "ingest-remote-write-10x1", peers: [] }),
  section({ hosts: 1, scrapes: 4, drover: null, peers: ["ingest-native-4"] }),
];
