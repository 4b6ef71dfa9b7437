// The contract of `POST /v1/estimates` (DESIGN section 5), used inside for every estimate. Base units; what is unknown is
// absent and widens the interval.
import { z } from "zod";
import { byteCount, bytesPerSecond, driverName, hypervisor, mechanism, operatorId, vmUuid } from "../wire/common.ts";
import { migrationParameters } from "../wire/command.ts";

export const dirtyPoint = z.strictObject({
  windowMs: z.number().positive().max(86_400_000),
  /** Distinct bytes dirtied in a window of that length. */
  bytes: z.number().min(0).max(1e15),
});
export type DirtyPoint = z.infer<typeof dirtyPoint>;

export const estimateVm = z.strictObject({
  memoryBytes: z.int().positive().max(1e15),
  /** Non-zero memory: what really has to be sent. At most `memoryBytes`. */
  nonzeroBytes: byteCount.optional(),
  pageSizeBytes: z.int().min(512).max(1_073_741_824).optional(),
  vcpus: z.int().min(1).max(4096).optional(),
  cpuUsedCores: z.number().min(0).max(65_536).optional(),
  dirtyCurve: z.array(dirtyPoint).max(64).optional(),
  /** U(`dirtyRateWindowMs`) per second of window; the curve wins where both are given. */
  dirtyRateBytesPerSecond: z.number().min(0).max(1e14).optional(),
  dirtyRateWindowMs: z.number().positive().max(86_400_000).optional(),
  workingSetBytes: byteCount.optional(),
  /** raw / encoded, at least 1; ignored when `compression` is `none`. */
  compressionRatio: z.number().min(1).max(1000).optional(),
  /** Share of re-sent pages that xbzrle can send as a delta. */
  deltaHitRatio: z.number().min(0).max(1).optional(),
  disks: z
    .array(
      z.strictObject({
        bytes: byteCount,
        dirtyBytesPerSecond: z.number().min(0).optional(),
        shared: z.boolean().optional(),
      }),
    )
    .max(64)
    .optional(),
  blockers: z.array(z.string().min(1).max(128)).max(32).optional(),
});

export const estimateLink = z.strictObject({
  /** Payload rate free for migration, before division by `concurrentMigrations` + 1. */
  bytesPerSecond,
  rttMs: z.number().min(0).max(60_000).optional(),
  /** Others running on it besides this one. */
  concurrentMigrations: z.int().min(0).max(1000).optional(),
});

/** Every parameter may be left out: the driver's default is used, and said so in `assumptions`. */
export const estimateParameters = migrationParameters.partial();

/** Everything the cost models take. */
export const estimateInput = z.strictObject({
  hypervisor: hypervisor.default("kvm"),
  driver: driverName.default("qmp"),
  vm: estimateVm,
  /** Absent: unknown, a prior is used. */
  link: estimateLink.optional(),
  parameters: estimateParameters.default({}),
  mechanisms: z.array(mechanism).min(1).max(4).default(["pre-copy", "post-copy", "hybrid", "stop-and-copy"]),
  /** Hard limit on the blackout at p90 that `recommendMechanism` holds. */
  downtimeSloMs: z.number().positive().max(86_400_000).optional(),
});
export type EstimateInput = z.output<typeof estimateInput>;

export const quantity = z.strictObject({ p10: z.number(), p50: z.number(), p90: z.number() }).meta({ id: "Quantity" });
export type Quantity = z.infer<typeof quantity>;

export const stopRule = z.enum([
  "downtime-limit",
  "deadline-cancel",
  "deadline-force",
  "deadline-post-copy",
  "post-copy-start",
  "vm-stopped",
  "max-rounds",
  "total-sent",
  "dirty-pages",
  "forced-convergence",
]);
export type StopRule = z.infer<typeof stopRule>;

export const phase = z.strictObject({
  name: z.enum(["setup", "disks", "rounds", "switchover", "post-copy"]),
  durationMs: quantity,
  /** Where the state that cannot be lost lives in this phase. */
  stateAt: z.enum(["source", "destination", "both"]),
  survivesFailureOf: z.array(z.enum(["source", "destination", "link"])),
});

export const mechanismEstimate = z
  .strictObject({
    mechanism,
    /** The median course converges. Always true for mechanisms that need no convergence. */
    converges: z.boolean(),
    convergenceProbability: z.number().min(0).max(1),
    stopRule,
    preparationMs: quantity,
    /** Null where the median course ends in a cancel: the VM never stops. */
    downtimeMs: quantity.nullable(),
    resumeMs: quantity,
    totalMs: quantity,
    transferredBytes: quantity,
    transferredPages: quantity,
    zeroPages: quantity,
    diskBytes: quantity,
    remoteFaults: quantity,
    lostVcpuSeconds: quantity,
    energyJoules: quantity,
    /** The median course. */
    rounds: z.array(z.strictObject({ bytes: z.number(), durationMs: z.number() })),
    phases: z.array(phase),
    /** Why this mechanism is out of the question here, with the number that decides; null: it is not. */
    rejected: z.strictObject({ reason: z.string(), detail: z.string() }).nullable(),
  })
  .meta({ id: "MechanismEstimate" });
export type MechanismEstimate = z.infer<typeof mechanismEstimate>;

export const assumption = z.strictObject({
  field: z.string(),
  value: z.union([z.number(), z.string(), z.boolean(), z.null()]),
  why: z.string(),
});
export type Assumption = z.infer<typeof assumption>;

export const estimateAnswer = z
  .strictObject({
    estimates: z.array(mechanismEstimate),
    /** Null when every mechanism asked for is rejected. */
    recommended: z
      .strictObject({ mechanism, parameters: migrationParameters, reasons: z.array(z.string()) })
      .nullable(),
    assumptions: z.array(assumption),
    modelVersion: z.string(),
  })
  .meta({ id: "EstimateAnswer" });
export type EstimateAnswer = z.infer<typeof estimateAnswer>;

/** A number the models cannot work with: 422 with the field and the bound. */
export type InputProblem = { path: string; message: string };

/** Body of `POST /v1/estimates`: everything, or `vmId` and `toHostId` and whatever is to differ from what telemetry says. */
export const estimateBody = z
  .strictObject({
    vmId: vmUuid.optional(),
    toHostId: operatorId.optional(),
    hypervisor: hypervisor.optional(),
    driver: driverName.optional(),
    vm: estimateVm.partial().optional(),
    link: estimateLink.optional(),
    parameters: estimateParameters.optional(),
    mechanisms: z.array(mechanism).min(1).max(4).optional(),
    downtimeSloMs: z.number().positive().max(86_400_000).optional(),
  })
  .superRefine((body, context) => {
    const missing = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
    if (body.vmId !== undefined && body.toHostId === undefined) missing(["toHostId"], "needed with `vmId`");
    if (body.vmId === undefined && body.toHostId !== undefined) missing(["vmId"], "needed with `toHostId`");
    if (body.vmId === undefined && body.vm?.memoryBytes === undefined)
      missing(["vm", "memoryBytes"], "needed unless `vmId` and `toHostId` say which VM it is");
  })
  .meta({ id: "EstimateRequest" });
