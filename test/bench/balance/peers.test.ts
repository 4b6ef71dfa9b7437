// Each peer's rule on clusters that can be reckoned by hand.
import { describe, expect, test } from "vitest";
import type { Flat } from "../../../scripts/bench/advisor/balance/flat.ts";
import { cloudstack, cloudstackEager } from "../../../scripts/bench/advisor/balance/peers/cloudstack.ts";
import { peers } from "../../../scripts/bench/advisor/balance/peers/index.ts";
import { pveBruteforce, pveBruteforceEager, pveImbalance } from "../../../scripts/bench/advisor/balance/peers/pve.ts";
import { topsisBest } from "../../../scripts/bench/advisor/balance/peers/topsis.ts";
import { watcherDeviation, watcherFullSearch } from "../../../scripts/bench/advisor/balance/peers/watcher.ts";
import { worldOf } from "../../../scripts/bench/advisor/balance/peers/world.ts";
import { xenOrchestra, xenOrchestraPreventive } from "../../../scripts/bench/advisor/balance/peers/xen-orchestra.ts";
import { flatten } from "../../../scripts/bench/advisor/balance/flat.ts";
import { generateCluster } from "../../../scripts/bench/advisor/balance/generate.ts";

const GIB = 2 ** 30;

/** Hosts of 10 cores that may commit 100 GiB; by host the VMs' cores and GiB. */
function flatOf(hosts: [cores: number, gib: number][][], stated: Partial<Flat> = {}): Flat {
  const vms = hosts.flatMap((list, host) => list.map(([cores, gib]) => ({ host, cores, gib })));
  const sum = (host: number, of: "cores" | "gib"): number =>
    vms.filter((vm) => vm.host === host).reduce((total, vm) => total + vm[of], 0);
  const bytes = Float64Array.from(vms.map(({ gib }) => gib * GIB));
  return {
    resources: 4,
    weights: Float64Array.of(1, 1, 1, 0),
    capacity: Float64Array.from(hosts.flatMap(() => [10, 100 * GIB, 1e9, 0])),
    used: Float64Array.from(hosts.flatMap((_, host) => [sum(host, "cores"), sum(host, "gib") * GIB, 0, 0])),
    usedMax: new Float64Array(hosts.length * 4).fill(Infinity),
    committed: Float64Array.from(hosts.map((_, host) => sum(host, "gib") * GIB)),
    committedMax: Float64Array.from(hosts.map(() => 100 * GIB)),
    demand: Float64Array.from(vms.flatMap(({ cores, gib }) => [cores, gib * GIB, 0, 0])),
    vmBytes: bytes,
    moveBytes: bytes,
    hostOf: Int32Array.from(vms.map(({ host }) => host)),
    movable: new Uint8Array(vms.length).fill(1),
    hosts: hosts.length,
    vms: vms.length,
    vcpus: Float64Array.from(vms.map(() => 1)),
    apart: [],
    together: [],
    only: new Map(),
    ...stated,
  };
}

const hostsAfter = (run: { hostOf: Int32Array }): number[] => [...run.hostOf];

describe("PVE", () => {
  // Loads 0.8, 0.2, 0.2: variation 0.7071 over its maximum √2 is 0.5.
  const uneven: [number, number][][] = [
    [
      [3, 30],
      [3, 30],
      [2, 20],
    ],
    [[2, 20]],
    [[2, 20]],
  ];

  test("measures 0.5 where one of three hosts has four times the load", () => {
    expect(pveImbalance(worldOf(flatOf(uneven)))).toBeCloseTo(0.5, 12);
  });

  test("moves the 0.3 that leaves 0.5, 0.5, 0.2, and stops under its threshold", () => {
    const run = pveBruteforce.run(flatOf(uneven), 1);
    expect(run).toMatchObject({ moves: 1, movedBytes: 30 * GIB, rounds: 1 });
    expect(hostsAfter(run)).toEqual([1, 0, 0, 1, 2]);
  });

  test("does nothing under its threshold; eager, it goes on to 0.3, 0.5, 0.4", () => {
    const settled: [number, number][][] = [
      [
        [3, 30],
        [2, 20],
      ],
      [
        [2, 20],
        [3, 30],
      ],
      [[2, 20]],
    ];
    expect(pveImbalance(worldOf(flatOf(settled)))).toBeCloseTo(0.25, 12);
    expect(pveBruteforce.run(flatOf(settled), 1).moves).toBe(0);
    expect(pveBruteforceEager.run(flatOf(settled), 1).moves).toBe(1);
  });

  test("moves VMs that belong together as one, and never joins those that must be apart", () => {
    const bound = pveBruteforceEager.run(
      flatOf(
        [
          [
            [2, 20],
            [2, 20],
            [4, 40],
          ],
          [[0.1, 1]],
        ],
        { together: [[0, 1]] },
      ),
      1,
    );
    expect(bound.hostOf[0]).toBe(bound.hostOf[1]);
    const apart = pveBruteforceEager.run(
      flatOf(
        [
          [[4, 40]],
          [
            [1, 10],
            [1, 10],
          ],
        ],
        {
          apart: [
            [0, 1],
            [0, 2],
          ],
        },
      ),
      1,
    );
    expect(apart.moves).toBe(0);
  });

  test("ranks by TOPSIS what is nearest to the best: weight decides between two costs", () => {
    expect(topsisBest([3, 1, 2], [1])).toBe(1);
    expect(topsisBest([1, 2, 2, 1], [1, 10])).toBe(1);
    expect(topsisBest([1, 2, 2, 1], [10, 1])).toBe(0);
    expect(topsisBest([], [1])).toBe(-1);
  });
});

describe("Watcher", () => {
  test("adds the deviations of CPU and memory, and ends an audit with the first that falls under 0.1", () => {
    // CPU 0.6 and 0.2, memory equal: deviation 0.2. One VM of 0.2 makes them equal.
    const flat = flatOf([
      [
        [2, 0],
        [2, 0],
        [2, 0],
      ],
      [[2, 0]],
    ]);
    expect(watcherDeviation(worldOf(flat))).toBeCloseTo(0.2, 12);
    expect(watcherFullSearch.run(flat, 1)).toMatchObject({ moves: 1, rounds: 1 });
  });

  test("needs an audit a move where the other deviation is under 0.1 from the start", () => {
    const flat = flatOf([
      [
        [2, 0],
        [2, 0],
        [2, 0],
        [2, 0],
      ],
      [],
    ]);
    // 0.4, then 0.2 after the first, 0 after the second.
    expect(watcherFullSearch.run(flat, 1)).toMatchObject({ moves: 2, rounds: 2 });
  });

  test("does nothing while both deviations are at most 0.1", () => {
    expect(
      watcherFullSearch.run(
        flatOf([
          [
            [2, 0],
            [1, 0],
          ],
          [[1, 0]],
        ]),
        1,
      ).moves,
    ).toBe(0);
  });
});

describe("CloudStack", () => {
  const uneven: [number, number][][] = [
    [
      [0, 30],
      [0, 30],
      [0, 30],
    ],
    [[0, 10]],
    [[0, 10]],
  ];

  test("moves while allocated memory varies by more than 0.6 of its mean", () => {
    // 0.9, 0.1, 0.1: 1.03. Then 0.6, 0.4, 0.1: 0.56.
    expect(cloudstack.run(flatOf(uneven), 1)).toMatchObject({ moves: 1, movedBytes: 30 * GIB });
  });

  test("eager, it moves until none helps, and the loads of CPUs are nothing to it", () => {
    const run = cloudstackEager.run(flatOf(uneven), 1);
    expect([...hostsAfter(run)].toSorted()).toEqual([0, 1, 1, 2, 2]);
    expect(cloudstackEager.run(flatOf([[[8, 10]], [[1, 10]]]), 1).moves).toBe(0);
  });
});

describe("Xen Orchestra", () => {
  test("relieves a host over 76.5 % until it is under 58.5 %", () => {
    const run = xenOrchestra.run(
      flatOf([
        [
          [2, 5],
          [2, 5],
          [2, 5],
          [2, 5],
        ],
        [[1, 5]],
        [[1, 5]],
      ]),
      1,
    );
    expect(run).toMatchObject({ moves: 2, rounds: 1 });
  });

  test("leaves 70 % alone, unless preventive: then down to 1.25 times the pool's mean", () => {
    const flat = flatOf([
      [
        [2, 5],
        [2, 5],
        [2, 5],
        [1, 5],
      ],
      [[1, 5]],
    ]);
    expect(xenOrchestra.run(flat, 1).moves).toBe(0);
    // Mean 0.4: relieved from 0.6 on, to 0.5.
    expect(xenOrchestraPreventive.run(flat, 1)).toMatchObject({ moves: 1, rounds: 1 });
  });

  test("moves nothing to a host that would reach 58.5 %", () => {
    expect(
      xenOrchestra.run(
        flatOf([
          [
            [4, 5],
            [4, 5],
          ],
          [[5, 5]],
        ]),
        1,
      ).moves,
    ).toBe(0);
  });
});

describe.each(peers)("$name", (peer) => {
  const flat = flatten(generateCluster({ hosts: 8, seed: 5 }));

  test("commits no more than a host may, moves nothing that cannot move, and is the same for the same seed", () => {
    const run = peer.run(flat, 9);
    expect(peer.run(flat, 9)).toEqual(run);
    const committed = new Float64Array(flat.hosts);
    run.hostOf.forEach((host, vm) => {
      committed[host] = (committed[host] ?? 0) + (flat.vmBytes[vm] ?? 0);
    });
    const pinned = [...flat.hostOf.keys()].filter((vm) => flat.movable[vm] === 0);
    expect(pinned.map((vm) => run.hostOf[vm])).toEqual(pinned.map((vm) => flat.hostOf[vm]));
    committed.forEach((bytes, host) => expect(bytes).toBeLessThanOrEqual(flat.committedMax[host] ?? 0));
  });
});
