import { describe, expect, test } from "vitest";
import type { SnapshotHost, SnapshotVm } from "../../../worker/model/cluster.ts";
import { estimateInput, type EstimateInput } from "../../../worker/model/migration/types.ts";
import { estimateInputFor } from "../../../worker/model/placement/cost.ts";
import type { PlanParameters } from "../../../worker/model/placement/types.ts";
import { GIB, MINUTE_MS } from "../../../worker/model/units.ts";
import { AT, type HostSpec, parametersOf, type VmSpec, world } from "../../support/world.ts";

type Given = { vm?: Omit<VmSpec, "on">; from?: HostSpec; to?: HostSpec; parameters?: Partial<PlanParameters> };

function inputOf({ vm, from = {}, to = {}, parameters }: Given, concurrentMigrations = 0): EstimateInput {
  const snapshot = world({ hosts: { "hv-01": from, "hv-02": to }, vms: { app: { ...vm, on: "hv-01" } } });
  const [source, destination] = snapshot.hosts as [SnapshotHost, SnapshotHost];
  const [app] = source.vms as [SnapshotVm];
  return estimateInputFor(snapshot, app, source, destination, parametersOf(parameters), concurrentMigrations);
}

describe("the cost models' input from a snapshot", () => {
  test("is one that the API would take", () => {
    const input = inputOf({ vm: { load: { memoryNonzeroBytes: 1.5e9 + 0.25, cpuUsedCores: 1, at: AT } } }, 1);
    expect(estimateInput.parse(input)).toEqual(input);
    expect(input.vm).toMatchObject({ memoryBytes: 4 * GIB, nonzeroBytes: 1_500_000_000, vcpus: 4, cpuUsedCores: 1 });
  });

  test("takes the dirty curve where there is one, the rate otherwise", () => {
    const points = [{ windowMs: 1000, bytes: 4096 }];
    const both = inputOf({ vm: { load: { dirtyCurve: { at: AT, points }, memoryDirtyBytesPerSecond: 1e6 } } });
    expect(both.vm.dirtyCurve).toEqual(points);
    expect(both.vm).not.toHaveProperty("dirtyRateBytesPerSecond");
    const rate = inputOf({ vm: { load: { memoryDirtyBytesPerSecond: 1e6 } } });
    expect(rate.vm).toMatchObject({ dirtyRateBytesPerSecond: 1e6 });
  });

  test("leaves out what is not known", () => {
    const input = inputOf({ vm: { load: {} }, to: { migration: undefined } as unknown as HostSpec });
    expect(input).not.toHaveProperty("link");
    expect(Object.keys(input.vm).toSorted()).toEqual(["disks", "memoryBytes", "vcpus"]);
  });

  test("does not take an old CPU figure for a present one", () => {
    expect(inputOf({ vm: { loadAgeMs: 6 * MINUTE_MS } }).vm).not.toHaveProperty("cpuUsedCores");
  });

  test("the link is the slower of both migration NICs and the longer way", () => {
    const input = inputOf(
      {
        from: { migration: { bytesPerSecond: 5e8, rttMs: 0.1 } },
        to: { migration: { bytesPerSecond: 1e8, rttMs: 0.4 } },
      },
      2,
    );
    expect(input.link).toEqual({ bytesPerSecond: 1e8, rttMs: 0.4, concurrentMigrations: 2 });
  });

  test("nonzero memory is never more than memory", () => {
    expect(inputOf({ vm: { load: { memoryNonzeroBytes: 9 * GIB } } }).vm.nonzeroBytes).toBe(4 * GIB);
  });

  test.each([
    ["said to be shared", { shared: true }, true],
    ["said to be local", { shared: false, pool: "ceph" }, false],
    ["in a pool that both share", { pool: "ceph" }, true],
    ["in a pool that is local at one end", { pool: "ssd" }, false],
    ["in a pool that the destination lacks", { pool: "nfs" }, undefined],
  ])("a disk %s", (_, disk, shared) => {
    const pools = [
      { name: "ceph", shared: true },
      { name: "ssd", shared: false },
    ];
    const input = inputOf({
      vm: { disks: [{ id: "vda", bytes: GIB, ...disk }] },
      from: { pools: [...pools, { name: "nfs", shared: true }] },
      to: { pools },
    });
    expect(input.vm.disks).toEqual([{ bytes: GIB, ...(shared === undefined ? {} : { shared }) }]);
  });

  test("a local disk of unknown size blocks: it is not taken for nothing", () => {
    const input = inputOf({ vm: { disks: [{ id: "vda", shared: false }], blockers: ["vfio"] } });
    expect(input.vm.blockers).toEqual(["vfio", "local-disk-of-unknown-size"]);
  });

  test("carries the plan's limits to the models", () => {
    const parameters = { downtimeLimitMs: 50, deadlineMs: 60_000, bandwidthBytesPerSecondMax: 1e8, downtimeSloMs: 400 };
    const input = inputOf({ parameters });
    expect(input.parameters).toEqual({ downtimeLimitMs: 50, deadlineMs: 60_000, maxBandwidthBytesPerSecond: 1e8 });
    expect(input.downtimeSloMs).toBe(400);
    expect(inputOf({ parameters: { onDeadline: "force" } }).parameters).toMatchObject({ onDeadline: "force" });
  });

  test.each([
    [{ postCopyPermitted: true }, ["pre-copy", "post-copy", "hybrid", "stop-and-copy"]],
    [{ postCopyPermitted: false }, ["pre-copy", "stop-and-copy"]],
    [{ postCopyPermitted: false, mechanisms: ["hybrid", "pre-copy"] as const }, ["pre-copy"]],
  ])("%j permits %j", (stated, mechanisms) => {
    expect(inputOf({ parameters: structuredClone(stated) as Partial<PlanParameters> }).mechanisms).toEqual(mechanisms);
  });
});
