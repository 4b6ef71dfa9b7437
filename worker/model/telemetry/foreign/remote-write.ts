// Prometheus remote write 1.0: one message of time series, each with its labels and samples
// (prometheus/prompb, remote.proto and types.proto). Written by hand, because it is the hot path (docs/adr/0008).
import { FIXED64, LENGTH, VARINT, WireError, WireReader } from "./wire.ts";

/** Series of one body. Prometheus sends some hundreds, ten thousand where it is told to. */
export const SERIES_MAX = 100_000;
/** Samples of one body: they may be two bytes long, and take sixteen when they are read. */
const SAMPLES_MAX = 1_000_000;

export type Label = readonly [name: string, value: string];

export type WireSeries<T> = {
  labels: T;
  /** In ms since 1970, as sent. */
  times: number[];
  /** As sent: NaN of any kind and infinities among them. */
  values: number[];
  /** How many were there; they are read over. */
  exemplars: number;
  histograms: number;
};

export type WriteRequest<T> = {
  series: WireSeries<T>[];
  /** Entries of metadata, read over. */
  metadata: number;
};

/** What a block of label fields stands for: the bytes of `view` from `from` to before `to`. */
export type LabelsOf<T> = (view: DataView, from: number, to: number) => T;

// Field numbers, with their wire types, as they stand before each field.
const TIMESERIES = (1 << 3) | LENGTH;
const METADATA = (3 << 3) | LENGTH;
const LABEL = (1 << 3) | LENGTH;
const SAMPLE = (2 << 3) | LENGTH;
const EXEMPLAR = (3 << 3) | LENGTH;
const HISTOGRAM = (4 << 3) | LENGTH;
const VALUE = (1 << 3) | FIXED64;
const TIMESTAMP = (2 << 3) | VARINT;

/** The label's name and value, as in a block of label fields; every field must be a label. */
export function readLabels(view: DataView, from: number, to: number): Label[] {
  const reader = new WireReader(new Uint8Array(view.buffer, view.byteOffset, view.byteLength), from);
  const labels: Label[] = [];
  while (reader.at < to) {
    const tag = reader.uint32(to);
    reader.expectType(tag, LENGTH, "a label");
    const end = reader.span(to);
    let name = "";
    let value = "";
    while (reader.at < end) {
      const field = reader.uint32(end);
      if (field >>> 3 === 1 || field >>> 3 === 2) reader.expectType(field, LENGTH, "a label's name or value");
      if (field >>> 3 === 1) name = reader.string(end);
      else if (field >>> 3 === 2) value = reader.string(end);
      else reader.skip(field, end);
    }
    labels.push([name, value]);
  }
  return labels;
}

/** What a series is read into, so that one of a single sample takes no more room than that. */
type Samples = { times: number[]; values: number[] };
const NO_SAMPLES: number[] = [];

/** Adds the sample that ends at `end`. A field that is not there is 0, as protobuf has it. */
function readSample(reader: WireReader, end: number, samples: Samples): void {
  let value = 0;
  let time = 0;
  while (reader.at < end) {
    const tag = reader.uint32(end);
    if (tag === VALUE) value = reader.double(end);
    else if (tag === TIMESTAMP) time = reader.int64(end);
    else {
      if (tag >>> 3 === 1) reader.expectType(tag, FIXED64, "a sample's value");
      if (tag >>> 3 === 2) reader.expectType(tag, VARINT, "a sample's timestamp");
      reader.skip(tag, end);
    }
  }
  const { times, values } = samples;
  if (times.length >= SAMPLES_MAX) throw new WireError(`over ${SAMPLES_MAX} samples in one body`, end, "too_large");
  if (times.length === 0) {
    samples.times = [time];
    samples.values = [value];
  } else {
    times.push(time);
    values.push(value);
  }
}

/** Labels that do not stand together at the start are put together first: no sender does it, but protobuf allows it. */
function gatheredLabels<T>(reader: WireReader, start: number, end: number, labelsOf: LabelsOf<T>): T {
  const at = reader.at;
  const block: number[] = [];
  reader.at = start;
  while (reader.at < end) {
    const from = reader.at;
    const tag = reader.uint32(end);
    reader.skip(tag, end);
    if (tag === LABEL) for (let index = from; index < reader.at; index++) block.push(reader.bytes[index] ?? 0);
  }
  reader.at = at;
  return labelsOf(new DataView(Uint8Array.from(block).buffer), 0, block.length);
}

/** Passes over the labels at the start of a series; `reader` then stands at the first other field. */
function passLabels(reader: WireReader, end: number): void {
  const { bytes } = reader;
  while (reader.at < end && bytes[reader.at] === LABEL) {
    reader.at += 1;
    reader.at = reader.span(end);
  }
}

function readSeries<T>(reader: WireReader, end: number, labelsOf: LabelsOf<T>): WireSeries<T> {
  const start = reader.at;
  passLabels(reader, end);
  const labelsEnd = reader.at;
  const samples: Samples = { times: NO_SAMPLES, values: NO_SAMPLES };
  let exemplars = 0;
  let histograms = 0;
  let isScattered = false;
  while (reader.at < end) {
    const tag = reader.uint32(end);
    if (tag === SAMPLE) readSample(reader, reader.span(end), samples);
    else {
      if (tag >>> 3 >= 1 && tag >>> 3 <= 4) reader.expectType(tag, LENGTH, "a field of a series");
      if (tag === EXEMPLAR) exemplars += 1;
      else if (tag === HISTOGRAM) histograms += 1;
      else if (tag === LABEL) isScattered = true;
      reader.skip(tag, end);
    }
  }
  const labels = isScattered ? gatheredLabels(reader, start, end, labelsOf) : labelsOf(reader.view, start, labelsEnd);
  return { labels, times: samples.times, values: samples.values, exemplars, histograms };
}

/**
 * The series of a WriteRequest. Unknown fields are read over. WireError "malformed" where the bytes are not one, and
 * "too_large" where it has over `seriesMax` series or a million samples; the offset counts in the inflated bytes.
 */
export function readWriteRequest<T>(bytes: Uint8Array, labelsOf: LabelsOf<T>, seriesMax = SERIES_MAX): WriteRequest<T> {
  const reader = new WireReader(bytes);
  const end = bytes.length;
  const series: WireSeries<T>[] = [];
  let metadata = 0;
  let samples = 0;
  while (reader.at < end) {
    const start = reader.at;
    const tag = reader.uint32(end);
    if (tag === TIMESERIES) {
      if (series.length >= seriesMax) throw new WireError(`over ${seriesMax} series in one body`, start, "too_large");
      const one = readSeries(reader, reader.span(end), labelsOf);
      samples += one.times.length;
      if (samples > SAMPLES_MAX) throw new WireError(`over ${SAMPLES_MAX} samples in one body`, start, "too_large");
      series.push(one);
    } else {
      if (tag >>> 3 === 1 || tag >>> 3 === 3) reader.expectType(tag, LENGTH, "a field of a write request");
      if (tag === METADATA) metadata += 1;
      reader.skip(tag, end);
    }
  }
  return { series, metadata };
}
