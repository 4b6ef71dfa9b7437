import fc from "fast-check";
import { expect, test } from "vitest";
import { fairRates } from "../../../scripts/agent/simulated/link.ts";

const anyFlow = fc.record({
  fromHostId: fc.constantFrom("a", "b", "c"),
  toHostId: fc.constantFrom("d", "e"),
  demandBytesPerSecond: fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 2_000_000_000 })),
});

test.each([
  ["one alone gets the line", [Infinity], [1000]],
  ["three share it evenly", [Infinity, Infinity, Infinity], [1000 / 3, 1000 / 3, 1000 / 3]],
  ["what a slow one leaves is shared", [100, Infinity, Infinity], [100, 450, 450]],
])("%s", (_, demands, rates) => {
  const flows = demands.map((demandBytesPerSecond) => ({ fromHostId: "a", toHostId: "b", demandBytesPerSecond }));
  fairRates(flows, () => 1000).forEach((rate, index) => expect(rate).toBeCloseTo(rates[index] ?? 0, 0));
});

test("no NIC carries more than it can, no flow gets more than it asks, and none could get more", () =>
  fc.assert(
    fc.property(fc.array(anyFlow, { minLength: 1, maxLength: 12 }), (flows) => {
      const capacity = 1_000_000_000;
      const rates = fairRates(flows, () => capacity);
      const carried = (end: "fromHostId" | "toHostId", host: string): number =>
        flows.reduce((sum, flow, index) => sum + (flow[end] === host ? (rates[index] ?? 0) : 0), 0);
      for (const [index, flow] of flows.entries()) {
        const rate = rates[index] ?? 0;
        const out = carried("fromHostId", flow.fromHostId);
        const into = carried("toHostId", flow.toHostId);
        expect(Math.max(out, into)).toBeLessThanOrEqual(capacity + 10);
        expect(rate).toBeLessThanOrEqual(flow.demandBytesPerSecond + 1);
        expect(rate >= flow.demandBytesPerSecond - 2 || Math.max(out, into) > capacity - 10).toBe(true);
      }
    }),
    { seed: 7 },
  ));
