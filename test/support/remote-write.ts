// Remote write bodies as Prometheus makes them, and their way through the API.
import { env } from "cloudflare:workers";
import { type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
// @ts-expect-error -- the package has no types
import snappyjs from "snappyjs";
import { expect } from "vitest";
import { createApp } from "../../worker/app.ts";
import type { Deps } from "../../worker/env.ts";
import { message, nested } from "./otlp.ts";
import { ADMIN, lab, request, series } from "./telemetry.ts";

/** Stands for the NaN by which Prometheus says that a series has ended. */
export const STALE = "stale";
const STALE_BITS = 0x7ff0_0000_0000_0002n;

export type Sent = {
  labels: Record<string, string>;
  samples: (readonly [time: number, value: number | typeof STALE])[];
  exemplars?: number;
  histograms?: number;
};

/** One sample of a host's series at this moment, but for what is stated. */
export const sent = (host: string, name: string, value: number | typeof STALE, more: Partial<Sent> = {}): Sent => ({
  samples: [[lab.now, value]],
  ...more,
  labels: { __name__: name, host, ...more.labels },
});

const text = (writer: BinaryWriter, field: number, value: string): BinaryWriter =>
  writer.tag(field, WireType.LengthDelimited).string(value);

function writeSample(writer: BinaryWriter, time: number, value: number | typeof STALE): void {
  writer.tag(1, WireType.Bit64);
  if (value === STALE) writer.fixed64(STALE_BITS);
  else writer.double(value);
  writer.tag(2, WireType.Varint).int64(time);
}

/** `strange`: writes what follows the known fields of each message. */
export const encode = (
  all: readonly Sent[],
  metadata = 0,
  strange: (writer: BinaryWriter) => void = () => undefined,
): Uint8Array =>
  message((body) => {
    for (const { labels, samples, exemplars = 0, histograms = 0 } of all)
      nested(body, 1, (one) => {
        for (const [name, value] of Object.entries(labels))
          nested(one, 1, (label) => strange(text(text(label, 1, name), 2, value)));
        for (const [time, value] of samples)
          nested(one, 2, (sample) => {
            writeSample(sample, time, value);
            strange(sample);
          });
        for (let index = 0; index < exemplars; index++) nested(one, 3, (exemplar) => writeSample(exemplar, 1, 1));
        for (let index = 0; index < histograms; index++) nested(one, 4, () => undefined);
        strange(one);
      });
    for (let index = 0; index < metadata; index++) nested(body, 3, (entry) => text(entry, 2, "a_metric"));
    strange(body);
  });

export const compress = (raw: Uint8Array): Uint8Array => (snappyjs as { compress: typeof compress }).compress(raw);

export type Refused = { series: string; reason: string; samples: number };
export type Written = {
  status: number;
  headers: Headers;
  body: { type?: string; detail?: string; stored?: number; refusedCount?: number; refused?: Refused[] };
};
/** `deps`: those of the isolate that is asked; unless given the one that all others of the file ask. */
export type Way = { token?: string; query?: string; headers?: Record<string, string>; deps?: Deps };

export async function sendTo(path: string, body: BodyInit, way: Way): Promise<Response> {
  const { token = ADMIN, query = "", headers = {}, deps } = way;
  const init = { method: "POST", body, headers: { authorization: `Bearer ${token}`, ...headers } };
  if (deps === undefined) return request(`${path}?${query}`, init);
  return createApp(() => deps).request(`${path}?${query}`, init, env);
}

/** Sends what is compressed already. */
export async function writeBytes(bytes: Uint8Array, way: Way = {}): Promise<Written> {
  const headers = { "content-type": "application/x-protobuf", "content-encoding": "snappy", ...way.headers };
  const response = await sendTo("/v1/prometheus/write", new Uint8Array(bytes), { ...way, headers });
  const { status } = response;
  return { status, headers: response.headers, body: status === 204 ? {} : await response.json() };
}

export const write = (all: readonly Sent[], way: Way = {}): Promise<Written> => writeBytes(compress(encode(all)), way);

export const writtenOf = ({ headers }: Written): string | null =>
  headers.get("x-prometheus-remote-write-samples-written");

/** A body of which all is stored. */
export async function writeAll(all: readonly Sent[], way: Way = {}): Promise<void> {
  const { status, body } = await write(all, way);
  expect({ status, body }).toEqual({ status: 204, body: {} });
}

/** All that a host (`host=…`) or a VM (`vm=…`) has of the last hour: values by metric, each the last of its second. */
export async function storedOf(subject: string, metric = "*"): Promise<Record<string, number[]>> {
  const range = `from=${lab.now - 3_600_000}&to=${lab.now + 1000}&step=1000&agg=last`;
  const found = await series(`${subject}&metric=${metric}&${range}`);
  return Object.fromEntries(found.map((one) => [one.metric, one.values.filter((value) => value !== null)]));
}
