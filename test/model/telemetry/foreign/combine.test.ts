import { describe, expect, test } from "vitest";
import { combineForeign } from "../../../../worker/model/telemetry/foreign/combine.ts";
import { NO_COUNTERS } from "../../../../worker/model/telemetry/foreign/counter-state.ts";
import type { ForeignSeries, Target } from "../../../../worker/model/telemetry/foreign/target.ts";
import {
  after,
  AVAILABLE,
  everything,
  HOUR,
  NOW,
  samplesOf,
  SCRAPE,
  series,
  target,
  TOTAL,
  user,
  VM,
} from "../../../support/foreign.ts";

const cpu = (...bodies: ForeignSeries[][]): [number, number][] => samplesOf(after(bodies).frame, "cpu_used_cores");

describe("rates", () => {
  test("stand at the later time; the first sample gives none", () => {
    expect(cpu([series(user(0), [[0, 100]])], [series(user(0), [[15_000, 107.5]])])).toEqual([[15_000, 0.5]]);
  });

  test("a fall is a reset: what the counter shows was counted since", () => {
    expect(
      cpu([
        series(user(0), [
          [0, 100],
          [15_000, 3],
        ]),
      ]),
    ).toEqual([[15_000, 0.2]]);
  });

  test("a step back by a tick is none, and what follows counts from there", () => {
    const samples: [number, number][] = [
      [0, 2_000_000],
      [15_000, 1_999_999.99],
      [30_000, 2_000_014.99],
    ];
    expect(cpu([series(user(0), samples)])).toEqual([
      [15_000, 0],
      [30_000, 1],
    ]);
  });

  test("over more than 5 min there is none, and counting starts anew", () => {
    const times = [0, 300_000, 600_001, 615_001];
    const samples = times.map((time): [number, number] => [time, time / 1000]);
    expect(cpu([series(user(0), samples)])).toEqual([
      [300_000, 1],
      [615_001, 1],
    ]);
  });

  test("a sample that comes late or again changes nothing", () => {
    const bodies = [
      [0, 0],
      [30_000, 30],
      [15_000, 29],
      [30_000, 31],
      [45_000, 45],
    ].map(([time = 0, value = 0]): ForeignSeries[] => [series(user(0), [[time, value]])]);
    expect(cpu(...bodies)).toEqual([
      [30_000, 1],
      [45_000, 1],
    ]);
  });

  test("a ratio is at most 1, however clocks jitter", () => {
    const pressure = target("node_pressure_memory_waiting_seconds_total");
    const { frame } = after([
      [
        series(pressure, [
          [0, 0],
          [15_000, 15.002],
        ]),
      ],
    ]);
    expect(samplesOf(frame, "memory_pressure_ratio")).toEqual([[15_000, 1]]);
  });
});

describe("figures of several series", () => {
  const scrape = (time: number, cpus: number[]): ForeignSeries[] =>
    cpus.map((one) => series(user(one), [[time, time / 1000]]));

  test("half a scrape gives no half a value; the other half gives the whole", () => {
    const bodies = [scrape(0, [0, 1]), scrape(SCRAPE, [0]), scrape(SCRAPE, [1])];
    const { frames } = after(bodies);
    expect(frames.map((frame) => samplesOf(frame, "cpu_used_cores"))).toEqual([[], [], [[SCRAPE, 2]]]);
  });

  test("what is missing at four times in a row is gone, and comes back with its second sample", () => {
    const bodies = [0, 1, 2, 3, 4, 5, 6, 30, 31].map((index) =>
      scrape(index * SCRAPE, index < 2 || index >= 30 ? [0, 1] : [0]),
    );
    const figures = samplesOf(after(bodies).frame, "cpu_used_cores").map(([time, value]) => [time / SCRAPE, value]);
    // Between 6 and 30 lie over 5 min.
    expect(figures).toEqual([
      [1, 2],
      [6, 1],
      [31, 2],
    ]);
  });

  test("what the sender says has ended is not waited for", () => {
    const bodies = [
      scrape(0, [0, 1]),
      scrape(SCRAPE, [0, 1]),
      [...scrape(2 * SCRAPE, [0]), series(user(1), [[2 * SCRAPE, Number.NaN]])],
      scrape(3 * SCRAPE, [0]),
    ];
    expect(cpu(...bodies)).toEqual([
      [SCRAPE, 2],
      [2 * SCRAPE, 1],
      [3 * SCRAPE, 1],
    ]);
  });

  test("memory in use needs both of its parts", () => {
    const bodies = [
      [series(TOTAL, [[0, 100.000_000_1]])],
      [series(AVAILABLE, [[0, 30]])],
      [series(AVAILABLE, [[SCRAPE, 20]])],
      [series(TOTAL, [[SCRAPE, 100]])],
    ];
    const { frames } = after(bodies);
    expect(frames.map((frame) => samplesOf(frame, "memory_used_bytes"))).toEqual([[], [[0, 70]], [], [[SCRAPE, 80]]]);
  });

  test("the highest of several temperatures", () => {
    const sensor = (name: string): Target => target("node_hwmon_temp_celsius", { chip: "a", sensor: name });
    const { frame } = after([
      [series(sensor("temp1"), [[0, 40]]), series(sensor("temp2"), [[0, 55]]), series(sensor("temp3"), [[0, 41]])],
    ]);
    expect(samplesOf(frame, "temperature_celsius")).toEqual([[0, 55]]);
  });

  test("what two replicas of one Prometheus send is not counted twice", () => {
    const of = (replica: string): Target => target("node_cpu_seconds_total", { cpu: "0", mode: "user", replica });
    const bodies = [0, 1, 2].flatMap((index) => [
      [series(of("a"), [[index * SCRAPE, index * 15]])],
      [series(of("b"), [[index * SCRAPE + 5000, index * 15 + 5]])],
    ]);
    const values = cpu(...bodies).map(([, value]) => value);
    expect(values).toEqual([1, 1, 1, 1, 1]);
  });

  test("VMs are told apart, and one that is known by name is asked for", () => {
    const byUuid = target("libvirt_domain_info_memory_usage_bytes", { domain: "web", uuid: VM.toUpperCase() });
    const byName = target("libvirt_domain_info_memory_usage_bytes", { domain: "db" });
    const other = VM.replace("0b", "0c");
    const body = [series(byUuid, [[0, 1]]), series(byName, [[0, 2]])];
    const named = combineForeign(body, NO_COUNTERS, NOW, { vmNamed: (name) => (name === "db" ? other : null) });
    expect(everything(named.frame)).toEqual({
      [`${VM}/memory_used_bytes`]: [[0, 1]],
      [`${other}/memory_used_bytes`]: [[0, 2]],
    });
    const unnamed = combineForeign(body, NO_COUNTERS, NOW);
    expect(unnamed.refused).toEqual([
      { series: "db memory_used_bytes", reason: "the host has no VM of the name db, or several", samples: 1 },
    ]);
  });
});

describe("what is refused", () => {
  test("infinities and impossible times, one by one; the rest is taken", () => {
    const load = target("node_load1");
    const samples: [number, number][] = [
      [0, 1],
      [1000, Number.POSITIVE_INFINITY],
      [2000, Number.NaN],
      [25 * HOUR, 2],
      [-25 * HOUR, 3],
      [3000, 1e300],
    ];
    const { frame, refused, accepted } = combineForeign([series(load, samples)], NO_COUNTERS, NOW);
    expect(everything(frame)).toEqual({
      "/node_load1": [
        [0, 1],
        [3000, 1e300],
      ],
    });
    expect(accepted).toBe(2);
    expect(refused.map(({ samples: count, reason }) => [count, reason.replace(/^\d+ /, "")])).toEqual([
      [1, "neither a finite number nor a gap"],
      [1, "is over 5 min in the future: check the host's clock"],
      [1, "is older than raw retention, 48 h"],
    ]);
  });

  test("a thousand are told one by one, the others counted", () => {
    const loads = Array.from({ length: 1500 }, (_, index) =>
      series(target("app", { job: `j${index}` }), [[0, Infinity]]),
    );
    const { refused } = combineForeign(loads, NO_COUNTERS, NOW);
    expect(refused).toHaveLength(1001);
    expect(refused.at(-1)).toEqual({ series: "others", reason: "further refusals are counted only", samples: 500 });
  });

  test("a time in the future does not stop the counting", () => {
    const bodies = [
      [series(user(0), [[0, 0]])],
      [series(user(0), [[99 * HOUR, 1]])],
      [series(user(0), [[15_000, 15]])],
    ];
    expect(cpu(...bodies)).toEqual([[15_000, 1]]);
  });

  test("what is out of the catalogue's bounds", () => {
    const { frame, refused } = combineForeign([series(target("cpu_used_cores"), [[0, -1]])], NO_COUNTERS, NOW);
    expect(frame.columns).toEqual([]);
    expect(refused).toHaveLength(1);
  });
});

test("of series whose frame would be too large nothing is taken", () => {
  const known = after([[series(user(0), [[0, 100]])]]).state;
  const body = Array.from({ length: 2049 }, (_, index) => series(target(`metric_${index}`), [[15_000 + index, 1]]));
  const counter = series(user(0), [[15_000, 107.5]]);
  const combined = combineForeign([...body, counter], known, NOW);
  expect(combined).toMatchObject({ frame: { times: [], columns: [] }, accepted: 0, refused: [{ samples: 2050 }] });
  expect(combined.state).toBe(known);
  // At few times as many are well.
  const few = body.map((one) => ({ ...one, times: body[0]?.times ?? [] }));
  expect(combineForeign([...few, counter], known, NOW)).toMatchObject({ accepted: 2050, refused: [] });
});
