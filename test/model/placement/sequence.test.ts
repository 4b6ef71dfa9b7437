// Moves that were found together, and the bytes that a plan may move.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { SnapshotHost } from "../../../worker/model/cluster.ts";
import { createWorld } from "../../../worker/model/placement/create-world.ts";
import { buildPlan } from "../../../worker/model/placement/index.ts";
import { countedBy, meansOf } from "../../../worker/model/placement/score.ts";
import { sequenced } from "../../../worker/model/placement/sequence.ts";
import { nearerHosts } from "../../../worker/model/placement/strategies/talk.ts";
import { hostAt } from "../../../worker/model/placement/world.ts";
import { GIB } from "../../../worker/model/units.ts";
import { AT, parametersOf, type VmSpec, world } from "../../support/world.ts";

const HOSTS = ["hv-01", "hv-02", "hv-03", "hv-04"];

const anyVm: fc.Arbitrary<VmSpec> = fc.record({
  on: fc.constantFrom(...HOSTS),
  cpuUsedCores: fc.integer({ min: 0, max: 40 }).map((tenths) => tenths / 10),
  memoryBytes: fc.integer({ min: 1, max: 8 }).map((gib) => gib * GIB),
});

const anyVms = fc.array(anyVm, { minLength: 1, maxLength: 12 });
const placesOf = Object.fromEntries(HOSTS.map((host, index) => [host, { rack: index < 2 ? "a" : "b", zone: "z" }]));
const clusterOf = (vms: readonly VmSpec[]) =>
  world({ hosts: placesOf, vms: Object.fromEntries(vms.map((vm, index) => [`vm-${index}`, vm])) });

describe("moves in sequence", () => {
  test("each is in one bundle, and the world is as it was", () =>
    fc.assert(
      fc.property(anyVms, fc.array(fc.nat(3), { minLength: 12, maxLength: 12 }), (vms, targets) => {
        const parameters = parametersOf({});
        const of = createWorld(clusterOf(vms), parameters);
        const before = [...of.hostOf];
        const steps = before.flatMap((from, vm) => (from === targets[vm] ? [] : [{ vm, from, to: targets[vm] ?? 0 }]));
        const bundles = sequenced({ world: of, counted: countedBy("balance", parameters), means: meansOf(of) }, steps);
        expect(bundles.flat().toSorted((a, b) => a.vm - b.vm)).toEqual(steps);
        expect([...of.hostOf]).toEqual(before);
      }),
    ));

  test("two that help only together are one bundle", () => {
    // A swap of 6 and 3 cores evens out 9 and 6; alone the one would only turn the excess round, the other add to it.
    const snapshot = world({
      hosts: { "hv-01": { cores: 10 }, "hv-02": { cores: 10 } },
      vms: {
        a: { on: "hv-01", cpuUsedCores: 6 },
        b: { on: "hv-01", cpuUsedCores: 3.5 },
        c: { on: "hv-02", cpuUsedCores: 4 },
        d: { on: "hv-02", cpuUsedCores: 1 },
      },
    });
    const parameters = parametersOf({});
    const of = createWorld(snapshot, parameters);
    const named = (name: string) => of.vms.findIndex((vm) => vm.name === name);
    const [a, c] = [named("a"), named("c")];
    const steps = [
      { vm: a, from: 0, to: 1 },
      { vm: c, from: 1, to: 0 },
    ];
    const bundles = sequenced({ world: of, counted: countedBy("balance", parameters), means: meansOf(of) }, steps);
    expect(bundles.map((bundle) => bundle.length)).toEqual([2]);
  });
});

describe("movedBytesMax", () => {
  const plan = (movedBytesMax: number) => {
    const vms = Object.fromEntries(
      Array.from({ length: 8 }, (_, index): [string, VmSpec] => [
        `vm-${index}`,
        {
          on: "hv-01",
          cpuUsedCores: 1.95,
          memoryBytes: 4 * GIB,
          load: { cpuUsedCores: 1.95, memoryNonzeroBytes: 2 * GIB, at: AT },
        },
      ]),
    );
    const hosts = { "hv-01": {}, "hv-02": {}, "hv-03": {} };
    return (strategy: "local-search" | "sandpiper") =>
      buildPlan(world({ hosts, vms }), "balance", parametersOf({ strategy, movedBytesMax }));
  };

  test.each(["local-search", "sandpiper"] as const)("%s sends no more than that", (strategy) => {
    expect(plan(100 * GIB)(strategy).moves.length).toBeGreaterThan(1);
    expect(plan(2 * GIB)(strategy).moves).toHaveLength(1);
    expect(plan(GIB)(strategy).moves).toEqual([]);
  });

  test("what is over it is named with the bytes, and the plan says what to raise", () => {
    const [stays] = plan(GIB)("sandpiper").notMoved.flatMap(({ rejections }) => rejections);
    expect(stays).toMatchObject({ constraint: "moves-max", unit: "bytes", required: 2 * GIB, available: GIB });
    expect(stays?.detail).toContain("raise movedBytesMax");
  });
});

/** As docs/strategies.md has it: by host, rack and zone, and what is not known is near. */
function distance(a: SnapshotHost, b: SnapshotHost): number {
  if (a === b) return 0;
  const differs = (one: string | undefined, other: string | undefined): boolean =>
    one !== undefined && other !== undefined && one !== other;
  return differs(a.zone, b.zone) ? 4 : differs(a.rack, b.rack) ? 2 : 1;
}

test("hosts are as near to a VM's peers as their distances say, whatever their racks", () =>
  fc.assert(
    fc.property(anyVms, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 12, maxLength: 12 }), (vms, rates) => {
      const talking = vms.map((vm, index) => ({
        ...vm,
        ...(index === 0
          ? { talksTo: Object.fromEntries(vms.slice(1).map((_, at) => [`vm-${at + 1}`, rates[at] ?? 1])) }
          : {}),
      }));
      const of = createWorld(clusterOf(talking), parametersOf({}));
      const vm = of.vms.findIndex(({ name }) => name === "vm-0");
      const crossing = (host: number): number =>
        (of.peers[vm] ?? []).reduce(
          (sum, peer) => sum + peer.bytesPerSecond * distance(hostAt(of, host), hostAt(of, of.hostOf[peer.vm] ?? 0)),
          0,
        );
      const now = crossing(of.hostOf[vm] ?? 0);
      const expected = HOSTS.map((_, host) => ({ host, saved: now - crossing(host) }))
        .filter(({ saved }) => saved > 0)
        .toSorted((x, y) => y.saved - x.saved || x.host - y.host);
      const found = nearerHosts(of, [vm]);
      expect(found.hosts).toEqual(expected.map(({ host }) => host));
      expect(found.crossingSaved).toEqual(expected.map(({ saved }) => saved));
    }),
  ));
