// When a host is hot, warm, normal, cold or unknown.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { forecasterName } from "../../../worker/model/forecast/types.ts";
import { detectHotspots } from "../../../worker/model/detection/hotspots.ts";
import { detection, detectionParameters } from "../../../worker/model/detection/types.ts";
import { MIB, MINUTE_MS } from "../../../worker/model/units.ts";
import { AT, uuidOf } from "../../support/world.ts";
import { CORES, detect, flat, hostOf, MEMORY_BYTES, type Said } from "./hosts.ts";

const RUNS = { numRuns: 200, seed: 43 };
const ratio = (min: number, max: number) => fc.double({ min, max, noNaN: true });

describe("states", () => {
  const rows: [name: string, said: Said, state: string, kind: string | null][] = [
    ["calm", { cpu: flat(0.5) }, "normal", null],
    ["overloaded for long", { cpu: flat(0.9) }, "hot", "k-of-n"],
    ["one momentary peak", { cpu: [...flat(0.5), 1] }, "normal", null],
    ["two momentary peaks", { cpu: [...flat(0.5), 1, 0.5, 1] }, "normal", null],
    ["three peaks in a calm hour", { cpu: [...flat(0.3, 60), 0.8, 0.3, 0.8, 0.3, 0.8] }, "warm", "k-of-n"],
    ["a load that has risen to stay", { cpu: [...flat(0.5), ...flat(0.9, 12)] }, "hot", "k-of-n"],
    ["idle", { cpu: flat(0.1) }, "cold", "k-of-n"],
    ["idle now, but not over the day", { cpu: flat(0.1), load: { cpuUsedCoresP95: 0.6 * CORES } }, "normal", null],
    ["idle but for the newest samples", { cpu: [...flat(0.1, 60), 0.5, 0.5, 0.5] }, "normal", null],
    ["only an average, high", { load: { cpuUsedCores: 0.9 * CORES } }, "hot", "threshold"],
    ["only an average, low", { load: { cpuUsedCores: 0.1 * CORES } }, "normal", null],
    ["average and p95 low", { load: { cpuUsedCores: 0.1 * CORES, cpuUsedCoresP95: 0.2 * CORES } }, "cold", "threshold"],
    ["only p95, high", { load: { cpuUsedCoresP95: 0.9 * CORES } }, "hot", "threshold"],
    ["memory full", { cpu: flat(0.1), load: { memoryUsedBytes: 0.95 * MEMORY_BYTES } }, "hot", "threshold"],
    ["memory full, CPU unknown", { load: { memoryUsedBytes: 0.95 * MEMORY_BYTES } }, "hot", "threshold"],
    ["memory fine, CPU unknown", { load: { memoryUsedBytes: 0.5 * MEMORY_BYTES } }, "unknown", null],
    ["waiting for memory", { cpu: flat(0.5), series: { memory_pressure_ratio: flat(0.3) } }, "hot", "pressure"],
    ["waiting for CPU", { cpu: flat(0.5), series: { cpu_pressure_ratio: flat(0.3) } }, "hot", "pressure"],
    ["swapping in", { cpu: flat(0.5), series: { swap_in_bytes_per_second: flat(8 * MIB) } }, "hot", "swap"],
    ["no telemetry", {}, "unknown", null],
    ["silent", { cpu: flat(0.9), silentMs: 2 * MINUTE_MS }, "unknown", null],
    ["never heard", { cpu: flat(0.9), silentMs: null }, "unknown", null],
    ["samples of long ago", { cpu: flat(0.9), recentAgeMs: 10 * MINUTE_MS }, "unknown", null],
    ["gaps only", { cpu: Array.from({ length: 30 }, () => null) }, "unknown", null],
  ];
  test.each(rows)("%s", (_, said, state, kind) => {
    const found = detect(said);
    expect(found.state).toBe(state);
    expect(found.causes[0]?.kind ?? null).toBe(kind);
    expect(detection.parse(found)).toEqual(found);
  });
});

test("a rise that is not over the threshold yet is warm by the forecast of a method that follows it", () => {
  const cpu = Array.from({ length: 30 }, (_, at) => 0.445 + 0.01 * at);
  expect(detect({ cpu }, { forecaster: "holt-winters" })).toMatchObject({
    state: "warm",
    causes: [{ kind: "forecast" }],
  });
});

describe("networks and disks", () => {
  const sending = { network_transmit_bytes_per_second: flat(900e6), network_receive_bytes_per_second: flat(1e6) };
  const writing = { disk_read_bytes_per_second: flat(300e6), disk_write_bytes_per_second: flat(300e6) };

  test("are judged only where it is known what they can do", () => {
    expect(detect({ cpu: flat(0.5), series: { ...sending, ...writing } }).state).toBe("normal");
    const nic = detect({ cpu: flat(0.5), series: sending }, { nicBytesPerSecond: 1e9 });
    expect(nic).toMatchObject({ state: "hot", causes: [{ metric: "network_transmit_bytes_per_second", value: 0.9 }] });
    const disk = detect({ cpu: flat(0.5), series: writing }, { diskBytesPerSecondHot: 500e6 });
    expect(disk).toMatchObject({ state: "hot", causes: [{ value: 600e6, threshold: 500e6 }] });
  });

  test("a host's label goes before the parameter; one that is no rate counts as absent", () => {
    const hot = (label: string) =>
      detect({ cpu: flat(0.5), series: sending, labels: { "nic-bytes-per-second": label } }, { nicBytesPerSecond: 1e9 })
        .state;
    expect(hot("10000000000")).toBe("normal");
    expect(hot("fast")).toBe("hot");
  });

  test("a gap in reads or in writes is a gap in their sum", () => {
    const series = { ...writing, disk_read_bytes_per_second: [...flat(300e6, 25), null, null, null, null, null] };
    const found = detect({ cpu: flat(0.5), series }, { diskBytesPerSecondHot: 500e6 });
    expect(found.state).toBe("normal");
    expect(found.unknownMetrics).toContain("disk_read_bytes_per_second + disk_write_bytes_per_second");
  });
});

describe("gray box", () => {
  const shop = (latencies: number[], usedCores: number, labels?: Record<string, string>): Said => ({
    cpu: flat(0.3, 60).map((value, at) => value + 0.2 * (at % 2)),
    vm: {
      load: {
        recent: {
          at: AT,
          stepMs: MINUTE_MS,
          series: { latency_seconds: latencies, cpu_used_cores: flat(usedCores) },
        },
      },
      ...(labels === undefined ? {} : { labels }),
    },
  });

  test("a service over its SLO makes its host hot although the host's CPU is not, and says what its VM would need", () => {
    const found = detect(shop(flat(0.5), 2, { "latency-slo-seconds": "0.2" }));
    expect(found).toMatchObject({
      state: "hot",
      // 2 cores used of 4, 2 left: 2 + 2 × 0.5 / 0.2.
      causes: [{ kind: "gray-box", vmUuid: uuidOf("shop"), value: 0.5, threshold: 0.2, neededCores: 7 }],
    });
    expect(found.causes[0]?.sentence).toContain("would have to be about 7,");
  });

  test("one slow answer does not, nor does a service within its SLO or without one", () => {
    expect(detect(shop([...flat(0.1), 5], 2, { "latency-slo-seconds": "0.2" })).state).not.toBe("hot");
    expect(detect(shop(flat(0.1), 2), { latencySloSeconds: 0.2 }).state).toBe("normal");
    expect(detect(shop(flat(5), 2)).state).toBe("normal");
  });

  test("the parameter is for VMs that have no label", () => {
    expect(detect(shop(flat(0.5), 2), { latencySloSeconds: 0.2 }).state).toBe("hot");
    expect(detect(shop(flat(0.5), 2, { "latency-slo-seconds": "1" }), { latencySloSeconds: 0.2 }).state).toBe("normal");
  });
});

describe("what a cause says", () => {
  test("samples, threshold, forecast and p90 in one sentence", () => {
    expect(detect({ cpu: flat(0.9) })).toMatchObject({
      causes: [{ metric: "cpu_used_cores", k: 3, n: 5, over: 5, threshold: 0.75 }],
      sentence:
        "CPU: 5 of the newest 5 samples are over 75 % (3 have to be), the last 90 %; the forecast is 90 % (p90 90 %), over it too.",
    });
  });

  test("that only an average was known", () => {
    expect(detect({ load: { cpuUsedCores: 0.9 * CORES } }).sentence).toBe(
      "CPU: the average of 90 % is over 75 %; without recent samples it alone counts.",
    );
  });

  test("that no forecast could be made", () => {
    const found = detect({ cpu: flat(0.9, 5) });
    expect(found).toMatchObject({ state: "hot", causes: [{ forecast: null, p90: null }] });
    expect(found.sentence).toContain("no forecast, so that the average counts");
  });

  test("why a host is unknown and what to do", () => {
    expect(detect({}).sentence).toContain("its agent must send cpu_used_cores");
    expect(detect({ silentMs: null }).sentence).toContain("see that its agent runs");
  });

  test("the worst cause comes first", () => {
    const found = detect({ cpu: flat(0.8), series: { cpu_pressure_ratio: flat(0.8) } });
    expect(found.causes.map(({ metric }) => metric)).toEqual(["cpu_pressure_ratio", "cpu_used_cores"]);
  });
});

describe.each(forecasterName.options)("with %s", (forecaster) => {
  /** Calm samples with peaks at fewer than k of the newest n places. */
  const peaked = fc
    .tuple(
      fc.array(ratio(0, 0.74), { minLength: 5, maxLength: 60 }),
      fc.uniqueArray(fc.integer({ min: 0, max: 4 }), { maxLength: 2 }),
      ratio(0.76, 1),
    )
    .map(([calm, places, peak]) => calm.map((value, at) => (places.includes(calm.length - 1 - at) ? peak : value)));

  test("a momentary peak never makes a host hot", () => {
    fc.assert(
      fc.property(peaked, (cpu) => detect({ cpu }, { forecaster }).state !== "hot"),
      RUNS,
    );
  });

  test("a persistent overload always does, whatever was before it", () => {
    const overload = fc.array(ratio(0.76, 1), { minLength: 12, maxLength: 20 });
    fc.assert(
      fc.property(fc.array(ratio(0, 1), { maxLength: 60 }), overload, (before, now) => {
        return detect({ cpu: [...before, ...now] }, { forecaster }).state === "hot";
      }),
      RUNS,
    );
  });

  test("whatever of CPU is missing, a host is never cold or normal without some of it", () => {
    const others = fc.record(
      { memoryUsedBytes: fc.nat(MEMORY_BYTES), cpuPressureRatio: ratio(0, 1) },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(others, (load) => ["hot", "unknown"].includes(detect({ load }, { forecaster }).state)),
      RUNS,
    );
  });
});

test("the order of hosts changes nothing", () => {
  const said = [0.9, 0.5, 0.1].map((value): [string, number] => [`host-${value}`, value]);
  const hosts = said.map(([hostId, value]) => ({ ...hostOf({ cpu: flat(value) }), hostId }));
  const parameters = detectionParameters.parse({});
  const found = detectHotspots(hosts, parameters, AT);
  expect(found.map(({ state }) => state)).toEqual(["hot", "normal", "cold"]);
  expect(detectHotspots(hosts.toReversed(), parameters, AT)).toEqual(found.toReversed());
});
