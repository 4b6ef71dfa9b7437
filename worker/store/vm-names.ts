// VMs by the names that people give them.
import { asc, eq, or } from "drizzle-orm";
import type { Db } from "./db.ts";
import { vms } from "./schema.ts";

export type NamedVm = { uuid: string; name: string; cluster: string; hostId: string | null };

export function vmNameStore(db: Db) {
  return {
    /** VMs of this uuid or name, in any cluster. */
    find: async (named: string, limit: number): Promise<NamedVm[]> =>
      db
        .select({ uuid: vms.uuid, name: vms.name, cluster: vms.cluster, hostId: vms.hostId })
        .from(vms)
        .where(or(eq(vms.uuid, named), eq(vms.name, named)))
        .orderBy(asc(vms.cluster), asc(vms.uuid))
        .limit(limit),

    /** Each name once. */
    all: async (limit: number): Promise<string[]> =>
      (await db.selectDistinct({ name: vms.name }).from(vms).orderBy(asc(vms.name)).limit(limit)).map(
        ({ name }) => name,
      ),
  };
}
