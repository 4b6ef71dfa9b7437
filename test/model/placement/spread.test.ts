import { describe, expect, test } from "vitest";
import { buildPlan } from "../../../worker/model/placement/index.ts";
import type { PlanContent, PlanParameters } from "../../../worker/model/placement/types.ts";
import { GIB } from "../../../worker/model/units.ts";
import { parametersOf, uuidOf, world, type VmSpec, type WorldSpec } from "../../support/world.ts";

const spread = (spec: WorldSpec, stated: Partial<PlanParameters> = {}): PlanContent =>
  buildPlan(world(spec), "fault-tolerance", parametersOf(stated));

const route = ({ moves }: PlanContent): string[] => moves.map((m) => `${m.vmName} to ${m.toHostId}`);
const bundles = ({ moves }: PlanContent): number => new Set(moves.map(({ gain }) => gain.bundle)).size;
const uuids = (...names: string[]) => ({ uuids: names.map(uuidOf) });
const hosts = { "hv-01": {}, "hv-02": {}, "hv-03": {} };
const racks = {
  "hv-01": { rack: "r1", zone: "z1" },
  "hv-02": { rack: "r1", zone: "z1" },
  "hv-03": { rack: "r2", zone: "z1" },
  "hv-04": { rack: "r2", zone: "z2" },
};

describe("spread: hard rules", () => {
  test.each<[string, WorldSpec, string[]]>([
    [
      "of VMs on one host that must be apart the smaller goes, to the host that stays least loaded",
      {
        hosts,
        vms: {
          big: { on: "hv-01", memoryBytes: 16 * GIB },
          small: { on: "hv-01" },
          other: { on: "hv-02" },
        },
        rules: [{ ruleId: "apart", kind: "vm-anti-affinity", vms: uuids("big", "small") }],
      },
      ["small to hv-03"],
    ],
    [
      "VMs that must be in different racks leave the rack that they share",
      {
        hosts: racks,
        vms: { one: { on: "hv-01", memoryBytes: 8 * GIB }, two: { on: "hv-02" } },
        rules: [{ ruleId: "racks", kind: "vm-anti-affinity", domain: "rack", vms: uuids("one", "two") }],
      },
      ["two to hv-03"],
    ],
    [
      "VMs that must be in different zones leave the zone that they share",
      {
        hosts: racks,
        vms: { one: { on: "hv-01", memoryBytes: 8 * GIB }, two: { on: "hv-03" } },
        rules: [{ ruleId: "zones", kind: "vm-anti-affinity", domain: "zone", vms: uuids("one", "two") }],
      },
      ["two to hv-04"],
    ],
    [
      "a VM that has to be on certain hosts goes there",
      {
        hosts,
        vms: { db: { on: "hv-01" } },
        rules: [{ ruleId: "licence", kind: "host-affinity", vms: uuids("db"), hosts: { hostIds: ["hv-03"] } }],
      },
      ["db to hv-03"],
    ],
    [
      "a VM that must not be on certain hosts leaves them",
      {
        hosts,
        vms: { db: { on: "hv-01" } },
        rules: [
          { ruleId: "old", kind: "host-anti-affinity", vms: uuids("db"), hosts: { hostIds: ["hv-01", "hv-02"] } },
        ],
      },
      ["db to hv-03"],
    ],
    [
      "VMs that belong together come to where most of their memory is",
      {
        hosts,
        vms: { app: { on: "hv-01" }, db: { on: "hv-02", memoryBytes: 16 * GIB }, cache: { on: "hv-03" } },
        rules: [{ ruleId: "shop", kind: "vm-affinity", vms: uuids("app", "db", "cache") }],
      },
      ["app to hv-02", "cache to hv-02"],
    ],
    [
      "VMs that belong into one rack come into it, on any host of it",
      {
        hosts: racks,
        vms: { app: { on: "hv-01", memoryBytes: 8 * GIB }, db: { on: "hv-04" } },
        rules: [{ ruleId: "shop", kind: "vm-affinity", domain: "rack", vms: uuids("app", "db") }],
      },
      ["db to hv-02"],
    ],
    [
      "a mate that a rule keeps with a VM is taken along",
      {
        hosts,
        vms: {
          db: { on: "hv-01", labels: { affinity: "shop" } },
          app: { on: "hv-01", labels: { affinity: "shop" } },
        },
        rules: [{ ruleId: "away", kind: "host-anti-affinity", vms: uuids("db"), hosts: { hostIds: ["hv-01"] } }],
      },
      ["app to hv-02", "db to hv-02"],
    ],
  ])("%s", (_, spec, expected) => {
    const plan = spread(spec);
    expect(route(plan).toSorted()).toEqual(expected);
    expect(plan.moves.every(({ gain }) => gain.mandatory)).toBe(true);
    expect(bundles(plan)).toBe(1);
    expect(plan.before.brokenRules).toBe(1);
    expect(plan.after.brokenRules).toBe(0);
  });

  test("a rule that cannot be repaired names the VM and what stands against each host", () => {
    const plan = spread({
      hosts: { "hv-01": {}, "hv-02": { memoryBytes: 4 * GIB } },
      vms: { one: { on: "hv-01", pinned: true }, two: { on: "hv-01", memoryBytes: 8 * GIB } },
      rules: [{ ruleId: "apart", kind: "vm-anti-affinity", vms: uuids("one", "two") }],
    });
    expect(plan.moves).toEqual([]);
    expect(plan.notMoved.map(({ vmName, rejections }) => [vmName, rejections[0]?.constraint])).toEqual([
      ["one", "pinned"],
      ["two", "no-host"],
    ]);
    expect(plan.doNothing.acceptable).toBe(false);
  });
});

describe("spread: soft rules", () => {
  const rule = (pricePerHour: number): WorldSpec => ({
    hosts: { "hv-01": {}, "hv-02": {} },
    vms: { one: { on: "hv-01" }, two: { on: "hv-01" } },
    rules: [{ ruleId: "soft", kind: "vm-anti-affinity", hard: false, pricePerHour, vms: uuids("one", "two") }],
  });

  test("are repaired where that pays", () => {
    const plan = spread(rule(0.05));
    expect(plan.moves).toHaveLength(1);
    // Both VMs pay the price while they share a host.
    expect(plan.moves[0]?.gain).toMatchObject({ mandatory: false, perHour: expect.closeTo(0.1, 9) });
    expect(plan.after.brokenRules).toBe(0);
  });

  test("are left broken where it does not", () => {
    const plan = spread(rule(0.0001));
    expect(plan.moves).toEqual([]);
    expect(plan.summary).toBe(
      "Nothing to do: 1 of 1 placement rule do not hold, and no move that is possible and pays helps.",
    );
  });
});

describe("spread: hosts that may fail", () => {
  const of = (on: string, gib: number, more: Partial<VmSpec> = {}): VmSpec => ({ on, memoryBytes: gib * GIB, ...more });

  test("a hole for a big VM is made by moving a small one out of it", () => {
    // Each host may commit 57.6 GiB. big (40) finds 37.6 free on hv-02 and 33.6 on hv-03: too little, until 4 GiB of
    // hv-02 go to hv-03.
    const spec: WorldSpec = {
      hosts,
      vms: { big: of("hv-01", 40), a: of("hv-02", 16), b: of("hv-02", 4), c: of("hv-03", 24) },
    };
    const plan = spread(spec, { hostFailuresTolerated: 1 });
    expect(route(plan)).toEqual(["b to hv-03"]);
    expect(plan.moves[0]).toMatchObject({ gain: { mandatory: true } });
    expect(plan.moves[0]?.reasons[2]).toContain(
      "1 failure would leave a VM without a place (big, should hv-01 fail); after these moves 0 would.",
    );
    expect(spread(spec).moves, "nothing is to be tolerated").toEqual([]);
  });

  test("a VM for which no moves make room is named, with the most that is free", () => {
    const plan = spread(
      { hosts: { "hv-01": {}, "hv-02": {} }, vms: { big: of("hv-01", 40), also: of("hv-02", 30) } },
      { hostFailuresTolerated: 1 },
    );
    expect(plan.moves).toEqual([]);
    expect(plan.notMoved[0]?.rejections[0]).toMatchObject({ constraint: "survivability", required: 40 * GIB });
    expect(plan.notMoved[0]?.rejections[0]?.detail).toContain("should hv-01 fail, big (40.0 GiB) finds no place");
  });

  test("where everything holds the plan is empty and says so", () => {
    const plan = spread({ hosts, vms: { one: of("hv-01", 8), two: of("hv-02", 8) } }, { hostFailuresTolerated: 1 });
    expect(plan.summary).toBe("Nothing to do: all 0 placement rules hold, and 1 host may fail.");
    expect(plan.doNothing.acceptable).toBe(true);
  });

  test("no move that repairs a rule leaves less room for failures than there was", () => {
    // Only hv-03 is free of the other, and with one there the big VM would find no place.
    const plan = spread(
      {
        hosts,
        vms: {
          big: of("hv-01", 40),
          one: of("hv-02", 12, { labels: { "anti-affinity": "x" } }),
          two: of("hv-02", 12, { labels: { "anti-affinity": "x" }, blockers: ["vfio"] }),
          fill: of("hv-03", 12),
        },
        rules: [{ ruleId: "off", kind: "host-anti-affinity", vms: uuids("one"), hosts: { hostIds: ["hv-01"] } }],
      },
      { hostFailuresTolerated: 1 },
    );
    expect(plan.moves).toEqual([]);
    expect(plan.notMoved.map(({ rejections }) => rejections[0]?.constraint)).toContain("survivability");
  });
});
