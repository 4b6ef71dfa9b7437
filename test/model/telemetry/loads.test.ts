import { describe, expect, test } from "vitest";
import { HOST } from "../../../worker/model/telemetry/frame.ts";
import { advance, type Known, NOTHING_KNOWN, placeColumns } from "../../../worker/model/telemetry/known.ts";
import { hostLoad, type Told, vmLoadOver, vmLoads } from "../../../worker/model/telemetry/loads.ts";
import { type Summary } from "../../../worker/model/telemetry/summary.ts";

const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
const NOW = 1_795_399_200_000;
const PEER = "1c2d3e4f-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** `known` after samples of one series. */
function after(known: Known, metric: string, samples: [msFromNow: number, value: number][], entity = HOST): Known {
  const columns = [{ entity, metric, values: Float64Array.from(samples, ([, value]) => value) }];
  const placed = placeColumns(known, columns, NOW);
  return advance(placed.known, { times: samples.map(([offset]) => NOW + offset), columns }, placed.places, 0);
}

/** `known` after one sample each of several series, at NOW. */
const told = (values: Record<string, number>, entity = HOST, summary: Summary | null = null): Told => ({
  known: Object.entries(values).reduce<Known>(
    (known, [metric, value]) => after(known, metric, [[0, value]], entity),
    NOTHING_KNOWN,
  ),
  summary,
});

const hostOf = (known: Known, isSettled = true) => hostLoad({ known, summary: null }, isSettled, NOW);
const vmOf = (known: Known, uuid = VM) => vmLoads({ known, summary: null }, NOW).get(uuid);

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

describe("what the advisor reads of a host", () => {
  test("is averages of what fluctuates and the latest of what is held; what is unknown is absent", () => {
    const one = after(NOTHING_KNOWN, "cpu_used_cores", [
      [0, 8],
      [5 * MINUTE, 4],
    ]);
    const two = after(one, "memory_used_bytes", [
      [0, 100],
      [5 * MINUTE, 50],
    ]);
    expect(hostOf(two)).toEqual({ cpuUsedCores: 6, memoryUsedBytes: 50, at: NOW + 5 * MINUTE });
    const all = after(two, "network_transmit_bytes_per_second", [
      [0, 2],
      [5 * MINUTE, 4],
    ]);
    expect(hostOf(all)).toEqual({ ...hostOf(two), networkTransmitBytesPerSecond: 3 });
    expect(hostOf(NOTHING_KNOWN)).toEqual({});
  });

  test("is all that the catalogue has of hosts", () => {
    const load = hostLoad(
      told({
        disk_read_bytes_per_second: 3,
        disk_write_bytes_per_second: 4,
        swap_in_bytes_per_second: 5,
        cpu_pressure_ratio: 0.25,
        memory_pressure_ratio: 0.5,
        power_watts: 300,
        temperature_celsius: 61,
        ecc_corrected_errors_per_second: 0.5,
        ecc_uncorrected_errors_per_second: 0,
        disk_failed_ratio: 0.25,
      }),
      true,
      NOW,
    );
    expect(load).toEqual({
      diskBytesPerSecond: 7,
      swapInBytesPerSecond: 5,
      cpuPressureRatio: 0.25,
      memoryPressureRatio: 0.5,
      powerWatts: 300,
      temperatureCelsius: 61,
      eccCorrectedPerSecond: 0.5,
      eccUncorrectedPerSecond: 0,
      diskFailedRatio: 0.25,
      at: NOW,
    });
  });

  test("is what it does now where its VMs have just changed, not an average over VMs that have left", () => {
    const relieved = after(NOTHING_KNOWN, "cpu_used_cores", [
      [0, 8],
      [5 * MINUTE, 4],
    ]);
    expect(hostOf(relieved, false).cpuUsedCores).toBe(4);
  });

  test("holds no figure an hour older than the newest one", () => {
    const old = after(NOTHING_KNOWN, "cpu_used_cores", [[0, 8]]);
    expect(hostOf(after(old, "memory_used_bytes", [[HOUR, 5]])).cpuUsedCores).toBe(8);
    expect(hostOf(after(old, "memory_used_bytes", [[HOUR + 1, 5]]))).toEqual({
      memoryUsedBytes: 5,
      at: NOW + HOUR + 1,
    });
  });

  test("does not know a series of which there was no sample yet", () => {
    const { known } = placeColumns(NOTHING_KNOWN, [{ entity: HOST, metric: "cpu_used_cores" }], NOW);
    expect(hostOf(known)).toEqual({});
  });
});

describe("what the advisor reads of a VM", () => {
  test("that has just moved is its new host's word, and its old host's where the new one knows nothing yet", () => {
    const former = vmOf(withCurve(after(NOTHING_KNOWN, "cpu_used_cores", [[0, 3]], VM))) ?? {};
    const present = vmOf(after(NOTHING_KNOWN, "cpu_used_cores", [[MINUTE, 1]], VM));
    expect(vmLoadOver(present, [former])).toMatchObject({ cpuUsedCores: 1, at: NOW + MINUTE, dirtyCurve: { at: NOW } });
    expect(vmLoadOver(undefined, [former])).toEqual(former);
    expect(vmLoadOver(undefined, [])).toEqual({});
  });

  test("that was on several hosts is the last word", () => {
    const loads = [1, 3, 2].map(
      (minute) => vmOf(after(NOTHING_KNOWN, "cpu_used_cores", [[minute * MINUTE, minute]], VM)) ?? {},
    );
    expect(vmLoadOver(undefined, loads)).toEqual({ cpuUsedCores: 3, at: NOW + 3 * MINUTE });
  });

  test("has network and disk only when both directions are known, and its dirty curve with its own time", () => {
    const received = after(NOTHING_KNOWN, "network_receive_bytes_per_second", [[0, 3]], VM);
    expect(vmOf(after(received, "disk_read_bytes_per_second", [[0, 3]], VM))).toEqual({ at: NOW });
    const all = withCurve(after(received, "network_transmit_bytes_per_second", [[0, 4]], VM));
    expect(vmOf(all)).toEqual({
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
    expect(vmOf(all, "constructor")).toBeUndefined();
  });

  test("of which only a curve is known is that", () => {
    expect(vmOf(withCurve(NOTHING_KNOWN))).toEqual({ dirtyCurve: expect.objectContaining({ at: NOW }) });
  });

  test("is all that the catalogue has of VMs", () => {
    const figures = {
      swap_in_bytes_per_second: 1,
      cpu_steal_ratio: 0.5,
      latency_seconds: 0.25,
      requests_per_second: 40,
      disk_read_bytes_per_second: 2,
      disk_write_bytes_per_second: 3,
    };
    expect(vmLoads(told(figures, VM), NOW).get(VM)).toEqual({
      swapInBytesPerSecond: 1,
      cpuStealRatio: 0.5,
      latencySeconds: 0.25,
      requestsPerSecond: 40,
      diskBytesPerSecond: 5,
      at: NOW,
    });
  });

  test("has what it exchanges with each peer by the peer's uuid; what is no uuid is nobody", () => {
    const figures = {
      [`peer_bytes_per_second:${PEER.replaceAll("-", "")}`]: 12,
      "peer_bytes_per_second:nobody": 1,
      peer_bytes_per_second: 99,
    };
    expect(vmLoads(told(figures, VM), NOW).get(VM)).toEqual({ peerBytesPerSecond: { [PEER]: 12 }, at: NOW });
  });
});

describe("the p95 of a load", () => {
  const metrics = ["cpu_used_cores", "network_receive_bytes_per_second", "network_transmit_bytes_per_second"];
  const summaryOf = (rows: Partial<Summary>): Summary => ({ at: NOW, hours: 3, metrics, host: [], vms: {}, ...rows });
  const p95 = (summary: Summary, now = NOW) => hostLoad({ known: NOTHING_KNOWN, summary }, true, now);

  test("is that of the day, of the hour where there is none; of the network that of both directions", () => {
    const day = summaryOf({
      host: [
        [1, 2, 3, 4],
        [0, 1, 0, 10],
        [0, 1, 0, 20],
      ],
    });
    expect(p95(day)).toEqual({ cpuUsedCoresP95: 4, networkBytesPerSecondP95: 30 });
    expect(p95(summaryOf({ host: [[1, 2, null, null]] }))).toEqual({ cpuUsedCoresP95: 2 });
    expect(p95(summaryOf({ host: [null, [0, 1, 0, 10]] }))).toEqual({});
  });

  test("of a VM stands beside its other figures", () => {
    const summary = summaryOf({ vms: { [VM]: [[0, 1, 2, 3]] } });
    expect(vmLoads(told({ cpu_used_cores: 1 }, VM, summary), NOW).get(VM)).toEqual({
      cpuUsedCores: 1,
      cpuUsedCoresP95: 3,
      at: NOW,
    });
    expect(vmLoads({ known: NOTHING_KNOWN, summary }, NOW).get(VM)).toEqual({ cpuUsedCoresP95: 3 });
  });

  test("is unknown a day after the summary", () => {
    const summary = summaryOf({ host: [[1, 2, 3, 4]] });
    expect(p95(summary, NOW + 24 * HOUR)).toEqual({ cpuUsedCoresP95: 4 });
    expect(p95(summary, NOW + 24 * HOUR + 1)).toEqual({});
  });
});
