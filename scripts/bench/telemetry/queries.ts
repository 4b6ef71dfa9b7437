// What is asked of Drover, and how an answer is read. The only file that knows the shapes of the query routes.
import { hostLoad, HOST_METRICS, type Span, STEP_MS, VM_METRICS, VMS } from "./workload.ts";
import { spanEnd } from "./bench.ts";

export type Query = {
  path: string;
  /** Values that the answer holds, for `expected`. */
  count: (body: Buffer) => number;
  /** An answer with fewer values is not an answer. */
  expected: number;
};

const LATEST_HOSTS_MAX = 1000;

type LatestAnswer = { items: { latest: { vms: Record<string, Record<string, unknown>> } }[] };

/** The last values of all metrics of all VMs of the fleet. */
export function latestQuery(hosts: number): Query {
  return {
    path: `/v1/latest?limit=${LATEST_HOSTS_MAX}`,
    count: (body) => {
      const { items } = JSON.parse(body.toString()) as LatestAnswer;
      const vms = items.flatMap(({ latest }) => Object.values(latest.vms));
      return vms.reduce((sum, vm) => sum + vmMetricsIn(vm), 0);
    },
    expected: hosts * VMS * VM_METRICS.length,
  };
}

const isVmMetric = new Set<string>(VM_METRICS);

/** Latest values of a VM by metric, wherever in its entry they are. */
function vmMetricsIn(entry: object): number {
  return Object.entries(entry).reduce((sum, [name, value]) => {
    if (isVmMetric.has(name)) return sum + 1;
    return sum + (typeof value === "object" && value !== null ? vmMetricsIn(value as object) : 0);
  }, 0);
}

type SeriesAnswer = { series: { metric: string; values: (number | null)[] }[] };

const seriesOf = (body: Buffer): SeriesAnswer["series"] => (JSON.parse(body.toString()) as SeriesAnswer).series;
const valuesIn = (body: Buffer): number =>
  seriesOf(body).reduce((sum, { values }) => sum + values.filter((value) => value !== null).length, 0);

const search = (parameters: Record<string, string | number>): string =>
  new URLSearchParams(Object.entries(parameters).map(([name, value]) => [name, String(value)])).toString();

/** Phase and jitter may leave the first or last step of a series empty. */
const STEPS_EMPTY_MAX = 2;

/** Every scrape of all metrics of one VM, of the eighth host where there is one. */
export function vmQuery(span: Span, hosts: number): Query {
  const uuid = hostLoad(Math.min(7, hosts - 1), span).vms[0]?.uuid ?? "";
  const range = { from: span.from, to: spanEnd(span) + STEP_MS };
  return {
    path: `/v1/series?${search({ vm: uuid, metric: "*", ...range, step: STEP_MS, agg: "last" })}`,
    count: valuesIn,
    expected: (span.steps - STEPS_EMPTY_MAX) * VM_METRICS.length,
  };
}

export const FLEET_METRIC = HOST_METRICS[0];

/** One p95 a host over the whole span. */
export function fleetQuery(span: Span, hosts: number): Query {
  const range = { from: span.from, to: spanEnd(span) };
  const step = range.to - range.from;
  return {
    path: `/v1/series?${search({ host: "*", metric: FLEET_METRIC, ...range, step, agg: "p95" })}`,
    count: valuesIn,
    expected: hosts,
  };
}

/** Samples of one metric of one entity as stored, in the order of time. */
export function storedSeries(span: Span, of: { host: string } | { vm: string }, metric: string) {
  const range = { from: span.from, to: spanEnd(span) + STEP_MS };
  return {
    path: `/v1/series?${search({ ...of, metric, ...range, step: STEP_MS, agg: "last" })}`,
    values: (body: Buffer): number[] =>
      (seriesOf(body)[0]?.values ?? []).filter((value): value is number => value !== null),
  };
}

/** Rows written to D1 by this isolate so far, from `GET /metrics`; null: it does not say. */
export function rowsWrittenIn(metricsText: string): number | null {
  const lines = metricsText.matchAll(/^drover_d1_rows_written_total(?:\{[^}]*\})? (\S+)/gm);
  const counts = Array.from(lines, ([, count]) => Number(count));
  return counts.length === 0 ? null : counts.reduce((sum, count) => sum + count, 0);
}

/** Whether `GET /v1/status` says that closed hours are still to be packed or rolled up. */
export function isWorkLeft(statusBody: Buffer): boolean {
  const { telemetry } = JSON.parse(statusBody.toString()) as { telemetry?: { hoursToPack?: number } };
  if (telemetry?.hoursToPack === undefined) throw new Error(`no telemetry.hoursToPack in ${statusBody.toString()}`);
  return telemetry.hoursToPack > 0;
}
