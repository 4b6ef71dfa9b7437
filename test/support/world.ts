// Clusters for tests. A test states what matters to it; the rest is an ordinary host or VM.
import fc from "fast-check";
import type { z } from "zod";
import type { HostLoad, Reservation, Snapshot, SnapshotHost, SnapshotVm, VmLoad } from "../../worker/model/cluster.ts";
import { placementRule } from "../../worker/model/placement/rules.ts";
import type { Disk, VmState } from "../../worker/model/wire/inventory.ts";
import { planParameters, type PlanParameters } from "../../worker/model/placement/types.ts";
import { GIB, MIB, MINUTE_MS, SECOND_MS } from "../../worker/model/units.ts";

/** When every world of a test is read: 2026-11-23 12:00 UTC. */
export const AT = Date.UTC(2026, 10, 23, 12);

/** `cpuUsedCores` null: its telemetry never said. `silentMs` null: the host was never heard. */
export type HostSpec = Partial<Omit<SnapshotHost, "hostId" | "vms" | "load" | "heardAt" | "cpu">> & {
  cores?: number;
  features?: string[];
  cpuUsedCores?: number | null;
  cpuUsedCoresP95?: number;
  loadAgeMs?: number;
  silentMs?: number | null;
};

/** `on` names its host. `cpuUsedCores` null: its telemetry never said. */
export type VmSpec = Partial<Omit<SnapshotVm, "uuid" | "name" | "load">> & {
  on: string;
  cpuUsedCores?: number | null;
  cpuUsedCoresP95?: number;
  networkBytesPerSecond?: number;
  loadAgeMs?: number;
  /** Bytes a second by the other VM's name. */
  talksTo?: Record<string, number>;
  load?: VmLoad;
};

export type WorldSpec = {
  hosts: Record<string, HostSpec>;
  vms?: Record<string, VmSpec>;
  reservations?: Partial<Reservation>[];
  /** VM name → how long ago its last migration ended, in ms. */
  movedMsAgo?: Record<string, number>;
  /** VM name → how often it was moved in the last 24 h. */
  movesLastDay?: Record<string, number>;
  /** VMs by uuid: see `uuidOf`. */
  rules?: z.input<typeof placementRule>[];
};

/** The UUID that a VM of this name gets: the same in every world. */
export function uuidOf(name: string): string {
  // FNV-1a, four times with other offsets: 128 bits that look like a UUID.
  const words = [1, 2, 3, 4].map((salt) => {
    let hash = 0x811c9dc5 ^ salt;
    for (const char of name) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
    return hash.toString(16).padStart(8, "0");
  });
  const hex = words.join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}

const byUuid = <Value, Told>(byName: Record<string, Value>, tell: (value: Value) => Told): Record<string, Told> =>
  Object.fromEntries(Object.entries(byName).map(([name, value]) => [uuidOf(name), tell(value)]));

function vmLoad({ cpuUsedCores = 0.5, loadAgeMs = 0, ...spec }: VmSpec): VmLoad {
  const { cpuUsedCoresP95, networkBytesPerSecond, talksTo } = spec;
  return {
    ...(cpuUsedCores === null ? {} : { cpuUsedCores }),
    ...(cpuUsedCoresP95 === undefined ? {} : { cpuUsedCoresP95 }),
    ...(networkBytesPerSecond === undefined ? {} : { networkBytesPerSecond }),
    ...(talksTo === undefined ? {} : { peerBytesPerSecond: byUuid(talksTo, (bytesPerSecond) => bytesPerSecond) }),
    memoryNonzeroBytes: GIB,
    memoryDirtyBytesPerSecond: 4 * MIB,
    at: AT - loadAgeMs,
  };
}

function vmOf(name: string, spec: VmSpec): SnapshotVm {
  const { on: _on, cpuUsedCores: _used, cpuUsedCoresP95: _peak, loadAgeMs: _age, load, ...more } = spec;
  const { networkBytesPerSecond: _network, talksTo: _peers, ...stated } = more;
  return {
    uuid: uuidOf(name),
    name,
    state: "running",
    vcpus: 4,
    memoryBytes: 4 * GIB,
    disks: [],
    ...stated,
    load: load ?? vmLoad(spec),
  };
}

/** Unless stated, a host uses the cores that its VMs use. */
function hostLoad(spec: HostSpec, vms: SnapshotVm[]): HostLoad {
  const { loadAgeMs = 0 } = spec;
  if (spec.cpuUsedCores === null) return {};
  const used = spec.cpuUsedCores ?? vms.reduce((sum, { load }) => sum + (load.cpuUsedCores ?? 0), 0);
  const { cpuUsedCoresP95 } = spec;
  return {
    cpuUsedCores: used,
    ...(cpuUsedCoresP95 === undefined ? {} : { cpuUsedCoresP95 }),
    at: AT - loadAgeMs,
  };
}

function hostOf(hostId: string, spec: HostSpec, vms: SnapshotVm[]): SnapshotHost {
  const { cores = 16, features, silentMs = 5 * SECOND_MS, ...more } = spec;
  const { cpuUsedCores: _used, cpuUsedCoresP95: _peak, loadAgeMs: _age, ...stated } = more;
  return {
    hostId,
    cluster: "test",
    hypervisor: "kvm",
    driver: { name: "libvirt" },
    cpu: { cores, ...(features === undefined ? {} : { features }) },
    memoryBytes: 64 * GIB,
    migration: { bytesPerSecond: 1_177_000_000, rttMs: 0.2 },
    ...stated,
    ...(silentMs === null ? {} : { heardAt: AT - silentMs }),
    load: hostLoad(spec, vms),
    vms,
  };
}

/** A cluster from what is stated: hosts of 16 cores and 64 GiB heard 5 s ago, VMs of 4 vCPUs and 4 GiB that run. */
export function world({ hosts, vms = {}, reservations = [], movedMsAgo = {}, ...more }: WorldSpec): Snapshot {
  const specs = Object.entries(vms);
  for (const [name, { on }] of specs) if (!(on in hosts)) throw new Error(`${name} is on ${on}: state that host too`);
  return {
    cluster: "test",
    at: AT,
    hosts: Object.entries(hosts).map(([hostId, spec]) =>
      hostOf(
        hostId,
        spec,
        specs.filter(([, { on }]) => on === hostId).map(([name, vm]) => vmOf(name, vm)),
      ),
    ),
    reservations: reservations.map((stated, index) => ({
      migrationId: `mig-${index + 1}`,
      vmUuid: uuidOf("elsewhere"),
      fromHostId: "elsewhere",
      toHostId: "hv-01",
      memoryBytes: 4 * GIB,
      cpuCores: 1,
      ...stated,
    })),
    lastMovedAt: byUuid(movedMsAgo, (ms) => AT - ms),
    ...(more.movesLastDay === undefined ? {} : { movesLastDay: byUuid(more.movesLastDay, (count) => count) }),
    ...(more.rules === undefined ? {} : { rules: more.rules.map((rule) => placementRule.parse(rule)) }),
  };
}

/** Plan parameters with their defaults and what is stated. */
export function parametersOf(stated: Partial<PlanParameters> = {}): PlanParameters {
  return planParameters.parse(stated);
}

/** Mostly undefined, which `compact` turns into absent. */
const rarely = <T>(...values: T[]): fc.Arbitrary<T | undefined> => mostly<T | undefined>(undefined, ...values);

/** The first in 15 of 16 cases: worlds in which every VM has an oddity would move nothing. */
function mostly<T>(usual: T, ...others: T[]): fc.Arbitrary<T> {
  return fc.oneof({ weight: 15, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) });
}

/** What is unknown is absent: keys whose value is undefined are dropped. */
function compact<Spec>(value: { [K in keyof Spec]?: Spec[K] | undefined }): Spec {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Spec;
}

const anyHostSpec: fc.Arbitrary<HostSpec> = fc
  .record({
    cores: fc.constantFrom(8, 16, 32),
    memoryBytes: fc.constantFrom(32 * GIB, 64 * GIB, 128 * GIB, 256 * GIB),
    cpuUsedCores: rarely(null),
    cpuUsedCoresP95: rarely(4, 12),
    loadAgeMs: rarely(MINUTE_MS, 6 * MINUTE_MS),
    silentMs: rarely(null, 59 * SECOND_MS, 61 * SECOND_MS),
    policy: rarely({ in: false, out: false }),
    managedBy: rarely("pacemaker"),
    maintenance: rarely({ since: AT - MINUTE_MS, reason: "firmware" }),
    rack: fc.constantFrom("r1", "r2", undefined),
    zone: mostly<string | undefined>("z1", "z2", undefined),
    labels: fc.constantFrom({}, { "host-group": "fast" }),
    machineTypes: rarely(["pc-q35-8.2"]),
    networks: mostly(["lan", "dmz"], ["lan"]),
    pools: mostly([{ name: "ceph", shared: true }], [{ name: "ceph", shared: false }], []),
    features: mostly(["sse4", "avx"], ["sse4", "avx", "avx512f"]),
    hugepagePools: rarely([{ pageBytes: 2 * MIB, totalBytes: 16 * GIB, freeBytes: 8 * GIB }]),
    migration: fc.constantFrom({ bytesPerSecond: 117_000_000 }, { bytesPerSecond: 1_177_000_000 }),
  })
  .map((spec) => compact<HostSpec>(spec));

type AnyVm = Omit<VmSpec, "on" | "talksTo" | "cpuUsedCoresP95"> & {
  host: number;
  vcpus: number;
  memoryBytes: number;
  /** Of its vCPUs; null: unknown. */
  cpuShare: number | null;
  /** At p95, beyond `cpuShare`. */
  peakShare?: number;
  /** Being migrated to that host. */
  reserved?: number;
  movedMsAgo?: number;
  movedBefore?: number;
  /** The VM so many further on, and bytes a second. */
  talks?: { further: number; bytesPerSecond: number };
};

const anyVmSpec: fc.Arbitrary<AnyVm> = fc
  .record({
    host: fc.nat(99),
    vcpus: fc.constantFrom(1, 2, 4, 8),
    memoryBytes: fc.constantFrom(1, 2, 4, 8, 16).map((gib) => gib * GIB),
    overheadBytes: rarely(256 * MIB),
    cpuShare: fc.option(
      fc.integer({ min: 0, max: 100 }).map((percent) => percent / 100),
      { freq: 16, nil: null },
    ),
    peakShare: fc.constantFrom(undefined, undefined, 0.1, 0.5),
    networkBytesPerSecond: rarely(20 * MIB, 200 * MIB),
    loadAgeMs: rarely(6 * MINUTE_MS),
    state: rarely<VmState>("paused", "shutoff", "inmigrate"),
    pinned: rarely(true),
    blockers: rarely(["vfio"]),
    cpuMode: fc.constantFrom("host-passthrough", "custom"),
    machineType: rarely("pc-q35-9.0"),
    hugepageBytes: rarely(2 * MIB),
    nics: mostly<{ network: string }[]>([{ network: "lan" }], [{ network: "dmz" }]),
    disks: mostly<Disk[]>([{ id: "vda", bytes: 8 * GIB, pool: "ceph" }], [{ id: "vda", shared: false }]),
    labels: fc.oneof(
      { weight: 10, arbitrary: fc.constant({}) },
      { weight: 2, arbitrary: fc.constant({ "anti-affinity": "db" }) },
      {
        weight: 1,
        arbitrary: fc.constantFrom<Record<string, string>>(
          { affinity: "pair" },
          { "anti-affinity-rack": "db" },
          { "host-affinity": "fast" },
        ),
      },
    ),
    reserved: rarely(0, 1, 2, 3, 4, 5),
    movedMsAgo: rarely(MINUTE_MS, 60 * MINUTE_MS),
    movedBefore: rarely(2, 3),
    talks: fc.option(
      fc.record({ further: fc.integer({ min: 1, max: 4 }), bytesPerSecond: fc.constantFrom(MIB, 50 * MIB, 400 * MIB) }),
      { freq: 2, nil: undefined },
    ),
  })
  .map((spec) => compact<AnyVm>(spec));

type AnyRule = { kind: (typeof RULE_KINDS)[number]; hard: boolean; domain: "host" | "rack" | "zone"; names: number[] };
const RULE_KINDS = ["vm-affinity", "vm-anti-affinity", "host-affinity", "host-anti-affinity"] as const;

const anyRule: fc.Arbitrary<AnyRule> = fc.record({
  kind: fc.constantFrom(...RULE_KINDS),
  hard: fc.boolean(),
  domain: fc.constantFrom("host", "host", "rack", "zone"),
  names: fc.array(fc.nat(99), { minLength: 2, maxLength: 3 }),
});

function ruleOf({ kind, hard, domain, names }: AnyRule, index: number, vms: string[], hosts: string[]) {
  const at = (of: string[], n: number): string => of[n % of.length] ?? "";
  const uuids = [...new Set(names.map((n) => uuidOf(at(vms, n))))];
  const common = { ruleId: `rule-${index + 1}`, hard, vms: { uuids } };
  return kind === "vm-affinity" || kind === "vm-anti-affinity"
    ? { ...common, kind, domain }
    : { ...common, kind, hosts: { hostIds: [...new Set(names.map((n) => at(hosts, n)))] } };
}

/**
 * Any small cluster: up to 6 hosts (`hv-01`, `hv-02`, …) and 16 VMs, with unknown and stale telemetry, every kind of
 * constraint and rule, racks and zones, traffic between VMs and running migrations.
 */
export function anyWorld(): fc.Arbitrary<Snapshot> {
  return fc
    .record({
      hosts: fc.array(anyHostSpec, { minLength: 1, maxLength: 6, size: "max" }),
      vms: fc.array(anyVmSpec, { maxLength: 16, size: "max" }),
      rules: fc.oneof(
        { weight: 2, arbitrary: fc.constant<AnyRule[]>([]) },
        { weight: 1, arbitrary: fc.array(anyRule, { maxLength: 2 }) },
      ),
    })
    .map(({ hosts, vms, rules }) => {
      const ids = hosts.map((_, index) => `hv-0${index + 1}`);
      const idAt = (index: number): string => ids[index % ids.length] ?? "hv-01";
      const names = vms.map((_, index) => `vm-${String(index + 1).padStart(2, "0")}`);
      const named = vms.map((vm, index) => ({ ...vm, name: names[index] ?? "", index }));
      const specOf = ({ index, host, cpuShare, peakShare, talks, vcpus, ...vm }: (typeof named)[number]): VmSpec => {
        const { name: _name, reserved: _reserved, movedMsAgo: _moved, movedBefore: _before, ...stated } = vm;
        const peer = talks === undefined ? undefined : names[(index + talks.further) % names.length];
        return {
          ...stated,
          vcpus,
          on: idAt(host),
          cpuUsedCores: cpuShare === null ? null : cpuShare * vcpus,
          ...(peakShare === undefined || cpuShare === null ? {} : { cpuUsedCoresP95: (cpuShare + peakShare) * vcpus }),
          ...(talks === undefined || peer === undefined ? {} : { talksTo: { [peer]: talks.bytesPerSecond } }),
        };
      };
      const told = <Value>(of: (vm: AnyVm) => Value | undefined): Record<string, Value> =>
        Object.fromEntries(
          named.flatMap((vm) => {
            const value = of(vm);
            return value === undefined ? [] : [[vm.name, value]];
          }),
        );
      return world({
        hosts: Object.fromEntries(hosts.map((host, index) => [idAt(index), host])),
        vms: Object.fromEntries(named.map((vm) => [vm.name, specOf(vm)])),
        reservations: named.flatMap(({ name, host, reserved, vcpus, memoryBytes }) =>
          reserved === undefined || idAt(reserved) === idAt(host)
            ? []
            : [
                {
                  vmUuid: uuidOf(name),
                  fromHostId: idAt(host),
                  toHostId: idAt(reserved),
                  memoryBytes,
                  cpuCores: vcpus,
                },
              ],
        ),
        movedMsAgo: told(({ movedMsAgo }) => movedMsAgo),
        movesLastDay: told(({ movedBefore }) => movedBefore),
        rules: vms.length === 0 ? [] : rules.map((rule, index) => ruleOf(rule, index, names, ids)),
      });
    });
}
