// A whole cluster as a caller states it, for plans that store nothing. The same fields as `Snapshot`, with defaults for what
// somebody who writes one by hand would not know.
import { z } from "zod";
import { calibration } from "./calibration/types.ts";
import type { Snapshot, SnapshotHost, SnapshotVm } from "./cluster.ts";
import { maintenance } from "./maintenance.ts";
import { dirtyPoint } from "./migration/types.ts";
import { placementRule } from "./placement/rules.ts";
import { byteCount, bytesPerSecond, operatorId, timestampMs, vmUuid } from "./wire/common.ts";
import { hostFacts, vmInventory, vmState } from "./wire/inventory.ts";

const HOSTS_MAX = 5000;
const VMS_PER_HOST_MAX = 2048;
const RULES_MAX = 1000;

const figure = z.number().min(0).max(1e15);
const ratio = z.number().min(0).max(1);

/** The newest samples, evenly spaced, oldest first; null: a gap. */
const recent = z.strictObject({
  at: timestampMs,
  stepMs: z.int().min(1000).max(3_600_000),
  series: z.record(z.string().min(1).max(128), z.array(z.number().nullable()).max(120)),
});

const vmLoad = z
  .strictObject({
    cpuUsedCores: figure,
    memoryUsedBytes: figure,
    memoryNonzeroBytes: figure,
    memoryDirtyBytesPerSecond: figure,
    memoryWorkingSetBytes: figure,
    networkBytesPerSecond: figure,
    diskBytesPerSecond: figure,
    swapInBytesPerSecond: figure,
    cpuStealRatio: figure,
    latencySeconds: figure,
    requestsPerSecond: figure,
    cpuUsedCoresP95: figure,
    memoryUsedBytesP95: figure,
    networkBytesPerSecondP95: figure,
    /** By the other VM's uuid. */
    peerBytesPerSecond: z.record(vmUuid, figure),
    recent,
    dirtyCurve: z.strictObject({ at: timestampMs, points: z.array(dirtyPoint).max(64) }),
    /** When these figures were taken; the snapshot's `at` where it is left out. */
    at: timestampMs,
  })
  .partial()
  .meta({ id: "SnapshotVmLoad" });

const hostLoad = z
  .strictObject({
    /** Without it the host's load is unknown, and nothing moves to or from it. */
    cpuUsedCores: figure,
    memoryUsedBytes: figure,
    networkReceiveBytesPerSecond: figure,
    networkTransmitBytesPerSecond: figure,
    diskBytesPerSecond: figure,
    swapInBytesPerSecond: figure,
    cpuPressureRatio: figure,
    memoryPressureRatio: figure,
    powerWatts: figure,
    temperatureCelsius: z.number().min(-274).max(10_000),
    eccCorrectedPerSecond: figure,
    eccUncorrectedPerSecond: figure,
    diskFailedRatio: ratio,
    cpuUsedCoresP95: figure,
    networkBytesPerSecondP95: figure,
    recent,
    /** When these figures were taken; the snapshot's `at` where it is left out. */
    at: timestampMs,
  })
  .partial()
  .meta({ id: "SnapshotHostLoad" });

const snapshotVm = vmInventory
  .extend({ state: vmState.default("running"), load: vmLoad.default({}) })
  .meta({ id: "SnapshotVm" });

const { cluster: _cluster, sequence: _sequence, bootId: _bootId, hypervisor, driver, ...facts } = hostFacts.shape;

const snapshotHost = z
  .strictObject({
    hostId: operatorId,
    /** That of the snapshot. */
    cluster: operatorId.optional(),
    hypervisor: hypervisor.default("kvm"),
    driver: driver.default({ name: "libvirt" }),
    ...facts,
    /** When the host was last heard; the snapshot's `at` where it is left out. */
    heardAt: timestampMs.optional(),
    load: hostLoad.default({}),
    maintenance: maintenance.optional(),
    restartsLastDay: z.int().min(0).max(100_000).optional(),
    /** What is stored of it and cannot be read. */
    unreadable: z.array(z.string().max(200)).max(4096).optional(),
    vms: z.array(snapshotVm).max(VMS_PER_HOST_MAX).default([]),
  })
  .meta({ id: "SnapshotHost" });

const reservation = z.strictObject({
  migrationId: z.string().min(1).max(64),
  vmUuid,
  fromHostId: operatorId,
  toHostId: operatorId,
  memoryBytes: byteCount,
  cpuCores: figure,
});

/** A cluster in the body of `POST /v1/plans`. What is unknown is left out, never 0. */
export const snapshotInput = z
  .strictObject({
    cluster: operatorId.default("what-if"),
    /** When it was so, ms since 1970; now where it is left out. */
    at: timestampMs.optional(),
    hosts: z.array(snapshotHost).min(1).max(HOSTS_MAX),
    /** Running migrations. */
    reservations: z.array(reservation).max(10_000).default([]),
    /** By VM: when its last migration ended. */
    lastMovedAt: z.record(vmUuid, timestampMs).default({}),
    /** By VM: how often it was moved in the last 24 h. */
    movesLastDay: z.record(vmUuid, z.int().min(0).max(100_000)).optional(),
    rules: z.array(placementRule).max(RULES_MAX).optional(),
    calibration: calibration.optional(),
    /** The way from one host to another as it was measured, by `hv-01>hv-02`. */
    links: z
      .record(
        z.string().regex(/^[^>]{1,63}>[^>]{1,63}$/, "two host ids with a > between them"),
        z.strictObject({
          bytesPerSecond,
          rttMs: z.number().min(0).max(60_000),
          lossRatio: z.number().min(0).max(1).optional(),
        }),
      )
      .optional(),
  })
  .superRefine(({ cluster, hosts, rules = [] }, context) => {
    hosts.forEach((host, index) => {
      if (host.cluster === undefined || host.cluster === cluster) return;
      const message = `${host.hostId} is of ${host.cluster}, the snapshot of ${cluster}: leave it out, or give the same`;
      context.addIssue({ code: "custom", path: ["hosts", index, "cluster"], message });
    });
    const ids = new Set<string>();
    rules.forEach(({ ruleId }, index) => {
      const message = `there is a rule ${ruleId} before it: give each its own id`;
      if (ids.has(ruleId)) context.addIssue({ code: "custom", path: ["rules", index, "ruleId"], message });
      ids.add(ruleId);
    });
  })
  .meta({ id: "Snapshot" });
export type SnapshotInput = z.output<typeof snapshotInput>;

/** The snapshot that is meant; `now` in ms since 1970. */
export function snapshotOf({ at: stated, ...input }: SnapshotInput, now: number): Snapshot {
  const at = stated ?? now;
  // Only the type has fields that are `undefined`: what comes as JSON has none.
  return { ...input, at, hosts: input.hosts.map((host) => hostOf(host, input.cluster, at)) } as Snapshot;
}

function hostOf(host: SnapshotInput["hosts"][number], cluster: string, at: number): SnapshotHost {
  const vms = host.vms.map((vm) => ({ ...vm, load: { at, ...vm.load } }) as SnapshotVm);
  return { heardAt: at, ...host, cluster, load: { at, ...host.load }, vms } as SnapshotHost;
}
