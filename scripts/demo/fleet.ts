// The fleet of the demo: six hosts and forty VMs of different memory behaviour, one host hot and one to be drained.
import { GIB, MIB } from "../../worker/model/units.ts";
import type { SimulatedHost, SimulatedVm, WorldConfig } from "../agent/simulated/config.ts";

export const CLUSTER = "demo";
export const HOT_HOST = "hv-01";
export const DRAINED_HOST = "hv-06";
/** Simulated seconds per second. */
export const TIME_SCALE = 10;

type Kind = Omit<SimulatedVm, "hostId" | "inventory"> & { vcpus: number; gibibytes: number; blockers?: string[] };

/** What the guests do with their memory, from quiet to faster than the migration's bandwidth limit. */
const KINDS = {
  idle: {
    vcpus: 1,
    gibibytes: 1,
    nonzeroRatio: 0.35,
    writes: { pagesPerSecond: 100, hotBytes: 4 * MIB, coldBytes: 16 * MIB, hotShare: 0.9 },
    cpu: { meanCores: 0.1 },
  },
  web: {
    vcpus: 2,
    gibibytes: 2,
    nonzeroRatio: 0.55,
    writes: { pagesPerSecond: 2500, hotBytes: 32 * MIB, coldBytes: 160 * MIB, hotShare: 0.8, skew: 2 },
    cpu: { meanCores: 0.9 },
    networkBytesPerSecond: 4e6,
  },
  cache: {
    vcpus: 4,
    gibibytes: 4,
    nonzeroRatio: 0.9,
    writes: { pagesPerSecond: 9000, hotBytes: 256 * MIB, coldBytes: 1200 * MIB, hotShare: 0.7, skew: 1.5 },
    cpu: { meanCores: 1.6 },
    networkBytesPerSecond: 20e6,
  },
  database: {
    vcpus: 4,
    gibibytes: 8,
    nonzeroRatio: 0.75,
    writes: { pagesPerSecond: 7000, hotBytes: 128 * MIB, coldBytes: 2048 * MIB, hotShare: 0.75, skew: 1.5 },
    cpu: { meanCores: 2.2 },
    networkBytesPerSecond: 12e6,
  },
  build: {
    vcpus: 4,
    gibibytes: 4,
    nonzeroRatio: 0.6,
    writes: {
      pagesPerSecond: 18_000,
      hotBytes: 192 * MIB,
      coldBytes: 512 * MIB,
      hotShare: 0.6,
      phases: { periodMs: 8000, busyRatio: 0.5, quietFactor: 0.1 },
    },
    cpu: { meanCores: 2.6 },
  },
  writer: {
    vcpus: 2,
    gibibytes: 2,
    nonzeroRatio: 0.7,
    writes: { pagesPerSecond: 60_000, hotBytes: 224 * MIB, coldBytes: 256 * MIB, hotShare: 0.9 },
    cpu: { meanCores: 1.5 },
  },
  /** Has a passed-through device: it cannot be migrated, and the plan must say so. */
  gpu: {
    vcpus: 2,
    gibibytes: 4,
    nonzeroRatio: 0.5,
    writes: { pagesPerSecond: 3000, hotBytes: 64 * MIB, coldBytes: 256 * MIB, hotShare: 0.8 },
    cpu: { meanCores: 0.8 },
    blockers: ["vfio"],
  },
} satisfies Record<string, Kind>;

type KindName = keyof typeof KINDS;

const ORDINARY: KindName[] = ["database", "cache", "web", "web", "idle", "idle"];

const PLACEMENT: Record<string, KindName[]> = {
  [HOT_HOST]: ["database", "database", "cache", "cache", "build", "writer", "web", "web", "web", "idle"],
  "hv-02": ORDINARY,
  "hv-03": ["database", "build", "web", "idle", "idle", "idle"],
  "hv-04": ORDINARY,
  "hv-05": ["cache", "cache", "web", "web", "web", "idle"],
  [DRAINED_HOST]: ["database", "cache", "web", "writer", "idle", "gpu"],
};

function hostNamed(id: string, index: number): SimulatedHost {
  return {
    id,
    cores: 16,
    memoryBytes: 64 * GIB,
    // 10 GbE at MTU 1500: 94.15 % of the line is payload.
    linkBytesPerSecond: 1.177e9,
    machineTypes: ["pc-q35-9.2"],
    networks: ["prod"],
    pools: [{ name: "ceph", shared: true }],
    power: { idleWatts: 110, peakWatts: 420 },
    rack: index < 3 ? "rack-1" : "rack-2",
  };
}

function vmNamed(kindName: KindName, number: number, index: number, hostId: string): SimulatedVm {
  const { vcpus, gibibytes, blockers, ...behaviour }: Kind = KINDS[kindName];
  const name = `${kindName}-${String(number).padStart(2, "0")}`;
  return {
    ...behaviour,
    hostId,
    inventory: {
      uuid: `d0000000-0000-4000-8000-${String(index).padStart(12, "0")}`,
      name,
      vcpus,
      memoryBytes: gibibytes * GIB,
      machineType: "pc-q35-9.2",
      nics: [{ network: "prod" }],
      disks: [{ id: "vda", bytes: 20 * GIB, pool: "ceph", shared: true }],
      labels: { kind: kindName },
      ...(blockers === undefined ? {} : { blockers }),
    },
  };
}

/** The same seed gives the same guests. */
export function demoWorld(seed: number): WorldConfig {
  const numbers = new Map<KindName, number>();
  const vms: SimulatedVm[] = [];
  for (const [hostId, kinds] of Object.entries(PLACEMENT))
    for (const kind of kinds) {
      const number = (numbers.get(kind) ?? 0) + 1;
      numbers.set(kind, number);
      vms.push(vmNamed(kind, number, vms.length + 1, hostId));
    }
  return { seed, timeScale: TIME_SCALE, hosts: Object.keys(PLACEMENT).map(hostNamed), vms };
}
