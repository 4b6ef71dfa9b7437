import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, test } from "vitest";
import { type KnownSeries, readRemoteWrite } from "../../../../worker/model/telemetry/foreign/prometheus.ts";
import { createSeriesCache } from "../../../../worker/model/telemetry/foreign/series-cache.ts";
import { USUAL_LABELS } from "../../../../worker/model/telemetry/foreign/target.ts";

const message = (fill: (writer: BinaryWriter) => void): Uint8Array => {
  const writer = new BinaryWriter();
  fill(writer);
  return writer.finish();
};
const nested = (writer: BinaryWriter, field: number, fill: (writer: BinaryWriter) => void): void => {
  writer.tag(field, WireType.LengthDelimited).bytes(message(fill));
};

/** A body of one series with this value at time 1000. */
const bodyOf = (labels: Record<string, string>, value: number, extra: number[] = []): Uint8Array =>
  message((request) =>
    nested(request, 1, (series) => {
      for (const [name, text] of Object.entries(labels))
        nested(series, 1, (label) =>
          label.tag(1, WireType.LengthDelimited).string(name).tag(2, WireType.LengthDelimited).string(text),
        );
      nested(series, 2, (sample) => sample.tag(1, WireType.Bit64).double(value).tag(2, WireType.Varint).int64(1000));
      for (const field of extra) nested(series, field, () => undefined);
    }),
  );

const LABELS = { __name__: "node_load1", instance: "hv-1:9100" };

describe("a remote write body", () => {
  test("becomes series of hosts, with values as they were sent", () => {
    const cache = createSeriesCache<KnownSeries>();
    for (const value of [1, Number.NaN, Number.POSITIVE_INFINITY, 1.8446744073709552e19]) {
      const { series, refused, samples } = readRemoteWrite(bodyOf(LABELS, value), USUAL_LABELS, cache);
      expect(series).toMatchObject([
        { target: { host: "hv-1", entity: "", metric: "node_load1" }, times: [1000], values: [value] },
      ]);
      expect([refused, samples]).toEqual([[], 1]);
    }
    expect(cache.size()).toBe(1);
  });

  test("series without a host are refused by name, exemplars and native histograms one by one", () => {
    const cache = createSeriesCache<KnownSeries>();
    expect(readRemoteWrite(bodyOf({ __name__: "up", job: "node" }, 1), USUAL_LABELS, cache).refused).toEqual([
      {
        series: 'up{job="node"}',
        reason: "no label names its host: host, host.name, instance, host.id was looked for",
        samples: 1,
      },
    ]);
    expect(readRemoteWrite(bodyOf(LABELS, 1, [3, 4, 4]), USUAL_LABELS, cache)).toMatchObject({
      samples: 3,
      refused: [
        { series: "hv-1 node_load1", reason: "native histograms are not stored", samples: 2 },
        { series: "hv-1 node_load1", reason: "exemplars are not stored", samples: 0 },
      ],
    });
  });

  test("the same labels mean something else under other settings", () => {
    const cache = createSeriesCache<KnownSeries>();
    const hosts = [null, "hv-2", null].map(
      (host) => readRemoteWrite(bodyOf(LABELS, 1), { ...USUAL_LABELS, host }, cache).series[0]?.target.host,
    );
    expect(hosts).toEqual(["hv-1", "hv-2", "hv-1"]);
  });
});
