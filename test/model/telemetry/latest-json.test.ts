import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Known, latestOf } from "../../../worker/model/telemetry/known.ts";
import { latestJson, latestPageJson } from "../../../worker/model/telemetry/latest-json.ts";

const VMS = ["0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b", "1b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b"];
const METRICS = ["cpu_used_cores", "memory_dirty_bytes_per_second", "custom", 'quoted"', "ä"];
const CURVE = { at: 1_795_399_200_000, method: "simulated" as const, points: [[1000, 5]] as [number, number][] };

/** Series in any order, so that those of a VM need not stand together. */
const anyKnown: fc.Arbitrary<Known> = fc
  .record({
    names: fc.uniqueArray(fc.tuple(fc.constantFrom("", ...VMS), fc.constantFrom(...METRICS)), {
      selector: (name) => name.join("/"),
    }),
    curves: fc.subarray(VMS),
    seed: fc.array(fc.tuple(fc.constantFrom(0, 1_795_399_200_000, 1_795_399_215_000), fc.double({ noNaN: true })), {
      minLength: 15,
      maxLength: 15,
    }),
  })
  .map(({ names, curves, seed }) => ({
    series: names.map(([entity, metric]) => ({ entity, metric })),
    times: Float64Array.from(names, (_, place) => seed[place]?.[0] ?? 0),
    values: Float64Array.from(names, (_, place) => seed[place]?.[1] ?? 0),
    averages: Float32Array.from(names, (_, place) => (seed[place]?.[1] ?? 0) / 3),
    curves: new Map(curves.map((uuid) => [uuid, CURVE])),
  }));

const hostOf = (known: Known, index: number) => ({ hostId: `hv-${index}`, cluster: "lab", heardAt: null, known });
const read = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));

describe("a page of latest values", () => {
  test("is what the same values are as objects, whichever metrics are wanted", () => {
    fc.assert(
      fc.property(fc.array(anyKnown, { maxLength: 3 }), fc.subarray(METRICS), (fleet, metrics) => {
        const isWanted = (metric: string): boolean => metrics.includes(metric);
        const items = fleet
          .map(hostOf)
          .map(({ known, ...host }) => ({ ...host, latest: latestOf(known, (_, metric) => isWanted(metric)) }));
        const hosts = fleet.map(hostOf).map(({ known, ...host }) => ({ ...host, latest: latestJson(known, isWanted) }));
        expect(read(latestPageJson(hosts, "hv-9"))).toEqual(JSON.parse(JSON.stringify({ items, next: "hv-9" })));
      }),
      { seed: 11, numRuns: 500 },
    );
  });

  test("of no hosts is empty", () => {
    expect(read(latestPageJson([], null))).toEqual({ items: [], next: null });
  });
});
