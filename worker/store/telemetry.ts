// What a host's telemetry is written to: its state and its open chunks, together or not at all.
import { and, asc, between, eq, gt, inArray, sql, type SQL } from "drizzle-orm";
import type { AnySQLiteColumn } from "drizzle-orm/sqlite-core";
import { z } from "zod";
import type { StoredPart } from "../model/telemetry/append.ts";
import { parseRing } from "../model/telemetry/batch-ring.ts";
import type { HostTelemetry, HostWrite } from "../model/telemetry/stored.ts";
import { chunkId } from "../model/telemetry/chunk-id.ts";
import { curvesSchema, type Known, NOTHING_KNOWN, parseReadings } from "../model/telemetry/known.ts";
import { NO_COUNTERS, parseCounterState } from "../model/telemetry/foreign/counter-state.ts";
import { type Summary, summarySchema } from "../model/telemetry/summary.ts";
import type { CommandRecord } from "../model/run.ts";
import { createHostCache } from "./host-cache.ts";
import { createLayoutCache } from "./layout-cache.ts";
import { type Db, failedGuard } from "./db.ts";
import { type CommandsOf, compileWrite } from "./host-writes.ts";
import { chunks, hosts, hostState, hostSummaries, placements, vms } from "./schema.ts";

export type SummaryOfHost = { hostId: string; cluster: string; summarizedAt: number | null; summary: Summary | null };

/** Which state of a host is stored now. */
export type HostVersion = {
  hostId: string;
  number: number;
  cluster: string;
  heardAt: number | null;
  version: number | null;
};

export type KnownOfHost = { number: number; heardAt: number; version: number; known: Known };

/** Which hosts; `after`: those whose ids follow it. */
export type HostFilter = { hostId: string | null; cluster: string | null; after: string | null; limit: number };

const isAmong = ({ hostId, cluster, after }: HostFilter): SQL | undefined =>
  and(
    hostId === null ? undefined : eq(hosts.id, hostId),
    cluster === null ? undefined : eq(hosts.cluster, cluster),
    after === null ? undefined : gt(hosts.id, after),
  );

/** D1 binds 100 parameters. */
const BOUND_MAX = 90;

const tailsSchema = z.array(
  z.strictObject({
    id: z.int(),
    revision: z.int(),
    size: z.int(),
    head: z.string().nullable(),
    live: z.string().nullable(),
  }),
);
const hoursSchema = z.array(z.int());

export type StateColumns = { layout: string | null; latest: string | null; curves: string | null };

/** Layouts hardly ever change: who reads all of them does not parse them each time. */
const layouts = createLayoutCache();

/** What the columns of a host's state say. */
export function knownOf({ layout, latest, curves }: StateColumns): Known {
  if (layout === null || latest === null) return NOTHING_KNOWN;
  const series = layouts.get(layout);
  return {
    series,
    ...parseReadings(Uint8Array.fromBase64(latest), series.length),
    curves: curves === null ? new Map() : new Map(Object.entries(curvesSchema.parse(JSON.parse(curves)))),
  };
}

export const stateColumns = { layout: hostState.layout, latest: hostState.latest, curves: hostState.curves };

export function telemetryStore(db: Db) {
  const write = compileWrite(db);
  const cache = createHostCache();
  return {
    /** What is known of hosts, those that do not exist left out; what this isolate remembers may be out of date. */
    hosts: async (hostIds: readonly string[]): Promise<HostTelemetry[]> => {
      const remembered = hostIds.map((hostId) => cache.get(hostId)).filter((host) => host !== undefined);
      if (remembered.length === hostIds.length) return remembered;
      const known = new Set(remembered.map(({ hostId }) => hostId));
      return [
        ...remembered,
        ...(await readHosts(
          db,
          hostIds.filter((hostId) => !known.has(hostId)),
        )),
      ];
    },
    remember: cache.set,
    forget: cache.drop,

    /** The last parts of a host's raw chunks of some hours. */
    parts: async (hostNumber: number, hours: readonly number[]): Promise<StoredPart[]> => {
      const first = chunkId({ hostNumber, tier: "raw", hour: Math.min(...hours), part: 0 });
      const last = chunkId({ hostNumber, tier: "raw", hour: Math.max(...hours) + 1, part: 0 });
      const length = (column: AnySQLiteColumn): SQL => sql`coalesce(length(${column}), 0)`;
      return db
        .select({
          id: chunks.id,
          revision: chunks.revision,
          size: sql<number>`${length(chunks.head)} + ${length(chunks.live)} + coalesce(length(${chunks.packed}), 0)`,
        })
        .from(chunks)
        .where(between(chunks.id, first, last - 1));
    },

    /**
     * All of it or nothing, and what the hosts' agents have not answered yet, for those that `commandsOf` names. "version":
     * another write to one of the hosts was quicker, "revision": a chunk has changed; read again.
     */
    append: async (
      writes: readonly HostWrite[],
      commandsOf: CommandsOf | null,
    ): Promise<{ commands: CommandRecord[] } | "version" | "revision"> => {
      try {
        return { commands: await write(writes, commandsOf) };
      } catch (error) {
        const guard = failedGuard(error);
        if (guard === "host_state.version") return "version";
        if (guard === "chunks.revision") return "revision";
        throw error;
      }
    },

    /** All hosts, by id. */
    hostNames: (cluster: string | null): Promise<{ hostId: string; number: number; cluster: string }[]> =>
      db
        .select({ hostId: hosts.id, number: hosts.number, cluster: hosts.cluster })
        .from(hosts)
        .where(cluster === null ? undefined : eq(hosts.cluster, cluster))
        .orderBy(asc(hosts.id)),

    /** VMs (null: all) by cluster and uuid, and all their placements, oldest first. */
    vmPlaces: (cluster: string | null, uuids: readonly string[] | null) => {
      const isWanted = (table: typeof vms | typeof placements): SQL | undefined =>
        and(
          cluster === null ? undefined : eq(table.cluster, cluster),
          uuids === null ? undefined : sql`${table.uuid} IN (SELECT value FROM json_each(${JSON.stringify(uuids)}))`,
        );
      return db.batch([
        db
          .select({ cluster: vms.cluster, uuid: vms.uuid, hostId: vms.hostId })
          .from(vms)
          .where(isWanted(vms))
          .orderBy(asc(vms.cluster), asc(vms.uuid)),
        db
          .select({
            cluster: placements.cluster,
            uuid: placements.uuid,
            hostNumber: hosts.number,
            fromAt: placements.fromAt,
          })
          .from(placements)
          .innerJoin(hosts, eq(hosts.id, placements.hostId))
          .where(isWanted(placements))
          .orderBy(asc(placements.fromAt)),
      ]);
    },

    /** Hosts by id, and the versions of their states; a version of null: nothing was heard of it yet. */
    versions: (filter: HostFilter): Promise<HostVersion[]> =>
      db
        .select({
          hostId: hosts.id,
          number: hosts.number,
          cluster: hosts.cluster,
          heardAt: hostState.heardAt,
          version: hostState.version,
        })
        .from(hosts)
        .leftJoin(hostState, eq(hostState.hostNumber, hosts.number))
        .where(isAmong(filter))
        .orderBy(asc(hosts.id))
        .limit(filter.limit),

    /** Latest values of these hosts, in any order, those left out of which nothing was heard yet. */
    latest: async (numbers: readonly number[]): Promise<KnownOfHost[]> => {
      const rows = await db
        .select({
          number: hostState.hostNumber,
          heardAt: hostState.heardAt,
          version: hostState.version,
          ...stateColumns,
        })
        .from(hostState)
        .where(sql`${hostState.hostNumber} IN (SELECT value FROM json_each(${JSON.stringify(numbers)}))`);
      return rows.map(({ number, heardAt, version, ...state }) => ({
        number,
        heardAt,
        version,
        known: knownOf(state),
      }));
    },

    /** Summaries of hosts by id; null: no hour of it was closed yet. */
    summaries: async (filter: HostFilter): Promise<SummaryOfHost[]> => {
      const rows = await db
        .select({
          hostId: hosts.id,
          cluster: hosts.cluster,
          summarizedAt: hostSummaries.summarizedAt,
          summary: hostSummaries.summary,
        })
        .from(hosts)
        .leftJoin(hostSummaries, eq(hostSummaries.hostNumber, hosts.number))
        .where(isAmong(filter))
        .orderBy(asc(hosts.id))
        .limit(filter.limit);
      return rows.map(({ summary, ...row }) => ({
        ...row,
        summary: summary === null ? null : summarySchema.parse(JSON.parse(summary)),
      }));
    },
  };
}

async function readHosts(db: Db, hostIds: readonly string[]): Promise<HostTelemetry[]> {
  const found: HostTelemetry[] = [];
  for (let start = 0; start < hostIds.length; start += BOUND_MAX) {
    const rows = await db
      .select({
        hostId: hosts.id,
        number: hosts.number,
        cluster: hosts.cluster,
        version: hostState.version,
        tails: hostState.tails,
        lateHours: hostState.lateHours,
        counters: hostState.counters,
        batches: hostState.batches,
        ...stateColumns,
      })
      .from(hosts)
      .leftJoin(hostState, eq(hostState.hostNumber, hosts.number))
      .where(inArray(hosts.id, hostIds.slice(start, start + BOUND_MAX)));
    for (const { hostId, number, cluster, version, tails, lateHours, counters, batches, ...state } of rows)
      found.push({
        hostId,
        number,
        cluster,
        version: version ?? 0,
        known: knownOf(state),
        ring: parseRing(batches),
        tails: tails === null ? [] : tailsSchema.parse(JSON.parse(tails)),
        lateHours: lateHours === null ? [] : hoursSchema.parse(JSON.parse(lateHours)),
        counters: counters === null ? NO_COUNTERS : parseCounterState(counters),
        arrivals: [],
        spare: { room: null },
      });
  }
  return found;
}
