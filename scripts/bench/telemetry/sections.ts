// The cases, by what they need to be measured on. A section makes its own Drover, so that none measures what another left.
import { type Bench, closedSpan, figure, hostIndexes, liveSpan, say, spanEnd, wants, warmUpIndexes } from "./bench.ts";
import { workerdCpuSeconds } from "./cpu.ts";
import { type Drover, startDrover } from "./drover.ts";
import { measureLoad, measureQuery, reportLoad, reportQuery, samplesOf, type Server } from "./measure.ts";
import { type NativeBodies, nativeBodies } from "./native-bodies.ts";
import { fleetQuery, isWorkLeft, latestQuery, type Query, rowsWrittenIn, storedSeries, vmQuery } from "./queries.ts";
import { type Body, sleep } from "./send.ts";
import { storedNow } from "./stored.ts";
import { hostLoad, type Span } from "./workload.ts";

/** Cases that are measured together; `run` measures those that are wanted. */
export type Section = { cases: string[]; run: (bench: Bench) => Promise<void> };

/** About a hundred bodies of other hosts go ahead of every load: an isolate has then run its hot paths. */
const WARM_UP_HOSTS = 8;
const WARM_UP_BODIES = 96;

export const SETTLE_MS = 300;
const SCHEDULE_RUNS_MAX = 5000;

type Fleet = { bench: Bench; span: Span; inspectorPort?: number };

export async function withDrover({ bench, span, inspectorPort }: Fleet, act: (drover: Drover) => Promise<void>) {
  const indexes = [...hostIndexes(bench), ...warmUpIndexes(bench, warmUpHosts(bench))];
  const inspector = inspectorPort === undefined ? {} : { inspectorPort };
  const drover = await startDrover({ span, hostIndexes: indexes, ...inspector });
  try {
    await act(drover);
  } finally {
    await drover.stop();
  }
}

/** Few enough that their samples are a small part of a small fleet's as well. */
export const warmUpHosts = ({ hosts }: Bench): number => Math.min(WARM_UP_HOSTS, Math.max(1, Math.ceil(hosts / 2)));

export function warmUpOf(bench: Bench, bodies: Omit<NativeBodies, "hostIndexes">): Body[] {
  return nativeBodies({ ...bodies, hostIndexes: warmUpIndexes(bench, warmUpHosts(bench)) }).slice(0, WARM_UP_BODIES);
}

export const droverServer = (drover: Drover, gzip = false): Server => ({
  cpuSeconds: workerdCpuSeconds,
  send: (bodies) => drover.sendNative(bodies, { gzip }),
  settle: () => sleep(SETTLE_MS),
});

/** Compares what is stored of one host and one VM with what was sent. */
export async function checkStored(drover: Drover, span: Span, index: number): Promise<void> {
  const load = hostLoad(index, span);
  const vm = load.vms[0];
  const parts = [
    { of: { host: load.host }, series: load.series[3] },
    ...(vm ? [{ of: { vm: vm.uuid }, series: vm.series[0] }] : []),
  ];
  for (const { of, series } of parts) {
    if (series === undefined) continue;
    const { path, values } = storedSeries(span, of, series.metric);
    const stored = values(await drover.read(path));
    // A step may hold two scrapes or none where phase and jitter meet its border.
    let place = 0;
    for (const value of stored) {
      while (place < span.steps && series.values[place] !== value) place++;
      if (place === span.steps) throw new Error(`${path}: ${value} is not what was sent`);
      place++;
    }
    if (stored.length < span.steps - 2) throw new Error(`${path}: ${stored.length} of ${span.steps} samples`);
  }
}

export async function ask(name: string, drover: Drover, query: Query): Promise<void> {
  const check = (body: Buffer): void => {
    const count = query.count(body);
    if (count < query.expected) throw new Error(`${query.path}: ${count} values instead of ${query.expected}`);
  };
  const asked = await measureQuery(workerdCpuSeconds, () => drover.read(query.path), check);
  reportQuery(name, asked);
}

/** Runs `act` and reports its failure without ending what comes after it. False: it failed, or gave false because Drover cannot do it. */
export async function attempt(name: string, act: () => Promise<unknown>): Promise<boolean> {
  try {
    if ((await act()) !== false) return true;
    say(`SKIPPED ${name}: this Drover cannot do it`);
  } catch (error) {
    process.exitCode = 1;
    say(`FAILED ${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return false;
}

/** Runs the scheduled handler until nothing is left to pack. False: this Drover does not say. */
export async function untilPacked(drover: Drover): Promise<boolean> {
  for (let run = 0; run < SCHEDULE_RUNS_MAX; run++) {
    await drover.runSchedule();
    // What the handler left to waitUntil is done when the next request is.
    const status = await drover.readIfThere("/v1/status");
    if (status === null) return false;
    if (!isWorkLeft(status)) return true;
  }
  throw new Error(`still something to pack after ${SCHEDULE_RUNS_MAX} runs of the scheduled handler`);
}

async function rowsWritten(drover: Drover): Promise<number | null> {
  const metrics = await drover.readIfThere("/metrics");
  return metrics === null ? null : rowsWrittenIn(metrics.toString());
}

const native20: Section = {
  cases: ["ingest-native-20"],
  run: async (bench) => {
    const span = closedSpan(bench);
    const bodies = nativeBodies({ span, scrapes: 20, hostIndexes: hostIndexes(bench) });
    await withDrover({ bench, span }, async (drover) => {
      const load = await measureLoad(droverServer(drover), warmUpOf(bench, { span, scrapes: 20 }), bodies);
      reportLoad("ingest-native-20", load);
      await attempt("what was stored", () => checkStored(drover, span, 0));
    });
  },
};

async function loadAndPack(bench: Bench, drover: Drover, span: Span): Promise<void> {
  const bodies = nativeBodies({ span, scrapes: 4, hostIndexes: hostIndexes(bench) });
  const warmUp = warmUpOf(bench, { span, scrapes: 4 });
  const before = { bytes: storedNow(drover.stateDir), rows: await rowsWritten(drover) };
  const load = await measureLoad(droverServer(drover), warmUp, bodies);
  if (wants(bench, "ingest-native-4")) reportLoad("ingest-native-4", load);
  await attempt("what was stored", () => checkStored(drover, span, 0));
  const cpu = workerdCpuSeconds();
  const samples = samplesOf(bodies) + samplesOf(warmUp);
  const isPacked = await untilPacked(drover);
  if (!isPacked) say("no GET /v1/status: nothing was packed, so that live frames are what is weighed");
  const packCpu = (workerdCpuSeconds() - cpu) / (samples / 1e6);
  if (wants(bench, "stored")) {
    if (isPacked) figure("stored", "packCpuSecondsPerMillionSamples", packCpu, "s/M samples");
    const after = storedNow(drover.stateDir);
    const grown = (part: (stored: typeof after) => number): number => (part(after) - part(before.bytes)) / samples;
    figure(
      "stored",
      isPacked ? "bytesPerSample" : "liveBytesPerSample",
      grown(({ tiers }) => tiers.raw),
      "B/sample",
    );
    figure(
      "stored",
      "fileBytesPerSample",
      grown(({ fileBytes }) => fileBytes),
      "B/sample",
    );
  }
  const rows = await rowsWritten(drover);
  if (!wants(bench, "rows-written")) return;
  if (rows === null || before.rows === null) say("SKIPPED rows-written: no drover_d1_rows_written_total at /metrics");
  else figure("rows-written", "rowsPerMillionSamples", (rows - before.rows) / (samples / 1e6), "rows/M samples");
}

const native4: Section = {
  cases: ["ingest-native-4", "stored", "rows-written", "query-vm-1h", "query-fleet-p95"],
  run: async (bench) => {
    const span = closedSpan(bench);
    await withDrover({ bench, span }, async (drover) => {
      await loadAndPack(bench, drover, span);
      for (const [name, query] of [
        ["query-vm-1h", vmQuery(span, bench.hosts)],
        ["query-fleet-p95", fleetQuery(span, bench.hosts)],
      ] as const)
        if (wants(bench, name)) await attempt(name, () => ask(name, drover, query));
    });
  },
};

/** A quarter of the fleet: what inflating costs is the same a sample. */
const gzip = (scrapes: number): Section => ({
  cases: [`ingest-native-${scrapes}-gzip`],
  run: async (bench) => {
    const part = { ...bench, hosts: Math.ceil(bench.hosts / 4) };
    const span = closedSpan(part);
    const bodies = nativeBodies({ span, scrapes, gzip: true, hostIndexes: hostIndexes(part) });
    await withDrover({ bench: part, span }, async (drover) => {
      const warmUp = warmUpOf(part, { span, scrapes, gzip: true });
      reportLoad(`ingest-native-${scrapes}-gzip`, await measureLoad(droverServer(drover, true), warmUp, bodies));
    });
  },
});

/**
 * The hour that ends now, as one-minute batches and without the scheduled handler: nothing of it is packed, wherever in it
 * the border of an hour lies.
 */
const live: Section = {
  cases: ["query-latest", "query-vm-1h-live", "query-fleet-p95-live"],
  run: async (bench) => {
    const span = liveSpan(bench);
    say(
      `live hour: ${new Date(span.from).toISOString()} to ${new Date(spanEnd(span)).toISOString()}, none of it packed`,
    );
    const bodies = nativeBodies({ span, scrapes: 4, hostIndexes: hostIndexes(bench) });
    await withDrover({ bench, span }, async (drover) => {
      await drover.sendNative(bodies);
      for (const [name, query] of [
        ["query-latest", latestQuery(bench.hosts)],
        ["query-vm-1h-live", vmQuery(span, bench.hosts)],
        ["query-fleet-p95-live", fleetQuery(span, bench.hosts)],
      ] as const)
        if (wants(bench, name)) await attempt(name, () => ask(name, drover, query));
    });
  },
};

export const nativeSections: Section[] = [native20, native4, gzip(20), gzip(4), live];
