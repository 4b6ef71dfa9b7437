// Reading chunks, and writing what Cron makes of them. BLOBs cross as hex: D1 moves them as arrays of numbers otherwise.
import { and, asc, eq, gt, ne, sql, type SQL } from "drizzle-orm";
import { alias } from "drizzle-orm/sqlite-core";
import { chunkId, HOST_STRIDE, type Tier } from "../model/telemetry/chunk-id.ts";
import type {
  ChunkStart,
  HostClosing,
  IdRange,
  LiveParts,
  Piece,
  PieceWanted,
  SummaryInput,
} from "../model/telemetry/stored.ts";
import type { StoredChunk } from "../model/telemetry/stored-chunk.ts";
import { type Db, failedGuard } from "./db.ts";
import { chunks, hosts, hostState, hostSummaries, placements, vms } from "./schema.ts";

const formerHosts = alias(hosts, "former_hosts");

/** What is no base64 becomes bytes that are no frame, so that who reads them says that they are harmed. */
function fromBase64(text: string | null): Uint8Array | null {
  try {
    return text === null ? null : Uint8Array.fromBase64(text);
  } catch {
    return new Uint8Array(1);
  }
}

/** The base of a tier's hour: a host's own chunks are `HOST_STRIDE` times its number above it. */
const baseOf = (tier: Tier, hour: number): number => chunkId({ hostNumber: 0, tier, hour, part: 0 });

/** Range by range, as CROSS JOIN has it, and without sorting: SQLite would scan all chunks, or read all ranges before a limit. */
const inRanges = (ranges: readonly IdRange[]): SQL =>
  sql`json_each(${JSON.stringify(ranges.map(({ first, last }) => [first, last]))}) r
    CROSS JOIN ${chunks} c ON c.id BETWEEN r.value ->> 0 AND r.value ->> 1`;

export function chunkStore(db: Db) {
  return {
    /** Whole chunks, by id. */
    whole: async (ranges: readonly IdRange[]): Promise<StoredChunk[]> => {
      if (ranges.length === 0) return [];
      const rows = await db.all<{
        id: number;
        revision: number;
        head: string | null;
        live: string | null;
        packed: string | null;
      }>(sql`SELECT c.id, c.revision, c.head, c.live, CASE WHEN c.packed IS NOT NULL THEN hex(c.packed) END AS packed
        FROM ${inRanges(ranges)}`);
      return rows
        .map(({ id, revision, head, live, packed }) => ({
          id,
          revision,
          head: fromBase64(head),
          live: fromBase64(live),
          packed: packed === null ? null : Uint8Array.fromHex(packed),
        }))
        .sort((a, b) => a.id - b.id);
    },

    /** Chunks without what is packed in them, at most `limit` (-1: all), in the order of the ranges and in them by id. */
    starts: async (ranges: readonly IdRange[], parts: LiveParts, limit: number): Promise<ChunkStart[]> => {
      const column = (isWanted: boolean, name: string): SQL => sql.raw(isWanted ? `c.${name}` : "NULL");
      const rows = await db.all<{
        id: number;
        revision: number;
        head: string | null;
        live: string | null;
        length: number | null;
      }>(sql`SELECT c.id, c.revision, ${column(parts.head, "head")} AS head, ${column(parts.live, "live")} AS live,
        length(c.packed) AS length
        FROM ${inRanges(ranges)} LIMIT ${limit}`);
      return rows.map(({ id, revision, head, live, length }) => ({
        id,
        revision,
        head: fromBase64(head),
        live: fromBase64(live),
        packedBytes: length,
      }));
    },

    /** Pieces of packed chunks; those of chunks that have another revision by now are left out. */
    pieces: async (wanted: readonly PieceWanted[]): Promise<Piece[]> => {
      if (wanted.length === 0) return [];
      const asked = JSON.stringify(wanted.map(({ id, revision, offset, length }) => [id, revision, offset, length]));
      const rows = await db.all<{ id: number; offset: number; bytes: string }>(
        sql`SELECT c.id, r.value ->> 2 AS offset, hex(substr(c.packed, (r.value ->> 2) + 1, r.value ->> 3)) AS bytes
          FROM json_each(${asked}) r JOIN ${chunks} c ON c.id = r.value ->> 0 AND c.revision = r.value ->> 1`,
      );
      return rows.map(({ id, offset, bytes }) => ({ id, offset, bytes: Uint8Array.fromHex(bytes) }));
    },

    /** Hosts, from the one after `afterNumber` on, with raw chunks of these hours to which something was appended since they were packed. */
    openHosts: async (
      hours: { fromHour: number; toHour: number },
      afterNumber: number,
      limit: number,
    ): Promise<number[]> => {
      const rows = await db.all<{ number: number }>(sql`SELECT DISTINCT h.number FROM ${openIn(hours)}
        AND h.number > ${afterNumber} ORDER BY h.number LIMIT ${limit}`);
      return rows.map(({ number }) => number);
    },

    /** How many chunks of these hours are to be packed. */
    openCount: async (hours: { fromHour: number; toHour: number }): Promise<number> =>
      (await db.all<{ count: number }>(sql`SELECT count(*) AS count FROM ${openIn(hours)}`))[0]?.count ?? 0,

    /** What summaries are made from, by host number; `since`: a VM's day follows it from hosts that it left after that. */
    summaries: async (hostNumbers: readonly number[], since: number): Promise<Map<number, SummaryInput>> => {
      const wanted = JSON.stringify(hostNumbers);
      const [windows, running, moved] = await db.batch([
        db
          .select({
            hostNumber: hostSummaries.hostNumber,
            summarizedAt: hostSummaries.summarizedAt,
            window: hostSummaries.window,
          })
          .from(hostSummaries)
          .where(sql`${hostSummaries.hostNumber} IN (SELECT value FROM json_each(${wanted}))`),
        db
          .select({ number: hosts.number, uuid: vms.uuid })
          .from(hosts)
          .innerJoin(vms, and(eq(vms.cluster, hosts.cluster), eq(vms.hostId, hosts.id)))
          .where(sql`${hosts.number} IN (SELECT value FROM json_each(${wanted}))`)
          .orderBy(asc(vms.uuid)),
        db
          .selectDistinct({ number: hosts.number, other: hostSummaries.hostNumber, window: hostSummaries.window })
          .from(hosts)
          .innerJoin(vms, and(eq(vms.cluster, hosts.cluster), eq(vms.hostId, hosts.id)))
          .innerJoin(
            placements,
            and(eq(placements.cluster, vms.cluster), eq(placements.uuid, vms.uuid), gt(placements.toAt, since)),
          )
          .innerJoin(formerHosts, and(eq(formerHosts.id, placements.hostId), ne(formerHosts.number, hosts.number)))
          .innerJoin(hostSummaries, eq(hostSummaries.hostNumber, formerHosts.number))
          .where(sql`${hosts.number} IN (SELECT value FROM json_each(${wanted}))`),
      ]);
      return new Map(
        hostNumbers.map((number) => [
          number,
          {
            before: windows.find(({ hostNumber }) => hostNumber === number)?.summarizedAt ?? null,
            window: fromBase64(windows.find(({ hostNumber }) => hostNumber === number)?.window ?? null),
            vms: running.filter((vm) => vm.number === number).map(({ uuid }) => uuid),
            elsewhere: moved
              .filter((vm) => vm.number === number)
              .map(({ window }) => fromBase64(window))
              .filter((bytes) => bytes !== null),
          },
        ]),
      );
    },

    /** Hosts with samples that came after their hours were closed. */
    lateHosts: (limit: number): Promise<{ hostNumber: number; version: number; lateHours: string | null }[]> =>
      db
        .select({ hostNumber: hostState.hostNumber, version: hostState.version, lateHours: hostState.lateHours })
        .from(hostState)
        .where(sql`late_hours IS NOT NULL`)
        .orderBy(hostState.hostNumber)
        .limit(limit),

    /** How many hours are in the lists of late ones. */
    lateCount: async (): Promise<number> =>
      (
        await db.all<{ count: number }>(
          sql`SELECT coalesce(sum(json_array_length(late_hours)), 0) AS count FROM ${hostState} WHERE late_hours IS NOT NULL`,
        )
      )[0]?.count ?? 0,

    /** False: something was appended meanwhile; nothing was written. */
    close: async (closing: HostClosing): Promise<boolean> => {
      const [first, ...rest] = closingStatements(db, closing);
      if (first === undefined) return true;
      try {
        await db.batch([first, ...rest]);
        return true;
      } catch (error) {
        if (failedGuard(error) !== null) return false;
        throw error;
      }
    },

    /** Removes up to `limit` chunks of hours before `hour`; how many there were. */
    removeBefore: async (tier: Tier, hour: number, limit: number): Promise<number> => {
      const { meta } = await db.run(sql`DELETE FROM ${chunks} WHERE id IN (
        SELECT c.id FROM ${hosts} h JOIN ${chunks} c
          ON c.id BETWEEN h.number * ${HOST_STRIDE} + ${baseOf(tier, 0)} AND h.number * ${HOST_STRIDE} + ${baseOf(tier, hour) - 1}
        LIMIT ${limit})`);
      return meta.changes;
    },
  };
}

const openIn = ({ fromHour, toHour }: { fromHour: number; toHour: number }): SQL =>
  sql`${hosts} h JOIN ${chunks} c ON c.id BETWEEN h.number * ${HOST_STRIDE} + ${baseOf("raw", fromHour)}
    AND h.number * ${HOST_STRIDE} + ${baseOf("raw", toHour + 1) - 1} WHERE (c.head IS NOT NULL OR c.live IS NOT NULL)`;

// NULL in a NOT NULL column fails the statement, and with it the whole batch.
function closingStatements(db: Db, { hostNumber, replaced, removed, written, summary, late }: HostClosing) {
  const unhex = (bytes: Uint8Array | null): SQL => (bytes === null ? sql`NULL` : sql`unhex(${bytes.toHex()})`);
  return [
    ...(removed.length === 0 ? [] : removal(db, removed)),
    ...replaced.map(({ id, revision, packed }) =>
      db
        .insert(chunks)
        .values({ id, revision: revision + 1, packed: unhex(packed) })
        .onConflictDoUpdate({
          target: chunks.id,
          set: {
            revision: sql`CASE WHEN chunks.revision = ${revision} THEN chunks.revision + 1 END`,
            head: null,
            live: null,
            packed: unhex(packed),
          },
        }),
    ),
    ...written.map(({ id, revision, packed }) =>
      db
        .insert(chunks)
        .values({ id, revision: 1, packed: unhex(packed) })
        .onConflictDoUpdate({
          target: chunks.id,
          set: {
            revision: sql`CASE WHEN chunks.revision = coalesce(${revision}, chunks.revision) THEN chunks.revision + 1 END`,
            packed: unhex(packed),
          },
        }),
    ),
    ...(summary === null ? [] : [writeSummary(db, hostNumber, summary)]),
    ...(late === null
      ? []
      : [
          db
            .update(hostState)
            .set({
              version: sql`CASE WHEN version = ${late.version} THEN version + 1 END`,
              lateHours: late.hours,
            })
            .where(eq(hostState.hostNumber, hostNumber)),
        ]),
  ];
}

/** A row that has changed fails the first of them; one that is gone was removed by somebody who packed the same. */
function removal(db: Db, removed: HostClosing["removed"]) {
  const rows = JSON.stringify(removed.map(({ id, revision }) => [id, revision]));
  return [
    db
      .update(chunks)
      .set({ revision: sql`NULL` })
      .where(
        sql`${chunks.id} IN (SELECT c.id FROM json_each(${rows}) r JOIN ${chunks} c ON c.id = r.value ->> 0 WHERE c.revision <> r.value ->> 1)`,
      ),
    db.delete(chunks).where(sql`${chunks.id} IN (SELECT value ->> 0 FROM json_each(${rows}))`),
  ];
}

type WrittenSummary = NonNullable<HostClosing["summary"]>;

function writeSummary(db: Db, hostNumber: number, { before, summarizedAt, summary, window }: WrittenSummary) {
  const row = { summary, window: window.toBase64() };
  const at = sql`CASE WHEN host_summaries.summarized_at = ${before} THEN excluded.summarized_at END`;
  return db
    .insert(hostSummaries)
    .values({ hostNumber, summarizedAt, ...row })
    .onConflictDoUpdate({ target: hostSummaries.hostNumber, set: { summarizedAt: at, ...row } });
}
