// What a person may tell a running migration, judged the same way at the edge, by what was approved, and by the agent, by that and
// its local policy.
import type { Directive } from "../wire/command.ts";
import { isPreparedForPostCopy } from "./in-flight-rules.ts";
import type { SteeringTerms } from "./steering.ts";

/** Why the directive is not within the terms, with its numbers; null: it is. `whose` names the limits. */
export function objectionTo(directive: Directive, terms: SteeringTerms, whose: string): string | null {
  const { limits } = terms;
  switch (directive.set) {
    case "cancel":
      return null;
    case "downtime":
      return over("downtime-limit", directive.downtimeLimitMs, limits?.downtimeMsMax, "ms", whose);
    case "bandwidth":
      return over("max-bandwidth", directive.bytesPerSecond, limits?.bandwidthBytesPerSecondMax, "bytes/s", whose);
    case "start-post-copy":
      if (limits?.postCopyPermitted !== true) return `post-copy is not permitted by ${whose}`;
      if (isPreparedForPostCopy(terms)) return null;
      return "the hypervisors were not set up for post-copy: its mechanism is neither post-copy nor hybrid, and no parameter asks for it";
  }
}

function over(name: string, value: number, most: number | undefined, unit: string, whose: string): string | null {
  if (most !== undefined && value <= most) return null;
  return `${name} ${value} ${unit} is over the ${most ?? "unknown limit"}${most === undefined ? "" : ` ${unit}`} of ${whose}`;
}
