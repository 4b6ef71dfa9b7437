import { describe, expect, test } from "vitest";
import { HOST } from "../../../worker/model/telemetry/frame.ts";
import {
  advance,
  hostLoad,
  type Known,
  NOTHING_KNOWN,
  placeColumns,
  vmLoadOver,
  vmLoads,
} from "../../../worker/model/telemetry/known.ts";

const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
const NOW = 1_795_399_200_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** `known` after samples of one series. */
function after(known: Known, metric: string, samples: [msFromNow: number, value: number][], entity = HOST): Known {
  const columns = [{ entity, metric, values: Float64Array.from(samples, ([, value]) => value) }];
  const placed = placeColumns(known, columns, NOW);
  return advance(placed.known, { times: samples.map(([offset]) => NOW + offset), columns }, placed.places, 0);
}

const withCurve = (known: Known): Known => ({
  ...known,
  curves: new Map([
    [
      VM,
      {
        at: NOW,
        method: "dirty-ring" as const,
        points: [
          [1000, 5],
          [5000, 9],
        ],
      },
    ],
  ]),
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
    const all = after(two, "network_transmit_bytes_per_second", [
      [0, 2],
      [5 * MINUTE, 4],
    ]);
    expect(hostLoad(all, true)).toEqual({ ...hostLoad(two, true), networkTransmitBytesPerSecond: 3 });
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
    const former = vmLoads(withCurve(after(NOTHING_KNOWN, "cpu_used_cores", [[0, 3]], VM)));
    const present = vmLoads(after(NOTHING_KNOWN, "cpu_used_cores", [[MINUTE, 1]], VM));
    const nothing = vmLoads(NOTHING_KNOWN);
    expect(vmLoadOver(present, [nothing, former], VM)).toMatchObject({
      cpuUsedCores: 1,
      at: NOW + MINUTE,
      dirtyCurve: { at: NOW },
    });
    expect(vmLoadOver(nothing, [former], VM)).toEqual(former(VM));
    expect(vmLoadOver(nothing, [], VM)).toEqual({});
  });

  test("of a VM that was on several hosts: the last word", () => {
    const loads = [1, 3, 2].map((minute) =>
      vmLoads(after(NOTHING_KNOWN, "cpu_used_cores", [[minute * MINUTE, minute]], VM)),
    );
    expect(vmLoadOver(vmLoads(NOTHING_KNOWN), loads, VM)).toEqual({ cpuUsedCores: 3, at: NOW + 3 * MINUTE });
  });

  test("of a VM: network only when both directions are known, and its dirty curve with its own time", () => {
    const received = after(NOTHING_KNOWN, "network_receive_bytes_per_second", [[0, 3]], VM);
    expect(vmLoads(received)(VM)).toEqual({ at: NOW });
    const load = vmLoads(withCurve(after(received, "network_transmit_bytes_per_second", [[0, 4]], VM)));
    expect(load(VM)).toEqual({
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
    expect(load("constructor")).toEqual({});
  });

  test("of a VM of which only a curve is known: that", () => {
    expect(vmLoads(withCurve(NOTHING_KNOWN))(VM)).toEqual({ dirtyCurve: expect.objectContaining({ at: NOW }) });
  });

  test("holds no figure an hour older than the newest one", () => {
    const old = after(NOTHING_KNOWN, "cpu_used_cores", [[0, 8]]);
    expect(hostLoad(after(old, "memory_used_bytes", [[HOUR, 5]]), true).cpuUsedCores).toBe(8);
    expect(hostLoad(after(old, "memory_used_bytes", [[HOUR + 1, 5]]), true)).toEqual({
      memoryUsedBytes: 5,
      at: NOW + HOUR + 1,
    });
  });

  test("does not know a series of which there was no sample yet", () => {
    const { known } = placeColumns(NOTHING_KNOWN, [{ entity: HOST, metric: "cpu_used_cores" }], NOW);
    expect(hostLoad(known, true)).toEqual({});
  });
});
