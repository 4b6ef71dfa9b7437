// Series as other collectors send them, for the tests of what is made of them.
import { combineForeign } from "../../worker/model/telemetry/foreign/combine.ts";
import {
  type CounterState,
  formatCounterState,
  NO_COUNTERS,
  parseCounterState,
} from "../../worker/model/telemetry/foreign/counter-state.ts";
import type { Label } from "../../worker/model/telemetry/foreign/remote-write.ts";
import {
  type ForeignSeries,
  type Target,
  targetOf,
  USUAL_LABELS,
} from "../../worker/model/telemetry/foreign/target.ts";
import { type Frame, mergeFrames } from "../../worker/model/telemetry/frame.ts";

export const T0 = 1_795_399_200_000;
export const SCRAPE = 15_000;
export const HOUR = 3_600_000;
export const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
export const NOW = T0 + 24 * HOUR;

export function target(name: string, labels: Record<string, string> = {}): Target {
  const all: Label[] = [["instance", "hv-1:9100"], ...Object.entries(labels)];
  const found = targetOf({ name, labels: all, resource: [] }, USUAL_LABELS);
  if (typeof found === "string") throw new Error(found);
  return found;
}

/** Samples as [ms from T0, value]. */
export const series = (of: Target, samples: readonly (readonly [number, number])[]): ForeignSeries => ({
  target: of,
  times: samples.map(([time]) => T0 + time),
  values: samples.map(([, value]) => value),
});

export const user = (cpu: number): Target => target("node_cpu_seconds_total", { cpu: String(cpu), mode: "user" });
export const TOTAL = target("node_memory_MemTotal_bytes");
export const AVAILABLE = target("node_memory_MemAvailable_bytes");

/** What several bodies make, with the state stored in between. */
export function after(bodies: readonly (readonly ForeignSeries[])[], start: CounterState = NO_COUNTERS) {
  let state = start;
  const frames: Frame[] = [];
  for (const body of bodies) {
    const combined = combineForeign(body, state, NOW);
    frames.push(combined.frame);
    state = parseCounterState(formatCounterState(combined.state));
  }
  return { frame: mergeFrames(frames), frames, state };
}

/** The samples of a metric, as [ms from T0, value]. */
export function samplesOf({ times, columns }: Frame, metric: string, entity = ""): [number, number][] {
  const column = columns.find((one) => one.metric === metric && one.entity === entity);
  return times.flatMap((time, row): [number, number][] => {
    const value = column?.values[row] ?? Number.NaN;
    return Number.isNaN(value) ? [] : [[time - T0, value]];
  });
}

export const everything = (frame: Frame): Record<string, [number, number][]> =>
  Object.fromEntries(
    frame.columns
      .map(({ entity, metric }): [string, [number, number][]] => [
        `${entity}/${metric}`,
        samplesOf(frame, metric, entity),
      ])
      .filter(([, samples]) => samples.length > 0)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
