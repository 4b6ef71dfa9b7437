// Bodies of `POST /v1/telemetry`, encoded beforehand so that the loader takes next to nothing from the machine.
import { gzipSync } from "node:zlib";
import type { Body } from "./send.ts";
import { hostLoad, type HostLoad, type Series, SERIES_OF_HOST, type Span } from "./workload.ts";

const valuesBetween = (series: readonly Series[], from: number, to: number) =>
  Object.fromEntries(series.map(({ metric, values }) => [metric, Array.from(values.subarray(from, to))]));

function batchOf({ host, times, series, vms }: HostLoad, from: number, to: number): string {
  return JSON.stringify({
    host,
    batch: `bench-${times[from]}-${to - from}`,
    times: times.slice(from, to),
    host_series: valuesBetween(series, from, to),
    vm_series: Object.fromEntries(vms.map((vm) => [vm.uuid, valuesBetween(vm.series, from, to)])),
  });
}

export type NativeBodies = {
  span: Span;
  hostIndexes: readonly number[];
  /** Scrapes a body; a host's last body has what is left. */
  scrapes: number;
  gzip?: boolean;
};

/** One host a body, in the order in which a fleet would send them: every host's first, then every host's second. */
export function nativeBodies({ span, hostIndexes, scrapes, gzip = false }: NativeBodies): Body[] {
  const rounds: Body[][] = Array.from({ length: Math.ceil(span.steps / scrapes) }, () => []);
  for (const index of hostIndexes) {
    const load = hostLoad(index, span);
    rounds.forEach((round, place) => {
      const from = place * scrapes;
      const to = Math.min(from + scrapes, span.steps);
      const text = batchOf(load, from, to);
      const bytes = gzip ? gzipSync(text) : Buffer.from(text);
      round.push({ bytes, samples: (to - from) * SERIES_OF_HOST, host: load.host });
    });
  }
  return rounds.flat();
}
