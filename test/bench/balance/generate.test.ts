import { describe, expect, test } from "vitest";
import { placementRule } from "../../../worker/model/placement/rules.ts";
import { vmInventory } from "../../../worker/model/wire/inventory.ts";
import { brokenRules, flatten } from "../../../scripts/bench/advisor/balance/flat.ts";
import { committedOn, generateCluster, MEMORY_RESERVE_RATIO } from "../../../scripts/bench/advisor/balance/generate.ts";
import { imbalance, placed } from "../../../scripts/bench/advisor/balance/yardstick.ts";

describe.each([4, 10, 60])("a generated cluster of %i hosts", (hosts) => {
  const snapshot = generateCluster({ hosts, seed: 3 });

  test("is the same for the same seed, and another for another", () => {
    expect(JSON.stringify(generateCluster({ hosts, seed: 3 }))).toBe(JSON.stringify(snapshot));
    expect(JSON.stringify(generateCluster({ hosts, seed: 4 }))).not.toBe(JSON.stringify(snapshot));
  });

  test("has twenty VMs a host, as an inventory may state them, and rules as operators do", () => {
    const vms = snapshot.hosts.flatMap((host) => host.vms);
    expect(vms).toHaveLength(20 * hosts);
    for (const { load: _load, ...vm } of vms) expect(vmInventory.parse(vm)).toEqual(vm);
    for (const rule of snapshot.rules ?? []) expect(placementRule.parse(rule)).toEqual(rule);
  });

  test("commits no more memory than a host may, uses no more than it has, and keeps its rules", () => {
    for (const host of snapshot.hosts) {
      expect(committedOn(host)).toBeLessThanOrEqual(host.memoryBytes * (1 - MEMORY_RESERVE_RATIO));
      expect(host.load.cpuUsedCores).toBeLessThanOrEqual(host.cpu.cores);
      expect(host.load.networkTransmitBytesPerSecond).toBeLessThanOrEqual(host.migration?.bytesPerSecond ?? 0);
      for (const { load, vcpus, memoryBytes } of host.vms) {
        expect(load.cpuUsedCores).toBeLessThanOrEqual(vcpus);
        expect(load.memoryUsedBytes).toBeLessThanOrEqual(memoryBytes);
      }
    }
    const flat = flatten(snapshot);
    expect(brokenRules(flat, flat.hostOf)).toBe(0);
  });

  test("is uneven, and measured the same by whoever places it", () => {
    const flat = flatten(snapshot);
    expect(imbalance(flat)).toBeGreaterThan(0.05);
    expect(imbalance(placed(flat, flat.hostOf))).toBeCloseTo(imbalance(flat), 12);
    const elsewhere = flat.hostOf.map((host, vm) => (vm % 3 === 0 ? (host + 1) % hosts : host));
    const used = placed(flat, elsewhere).used;
    const total = (of: Float64Array): number => of.reduce((sum, use) => sum + use, 0);
    expect(total(used) / total(flat.used)).toBeCloseTo(1, 12);
  });
});
