// Hosts and VMs by the names that others give them.
import { and, asc, eq, inArray, or, sql } from "drizzle-orm";
import type { Db } from "./db.ts";
import { hosts, vms } from "./schema.ts";

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

    /** Those hosts of a cluster that have one of these ids, and those VMs that have one of these UUIDs or names. */
    among: async (cluster: string, hostIds: readonly string[], vmNames: readonly string[]) => {
      const oneOf = (list: readonly string[]) => sql`(SELECT value FROM json_each(${JSON.stringify(list)}))`;
      const [foundHosts, foundVms] = await db.batch([
        db
          .select({ hostId: hosts.id })
          .from(hosts)
          .where(and(eq(hosts.cluster, cluster), inArray(hosts.id, oneOf(hostIds)))),
        db
          .select({ uuid: vms.uuid, name: vms.name, hostId: vms.hostId })
          .from(vms)
          .where(
            and(eq(vms.cluster, cluster), or(inArray(vms.uuid, oneOf(vmNames)), inArray(vms.name, oneOf(vmNames)))),
          ),
      ]);
      return { hosts: new Set(foundHosts.map(({ hostId }) => hostId)), vms: foundVms };
    },

    /** Each name once. */
    all: async (limit: number): Promise<string[]> =>
      (await db.selectDistinct({ name: vms.name }).from(vms).orderBy(asc(vms.name)).limit(limit)).map(
        ({ name }) => name,
      ),
  };
}
