// Hosts and VMs by the names that others give them.
import { and, asc, eq, inArray, or, sql } from "drizzle-orm";
import { z } from "zod";
import type { Db } from "./db.ts";
import { hosts, vms } from "./schema.ts";

const labelsSchema = z.record(z.string(), z.string());

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

    /** Labels of those of these hosts and VMs of a cluster that are known. */
    labels: async (
      cluster: string,
      hostIds: readonly string[],
      uuids: readonly string[],
    ): Promise<{ id: string; labels: Record<string, string> }[]> => {
      const oneOf = (list: readonly string[]) => sql`(SELECT value FROM json_each(${JSON.stringify(list)}))`;
      const labelsIn = (column: typeof hosts.inventory | typeof vms.inventory) =>
        sql<string>`COALESCE(json_extract(${column}, '$.labels'), '{}')`;
      const [foundHosts, foundVms] = await db.batch([
        db
          .select({ id: hosts.id, labels: labelsIn(hosts.inventory) })
          .from(hosts)
          .where(and(eq(hosts.cluster, cluster), inArray(hosts.id, oneOf(hostIds)))),
        db
          .select({ id: vms.uuid, labels: labelsIn(vms.inventory) })
          .from(vms)
          .where(and(eq(vms.cluster, cluster), inArray(vms.uuid, oneOf(uuids)))),
      ]);
      return [...foundHosts, ...foundVms].map(({ id, labels }) => ({
        id,
        labels: labelsSchema.parse(JSON.parse(labels)),
      }));
    },

    /** Each name once. */
    all: async (limit: number): Promise<string[]> =>
      (await db.selectDistinct({ name: vms.name }).from(vms).orderBy(asc(vms.name)).limit(limit)).map(
        ({ name }) => name,
      ),
  };
}
