// Which outcomes say something of which estimate.
import type { MechanismEstimate } from "../migration/types.ts";
import type { Hypervisor, Mechanism } from "../wire/common.ts";
import type { Regime } from "./types.ts";

/** One group each: bias and spread differ between mechanisms, and between what converges and what does not. */
export type Place = { cluster: string; hypervisor: Hypervisor; mechanism: Mechanism; regime: Regime };

/** `cluster/hypervisor/mechanism/regime`. */
export function groupOf({ cluster, hypervisor, mechanism, regime }: Place): string {
  return [cluster, hypervisor, mechanism, regime].join("/");
}

/** Whether the models' median course converges. */
export function regimeOf({ converges }: Pick<MechanismEstimate, "converges">): Regime {
  return converges ? "convergent" : "not-convergent";
}
