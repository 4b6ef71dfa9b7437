import { describe, expect, test } from "vitest";
import {
  hostLoad,
  type Latest,
  latestSchema,
  NOTHING_KNOWN,
  updateLatest,
  vmLoad,
  vmLoadOver,
} from "../../../worker/model/telemetry/latest.ts";
import type { DirtyCurveReport } from "../../../worker/model/wire/telemetry.ts";

const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
const NOW = 1_795_399_200_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** `latest` after samples of one series, as [ms from NOW, value]. */
function after(latest: Latest, metric: string, samples: [number, number][], entity = "", now = NOW): Latest {
  const frame = {
    times: samples.map(([offset]) => NOW + offset),
    columns: [{ entity, metric, values: samples.map(([, value]) => value) }],
  };
  return updateLatest(latest, { frame, curves: new Map() }, now);
}

const curve = (at: number): DirtyCurveReport => ({
  at,
  method: "dirty-ring",
  points: [
    [1000, 5],
    [5000, 9],
  ],
});

describe("latest values", () => {
  test("the first sample is its own average; after one half-life the average is half-way to the new value", () => {
    const first = after(NOTHING_KNOWN, "cpu_used_cores", [[0, 8]]);
    expect(first.host).toEqual({ cpu_used_cores: [NOW, 8, 8] });
    expect(after(first, "cpu_used_cores", [[5 * MINUTE, 4]]).host).toEqual({
      cpu_used_cores: [NOW + 5 * MINUTE, 4, 6],
    });
  });

  test("the average does not depend on how often an unchanging value is sampled", () => {
    const start = after(NOTHING_KNOWN, "cpu_used_cores", [[0, 8]]);
    const often = Array.from({ length: 40 }, (_, index): [number, number] => [(index + 1) * 15_000, 4]);
    const [, , sampledOften] = after(start, "cpu_used_cores", often).host["cpu_used_cores"] ?? [];
    expect(sampledOften).toBeCloseTo(5, 4);
  });

  test("an older sample changes nothing, one of the same time corrects the value", () => {
    const known = after(NOTHING_KNOWN, "a", [[0, 1]]);
    expect(after(known, "a", [[-1, 9]])).toEqual(known);
    expect(after(known, "a", [[0, 9]]).host).toEqual({ a: [NOW, 9, 1] });
  });

  test("a reading is forgotten after 24 h, and a VM with its last one", () => {
    const known = after(after(NOTHING_KNOWN, "a", [[0, 1]]), "a", [[0, 1]], VM);
    expect(after(known, "b", [], "", NOW + 24 * HOUR)).toEqual(known);
    expect(after(known, "b", [], "", NOW + 24 * HOUR + 1)).toEqual({ host: {}, vms: {} });
  });

  test("the newest dirty curve of a VM is kept, for 24 h", () => {
    const nothing = { times: [], columns: [] };
    const update = (latest: Latest, at: number, now = NOW): Latest =>
      updateLatest(latest, { frame: nothing, curves: new Map([[VM, curve(at)]]) }, now);
    const known = update(NOTHING_KNOWN, NOW);
    expect(update(known, NOW - 1)).toEqual(known);
    expect(update(known, NOW + 1).vms[VM]?.curve?.at).toBe(NOW + 1);
    expect(updateLatest(known, { frame: nothing, curves: new Map() }, NOW + 25 * HOUR).vms).toEqual({});
  });

  test("survive being stored as JSON, names of Object's own members included", () => {
    const known = after(after(NOTHING_KNOWN, "constructor", [[0, 1.5]]), "toString", [[0, -1e308]], VM);
    const later = after(known, "toString", [[1, 1e308]], VM);
    expect(latestSchema.parse(JSON.parse(JSON.stringify(later)))).toEqual(later);
    expect(after(later, "constructor", [[1, 2]]).host["constructor"]?.[1]).toBe(2);
  });

  test("stay within their row: what does not fit is left out, the catalogue last", () => {
    const times = [NOW];
    const uuid = (index: number): string => `f0000000-0000-4000-8000-${String(index).padStart(12, "0")}`;
    const columns = Array.from({ length: 2000 }, (_, index) => [
      ...Array.from({ length: 10 }, (__, n) => ({
        entity: uuid(index),
        metric: `${"x".repeat(120)}${n}`,
        values: [Math.PI],
      })),
      ...["cpu_used_cores", "memory_used_bytes"].map((metric) => ({ entity: uuid(index), metric, values: [Math.PI] })),
    ]).flat();
    const full = updateLatest(NOTHING_KNOWN, { frame: { times, columns }, curves: new Map() }, NOW);
    expect(JSON.stringify(full).length).toBeLessThan(1_400_000);
    expect(vmLoad(full, uuid(1999)).cpuUsedCores).toBe(3.14159);
  });
});

describe("what the advisor reads", () => {
  test("of a host: averages of CPU and network, latest memory; what is unknown is absent", () => {
    const one = after(NOTHING_KNOWN, "cpu_used_cores", [
      [0, 8],
      [5 * MINUTE, 4],
    ]);
    const two = after(one, "memory_used_bytes", [
      [0, 100],
      [5 * MINUTE, 50],
    ]);
    expect(hostLoad(two, true)).toEqual({ cpuUsedCores: 6, memoryUsedBytes: 50, at: NOW + 5 * MINUTE });
    expect(hostLoad(NOTHING_KNOWN, true)).toEqual({});
  });

  test("of a host whose VMs have just changed: what it does now, not an average over VMs that have left", () => {
    const relieved = after(NOTHING_KNOWN, "cpu_used_cores", [
      [0, 8],
      [5 * MINUTE, 4],
    ]);
    expect(hostLoad(relieved, false).cpuUsedCores).toBe(4);
  });

  test("of a VM that has just moved: its new host's word, and its old host's where the new one knows nothing yet", () => {
    const former = updateLatest(
      after(NOTHING_KNOWN, "cpu_used_cores", [[0, 3]], VM),
      { frame: { times: [], columns: [] }, curves: new Map([[VM, curve(NOW)]]) },
      NOW,
    );
    const present = after(NOTHING_KNOWN, "cpu_used_cores", [[MINUTE, 1]], VM);
    expect(vmLoadOver(present, [NOTHING_KNOWN, former], VM)).toMatchObject({
      cpuUsedCores: 1,
      at: NOW + MINUTE,
      dirtyCurve: { at: NOW },
    });
    expect(vmLoadOver(NOTHING_KNOWN, [former], VM)).toEqual(vmLoad(former, VM));
    expect(vmLoadOver(NOTHING_KNOWN, [], VM)).toEqual({});
  });

  test("of a VM: network only when both directions are known, and its dirty curve with its own time", () => {
    const received = after(NOTHING_KNOWN, "network_receive_bytes_per_second", [[0, 3]], VM);
    expect(vmLoad(received, VM)).toEqual({ at: NOW });
    const both = after(received, "network_transmit_bytes_per_second", [[0, 4]], VM);
    const known = updateLatest(both, { frame: { times: [], columns: [] }, curves: new Map([[VM, curve(NOW)]]) }, NOW);
    expect(vmLoad(known, VM)).toEqual({
      networkBytesPerSecond: 7,
      dirtyCurve: {
        at: NOW,
        points: [
          { windowMs: 1000, bytes: 5 },
          { windowMs: 5000, bytes: 9 },
        ],
      },
      at: NOW,
    });
    expect(vmLoad(known, "constructor")).toEqual({});
  });

  test("holds no figure an hour older than the newest one", () => {
    const stale = after(NOTHING_KNOWN, "cpu_used_cores", [[0, 8]]);
    const known = after(stale, "memory_used_bytes", [[HOUR + 1, 5]]);
    expect(hostLoad(known, true)).toEqual({ memoryUsedBytes: 5, at: NOW + HOUR + 1 });
  });
});
