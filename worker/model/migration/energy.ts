// Energy of a migration, both hosts together, beyond not migrating.
import { ENERGY } from "./priors.ts";

/** Linear in what is sent (Liu et al., HPDC 2011); joules. */
export function energyJoules(bytes: number, factor: number): number {
  return (ENERGY.joulesPerMegabyte * (bytes / 1e6) + ENERGY.joulesFixed) * factor;
}
