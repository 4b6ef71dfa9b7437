// Samples, batches, dirty curves, and what happens to them when Drover does not answer.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { buildBatch, nextCurve } from "../../scripts/agent/collect.ts";
import { isMetricName } from "../../worker/model/telemetry/catalogue.ts";
import { telemetryBatch } from "../../worker/model/wire/telemetry.ts";
import { createBench, VM, vmInventory, type Bench } from "./builders.ts";

const OTHER = VM.replace("1", "2");

test("a batch is columnar, and what could not be read is null", () => {
  const samples = [
    { at: 1000, sample: { host: { cpu_used_cores: 1 }, vms: { [VM]: { cpu_used_cores: 0.5 } } } },
    { at: 2000, sample: { host: {}, vms: { [VM]: { cpu_used_cores: 0.6, memory_used_bytes: 7 }, [OTHER]: {} } } },
  ];
  const batch = buildBatch({ host: "hv-a", batch: "b1" }, samples, {}, { [VM]: "running" });
  expect(telemetryBatch.parse(batch)).toEqual({
    host: "hv-a",
    batch: "b1",
    times: [1000, 2000],
    host_series: { cpu_used_cores: [1, null] },
    vm_series: { [VM]: { cpu_used_cores: [0.5, 0.6], memory_used_bytes: [null, 7] }, [OTHER]: {} },
    vm_states: { [VM]: "running" },
  });
});

test("the dirty curve that is due longest is next, one never measured first", () => {
  const due = new Map([
    ["a", 50],
    ["b", 20],
    ["c", 200],
  ]);
  expect(nextCurve(["a", "b", "c"], due, 100)).toBe("b");
  expect(nextCurve(["a", "b", "c", "d"], due, 100)).toBe("d");
  expect(nextCurve(["c"], due, 100)).toBeNull();
});

describe("with an edge", () => {
  let bench: Bench;
  beforeEach(async () => void (bench = await createBench()));
  afterEach(() => bench.close());
  const eventually = (check: () => void) => vi.waitFor(check, { timeout: 4000, interval: 5 });

  /** The last value that arrived of a host series. */
  const newest = (metric: string): unknown => {
    const columns = bench.edge.batches().map(({ host_series }) => host_series?.[metric] as (number | null)[]);
    return columns.at(-1)?.at(-1);
  };

  test("samples arrive with states and each VM's first dirty curve", async () => {
    const host = bench.host("hv-a", [vmInventory(), vmInventory({ uuid: OTHER, name: "web-2" })]);
    await host.start();
    await eventually(() => {
      const curves = bench.edge.batches().flatMap((batch) => Object.keys(batch.vm_dirty_curves ?? {}));
      expect(curves.sort()).toEqual([VM, OTHER].sort());
    });
    expect(bench.edge.batches()[0]).toMatchObject({ host: "hv-a", vm_states: { [VM]: "running" } });
    expect(host.script.curves.sort()).toEqual([VM, OTHER].sort());
    const own = Object.entries(bench.edge.batches()[0]?.host_series ?? {}).filter(([name]) =>
      name.startsWith("drover_"),
    );
    expect(own.map(([name, values]) => [name, (values as unknown[]).at(-1)])).toEqual([
      ["drover_agent_refused_samples_total", 0],
      ["drover_agent_spool_dropped_batches_total", 0],
      ["drover_agent_spool_dropped_samples_total", 0],
      ["drover_agent_spool_waiting_batches", 0],
    ]);
    expect(own.map(([name]) => name).filter((name) => !isMetricName(name))).toEqual([]);
  });

  test("what was sampled while Drover was away arrives later, none of it twice or lost, across a stop", async () => {
    const host = bench.host("hv-a", [vmInventory()]);
    bench.edge.down = true;
    await host.start();
    await eventually(() => expect(bench.lines.join("\n")).toContain("telemetry waits on the disk"));
    await host.agent?.stop();
    bench.edge.down = false;
    await host.start();
    await eventually(() => expect(bench.edge.batches().length).toBeGreaterThan(3));
    const batches = bench.edge.batches();
    expect(new Set(batches.map(({ batch }) => batch)).size).toBe(batches.length);
    const times = batches.flatMap((batch) => batch.times);
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
  });

  test("a batch that Drover refuses is told and given up; the next is sent", async () => {
    let refused = 0;
    bench.edge.answer = ({ path: at }) =>
      at === "/v1/telemetry" && refused++ === 0 ? { status: 422, body: { title: "malformed", detail: "times" } } : null;
    await bench.host("hv-a").start();
    await eventually(() => expect(bench.edge.batches().length).toBeGreaterThan(0));
    expect(bench.lines.join("\n")).toContain("malformed: times");
    await eventually(() => expect(newest("drover_agent_spool_dropped_batches_total")).toBe(1));
    expect(newest("drover_agent_spool_dropped_samples_total")).toBeGreaterThan(0);
  });
});
