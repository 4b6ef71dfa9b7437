// The contract of `POST /v1/estimates` (DESIGN section 5), used inside for every estimate. Base units; what is unknown is
// absent and widens the interval.
import { z } from "zod";
import { byteCount, bytesPerSecond, driverName, hypervisor, mechanism, operatorId, vmUuid } from "../wire/common.ts";
import { migrationParameters } from "../wire/command.ts";
import { powerModel } from "../wire/inventory.ts";

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
  /** Dirtying while it is migrated, against what was measured before; learned from outcomes. */
  dirtyGrowthRatio: z.number().min(0.01).max(100).optional(),
  /** `migration-rounds`: taken from rounds of an earlier migration, in which pages written ahead of the scan do not count. */
  dirtyMethod: z.enum(["page-sampling", "dirty-bitmap", "dirty-ring", "migration-rounds"]).optional(),
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
        /** What is really allocated of it, at most `bytes`. */
        allocatedBytes: byteCount.optional(),
        /** Distinct bytes written per second. */
        dirtyBytesPerSecond: z.number().min(0).optional(),
        /** How the writes lie on the disk: parts of it, each with its own distinct bytes written per second. */
        writeClasses: z
          .array(z.strictObject({ bytes: byteCount, dirtyBytesPerSecond: z.number().min(0) }))
          .max(64)
          .optional(),
        shared: z.boolean().optional(),
      }),
    )
    .max(64)
    .optional(),
  /** Memory that the guest does not use and a balloon could take before the migration. */
  freeBytes: byteCount.optional(),
  blockers: z.array(z.string().min(1).max(128)).max(32).optional(),
});

export const estimateLink = z.strictObject({
  /** Payload rate free for migration, before division by `concurrentMigrations` + 1. */
  bytesPerSecond,
  rttMs: z.number().min(0).max(60_000).optional(),
  /** Others running on it besides this one. */
  concurrentMigrations: z.int().min(0).max(1000).optional(),
  /** How often it breaks for longer than a TCP connection lives. */
  failuresPerYear: z.number().min(0).max(1e6).optional(),
  /** Share of packets lost in the last window. */
  lossRatio: z.number().min(0).max(1).optional(),
});

/** Every parameter may be left out: the driver's default is used, and said so in `assumptions`. */
export const estimateParameters = migrationParameters.partial().extend({
  /** QEMU's `max-postcopy-bandwidth`; null: no limit but the link. */
  maxPostCopyBandwidthBytesPerSecond: bytesPerSecond.nullable().optional(),
  xbzrleCacheBytes: z.int().min(4096).max(1e15).optional(),
  /** QEMU's `compress` capability, which 9.1 took out: sender threads with zlib; 0: off. */
  compressThreads: z.int().min(0).max(255).optional(),
});

/** One side of a migration, for its energy and for what post-copy risks. */
export const estimateHost = z.strictObject({
  cores: z.int().min(1).max(65_536).optional(),
  cpuUsedCores: z.number().min(0).max(65_536).optional(),
  power: powerModel.optional(),
  /** How often it fails so that its VMs are lost. */
  failuresPerYear: z.number().min(0).max(1e6).optional(),
});

/** What is expected of a stretch of time to come: factors on the dirtying and on the free link rate of now. */
export const estimateWindow = z.strictObject({
  startsInMs: z.number().min(0).max(604_800_000),
  durationMs: z.number().positive().max(604_800_000),
  dirtyRatio: z.number().min(0).max(1000).default(1),
  linkRatio: z.number().positive().max(1000).default(1),
});
export type EstimateWindow = z.output<typeof estimateWindow>;

/** What both bodies and inputs may say besides VM, link and parameters. */
const circumstances = {
  /** As the hypervisor says it, `7.2.22`: counters and limits differ between versions. */
  hypervisorVersion: z.string().max(64).optional(),
  /** What runs the guest's code: `tcg` emulates it, where logging dirty pages and making memory cost more. */
  accelerator: z.enum(["kvm", "tcg"]).optional(),
  /**
   * Who continues the VM at the destination: the hypervisor as soon as the last page is in, or agents after their proof that
   * the source has stopped.
   */
  resumedBy: z.enum(["hypervisor", "agents"]).optional(),
  hosts: z.strictObject({ source: estimateHost.optional(), destination: estimateHost.optional() }).optional(),
  postCopy: z
    .strictObject({
      /** How missing pages reach the destination besides being asked for. QEMU does `pre-paging`: the push goes on from each fault. */
      paging: z.enum(["demand-paging", "active-push", "pre-paging"]).optional(),
      /** Dynamic self-ballooning: `vm.freeBytes` are given back before and not sent. */
      selfBallooning: z.boolean().optional(),
    })
    .optional(),
  /** Local disks: the order in which chunks are copied, and whether before the switch-over or after it. */
  storage: z
    .strictObject({
      mode: z.enum(["pre-copy", "post-copy"]).optional(),
      order: z.enum(["sequential", "cold-first"]).optional(),
    })
    .optional(),
  /** `required`: whatever fails, the VM must survive at the source; post-copy and hybrid are out. */
  recoverability: z.enum(["required", "preferred"]).optional(),
  /** What is expected of the time to come: a window in which the migration is cheaper is then recommended. */
  forecast: z.array(estimateWindow).max(96).optional(),
  /** Adds what the classic closed forms say of pre-copy, for comparison. */
  compare: z.boolean().optional(),
};

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
  ...circumstances,
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
    /** Of the pages that the guest uses within ten seconds of its own, those that it had to wait for. */
    remoteFaultRatio: quantity,
    /** How far the guest is behind, for missing pages, when all have come. */
    stallMs: quantity,
    lostVcpuSeconds: quantity,
    energyJoules: quantity,
    /** The median course. */
    rounds: z.array(z.strictObject({ bytes: z.number(), durationMs: z.number() })),
    phases: z.array(phase),
    /** What a failure within the phases that nothing survives would lose, and how probable it is; null: there is no such phase. */
    risk: z.strictObject({ failureProbability: z.number().min(0).max(1), lost: z.string() }).nullable(),
    /** Local disks: bytes copied again because they were written meanwhile, in the order used and in sequential order. */
    storage: z.strictObject({ extraBytes: quantity, sequentialExtraBytes: quantity }).nullable(),
    /** The outcomes that these figures were corrected by, and what the models alone say; null: no outcomes yet. */
    calibration: z
      .strictObject({
        group: z.string(),
        samples: z.int(),
        /** The growth of dirtying that the models were told. */
        dirtyGrowthRatio: z.number(),
        uncorrected: z.strictObject({
          totalMs: quantity.nullable(),
          downtimeMs: quantity.nullable(),
          transferredBytes: quantity.nullable(),
          lostVcpuSeconds: quantity.nullable(),
        }),
      })
      .nullable(),
    /** Why this mechanism is out of the question here, with the number that decides; null: it is not. */
    rejected: z.strictObject({ reason: z.string(), detail: z.string() }).nullable(),
  })
  .meta({ id: "MechanismEstimate" });
export type MechanismEstimate = z.infer<typeof mechanismEstimate>;

/** Of an estimate, what decides between mechanisms. */
export type Figures = Pick<
  MechanismEstimate,
  | "mechanism"
  | "converges"
  | "convergenceProbability"
  | "stopRule"
  | "preparationMs"
  | "downtimeMs"
  | "resumeMs"
  | "totalMs"
  | "transferredBytes"
  | "lostVcpuSeconds"
  | "rounds"
  | "risk"
>;
export type Rejected = Pick<MechanismEstimate, "rejected">;

export const assumption = z.strictObject({
  field: z.string(),
  value: z.union([z.number(), z.string(), z.boolean(), z.null()]),
  why: z.string(),
});
export type Assumption = z.infer<typeof assumption>;

/** The same migration in the words of the hypervisor: in order, on either side. */
export const hypervisorCommands = z.strictObject({
  qmp: z.array(
    z.strictObject({
      side: z.enum(["source", "destination"]),
      execute: z.string(),
      arguments: z.record(z.string(), z.unknown()).optional(),
    }),
  ),
  virsh: z.array(z.string()),
});
export type HypervisorCommands = z.infer<typeof hypervisorCommands>;

/** What a closed form from the literature says of the same pre-copy; `totalMs` and `transferredBytes` null: it does not converge. */
export const comparison = z.strictObject({
  model: z.enum(["geometric", "akoush-lower", "akoush-upper", "working-set-capped", "naive"]),
  source: z.string(),
  rounds: z.int().nullable(),
  totalMs: z.number().nullable(),
  downtimeMs: z.number().nullable(),
  transferredBytes: z.number().nullable(),
});
export type Comparison = z.infer<typeof comparison>;

export const estimateAnswer = z
  .strictObject({
    estimates: z.array(mechanismEstimate),
    /** Null when every mechanism asked for is rejected. */
    recommended: z
      .strictObject({
        mechanism,
        parameters: migrationParameters,
        commands: hypervisorCommands,
        reasons: z.array(z.string()),
      })
      .nullable(),
    /** A window of the forecast in which the recommended mechanism does so much less harm that waiting pays; null: now. */
    wait: z
      .strictObject({
        startsInMs: z.number(),
        downtimeMs: quantity.nullable(),
        totalMs: quantity,
        transferredBytes: quantity,
        reason: z.string(),
      })
      .nullable(),
    /** Present where `compare` asked for it. */
    comparisons: z.array(comparison).optional(),
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
    /** Without `vmId`: whose earlier outcomes correct the answer; with it, the VM's own cluster's do. */
    cluster: operatorId.optional(),
    hypervisor: hypervisor.optional(),
    driver: driverName.optional(),
    vm: estimateVm.partial().optional(),
    link: estimateLink.optional(),
    parameters: estimateParameters.optional(),
    mechanisms: z.array(mechanism).min(1).max(4).optional(),
    downtimeSloMs: z.number().positive().max(86_400_000).optional(),
    ...circumstances,
  })
  .superRefine((body, context) => {
    const missing = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
    if (body.vmId !== undefined && body.toHostId === undefined) missing(["toHostId"], "needed with `vmId`");
    if (body.vmId === undefined && body.toHostId !== undefined) missing(["vmId"], "needed with `toHostId`");
    if (body.vmId === undefined && body.vm?.memoryBytes === undefined)
      missing(["vm", "memoryBytes"], "needed unless `vmId` and `toHostId` say which VM it is");
  })
  .meta({ id: "EstimateRequest" });
