import { describe, expect, test } from "vitest";
import type { Snapshot, SnapshotHost } from "../../../worker/model/cluster.ts";
import { createWorld } from "../../../worker/model/placement/create-world.ts";
import { buildPlan, checkSnapshot, contradictionsOf, setAside } from "../../../worker/model/placement/index.ts";
import { GIB } from "../../../worker/model/units.ts";
import { parametersOf, uuidOf, world } from "../../support/world.ts";

describe("a snapshot that contradicts itself", () => {
  const base = world({ hosts: { "hv-01": {}, "hv-02": {} }, vms: { a: { on: "hv-01" }, b: { on: "hv-02" } } });
  type Changed = (snapshot: Snapshot) => void;
  const hostAt = (snapshot: Snapshot, index: number) => {
    const host = snapshot.hosts[index];
    if (host === undefined) throw new RangeError(`no host ${index}`);
    return host;
  };

  test.each<[string, Changed, string, string]>([
    [
      "a VM that runs on two hosts",
      (s) => hostAt(s, 1).vms.push(...hostAt(s, 0).vms),
      "hosts.1.vms.1.uuid",
      "a runs on hv-01 already",
    ],
    [
      "a VM twice on one host",
      (s) => hostAt(s, 0).vms.push(...hostAt(s, 0).vms.slice()),
      "hosts.0.vms.1.uuid",
      "a is on hv-01 twice",
    ],
    ["two hosts of one id", (s) => (hostAt(s, 1).hostId = "hv-01"), "hosts.1.hostId", "hosts.0 already"],
    [
      "more memory in use than there is",
      (s) => (hostAt(s, 0).load.memoryUsedBytes = 65 * GIB),
      "hosts.0.load.memoryUsedBytes",
      "64.0 GiB of memory and 65.0 GiB",
    ],
    [
      "a running VM bigger than its host",
      (s) => Object.assign(hostAt(s, 1).vms[0] ?? {}, { memoryBytes: 65 * GIB }),
      "hosts.1.vms.0.memoryBytes",
      "b (65.0 GiB) runs on hv-02, which has 64.0 GiB",
    ],
    [
      "a percentage where cores belong",
      (s) => (hostAt(s, 0).load.cpuUsedCores = 87),
      "hosts.0.load.cpuUsedCores",
      "16 cores and 87 in use",
    ],
    [
      "a VM with more cores in use than its host has",
      (s) => Object.assign(hostAt(s, 1).vms[0]?.load ?? {}, { cpuUsedCores: 90 }),
      "hosts.1.vms.0.load.cpuUsedCores",
      "b uses 90 cores",
    ],
    ["a negative number", (s) => (hostAt(s, 0).memoryBytes = -1), "hosts.0.memoryBytes", "-1 is not possible"],
    [
      "a number that is none",
      (s) => Object.assign(hostAt(s, 0).vms[0]?.load ?? {}, { memoryNonzeroBytes: Number.NaN }),
      "hosts.0.vms.0.load.memoryNonzeroBytes",
      "NaN is not possible",
    ],
  ])("%s is named with its path", (_, change, path, says) => {
    const snapshot = structuredClone(base);
    change(snapshot);
    const problem = contradictionsOf(snapshot).find((found) => found.path === path);
    expect(problem?.message).toContain(says);
    expect(checkSnapshot(snapshot, parametersOf(), { namesMustExist: false })).not.toEqual([]);
  });

  test("what is only unusual is none: a VM in migration on both hosts, frost, a host somewhat over its cores", () => {
    const snapshot = structuredClone(base);
    hostAt(snapshot, 1).vms.push(...structuredClone(hostAt(snapshot, 0).vms));
    hostAt(snapshot, 0).load.temperatureCelsius = -4;
    hostAt(snapshot, 0).load.cpuUsedCores = 17;
    snapshot.reservations.push({
      migrationId: "m",
      vmUuid: uuidOf("a"),
      fromHostId: "hv-01",
      toHostId: "hv-02",
      memoryBytes: GIB,
      cpuCores: 1,
    });
    expect(contradictionsOf(snapshot)).toEqual([]);
  });
});

describe("a stored cluster that contradicts itself", () => {
  const base = world({
    hosts: { "hv-01": { cpuUsedCores: 15 }, "hv-02": {}, "hv-03": {} },
    vms: {
      a: { on: "hv-01", cpuUsedCores: 5 },
      b: { on: "hv-01", cpuUsedCores: 5 },
      c: { on: "hv-01", cpuUsedCores: 5 },
      d: { on: "hv-02" },
    },
  });
  const changed = (change: (hosts: SnapshotHost[]) => void): Snapshot => {
    const snapshot = structuredClone(base);
    change(snapshot.hosts);
    return setAside(snapshot);
  };
  const planFor = (snapshot: Snapshot) => {
    expect(checkSnapshot(snapshot, parametersOf(), { namesMustExist: false })).toEqual([]);
    return buildPlan(snapshot, "balance", parametersOf());
  };

  test.each<[string, (host: SnapshotHost) => void, RegExp]>([
    [
      "more memory in use than it has",
      (host) => (host.load.memoryUsedBytes = 65 * GIB),
      /hv-02 has 64\.0 GiB of memory and 65\.0 GiB/,
    ],
    ["a percentage where cores belong", (host) => (host.load.cpuUsedCores = 87), /16 cores and 87 in use/],
    ["a VM bigger than it", (host) => (host.memoryBytes = 2 * GIB), /d \(4\.0 GiB\) runs on hv-02, which has 2\.0 GiB/],
    ["a negative figure", (host) => (host.load.powerWatts = -3), /load\.powerWatts: -3 is not possible/],
  ])("has its host unknown, says so with numbers, and is planned for without it: %s", (_, change, says) => {
    const plan = planFor(
      changed(([, host]) => {
        if (host !== undefined) change(host);
      }),
    );
    expect(plan.unknownHosts).toMatchObject([{ hostId: "hv-02", why: expect.stringMatching(says) }]);
    expect(plan.moves.length).toBeGreaterThan(0);
    expect(plan.moves.flatMap(({ fromHostId, toHostId }) => [fromHostId, toHostId])).not.toContain("hv-02");
  });

  test("leaves a VM that two hosts report where it is, and its memory committed on both", () => {
    const snapshot = changed(([first, , third]) => third?.vms.push(...structuredClone(first?.vms.slice(0, 1) ?? [])));
    const plan = planFor(snapshot);
    expect(plan.unknownHosts).toEqual([]);
    expect(plan.seen).toContain("a is reported to run on hv-01, hv-03: it is left where it is.");
    expect(plan.moves.length).toBeGreaterThan(0);
    expect(plan.moves.map(({ vmName }) => vmName)).not.toContain("a");
    const { committed } = createWorld(snapshot, parametersOf());
    expect([...committed]).toEqual([12 * GIB, 4 * GIB, 4 * GIB]);
    const evacuated = buildPlan(snapshot, "evacuate", parametersOf({ hostIds: ["hv-01"] }));
    expect(evacuated.notMoved).toMatchObject([{ vmName: "a", rejections: [{ constraint: "vm-state" }] }]);
  });

  test("takes a VM that one host reports twice once, and leaves it", () => {
    const plan = planFor(changed(([first]) => first?.vms.push(...structuredClone(first.vms.slice(0, 1)))));
    expect(plan.seen.join()).toContain("a is reported to run on hv-01, hv-01");
    expect(plan.moves.map(({ vmName }) => vmName)).not.toContain("a");
  });

  test("is as it was where nothing contradicts itself, also while a VM is being migrated", () => {
    expect(setAside(base)).toBe(base);
    const snapshot = structuredClone(base);
    snapshot.hosts[1]?.vms.push(...structuredClone(snapshot.hosts[0]?.vms.slice(0, 1) ?? []));
    snapshot.reservations.push({
      migrationId: "m",
      vmUuid: uuidOf("a"),
      fromHostId: "hv-01",
      toHostId: "hv-02",
      memoryBytes: GIB,
      cpuCores: 1,
    });
    expect(setAside(snapshot)).toBe(snapshot);
  });
});
