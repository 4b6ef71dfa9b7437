// Packed samples and what is known of a host right now. A packed BLOB crosses into D1 and out of it as hex: D1 would
// otherwise move it as a JSON array of numbers.
import { and, asc, between, eq, inArray, sql } from "drizzle-orm";
import { type BatchRing, batchRing } from "../model/telemetry/batch-ring.ts";
import { fromHex, toHex } from "../model/telemetry/bytes.ts";
import { chunkId, chunkIdRange } from "../model/telemetry/chunk-id.ts";
import { type Frame, readColumns } from "../model/telemetry/chunk.ts";
import { type Latest, latestSchema, NOTHING_KNOWN } from "../model/telemetry/latest.ts";
import type { Append, StoredPart } from "../model/telemetry/parts.ts";
import type { VmState } from "../model/wire/inventory.ts";
import { type Db, failedGuard } from "./db.ts";
import { chunks, hosts, hostState, placements } from "./schema.ts";

export type Hours = { fromHour: number; toHour: number };

/** What a write of telemetry starts from. `version` guards it; 0: nothing was ever written of this host. */
export type HostTelemetry = {
  number: number;
  cluster: string;
  version: number;
  latest: Latest;
  batches: BatchRing;
  parts: StoredPart[];
};

export type TelemetryWrite = {
  hostNumber: number;
  /** As it was read: where it is another by now, nothing is written. */
  version: number;
  appends: Append[];
  latest: Latest;
  batches: BatchRing;
  /** Run states that came with the samples, and when; null: none came. */
  heard: { at: number; vmStates: Record<string, VmState> } | null;
};

export type LatestOfHost = { hostId: string; cluster: string; heardAt: number | null; latest: Latest };

/** Where a VM was, from when until when by Drover's clock; `toAt` null: still there. Oldest first. */
export type Placement = { hostNumber: number; hostId: string; fromAt: number; toAt: number | null };

/** Chunks are read in portions of about this many bytes: as hex they take twice that, and an isolate has 128 MB. */
const READ_BYTES = 4_000_000;
/** D1 binds 100 parameters. */
const READ_ROWS_MAX = 90;

/** Ids of consecutive hosts are this far apart. */
const HOST_STRIDE = chunkId({ hostNumber: 1, tier: "raw", hour: 0, part: 0 });

const latestOf = (json: string | null): Latest =>
  json === null ? NOTHING_KNOWN : latestSchema.parse(JSON.parse(json));

export function telemetryStore(db: Db) {
  return {
    /** What is known of a host, and the raw chunks of those hours, in one consistent read. null: there is no such host. */
    read: (hostId: string, hours: Hours | null) => readHost(db, hostId, hours),

    /** All of it or nothing. False: another write was quicker, read again. */
    append: (write: TelemetryWrite) => append(db, write),

    /** The wanted raw columns of a host, hour by hour, in the order in which they were appended. */
    columns: (hostNumber: number, hours: Hours, wanted: (entity: string, metric: string) => boolean) =>
      columns(db, hostNumber, hours, wanted),

    placements: async (cluster: string, uuid: string): Promise<Placement[]> =>
      db
        .select({
          hostNumber: hosts.number,
          hostId: hosts.id,
          fromAt: placements.fromAt,
          toAt: placements.toAt,
        })
        .from(placements)
        .innerJoin(hosts, eq(hosts.id, placements.hostId))
        .where(and(eq(placements.cluster, cluster), eq(placements.uuid, uuid)))
        .orderBy(asc(placements.fromAt)),

    /** Latest values of hosts by id. */
    latest: async (filter: {
      hostId: string | null;
      cluster: string | null;
      after: string | null;
      limit: number;
    }): Promise<LatestOfHost[]> => {
      const rows = await db
        .select({ hostId: hosts.id, cluster: hosts.cluster, heardAt: hostState.heardAt, latest: hostState.latest })
        .from(hosts)
        .leftJoin(hostState, eq(hostState.hostNumber, hosts.number))
        .where(
          and(
            filter.hostId === null ? undefined : eq(hosts.id, filter.hostId),
            filter.cluster === null ? undefined : eq(hosts.cluster, filter.cluster),
            filter.after === null ? undefined : sql`${hosts.id} > ${filter.after}`,
          ),
        )
        .orderBy(asc(hosts.id))
        .limit(filter.limit);
      return rows.map((row) => ({ ...row, latest: latestOf(row.latest) }));
    },
  };
}

async function readHost(db: Db, hostId: string, hours: Hours | null): Promise<HostTelemetry | null> {
  // Host numbers start at 1: the range of host 0 is shifted by the host's number inside the query.
  const range = hours === null ? { first: 0, last: -1 } : chunkIdRange(0, "raw", hours.fromHour, hours.toHour);
  const shifted = (id: number) => sql`${hosts.number} * ${HOST_STRIDE} + ${id}`;
  const [rows, parts] = await db.batch([
    db
      .select({
        number: hosts.number,
        cluster: hosts.cluster,
        version: hostState.version,
        latest: hostState.latest,
        batches: hostState.batches,
      })
      .from(hosts)
      .leftJoin(hostState, eq(hostState.hostNumber, hosts.number))
      .where(eq(hosts.id, hostId)),
    db
      .select({ id: chunks.id, bytes: sql<number>`length(${chunks.data})` })
      .from(hosts)
      .innerJoin(chunks, between(chunks.id, shifted(range.first), shifted(range.last)))
      .where(eq(hosts.id, hostId)),
  ]);
  const row = rows[0];
  if (row === undefined) return null;
  return {
    number: row.number,
    cluster: row.cluster,
    version: row.version ?? 0,
    latest: latestOf(row.latest),
    batches: row.batches === null ? [] : batchRing.parse(JSON.parse(row.batches)),
    parts,
  };
}

async function append(db: Db, write: TelemetryWrite): Promise<boolean> {
  const { hostNumber, version, heard } = write;
  const known = { latest: JSON.stringify(write.latest), batches: JSON.stringify(write.batches) };
  const life = heard && { heardAt: heard.at, vmStates: JSON.stringify(heard.vmStates), vmStatesAt: heard.at };
  const guarded = db
    .insert(hostState)
    // 0: by samples alone a host is not heard.
    .values({ hostNumber, version: version + 1, heardAt: 0, ...known, ...life })
    .onConflictDoUpdate({
      target: hostState.hostNumber,
      // NULL in a NOT NULL column fails the statement, and with it the whole batch.
      set: { version: sql`CASE WHEN ${hostState.version} = ${version} THEN ${version + 1} END`, ...known, ...life },
    });
  const appends = write.appends.map(({ id, data }) =>
    db
      .insert(chunks)
      .values({ id, data: sql`unhex(${toHex(data)})` })
      .onConflictDoUpdate({
        target: chunks.id,
        set: { data: sql`CAST(${chunks.data} || excluded.data AS BLOB)` },
      }),
  );
  try {
    await db.batch([guarded, ...appends]);
    return true;
  } catch (error) {
    if (failedGuard(error) === "host_state.version") return false;
    throw error;
  }
}

async function columns(
  db: Db,
  hostNumber: number,
  hours: Hours,
  wanted: (entity: string, metric: string) => boolean,
): Promise<Frame[]> {
  const { first, last } = chunkIdRange(hostNumber, "raw", hours.fromHour, hours.toHour);
  const stored = await db
    .select({ id: chunks.id, bytes: sql<number>`length(${chunks.data})` })
    .from(chunks)
    .where(between(chunks.id, first, last))
    .orderBy(asc(chunks.id));
  const frames: Frame[] = [];
  for (const ids of portions(stored)) {
    const rows = await db
      .select({ hex: sql<string>`hex(${chunks.data})` })
      .from(chunks)
      .where(inArray(chunks.id, ids))
      .orderBy(asc(chunks.id));
    for (const { hex } of rows)
      frames.push(...readColumns(fromHex(hex), wanted).filter((frame) => frame.columns.length > 0));
  }
  return frames;
}

/** Ids in their order, in portions that are read at a time. */
function portions(stored: readonly StoredPart[]): number[][] {
  const all: number[][] = [];
  let room = 0;
  for (const { id, bytes } of stored) {
    const open = all.at(-1);
    if (open === undefined || bytes > room || open.length === READ_ROWS_MAX) {
      all.push([id]);
      room = READ_BYTES - bytes;
    } else {
      open.push(id);
      room -= bytes;
    }
  }
  return all;
}
