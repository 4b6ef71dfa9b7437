import { describe, expect, test } from "vitest";
import { buildPlan } from "../../../worker/model/placement/index.ts";
import type { PlanContent, PlanParameters } from "../../../worker/model/placement/types.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import { parametersOf, uuidOf, world, type WorldSpec } from "../../support/world.ts";

const brought = (spec: WorldSpec, stated: Partial<PlanParameters> = {}): PlanContent =>
  buildPlan(world(spec), "locality", parametersOf(stated));

const route = ({ moves }: PlanContent): string[] => moves.map((m) => `${m.vmName} to ${m.toHostId}`);
const hosts = { "hv-01": {}, "hv-02": {}, "hv-03": {} };

describe("locality", () => {
  test("brings a VM to the one that it talks to, and counts a pair that both report once", () => {
    const vms = {
      web: { on: "hv-01", talksTo: { db: 100 * MIB } },
      db: { on: "hv-02", pinned: true, talksTo: { web: 100 * MIB } },
    };
    const plan = brought({ hosts, vms });
    expect(route(plan)).toEqual(["web to hv-02"]);
    // 100 MiB/s are 351.5625 GiB an hour, at 0.0002 a GiB; no other term changes.
    expect(plan.before.crossBytesPerSecond).toBe(100 * MIB);
    expect(plan.after.crossBytesPerSecond).toBe(0);
    expect(plan.moves[0]?.gain.perHour).toBeCloseTo(0.0703125, 9);
    expect(plan.doNothing.score.traffic).toBeCloseTo(4 * 0.0703125, 9);
    expect(plan.moves[0]?.reasons[0]).toBe("web on hv-01 talks to db on hv-02 (100.0 MiB/s).");
  });

  test.each([
    ["one of a rack", { rack: "r1" }, { rack: "r1" }, 1],
    ["racks unknown", {}, {}, 1],
    ["two racks", { rack: "r1", zone: "z1" }, { rack: "r2", zone: "z1" }, 2],
    ["two zones", { rack: "r1", zone: "z1" }, { rack: "r1", zone: "z2" }, 4],
  ])("hosts in %s are %j and %j apart: traffic counts %i times", (_, one, other, times) => {
    const plan = brought({
      hosts: { "hv-01": one, "hv-02": other },
      vms: { web: { on: "hv-01", talksTo: { db: 100 * MIB } }, db: { on: "hv-02", pinned: true } },
    });
    expect(plan.moves[0]?.gain.perHour).toBeCloseTo(times * 0.0703125, 9);
  });

  test("where the host of its peer is full, the VM goes into the same rack", () => {
    const plan = brought({
      hosts: {
        "hv-01": { rack: "r1" },
        "hv-02": { rack: "r2", memoryBytes: 8 * GIB },
        "hv-03": { rack: "r2" },
        "hv-04": { rack: "r3" },
      },
      vms: {
        web: { on: "hv-01", talksTo: { db: 400 * MIB } },
        db: { on: "hv-02", memoryBytes: 6 * GIB, pinned: true },
      },
    });
    expect(route(plan)).toEqual(["web to hv-03"]);
    expect(plan.moves[0]?.reasons[1]).toContain("hv-03 is nearer to them");
  });

  test("VMs that talk more to each other than to a third go to it as one, where neither would alone", () => {
    const vms = {
      app: { on: "hv-01", talksTo: { cache: 100 * MIB, db: 60 * MIB } },
      cache: { on: "hv-01", talksTo: { db: 60 * MIB } },
      db: { on: "hv-02", pinned: true },
    };
    const plan = brought({ hosts, vms });
    expect(route(plan).toSorted()).toEqual(["app to hv-02", "cache to hv-02"]);
    expect(new Set(plan.moves.map(({ gain }) => gain.bundle)).size).toBe(1);
    expect(plan.moves[0]?.gain.perHour).toBeCloseTo(1.2 * 0.0703125, 9);
  });

  test("two VMs of which neither has room for the other meet on a third host", () => {
    const full = { memoryBytes: 8 * GIB };
    const plan = brought({
      hosts: { "hv-01": full, "hv-02": full, "hv-03": {} },
      vms: {
        web: { on: "hv-01", memoryBytes: 6 * GIB, talksTo: { db: 400 * MIB } },
        db: { on: "hv-02", memoryBytes: 6 * GIB },
      },
    });
    expect(route(plan).toSorted()).toEqual(["db to hv-03", "web to hv-03"]);
  });

  test("mates that a hard rule keeps together are taken along", () => {
    const plan = brought({
      hosts,
      vms: {
        web: { on: "hv-01", talksTo: { db: 400 * MIB }, labels: { affinity: "shop" } },
        side: { on: "hv-01", labels: { affinity: "shop" } },
        db: { on: "hv-02", pinned: true },
      },
    });
    expect(route(plan).toSorted()).toEqual(["side to hv-02", "web to hv-02"]);
  });

  test("who must stay apart is not brought together, and the plan says why", () => {
    const labels = { "anti-affinity": "db" };
    const plan = brought({
      hosts: { "hv-01": {}, "hv-02": {} },
      vms: { one: { on: "hv-01", labels, talksTo: { two: 400 * MIB } }, two: { on: "hv-02", labels } },
    });
    expect(plan.moves).toEqual([]);
    expect(plan.notMoved.map(({ rejections }) => rejections[0]?.constraint)).toEqual([
      "anti-affinity",
      "anti-affinity",
    ]);
    expect(plan.summary).toContain("No move: traffic between hosts costs 0.28 an hour");
  });

  test("a destination that would be hot is not taken, with both shares named", () => {
    const plan = brought(
      {
        hosts: { "hv-01": {}, "hv-02": {} },
        vms: {
          web: { on: "hv-01", cpuUsedCores: 2, talksTo: { db: 400 * MIB } },
          db: { on: "hv-02", cpuUsedCores: 11, pinned: true },
        },
      },
      { hotRatio: 0.8 },
    );
    expect(plan.moves).toEqual([]);
    const web = plan.notMoved.find(({ vm }) => vm === uuidOf("web"));
    expect(web?.rejections[0]).toMatchObject({ constraint: "cpu", required: 13 / 16, available: 0.8, unit: "ratio" });
  });

  test("what saves less than it costs stays, with the numbers of the best move", () => {
    const plan = brought({ hosts, vms: { web: { on: "hv-01", talksTo: { db: 1000 } }, db: { on: "hv-02" } } });
    expect(plan.moves).toEqual([]);
    expect(plan.doNothing).toMatchObject({ acceptable: true });
    expect(plan.summary).toMatch(/the best move, db to hv-01, would save 0\.0000 over 4\.0 h and cost 0\.00\d+/);
  });

  test("without a word of peers nothing is taken for silent: the plan says that nothing is known", () => {
    const plan = brought({ hosts, vms: { web: { on: "hv-01" }, db: { on: "hv-02" } } });
    expect(plan.summary).toBe(
      "Nothing to do: nothing is known of who talks to whom: 0 of 2 VMs report peer_bytes_per_second.",
    );
  });
});
