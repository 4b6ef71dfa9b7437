// Hosts of one rack and zone are equally far from everything else: distances are asked of such sites, not of every host.
import type { SnapshotHost } from "../cluster.ts";
import type { World } from "./world.ts";

export type Sites = {
  /** By host: its site's number. */
  ofHost: Int32Array;
  /** By site: its hosts, in order. */
  hosts: readonly (readonly number[])[];
  /** From site to site, between different hosts: `distances[a * count + b]`. */
  distances: Float64Array;
};

const known = new WeakMap<readonly SnapshotHost[], Sites>();

/** The sites of a world's hosts; the same for all its copies. */
export function sitesOf(world: World): Sites {
  const before = known.get(world.hosts);
  if (before !== undefined) return before;
  const numbers = new Map<string, number>();
  const hosts: number[][] = [];
  const ofHost = Int32Array.from(world.hosts, ({ zone, rack }, host) => {
    const name = JSON.stringify([zone, rack]);
    const number = numbers.get(name) ?? hosts.push([]) - 1;
    numbers.set(name, number);
    hosts[number]?.push(host);
    return number;
  });
  const count = hosts.length;
  const distances = new Float64Array(count * count);
  hosts.forEach(([a = 0], from) =>
    hosts.forEach(([b = 0], to) => {
      distances[from * count + to] = between(world.hosts[a], world.hosts[b]);
    }),
  );
  const sites = { ofHost, hosts, distances };
  known.set(world.hosts, sites);
  return sites;
}

/** Of two hosts. */
function between(one: SnapshotHost | undefined, other: SnapshotHost | undefined): number {
  if (one?.zone !== undefined && other?.zone !== undefined && one.zone !== other.zone) return 4;
  if (one?.rack !== undefined && other?.rack !== undefined && one.rack !== other.rack) return 2;
  return 1;
}

/** 0 on one host, 1 in one rack or where racks are not known, 2 between racks, 4 between zones. */
export const distanceIn = ({ ofHost, hosts, distances }: Sites, a: number, b: number): number =>
  a === b ? 0 : (distances[(ofHost[a] ?? 0) * hosts.length + (ofHost[b] ?? 0)] ?? 1);
