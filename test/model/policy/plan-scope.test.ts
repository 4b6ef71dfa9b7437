// The scope of a policy as the advisor takes it chooses what the scope itself chooses.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Snapshot } from "../../../worker/model/cluster.ts";
import { buildPlan } from "../../../worker/model/placement/index.ts";
import { planParameters } from "../../../worker/model/placement/types.ts";
import { type FreezeRule, frozen, heldStill } from "../../../worker/model/policy/freeze.ts";
import { type PolicyScope, outsideScope, planScopeOf } from "../../../worker/model/policy/scope.ts";
import { uuidOf, world } from "../../support/world.ts";

const TIERS = ["web", "db"];
const HOSTS = ["a", "b", "c"];
const VMS = ["v0", "v1", "v2", "v3", "v4", "v5"];

/** `a` is hot; VMs and hosts have tiers in turn. */
const cluster: Snapshot = world({
  hosts: Object.fromEntries(HOSTS.map((id, index) => [id, { cores: 16, labels: { tier: TIERS[index % 2] ?? "" } }])),
  vms: Object.fromEntries(
    VMS.map((name, index) => [
      name,
      { on: index < 5 ? "a" : "b", vcpus: 4, cpuUsedCores: 2.9, labels: { tier: TIERS[index % 2] ?? "" } },
    ]),
  ),
});
const labelsOf = new Map(cluster.hosts.flatMap(({ vms }) => vms.map(({ uuid, labels }) => [uuid, labels])));
const hostLabels = Object.fromEntries(cluster.hosts.map(({ hostId, labels }) => [hostId, labels]));

const some = (ids: string[]) => fc.option(fc.subarray(ids, { minLength: 1 }), { nil: undefined });
const labels = fc.option(fc.constantFrom(...TIERS, "none"), { nil: undefined });
const scopes: fc.Arbitrary<PolicyScope> = fc
  .tuple(some(VMS), some(VMS), labels, some(HOSTS), some(HOSTS), labels)
  .map(([names, except, tier, hostIds, exceptHostIds, hostTier]) => ({
    vms: {
      ...(names && { uuids: names.map(uuidOf) }),
      ...(except && { exceptUuids: except.map(uuidOf) }),
      ...(tier && { labels: { tier } }),
    },
    hosts: {
      ...(hostIds && { hostIds }),
      ...(exceptHostIds && { exceptHostIds }),
      ...(hostTier && { labels: { tier: hostTier } }),
    },
  }));

const movesWithin = (scope: ReturnType<typeof planScopeOf>) => {
  if ("nothing" in scope) return [];
  const parameters = planParameters.parse({ hostIds: ["a"], scope });
  return buildPlan(cluster, "evacuate", parameters).moves;
};

describe("the scope of a plan", () => {
  test("lets no move through that the policy's scope leaves out", () => {
    fc.assert(
      fc.property(scopes, (scope) => {
        for (const { vm, fromHostId, toHostId } of movesWithin(planScopeOf(scope, cluster))) {
          const move = { vm, fromHostId, toHostId, vmLabels: labelsOf.get(vm), hostLabels };
          expect(outsideScope(scope, move)).toBeNull();
        }
      }),
    );
  });

  test("is said by labels or ids as they were given, where one of them is all", () => {
    expect(planScopeOf({ vms: { labels: { tier: "web" } }, hosts: { hostIds: ["b", "a"] } }, cluster)).toEqual({
      vms: { labels: { tier: "web" } },
      hosts: { hostIds: ["a", "b"] },
    });
    expect(planScopeOf({ hosts: { exceptHostIds: ["c"] } }, cluster)).toEqual({ hosts: { hostIds: ["a", "b"] } });
    expect(planScopeOf({}, cluster)).toEqual({});
  });

  test("names what is chosen where something is left out beside the scope", () => {
    const without = { vms: new Set([uuidOf("v0")]), hosts: new Set(["c"]) };
    const webs = ["v2", "v4"].map(uuidOf).toSorted();
    expect(planScopeOf({ vms: { labels: { tier: "web" } } }, cluster, without)).toEqual({
      vms: { uuids: webs },
      hosts: { hostIds: ["a", "b"] },
    });
    expect(planScopeOf({ vms: { labels: { tier: "db" } } }, cluster, without)).toEqual({
      vms: { labels: { tier: "db" } },
      hosts: { hostIds: ["a", "b"] },
    });
  });

  test.each([
    [{ vms: { labels: { tier: "none" } } }, "No VM"],
    [{ vms: { uuids: [uuidOf("v0")], labels: { tier: "db" } } }, "No VM"],
    [{ hosts: { hostIds: ["a"] } }, "has 1 of"],
    [{ hosts: { labels: { rack: "r9" } } }, "has 0 of"],
  ])("of %j leaves no move at all", (scope, why) => {
    expect(planScopeOf(scope, cluster)).toEqual({ nothing: expect.stringContaining(why) });
  });
});

describe("what freezes hold still", () => {
  const freezes: fc.Arbitrary<FreezeRule[]> = fc.array(
    fc.record({
      freezeId: fc.constant("frz_1"),
      cluster: fc.constant("c"),
      reason: fc.constant("r"),
      from: fc.constantFrom(0, cluster.at + 1),
      scope: fc.oneof(
        fc.record({ uuids: fc.subarray(VMS.map(uuidOf), { minLength: 1 }) }),
        fc.record({ hostIds: fc.subarray(HOSTS, { minLength: 1 }) }),
        fc.record({ labels: fc.record({ tier: fc.constantFrom(...TIERS, "none") }) }),
      ),
    }),
    { maxLength: 3 },
  );

  test("is what no move may touch", () => {
    fc.assert(
      fc.property(freezes, (rules) => {
        const still = heldStill(rules, cluster.at, cluster);
        for (const { hostId: fromHostId, vms } of cluster.hosts)
          for (const { uuid: vm } of vms)
            for (const toHostId of HOSTS.filter((other) => other !== fromHostId)) {
              const move = { vm, fromHostId, toHostId, vmLabels: labelsOf.get(vm), hostLabels };
              const touches = still.vms.has(vm) || still.hosts.has(fromHostId) || still.hosts.has(toHostId);
              expect(touches).toBe(frozen(rules, cluster.at, move) !== null);
            }
      }),
    );
  });
});
