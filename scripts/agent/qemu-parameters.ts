// What QEMU can and cannot do with Drover's migration parameters, whoever drives it.
import { isPreparedForPostCopy } from "../../worker/model/migration/in-flight-rules.ts";
import type { MigrationSpec } from "./driver.ts";

/** Combinations that QEMU takes and should not, each with what to change. */
export function parameterReasons(spec: MigrationSpec): string[] {
  const { multifdChannels, compression } = spec.parameters;
  const reasons: string[] = [];
  // 7.2 accepts both and, once post-copy is through, the destination dies of a failed assertion in yank.c, and the guest with it.
  if (multifdChannels > 0 && isPreparedForPostCopy(spec))
    reasons.push(
      `multifdChannels is ${multifdChannels} and the migration may become post-copy, in which QEMU ends the destination: set multifdChannels to 0, or permit no post-copy`,
    );
  if (compression !== "none" && multifdChannels === 0)
    reasons.push(`compression ${compression} needs multifdChannels of at least 1, and it is 0`);
  return reasons;
}
