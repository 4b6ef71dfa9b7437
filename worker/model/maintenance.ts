// Maintenance of a host: who is told of it, and when it is over.
import { z } from "zod";
import type { Maintenance } from "./cluster.ts";
import { timestampMs } from "./wire/common.ts";

/** Body of `POST /v1/hosts/{hostId}/maintenance`. `until` absent: until it is ended by hand. */
export const maintenanceRequest = z
  .strictObject({ until: timestampMs.optional(), reason: z.string().min(1).max(500) })
  .meta({ id: "MaintenanceRequest" });
export type MaintenanceRequest = z.infer<typeof maintenanceRequest>;

export const maintenance = z
  .strictObject({ since: timestampMs, until: timestampMs.optional(), reason: z.string() })
  .meta({ id: "Maintenance" });

/** As it is stored; all null: none. */
export type StoredMaintenance = {
  maintenanceSince: number | null;
  maintenanceUntil: number | null;
  maintenanceReason: string | null;
};

/** The maintenance that a host is in at `now`, null: in none. It is over at `until`. */
export function maintenanceAt(stored: StoredMaintenance, now: number): Maintenance | null {
  const { maintenanceSince: since, maintenanceUntil: until, maintenanceReason: reason } = stored;
  if (since === null || (until !== null && until <= now)) return null;
  return { since, ...(until === null ? {} : { until }), reason: reason ?? "" };
}
