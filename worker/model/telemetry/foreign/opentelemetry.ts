// From OpenTelemetry's metrics to series of Drover's hosts and VMs.
import type { OtlpMetric, OtlpPoint, OtlpResource } from "./otlp.ts";
import type { ForeignBody, KnownSeries } from "./prometheus.ts";
import type { Label } from "./remote-write.ts";
import { describe, type LabelSettings, refuse, targetOf } from "./target.ts";

/** What is known of series by their names and attributes, bounded: when it is full, it starts anew. */
export type NameCache = { known: Map<string, KnownSeries>; /** Of all keys. */ characters: number };

export const createNameCache = (): NameCache => ({ known: new Map(), characters: 0 });

const NAMES_MAX = 20_000;
/** Attributes are as long as a sender likes. */
const CHARACTERS_MAX = 8_000_000;

function keep(cache: NameCache, key: string, value: KnownSeries): void {
  if (key.length > CHARACTERS_MAX) return;
  if (cache.known.size >= NAMES_MAX || cache.characters + key.length > CHARACTERS_MAX) {
    cache.known.clear();
    cache.characters = 0;
  }
  cache.known.set(key, value);
  cache.characters += key.length;
}

type Context = { settings: LabelSettings; resource: readonly Label[]; owner: string; cache: NameCache };

/** What the data points of a metric cannot be stored for; null: they can. */
function problemOf({ kind, temporality, isMonotonic }: OtlpMetric): string | null {
  if (kind === "none") return "it has no data of a kind that is known";
  if (kind === "gauge") return null;
  if (kind !== "sum") return `${kind === "summary" ? "a summary is" : `${kind}s are`} not stored`;
  if (temporality === "unspecified") return "a sum without its aggregation temporality";
  return temporality === "delta" && !isMonotonic
    ? "a delta of what goes up and down does not say how much it is"
    : null;
}

function knownOf(metric: OtlpMetric, labels: readonly Label[], context: Context): KnownSeries {
  const isDelta = metric.temporality === "delta";
  const key = JSON.stringify([context.owner, isDelta, metric.name, labels]);
  const known = context.cache.known.get(key);
  if (known !== undefined) return known;
  const described = { name: metric.name, labels, resource: context.resource };
  const target = targetOf(described, context.settings, !isDelta);
  let fresh: KnownSeries = typeof target === "string" ? { series: describe(described), reason: target } : target;
  if (typeof target !== "string" && isDelta && target.term !== null && !target.term.isCounter)
    fresh = { series: describe(described), reason: `a delta does not say how much ${target.metric} is` };
  keep(context.cache, key, fresh);
  return fresh;
}

/** Deltas are rates over their own time; NaN where that is not said. */
function valueOf({ temporality }: OtlpMetric, { value, spanMs }: OtlpPoint): number {
  return temporality === "delta" ? (value / spanMs) * 1000 : value;
}

function takePoint(body: ForeignBody, metric: OtlpMetric, point: OtlpPoint, context: Context): void {
  const known = knownOf(metric, point.attributes, context);
  const series = "metric" in known ? metric.name : known.series;
  if (point.exemplars > 0) refuse(body.refused, { series, reason: "exemplars are not stored", samples: 0 });
  if ("reason" in known) refuse(body.refused, { ...known, samples: 1 });
  else if (metric.temporality === "delta" && !(point.spanMs > 0))
    refuse(body.refused, { series, reason: "a delta without the time over which it is", samples: 1 });
  else body.series.push({ target: known, times: [point.timeMs], values: [valueOf(metric, point)] });
}

/**
 * The series of an OTLP body. What is not stored is refused metric by metric; `samples` of a refusal are the data points
 * that were rejected. `cache` is one that is kept from body to body.
 */
export function readOtlp(resources: readonly OtlpResource[], settings: LabelSettings, cache: NameCache): ForeignBody {
  const body: ForeignBody = { series: [], refused: [], samples: 0 };
  for (const { attributes, metrics } of resources) {
    const owner = JSON.stringify([settings, attributes]);
    const context = { settings, resource: attributes, owner, cache };
    for (const metric of metrics) {
      const count = metric.points.length + metric.skipped;
      body.samples += count;
      const problem = problemOf(metric);
      if (problem !== null && count > 0) refuse(body.refused, { series: metric.name, reason: problem, samples: count });
      if (problem === null) for (const point of metric.points) takePoint(body, metric, point, context);
    }
  }
  return body;
}
