// Body of `POST /v1/telemetry` (DESIGN section 4). Only the frame of the body is checked here: a malformed series is
// refused one by one by the telemetry service, with its reason, and the rest is kept.
import { z } from "zod";
import { operatorId, timestampMs, vmUuid } from "./common.ts";
import { vmState } from "./inventory.ts";

/** Members are looked at one by one later; a schema for each of thousands would cost more than storing them. */
const members = (description: string) => z.looseObject({}).meta({ description });

export const telemetryBatch = z
  .strictObject({
    host: operatorId,
    /** Unique a host; the same id with the same content is answered the same, with another content it is a conflict. */
    batch: z.string().min(1).max(64),
    times: z.array(timestampMs).min(1).max(5760),
    host_series: members("By metric: one number or null for each of times").optional(),
    vm_series: members("By VM's UUID and metric: one number or null for each of times").optional(),
    vm_dirty_curves: z.record(z.string(), z.unknown()).optional(),
    /** Which VMs run, so that telemetry can stand in for a heartbeat. */
    vm_states: z.record(vmUuid, vmState).optional(),
  })
  .meta({ id: "TelemetryBatch" });
export type TelemetryBatch = z.infer<typeof telemetryBatch>;

/** Distinct bytes dirtied in windows of rising length, `points` as [windowMs, bytes]. */
export const dirtyCurveReport = z.strictObject({
  at: timestampMs,
  method: z.enum(["page-sampling", "dirty-bitmap", "dirty-ring", "simulated"]),
  resolution_bytes: z.number().positive().optional(),
  points: z
    .array(z.tuple([z.number().positive(), z.number().min(0)]))
    .min(1)
    .max(64),
});
export type DirtyCurveReport = z.infer<typeof dirtyCurveReport>;
