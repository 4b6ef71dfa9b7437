// The heap, in a run of its own: an inspector that is attached makes everything else slower.
import { type Bench, figure, hostIndexes, liveSpan, wants } from "./bench.ts";
import type { Drover } from "./drover.ts";
import { type Heap, watchHeap } from "./heap.ts";
import { nativeBodies } from "./native-bodies.ts";
import { freePort } from "./peers.ts";
import { fleetQuery, latestQuery, type Query, vmQuery } from "./queries.ts";
import { remoteWriteBodies } from "./remote-write-bodies.ts";
import { attempt, type Section, untilPacked, withDrover } from "./sections.ts";
import { sleep } from "./send.ts";
import type { Span } from "./workload.ts";

const ASKED_TIMES = 10;
const MB = 1e6;

/** Before the live span, so that there is something to pack. */
const hourBefore = (span: Span): Span => ({ ...span, from: span.from - 2 * 3_600_000 });

type Phase = { name: string; act: (drover: Drover) => Promise<unknown> };

function phases(bench: Bench, span: Span): Phase[] {
  const indexes = hostIndexes(bench);
  const past = hourBefore(span);
  const asking = (name: string, query: Query): Phase => ({
    name,
    act: async (drover) => {
      for (let turn = 0; turn < ASKED_TIMES; turn++) await drover.read(query.path);
    },
  });
  const native = (of: Span, scrapes: number) => (drover: Drover) =>
    drover.sendNative(nativeBodies({ span: of, scrapes, hostIndexes: indexes }));
  // Not of a shorter span: that is another fleet, of other VMs.
  const remote = (hosts: number, scrapes: number, share: number) => (drover: Drover) => {
    const bodies = remoteWriteBodies({ span, hostIndexes: indexes, hosts, scrapes });
    return drover.sendRemoteWrite(bodies.slice(0, Math.ceil(bodies.length * share)));
  };
  return [
    { name: "ingest-native-20", act: native(past, 20) },
    { name: "pack", act: untilPacked },
    { name: "ingest-native-4", act: native(span, 4) },
    { name: "ingest-remote-write-20", act: remote(1, 20, 1) },
    // A quarter of the time is enough to see it, at thirteen times the bytes a sample.
    { name: "ingest-remote-write-10x1", act: remote(10, 1, 1 / 4) },
    asking("query-latest", latestQuery(bench.hosts)),
    asking("query-vm-1h", vmQuery(past, bench.hosts)),
    asking("query-fleet-p95", fleetQuery(past, bench.hosts)),
    asking("query-fleet-p95-live", fleetQuery(span, bench.hosts)),
  ];
}

export const heapSection: Section = {
  cases: ["heap"],
  run: async (bench) => {
    if (!wants(bench, "heap")) return;
    const span = liveSpan(bench);
    const inspectorPort = await freePort();
    // What a Worker has; without a limit V8 lets garbage lie as long as the machine has memory.
    process.env.MINIFLARE_WORKERD_V8_FLAGS = "--max-heap-size=128";
    try {
      await withDrover({ bench, span, inspectorPort }, async (drover) => {
        const heap = await watchHeap(inspectorPort);
        try {
          figure("heap", "heapMegabytesMax", await watched(bench, span, drover, heap), "MB");
        } finally {
          heap.close();
        }
      });
    } finally {
      delete process.env.MINIFLARE_WORKERD_V8_FLAGS;
    }
  },
};

/** Every phase's peak; gives the highest, MB. */
async function watched(bench: Bench, span: Span, drover: Drover, heap: Heap): Promise<number> {
  let highest = 0;
  for (const { name, act } of phases(bench, span)) {
    heap.peak();
    const isDone = await attempt(`heap of ${name}`, () => act(drover));
    await sleep(300);
    const peak = heap.peak() / MB;
    if (!isDone) continue;
    highest = Math.max(highest, peak);
    figure("heap", `heapMegabytesMax ${name}`, peak, "MB");
  }
  return highest;
}
