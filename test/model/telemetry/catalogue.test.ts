import { describe, expect, test } from "vitest";
import { CATALOGUE, isMetricName, metricBounds, metricPattern } from "../../../worker/model/telemetry/catalogue.ts";

describe("names of metrics", () => {
  test.each([
    ["cpu_used_cores", "cpu_used_cores", true],
    ["cpu_used_cores", "cpu_used", false],
    ["*", "anything", true],
    ["memory_*", "memory_used_bytes", true],
    ["memory_*", "swap_in", false],
    ["*_bytes", "memory_used_bytes", true],
    ["*_bytes", "memory_used_bytes_x", false],
    ["disk_*_per_second", "disk_read_bytes_per_second", true],
    ["a*b*b", "ab", false],
    ["a*b*b", "abb", true],
    ["ab*ba", "aba", false],
  ])("the pattern %s and %s: %s", (pattern, name, expected) => {
    expect(metricPattern(pattern)(name)).toBe(expected);
  });

  test("a peer's series has the bounds of its family, an unknown name has none", () => {
    const peer = "peer_bytes_per_second:0b5f4a2e8c1d4e3f9a6b7c8d9e0f1a2b";
    expect(isMetricName(peer)).toBe(true);
    expect(metricBounds(peer)).toMatchObject({ name: "peer_bytes_per_second", min: 0 });
    expect(metricBounds("my_metric")).toBeUndefined();
  });
});

test("a number in stored frames stands for one metric, for ever", () => {
  const names = CATALOGUE.map(({ number, name }) => `${number} ${name}`);
  expect(new Set(CATALOGUE.map(({ number }) => number)).size).toBe(CATALOGUE.length);
  expect(names.slice(0, 20)).toEqual([
    "1 cpu_used_cores",
    "2 memory_used_bytes",
    "3 memory_pressure_ratio",
    "4 cpu_pressure_ratio",
    "5 network_receive_bytes_per_second",
    "6 network_transmit_bytes_per_second",
    "7 disk_read_bytes_per_second",
    "8 disk_write_bytes_per_second",
    "9 power_watts",
    "10 temperature_celsius",
    "11 cpu_steal_ratio",
    "12 memory_nonzero_bytes",
    "13 memory_dirty_bytes_per_second",
    "14 memory_working_set_bytes",
    "15 swap_in_bytes_per_second",
    "16 disk_dirty_bytes_per_second",
    "17 page_fault_rate",
    "18 requests_per_second",
    "19 latency_seconds",
    "20 peer_bytes_per_second",
  ]);
});
