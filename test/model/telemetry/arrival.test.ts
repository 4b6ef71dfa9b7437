import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Arrival, inOrder, recognise } from "../../../worker/model/telemetry/arrival.ts";
import { type Column, HOST } from "../../../worker/model/telemetry/frame.ts";
import {
  advance,
  type Known,
  latestOf,
  NOTHING_KNOWN,
  type SeriesName,
} from "../../../worker/model/telemetry/known.ts";

const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
const OTHER_VM = "f0000000-0000-4000-8000-000000000001";
const NOW = 1_795_399_200_000;
const HOUR = 3_600_000;

const columnsOf = (...names: [entity: string, metric: string][]): Column[] =>
  names.map(([entity, metric], index) => ({ entity, metric, values: Float64Array.of(index) }));

type State = { known: Known; arrivals: readonly Arrival[] };
const NEW: State = { known: NOTHING_KNOWN, arrivals: [] };

/** After a batch with these columns, each with one sample. */
function after(state: State, columns: readonly Column[], now = NOW): State & { arrival: Arrival } {
  const { arrival, known, arrivals } = recognise(state.arrivals, columns, state.known, now);
  const frame = { times: [now], columns: inOrder(arrival, columns) };
  return { arrival, arrivals, known: advance(known, frame, arrival.places, 0) };
}

const A = columnsOf([HOST, "cpu_used_cores"], [VM, "cpu_used_cores"]);
const B = columnsOf([HOST, "cpu_used_cores"], [VM, "cpu_used_cores"], [VM, "custom"]);

describe("columns are stored", () => {
  test("the host first, then VMs by uuid; the catalogue by number, then other names by letter", () => {
    const columns = columnsOf(
      [OTHER_VM, "b"],
      [VM, "b"],
      [VM, "a"],
      [VM, "page_fault_rate"],
      [HOST, "memory_used_bytes"],
      [VM, "cpu_used_cores"],
      [HOST, "cpu_used_cores"],
    );
    const { arrival } = after(NEW, columns);
    expect(inOrder(arrival, columns).map(({ entity, metric }) => [entity, metric])).toEqual([
      [HOST, "cpu_used_cores"],
      [HOST, "memory_used_bytes"],
      [VM, "cpu_used_cores"],
      [VM, "page_fault_rate"],
      [VM, "a"],
      [VM, "b"],
      [OTHER_VM, "b"],
    ]);
    expect(arrival.hostColumns).toBe(2);
  });

  test("with a layout for the host and one for VMs, which stand for the series, however they came", () => {
    const one = after(NEW, columnsOf([HOST, "a"], [VM, "b"], [VM, "a"])).arrival;
    const other = after(NEW, columnsOf([VM, "a"], [HOST, "a"], [VM, "b"])).arrival;
    expect(other.head).toEqual(one.head);
    expect(other.live).toEqual(one.live);
    expect(after(NEW, columnsOf([HOST, "a"], [VM, "b"])).arrival.live?.key).not.toBe(one.live?.key);
    expect(after(NEW, columnsOf([HOST, "a"])).arrival).toMatchObject({ live: null, hostColumns: 1 });
    expect(after(NEW, columnsOf([VM, "a"])).arrival).toMatchObject({ head: null, hostColumns: 0 });
    expect(after(NEW, []).arrival).toMatchObject({ head: null, live: null, hostColumns: 0 });
  });
});

describe("a shape that has come before", () => {
  test("is recognised, and nothing is worked out again", () => {
    const first = after(NEW, A);
    const again = recognise(first.arrivals, A, first.known, NOW + 1);
    expect(again).toEqual({ arrival: first.arrival, known: first.known, arrivals: first.arrivals });
    expect(again.arrival).toBe(first.arrival);
    expect(again.known).toBe(first.known);
  });

  test("is recognised of several that alternate", () => {
    let state: State = after(after(NEW, A), B);
    state = after(state, A);
    for (const columns of [B, A, B, A]) {
      const { series } = state.known;
      state = after(state, columns);
      expect(state.known.series).toBe(series);
    }
    expect(state.arrivals).toHaveLength(2);
  });

  test("is forgotten when four others came after it", () => {
    const shapes = ["a", "b", "c", "d", "e"].map((metric) => columnsOf([HOST, metric]));
    const { arrivals } = shapes.reduce<State>((state, columns) => after(state, columns), NEW);
    expect(arrivals.map(({ names }) => names[0]?.metric)).toEqual(["e", "d", "c", "b"]);
  });

  test.each<[string, Column[]]>([
    ["another order", columnsOf([VM, "cpu_used_cores"], [HOST, "cpu_used_cores"])],
    ["another metric", columnsOf([HOST, "cpu_used_cores"], [VM, "custom"])],
    ["another VM", columnsOf([HOST, "cpu_used_cores"], [OTHER_VM, "cpu_used_cores"])],
    ["a series more", B],
    ["a series less", A.slice(1)],
  ])("is not one with %s", (_, columns) => {
    const first = after(NEW, A);
    const next = after(first, columns);
    expect(next.arrival.names).toEqual(columns.map(({ entity, metric }) => ({ entity, metric })));
    expect(next.arrivals).toHaveLength(2);
  });
});

describe("latest values", () => {
  test("of what is no longer sent are forgotten after 24 h, though batches keep their shape", () => {
    let state: State = after(NEW, B);
    for (let hour = 1; hour <= 24; hour++) state = after(state, A, NOW + hour * HOUR);
    expect(latestOf(state.known, () => true).vms[VM]?.metrics).toHaveProperty("custom");
    state = after(state, A, NOW + 24 * HOUR + 1);
    expect(Object.keys(latestOf(state.known, () => true).vms[VM]?.metrics ?? {})).toEqual(["cpu_used_cores"]);
    expect(state.known.series).toHaveLength(2);
  });

  test("of a shape of which only late samples come wait for the first new one, without being placed again", () => {
    const first = recognise([], A, NOTHING_KNOWN, NOW);
    const again = recognise(first.arrivals, A, first.known, NOW + 1);
    expect(again.known).toBe(first.known);
  });

  test("stand at the places of their series, in whatever shapes they came", () => {
    const anyName: fc.Arbitrary<SeriesName> = fc.record({
      entity: fc.constantFrom(HOST, VM, OTHER_VM),
      metric: fc.constantFrom("cpu_used_cores", "memory_used_bytes", "a", "b"),
    });
    const anyShape = fc.uniqueArray(anyName, { selector: ({ entity, metric }) => `${entity}/${metric}`, maxLength: 8 });
    const anyBatches = fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 9 * HOUR })), { maxLength: 20 });
    fc.assert(
      fc.property(fc.array(anyShape, { minLength: 4, maxLength: 4 }), anyBatches, (shapes, batches) => {
        let state = NEW;
        let now = NOW;
        const expected = new Map<string, [at: number, value: number]>();
        for (const [shape, laterMs] of batches) {
          now += laterMs;
          const columns = columnsOf(
            ...(shapes[shape] ?? []).map(({ entity, metric }): [string, string] => [entity, metric]),
          );
          for (const { entity, metric, values } of columns) expected.set(`${entity}/${metric}`, [now, values[0] ?? 0]);
          state = after(state, columns, now);
        }
        const kept = state.known.series.map(({ entity, metric }, place) => [
          `${entity}/${metric}`,
          [state.known.times[place], state.known.values[place]],
        ]);
        const young = [...expected].filter(([, [at]]) => now - at <= 24 * HOUR);
        expect(Object.fromEntries(kept)).toEqual(Object.fromEntries(young));
      }),
      { seed: 68, numRuns: 300 },
    );
  });
});
