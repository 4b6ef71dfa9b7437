import { describe, expect, test } from "vitest";
import { type CounterState, NO_COUNTERS } from "../../worker/model/telemetry/foreign/counter-state.ts";
import { NOTHING_KNOWN } from "../../worker/model/telemetry/known.ts";
import { createHostCache } from "../../worker/store/host-cache.ts";
import type { HostTelemetry } from "../../worker/model/telemetry/stored.ts";

const host = (hostId: string, stated: Partial<HostTelemetry> = {}): HostTelemetry => ({
  hostId,
  number: 1,
  cluster: "c",
  version: 1,
  known: NOTHING_KNOWN,
  ring: [],
  tails: [],
  lateHours: [],
  counters: NO_COUNTERS,
  arrivals: [],
  spare: { room: null },
  ...stated,
});

const withSeries = (hostId: string, count: number): HostTelemetry =>
  host(hostId, {
    known: {
      ...NOTHING_KNOWN,
      series: Array.from({ length: count }, (_, place) => ({ entity: "", metric: `m${place}` })),
    },
  });

function countersOf(count: number): CounterState {
  const members = Array.from({ length: count }, (_, place) => `cpu${place}`);
  const group = {
    entity: "",
    metric: "cpu_used_cores",
    collector: "node",
    places: new Map(),
    moments: [],
    closedTo: 0,
  };
  return { groups: new Map([["g", { ...group, members, times: [], values: [] }]]), forgottenTo: 0 };
}

const line = (chars: number) => ({
  id: "b",
  hash: "h",
  at: 0,
  answer: { stored: 0, refused: [], refusedCount: 0 },
  chars,
});

describe("the cache of hosts", () => {
  test("has what was put last, and nothing that was dropped", () => {
    const cache = createHostCache();
    cache.set(host("a"));
    cache.set(host("a", { version: 2 }));
    cache.set(host("b"));
    cache.drop("b");
    cache.drop("never there");
    expect(cache.get("a")?.version).toBe(2);
    expect(cache.get("b")).toBeUndefined();
  });

  test("forgets the one that was used least recently when it is full", () => {
    const size = 2000;
    const cache = createHostCache(3 * size);
    for (const id of ["a", "b", "c"]) cache.set(host(id));
    cache.get("a");
    cache.set(host("d"));
    expect(["a", "b", "c", "d"].map((id) => cache.get(id) !== undefined)).toEqual([true, false, true, true]);
  });

  test("counts a host once, however often it is put, and no longer when it is dropped", () => {
    const cache = createHostCache(5000);
    for (let round = 0; round < 100; round++) cache.set(host("a"));
    cache.set(host("b"));
    expect([cache.get("a"), cache.get("b")].map((one) => one?.hostId)).toEqual(["a", "b"]);
    for (let round = 0; round < 100; round++) {
      cache.set(host("x"));
      cache.drop("x");
    }
    cache.set(host("b"));
    expect(cache.get("b")?.hostId).toBe("b");
  });

  test.each<[string, (id: string) => HostTelemetry]>([
    ["series", (id) => withSeries(id, 100)],
    ["batches", (id) => host(id, { ring: [line(10_000), line(10_000)] })],
    ["counters", (id) => host(id, { counters: countersOf(100) })],
  ])("is full sooner of hosts with many %s", (_, large) => {
    const cache = createHostCache(100_000);
    const ids = Array.from({ length: 20 }, (__, index) => `h${index}`);
    for (const id of ids) cache.set(host(id));
    expect(ids.filter((id) => cache.get(id) !== undefined)).toHaveLength(20);
    for (const id of ids) cache.set(large(id));
    const left = ids.filter((id) => cache.get(id) !== undefined);
    expect(left).toEqual(ids.slice(-left.length));
    expect([left.length > 0, left.length < 10]).toEqual([true, true]);
  });

  test("keeps nothing that is larger than it, and forgets nothing for it", () => {
    const cache = createHostCache(10_000);
    cache.set(host("a"));
    cache.set(host("huge"));
    cache.set(withSeries("huge", 1000));
    expect(cache.get("huge")).toBeUndefined();
    expect(cache.get("a")?.hostId).toBe("a");
  });
});
