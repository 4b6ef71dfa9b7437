// Bodies of Prometheus remote write 1.0: a protobuf WriteRequest in one snappy block.
import { createRequire } from "node:module";
import type { Body } from "./send.ts";
import { hostLoad, type HostLoad, SERIES_OF_HOST, type Span } from "./workload.ts";

// The package comes without types.
const { compress } = createRequire(import.meta.url)("snappyjs") as { compress: (raw: Uint8Array) => Uint8Array };

export const CLUSTER = "c1";

/** Tags of the messages' fields: number * 8 + wire type (1: 64 bits, 2: length-delimited, 0: varint). */
const TAG = {
  requestSeries: 0x0a,
  seriesLabel: 0x0a,
  seriesSample: 0x12,
  name: 0x0a,
  text: 0x12,
  value: 0x09,
  at: 0x10,
};

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  // Times in ms have more than 32 bits.
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  bytes.push(rest);
  return bytes;
}

const delimited = (tag: number, content: readonly number[]): number[] => [tag, ...varint(content.length), ...content];

function labelBytes(labels: Record<string, string>): Buffer {
  const text = (tag: number, value: string): number[] => delimited(tag, [...Buffer.from(value)]);
  return Buffer.from(
    Object.entries(labels).flatMap(([name, value]) =>
      delimited(TAG.seriesLabel, [...text(TAG.name, name), ...text(TAG.text, value)]),
    ),
  );
}

type Encoded = { host: string; times: number[][]; series: { labels: Buffer; values: Float64Array }[] };

/** Labels in the order of their names, as senders must. */
function encodedOf({ host, times, series, vms }: HostLoad): Encoded {
  const common = { cluster: CLUSTER, host, job: "hypervisor" };
  const withLabels = (metric: string, values: Float64Array, more: Record<string, string>) => ({
    labels: labelBytes({ __name__: metric, ...common, ...more }),
    values,
  });
  return {
    host,
    times: times.map(varint),
    series: [
      ...series.map(({ metric, values }) => withLabels(metric, values, {})),
      ...vms.flatMap((vm) => vm.series.map(({ metric, values }) => withLabels(metric, values, { vm: vm.uuid }))),
    ],
  };
}

class Writer {
  #buffer = Buffer.alloc(2 ** 20);
  #length = 0;

  reset(): void {
    this.#length = 0;
  }

  written(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  bytes(bytes: ArrayLike<number>): void {
    if (this.#length + bytes.length + 8 > this.#buffer.length)
      this.#buffer = Buffer.concat([this.#buffer, Buffer.alloc(this.#buffer.length)]);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  double(value: number): void {
    this.#length = this.#buffer.writeDoubleLE(value, this.#length);
  }
}

const DOUBLE_BYTES = 8;

function writeHost(writer: Writer, { times, series }: Encoded, from: number, to: number): void {
  const stamps = times.slice(from, to).map((time) => ({
    // A sample: the value's tag, the value, the time's tag, the time.
    head: [TAG.seriesSample, ...varint(1 + DOUBLE_BYTES + 1 + time.length), TAG.value],
    tail: [TAG.at, ...time],
  }));
  const sampleBytes = stamps.reduce((sum, { head, tail }) => sum + head.length + DOUBLE_BYTES + tail.length, 0);
  for (const { labels, values } of series) {
    writer.bytes([TAG.requestSeries, ...varint(labels.length + sampleBytes)]);
    writer.bytes(labels);
    stamps.forEach(({ head, tail }, place) => {
      writer.bytes(head);
      writer.double(values[from + place] ?? 0);
      writer.bytes(tail);
    });
  }
}

export type RemoteWriteBodies = {
  span: Span;
  hostIndexes: readonly number[];
  /** Hosts and scrapes a body. */
  hosts: number;
  scrapes: number;
};

/** In the order of time, as a fleet would send them. */
export function remoteWriteBodies({ span, hostIndexes, hosts, scrapes }: RemoteWriteBodies): Body[] {
  const rounds: Body[][] = Array.from({ length: Math.ceil(span.steps / scrapes) }, () => []);
  const writer = new Writer();
  for (let first = 0; first < hostIndexes.length; first += hosts) {
    const group = hostIndexes.slice(first, first + hosts).map((index) => encodedOf(hostLoad(index, span)));
    rounds.forEach((round, place) => {
      const from = place * scrapes;
      const to = Math.min(from + scrapes, span.steps);
      writer.reset();
      for (const host of group) writeHost(writer, host, from, to);
      const samples = group.length * (to - from) * SERIES_OF_HOST;
      round.push({ bytes: Buffer.from(compress(writer.written())), samples, host: group[0]?.host ?? "" });
    });
  }
  return rounds.flat();
}
