// From a remote write body to series of Drover's hosts and VMs.
import { type Label, readLabels, readWriteRequest, SERIES_MAX } from "./remote-write.ts";
import type { SeriesCache } from "./series-cache.ts";
import {
  describe,
  type ForeignRefusal,
  type ForeignSeries,
  type LabelSettings,
  refuse,
  type Target,
  targetOf,
} from "./target.ts";

/** What is known of a series by its labels: what it is, or why it is not taken. */
export type KnownSeries = Target | { series: string; reason: string };

export type ForeignBody = {
  series: ForeignSeries[];
  refused: ForeignRefusal[];
  /** Samples in the body, refused ones among them. */
  samples: number;
};

const isTarget = (known: KnownSeries): known is Target => "metric" in known;

/** Prometheus orders labels by name; what is without a name has the empty one. */
function described(labels: readonly Label[]): { name: string; labels: Label[]; resource: [] } {
  const name = labels.find(([label]) => label === "__name__")?.[1] ?? "";
  return { name, labels: labels.filter(([label]) => label !== "__name__"), resource: [] };
}

function knownOf(labels: readonly Label[], settings: LabelSettings): KnownSeries {
  const series = described(labels);
  const target = targetOf(series, settings);
  return typeof target === "string" ? { series: describe(series), reason: target } : target;
}

const nameOf = (known: KnownSeries): string => (isTarget(known) ? `${known.host} ${known.metric}` : known.series);

/**
 * The series of an inflated remote write body. Metadata is read over; exemplars and native histograms are refused one by
 * one. WireError as `readWriteRequest`. `cache` is one that is kept from body to body.
 */
export function readRemoteWrite(
  bytes: Uint8Array,
  settings: LabelSettings,
  cache: SeriesCache<KnownSeries>,
  seriesMax = SERIES_MAX,
): ForeignBody {
  const owner = JSON.stringify(settings);
  const request = readWriteRequest(
    bytes,
    (view, from, to) => cache.get(owner, view, from, to, () => knownOf(readLabels(view, from, to), settings)),
    seriesMax,
  );
  const body: ForeignBody = { series: [], refused: [], samples: 0 };
  for (const { labels: known, times, values, exemplars, histograms } of request.series) {
    body.samples += times.length + histograms;
    if (!isTarget(known)) refuse(body.refused, { ...known, samples: times.length });
    else if (times.length > 0) body.series.push({ target: known, times, values });
    if (histograms > 0)
      refuse(body.refused, { series: nameOf(known), reason: "native histograms are not stored", samples: histograms });
    // An exemplar is no sample.
    if (exemplars > 0) refuse(body.refused, { series: nameOf(known), reason: "exemplars are not stored", samples: 0 });
  }
  return body;
}
