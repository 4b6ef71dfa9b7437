// What a person sends to steer a running migration: the body of `POST /v1/migrations/{migrationId}/steer`.
import { z } from "zod";
import type { Directive } from "./command.ts";
import { bytesPerSecond } from "./common.ts";

const reason = z.string().min(1).max(500);

/** Absolute values: `downtime` in ms, `bandwidth` in bytes a second. */
export const steerBody = z
  .discriminatedUnion("set", [
    z.strictObject({ set: z.literal("downtime"), value: z.int().min(1).max(2_000_000), reason }),
    z.strictObject({ set: z.literal("bandwidth"), value: bytesPerSecond, reason }),
    z.strictObject({ set: z.literal("start-post-copy"), reason }),
    z.strictObject({ set: z.literal("cancel"), reason }),
  ])
  .meta({ id: "Steering" });
export type SteerBody = z.infer<typeof steerBody>;

export function directiveOf(body: SteerBody): Directive {
  switch (body.set) {
    case "downtime":
      return { set: "downtime", downtimeLimitMs: body.value };
    case "bandwidth":
      return { set: "bandwidth", bytesPerSecond: body.value };
    case "start-post-copy":
    case "cancel":
      return { set: body.set };
  }
}

/** A command on its way to the source's agent, whose answer comes into the timeline. */
export const sentDirective = z
  .strictObject({
    migrationId: z.string(),
    commandId: z.string(),
    /** Rises with every directive of its kind for this migration. */
    number: z.int(),
    /** Past this time the agent refuses it. */
    expiresAt: z.int(),
  })
  .meta({ id: "SentDirective" });
export type SentDirective = z.infer<typeof sentDirective>;
