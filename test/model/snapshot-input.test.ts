import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson } from "../../worker/model/canonical.ts";
import type { Snapshot } from "../../worker/model/cluster.ts";
import { buildPlan } from "../../worker/model/placement/index.ts";
import { goal, planParameters } from "../../worker/model/placement/types.ts";
import { snapshotInput, snapshotOf } from "../../worker/model/snapshot-input.ts";
import { powered, sampled } from "../support/enriched.ts";
import { anyWorld, AT, uuidOf } from "../support/world.ts";

const HOST = { hostId: "a", cpu: { cores: 8 }, memoryBytes: 2 ** 35 };

const stated = (input: unknown, now = AT): Snapshot => snapshotOf(snapshotInput.parse(input), now);

/** The same value with the keys of its objects in the opposite order. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, inner]) => [key, turned(inner)])
      .toReversed(),
  );
}

const RISING = [0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4];

describe("a stated cluster", () => {
  test("was heard, and its figures were taken, at the time of the snapshot, which is now", () => {
    const vms = [{ uuid: uuidOf("v"), name: "v", vcpus: 1, memoryBytes: 1 }];
    const snapshot = stated({ hosts: [{ ...HOST, vms }] }, 17);
    expect(snapshot).toMatchObject({ cluster: "what-if", at: 17, reservations: [], lastMovedAt: {} });
    expect(snapshot.hosts[0]).toMatchObject({
      hypervisor: "kvm",
      driver: { name: "libvirt" },
      cluster: "what-if",
      heardAt: 17,
      load: { at: 17 },
      vms: [{ state: "running", load: { at: 17 } }],
    });
    expect(stated({ at: 5, hosts: [HOST] }).hosts[0]?.heardAt).toBe(5);
    expect(stated({ at: 5, hosts: [{ ...HOST, heardAt: 2, load: { at: 1 } }] }).hosts[0]).toMatchObject({
      heardAt: 2,
      load: { at: 1 },
    });
  });

  test("as an installation reads it is taken as it is, and gives the same plan, whatever the order of its keys", () => {
    fc.assert(
      fc.property(anyWorld(), fc.constantFrom(...goal.options), fc.boolean(), (drawn, asked, isRich) => {
        const snapshot = isRich ? sampled(powered(drawn), [RISING, []]) : drawn;
        // What was never heard would be heard now.
        fc.pre(snapshot.hosts.every(({ heardAt, load }) => heardAt !== undefined && load.at !== undefined));
        const parameters = planParameters.parse({ next: [{ goal: "balance" }] });
        const json: unknown = JSON.parse(canonicalJson(snapshot));
        const plan = canonicalJson(buildPlan(snapshot, asked, parameters));
        for (const input of [json, turned(json)])
          expect(canonicalJson(buildPlan(stated(input), asked, parameters))).toBe(plan);
        expect(canonicalJson(stated(json))).toBe(canonicalJson(snapshot));
      }),
      { seed: 23, numRuns: 150 },
    );
  });
});
