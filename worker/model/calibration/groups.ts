// Which outcomes say something of which estimate: the narrowest group first, each drawn towards the one after it.
import type { MechanismEstimate } from "../migration/types.ts";
import type { Hypervisor, Mechanism } from "../wire/common.ts";
import type { Regime } from "./types.ts";

/** Where an estimate or an outcome belongs; a null cluster is none in particular. */
export type Place = { cluster: string | null; hypervisor: Hypervisor; mechanism: Mechanism; regime: Regime };

/** From the widest to the narrowest: all clusters with that hypervisor, then the cluster itself. */
export function groupsOf({ cluster, hypervisor, mechanism, regime }: Place): string[] {
  const everywhere = ["*", hypervisor, mechanism, regime].join("/");
  return cluster === null ? [everywhere] : [everywhere, [cluster, hypervisor, mechanism, regime].join("/")];
}

/** Whether the models' median course converges. */
export function regimeOf({ converges }: Pick<MechanismEstimate, "converges">): Regime {
  return converges ? "convergent" : "not-convergent";
}
