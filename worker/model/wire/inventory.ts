// What a host is and which VMs it has: the body of `PUT /v1/hosts/{hostId}`. What is unknown is absent, never 0.
import { z } from "zod";
import {
  byteCount,
  bytesPerSecond,
  driverName,
  hypervisor,
  labels,
  operatorId,
  timestampMs,
  vmUuid,
} from "./common.ts";

/** Run states as the hypervisors name them. A VM in `inmigrate` or `postmigrate` is not running. */
export const vmState = z.enum(["running", "paused", "inmigrate", "postmigrate", "postcopy-paused", "shutoff"]);
export type VmState = z.infer<typeof vmState>;

export const disk = z.strictObject({
  id: z.string().min(1).max(128),
  bytes: byteCount.optional(),
  pool: z.string().min(1).max(128).optional(),
  /** False: the data lives on this host only and would have to be copied. */
  shared: z.boolean().optional(),
  readOnly: z.boolean().optional(),
  cacheMode: z.string().max(32).optional(),
});
export type Disk = z.infer<typeof disk>;

export const vmInventory = z
  .strictObject({
    uuid: vmUuid,
    name: z.string().min(1).max(255),
    state: vmState,
    vcpus: z.int().min(1).max(4096),
    /** Maximum memory that the guest may use: what a host commits. */
    memoryBytes: z.int().positive(),
    /** What the hypervisor process needs beyond the guest's memory. */
    overheadBytes: byteCount.optional(),
    cpuMode: z.string().max(64).optional(),
    /** What runs the guest's code: `tcg` emulates it. */
    accelerator: z.enum(["kvm", "tcg"]).optional(),
    machineType: z.string().max(64).optional(),
    hugepageBytes: z.int().positive().optional(),
    pinned: z.boolean().optional(),
    /** All its memory must come from one NUMA node. */
    numaBound: z.boolean().optional(),
    disks: z.array(disk).max(64).optional(),
    nics: z
      .array(z.strictObject({ network: z.string().min(1).max(128) }))
      .max(64)
      .optional(),
    /** Why this VM cannot be live-migrated: `vfio`, `vhost-user`, `virtiofs`, `sev`, `local-tpm`, … */
    blockers: z.array(z.string().min(1).max(128)).max(32).optional(),
    labels: labels.optional(),
  })
  .meta({ id: "VmInventory" });
export type VmInventory = z.infer<typeof vmInventory>;

export const powerModel = z.union([
  z.strictObject({ idleWatts: z.number().min(0), peakWatts: z.number().positive() }),
  z.strictObject({ tableWatts: z.array(z.number().min(0)).length(11) }),
]);
export type PowerModel = z.infer<typeof powerModel>;

/** Something that is wrong with a host's hardware: `degraded` serves still, `failing` may stop at any moment. */
export const hostCondition = z
  .strictObject({
    type: z.enum(["ecc", "disk", "thermal", "power", "other"]),
    severity: z.enum(["degraded", "failing"]),
    since: timestampMs,
    detail: z.string().min(1).max(500),
  })
  .meta({ id: "HostCondition" });
export type HostCondition = z.infer<typeof hostCondition>;

/** A host without its VMs. */
export const hostFacts = z.strictObject({
  cluster: operatorId,
  /** Rises with every inventory of this boot; an older one is refused. */
  sequence: z.int().min(0),
  bootId: z.string().min(1).max(64),
  hypervisor,
  hypervisorVersion: z.string().max(64).optional(),
  driver: z.strictObject({ name: driverName, version: z.string().max(64).optional() }),
  cpu: z.strictObject({
    model: z.string().max(128).optional(),
    features: z.array(z.string().max(64)).max(512).optional(),
    cores: z.number().positive().max(65_536),
  }),
  memoryBytes: z.int().positive(),
  numaNodes: z
    .array(z.strictObject({ cores: z.number().positive(), memoryBytes: byteCount }))
    .max(64)
    .optional(),
  hugepagePools: z
    .array(z.strictObject({ pageBytes: z.int().positive(), totalBytes: byteCount, freeBytes: byteCount }))
    .max(8)
    .optional(),
  machineTypes: z.array(z.string().max(64)).max(512).optional(),
  pools: z
    .array(z.strictObject({ name: z.string().min(1).max(128), shared: z.boolean() }))
    .max(128)
    .optional(),
  networks: z.array(z.string().min(1).max(128)).max(1024).optional(),
  /** Payload rate of the migration NIC, when nothing else uses it. */
  migration: z.strictObject({ bytesPerSecond, rttMs: z.number().min(0).optional() }).optional(),
  /** What the guests' network cards and disks can do; absent: not known, and never in the way of a move. */
  capacity: z
    .strictObject({
      networkBytesPerSecond: bytesPerSecond.optional(),
      diskBytesPerSecond: bytesPerSecond.optional(),
    })
    .optional(),
  power: powerModel.optional(),
  rack: z.string().max(128).optional(),
  zone: z.string().max(128).optional(),
  labels: labels.optional(),
  /** An HA manager that may restart VMs by itself; moves are refused unless the driver acts through it. */
  managedBy: z.string().max(128).optional(),
  /** Local policy of the agent: what it would refuse in any case. */
  policy: z.strictObject({ in: z.boolean(), out: z.boolean() }).optional(),
  conditions: z.array(hostCondition).max(64).optional(),
});
export type HostFacts = z.infer<typeof hostFacts>;

export const hostInventory = hostFacts
  .extend({
    /** Set by a principal with scope `operate` only. */
    agentUrl: z.url().max(2048).optional(),
    vms: z.array(vmInventory).max(2048),
  })
  .superRefine((host, context) => {
    const seen = new Set<string>();
    host.vms.forEach((vm, index) => {
      if (seen.has(vm.uuid))
        context.addIssue({ code: "custom", path: ["vms", index, "uuid"], message: "twice in one inventory" });
      seen.add(vm.uuid);
    });
  })
  .meta({ id: "HostInventory" });
export type HostInventory = z.infer<typeof hostInventory>;

/** Body of `POST /v1/hosts/{hostId}/heartbeat`: the host lives, and these are its VMs now. */
export const heartbeat = z
  .strictObject({
    bootId: z.string().min(1).max(64),
    at: timestampMs,
    vms: z.record(vmUuid, vmState),
  })
  .meta({ id: "Heartbeat" });
export type Heartbeat = z.infer<typeof heartbeat>;
