// Collection: samples into batches into the spool, and dirty curves measured in the background, one VM at a time.
import { randomUUID } from "node:crypto";
import type { VmState } from "../../worker/model/wire/inventory.ts";
import type { DirtyCurveReport, TelemetryBatch } from "../../worker/model/wire/telemetry.ts";
import type { Settings } from "./config.ts";
import type { Driver, DriverSample } from "./driver.ts";
import type { Life } from "./life.ts";
import { messageOf, type Log } from "./log.ts";
import type { Spool } from "./spool.ts";

/** More moments than this no batch may hold. */
const SAMPLES_MAX = 5760;

export type TimedSample = { at: number; sample: DriverSample };

/** Columns by metric; a moment at which a metric could not be read is null. */
function columns(rows: readonly (Record<string, number> | undefined)[]): Record<string, (number | null)[]> {
  const names = new Set(rows.flatMap((row) => Object.keys(row ?? {})));
  return Object.fromEntries([...names].sort().map((name) => [name, rows.map((row) => row?.[name] ?? null)]));
}

/** The body of `POST /v1/telemetry` for samples in rising order of time. */
export function buildBatch(
  head: Pick<TelemetryBatch, "host" | "batch">,
  samples: readonly TimedSample[],
  curves: Record<string, DirtyCurveReport>,
  states: Record<string, VmState> | null,
): TelemetryBatch {
  const uuids = new Set(samples.flatMap(({ sample }) => Object.keys(sample.vms)));
  return {
    ...head,
    times: samples.map(({ at }) => at),
    host_series: columns(samples.map(({ sample }) => sample.host)),
    vm_series: Object.fromEntries(
      [...uuids].sort().map((uuid) => [uuid, columns(samples.map(({ sample }) => sample.vms[uuid]))]),
    ),
    ...(Object.keys(curves).length > 0 ? { vm_dirty_curves: curves } : {}),
    ...(states ? { vm_states: states } : {}),
  };
}

/** The last sample with what the agent says of itself when the batch is built. */
function withOwn(samples: readonly TimedSample[], spool: Spool): TimedSample[] {
  const { droppedBatches, droppedSamples, refusedSamples } = spool.losses();
  const own = {
    drover_agent_spool_dropped_batches_total: droppedBatches,
    drover_agent_spool_dropped_samples_total: droppedSamples,
    drover_agent_spool_waiting_batches: spool.waiting(),
    drover_agent_refused_samples_total: refusedSamples,
  };
  return samples.map(({ at, sample }, index) => ({
    at,
    sample: index === samples.length - 1 ? { ...sample, host: { ...sample.host, ...own } } : sample,
  }));
}

/** Values in a sample, of the host and of all VMs. */
export function countValues({ host, vms }: DriverSample): number {
  return [host, ...Object.values(vms)].reduce((sum, values) => sum + Object.keys(values).length, 0);
}

/** The VM whose curve is due and was measured longest ago, never measured first; null: none is due. */
export function nextCurve(uuids: readonly string[], dueAt: ReadonlyMap<string, number>, nowMs: number): string | null {
  const due = uuids.filter((uuid) => (dueAt.get(uuid) ?? 0) <= nowMs);
  return due.sort((a, b) => (dueAt.get(a) ?? 0) - (dueAt.get(b) ?? 0))[0] ?? null;
}

export type Collector = {
  run: () => void;
  /** Resolves when no dirty curve of this VM is being measured; from then on `isMigrating` must hold it off. */
  settle: (uuid: string) => Promise<void>;
  /** Puts what was sampled since the last batch into the spool. */
  flush: () => Promise<void>;
};

type Parts = {
  settings: Settings;
  driver: Driver;
  spool: Spool;
  life: Life;
  log: Log;
  now: () => number;
  isMigrating: (uuid: string) => boolean;
  /** Run states that are as old as a heartbeat at most. */
  recentStates: () => Promise<Record<string, VmState>>;
};

export function createCollector(parts: Parts): Collector {
  const { settings, driver, spool, life, log, now } = parts;
  let samples: TimedSample[] = [];
  let curves: Record<string, DirtyCurveReport> = {};

  const sampleOnce = async (): Promise<void> => {
    const at = now();
    const sample = await driver.sample();
    if (samples.at(-1)?.at !== at) samples.push({ at, sample });
    // Only reached when batches cannot be written for long: a full disk.
    const lost = samples.length > SAMPLES_MAX ? samples.shift() : undefined;
    if (lost !== undefined) spool.lose(countValues(lost.sample));
  };
  const flush = async (): Promise<void> => {
    if (samples.length === 0) return;
    const states = await driver.vmStates().catch(() => null);
    spool.put(buildBatch({ host: settings.hostId, batch: randomUUID() }, withOwn(samples, spool), curves, states));
    samples = [];
    curves = {};
  };
  const measuring = createCurves(parts, (uuid, curve) => (curves[uuid] = curve));

  const every = (name: string, ms: number, task: () => Promise<void>): void =>
    life.spawn(name, async () => {
      while (!life.isStopping()) {
        await task().catch((error: unknown) => log("error", `${name} failed`, { error: messageOf(error) }));
        await life.sleep(ms);
      }
    });

  return {
    run: () => {
      every("sampling", settings.sampleMs, sampleOnce);
      life.spawn("batching", async () => {
        await life.sleep(settings.batchMs);
        while (!life.isStopping()) {
          await flush().catch((error: unknown) => log("error", "batching failed", { error: messageOf(error) }));
          spool.wake();
          await life.sleep(settings.batchMs);
        }
      });
      every("dirty curves", Math.min(settings.sampleMs, settings.dirtyCurveEveryMs), measuring.round);
    },
    settle: measuring.settle,
    flush,
  };
}

function createCurves(
  { settings, driver, now, isMigrating, recentStates, log, life }: Parts,
  onCurve: (uuid: string, curve: DirtyCurveReport) => void,
): { round: () => Promise<void>; settle: (uuid: string) => Promise<void> } {
  const dueAt = new Map<string, number>();
  let current: { uuid: string; done: Promise<void> } | null = null;

  const measure = async (uuid: string): Promise<void> => {
    const curve = await driver.dirtyCurve(uuid).catch((error: unknown) => {
      log("warn", "a dirty curve could not be measured", { vm: uuid, error: messageOf(error) });
      return null;
    });
    // On the clock of the samples: a driver's own may be simulated.
    if (curve !== null) onCurve(uuid, { ...curve, at: now() });
    dueAt.set(uuid, now() + (curve === null ? settings.dirtyCurveEveryMs / 10 : settings.dirtyCurveEveryMs));
  };
  const round = async (): Promise<void> => {
    const states = await recentStates();
    for (const uuid of dueAt.keys()) if (states[uuid] === undefined) dueAt.delete(uuid);
    while (!life.isStopping()) {
      const still = Object.keys(states).filter((uuid) => states[uuid] === "running" && !isMigrating(uuid));
      const uuid = nextCurve(still, dueAt, now());
      if (uuid === null) return;
      const done = measure(uuid);
      current = { uuid, done };
      await done;
      current = null;
    }
  };
  return {
    round,
    settle: async (uuid) => {
      if (current?.uuid === uuid) await current.done;
    },
  };
}
