// What people direct at a migration that copies here, once it was judged to be within the limits.
import type { Steering } from "../../worker/model/migration/steering.ts";
import type { Directive, SteerCommand } from "../../worker/model/wire/command.ts";
import type { Parts } from "./parts.ts";
import { presentSource, type SourceRun } from "./runs.ts";
import { act, elapsedOf } from "./steer.ts";
import type { Watch } from "./watch.ts";

function toSteering(directive: Exclude<Directive, { set: "cancel" }>, reason: string): Steering {
  switch (directive.set) {
    case "downtime":
      return { action: "set-downtime", downtimeLimitMs: directive.downtimeLimitMs, reason };
    case "bandwidth":
      return { action: "set-bandwidth", bytesPerSecond: directive.bytesPerSecond, reason };
    case "start-post-copy":
      return { action: "start-post-copy", reason };
  }
}

export type Problem = { reason: string; detail: string };

/** Null: it was done and told; else why not, for the answer. */
export async function obey(
  parts: Parts,
  run: SourceRun,
  watch: Watch,
  { id, reason }: Pick<SteerCommand, "id" | "reason">,
  directive: Exclude<Directive, { set: "cancel" }>,
): Promise<Problem | null> {
  const steering = toSteering(directive, reason);
  const asked = { by: "command", nowMs: elapsedOf(parts, run, watch), commandId: id } as const;
  const problem = await watch.alone(() => act(parts, presentSource(parts.runs, run), watch, steering, asked));
  return problem === null ? null : { reason: "driver", detail: problem };
}
