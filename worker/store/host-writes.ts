// The statements that write telemetry of hosts, made once.
import { sql, type SQL } from "drizzle-orm";
import type { CommandRecord } from "../model/run.ts";
import type { Append } from "../model/telemetry/append.ts";
import type { HostWrite } from "../model/telemetry/stored.ts";
import { parsePending, pendingJson } from "./commands.ts";
import { compile, type Db } from "./db.ts";
import { chunks, hostState } from "./schema.ts";

export type CommandsOf = { hostId: string; now: number };
type Write = (writes: readonly HostWrite[], commandsOf: CommandsOf | null) => Promise<CommandRecord[]>;

/** What a write does to a host's state; `batches`: the ring of batches, as an expression. */
function stateChange(batches: SQL) {
  const keep = (column: { name: string }): SQL =>
    sql.raw(`coalesce(excluded.${column.name}, host_state.${column.name})`);
  // NULL in a NOT NULL column fails the statement, and with it the whole batch.
  return {
    target: hostState.hostNumber,
    set: {
      version: sql`CASE WHEN host_state.version = excluded.version - 1 THEN excluded.version END`,
      heardAt: sql`max(excluded.heard_at, host_state.heard_at)`,
      vmStatesAt: keep(hostState.vmStatesAt),
      lateHours: keep(hostState.lateHours),
      vmStates: keep(hostState.vmStates),
      layout: keep(hostState.layout),
      latest: sql`excluded.latest`,
      curves: keep(hostState.curves),
      tails: sql`excluded.tails`,
      counters: keep(hostState.counters),
      batches,
    },
  };
}

/** Frames that rely on what stands before them (a revision above 1) do not make a chunk that packing has removed. */
const startOf = (id: SQL, revision: SQL): SQL =>
  sql`CASE WHEN ${revision} = 1 OR EXISTS (SELECT 1 FROM chunks WHERE id = ${id}) THEN ${revision} END`;

const CHUNK_CHANGE = {
  target: chunks.id,
  set: {
    // 1: the frames bring their series along.
    revision: sql`CASE WHEN excluded.revision IN (1, chunks.revision + 1) THEN chunks.revision + 1 END`,
    head: sql`CASE WHEN excluded.head IS NULL THEN chunks.head ELSE coalesce(chunks.head, '') || excluded.head END`,
    live: sql`CASE WHEN excluded.live IS NULL THEN chunks.live ELSE coalesce(chunks.live, '') || excluded.live END`,
  },
};

const stateRow = ({ hostNumber, version, heard, ...write }: HostWrite) => ({
  hostNumber,
  version: version + 1,
  // 0: by samples alone a host is not heard.
  heardAt: heard?.at ?? 0,
  vmStatesAt: heard?.at ?? null,
  lateHours: write.lateHours,
  vmStates: heard === null ? null : JSON.stringify(heard.vmStates),
  layout: write.layout,
  latest: write.latest.toBase64(),
  curves: write.curves,
  tails: write.tails,
  counters: write.counters,
  batches: write.ring.added,
});

const chunkRow = ({ id, revision, head, live }: Append) => ({
  id,
  revision: (revision ?? 0) + 1,
  head: head?.toBase64() ?? null,
  live: live?.toBase64() ?? null,
});

const member = (index: number): SQL => sql.raw(`value ->> ${index}`);

/** Rows made of the members of the JSON arrays in a bound array. */
const rowsOf = (columns: readonly SQL[]): SQL =>
  sql`SELECT ${sql.join([...columns], sql`, `)} FROM json_each(${sql.placeholder("rows")}) WHERE true`;

/** One host, as agents write: a statement a row. */
function compileOne(db: Db): (write: HostWrite, commandsOf: CommandsOf | null) => D1PreparedStatement[] {
  const value = (name: string) => sql.placeholder(name);
  const names = ["hostNumber", "version", "heardAt", "vmStatesAt", "lateHours", "vmStates"] as const;
  const long = ["layout", "latest", "curves", "tails", "counters", "batches"] as const;
  const placeholders = Object.fromEntries([...names, ...long].map((name) => [name, value(name)]));
  const upsert = () =>
    db
      .insert(hostState)
      .values(placeholders as never)
      .onConflictDoUpdate(
        stateChange(sql`substr(coalesce(host_state.batches, ''), ${value("drop")}) || excluded.batches`),
      );
  const state = compile(db, upsert());
  // A statement of its own for the commands would take as long as the one that writes.
  const stateAndCommands = compile(db, upsert().returning({ commands: pendingJson(value("hostId"), value("now")) }));
  const chunk = compile(
    db,
    db
      .insert(chunks)
      .values({
        id: value("id"),
        revision: startOf(sql`${value("id")}`, sql`${value("revision")}`),
        head: value("head"),
        live: value("live"),
      })
      .onConflictDoUpdate(CHUNK_CHANGE),
  );
  return (write, commandsOf) => [
    (commandsOf === null ? state : stateAndCommands)({
      ...stateRow(write),
      ...commandsOf,
      drop: write.ring.drop + 1,
    }),
    ...write.appends.map((append) => chunk(chunkRow(append))),
  ];
}

/** Many hosts in two statements: what D1 takes for one is the same however many rows it writes. They have no batch ids. */
function compileMany(db: Db): (writes: readonly HostWrite[]) => D1PreparedStatement[] {
  const states = compile(
    db,
    db
      .insert(hostState)
      .select(rowsOf(Array.from({ length: 12 }, (_, index) => member(index))))
      .onConflictDoUpdate(stateChange(sql`host_state.batches`)),
  );
  const [id, revision, ...rest] = [0, 1, 2, 3, 4].map(member) as [SQL, SQL, ...SQL[]];
  const rows = rowsOf([id, startOf(id, revision), ...rest]);
  const append = compile(db, db.insert(chunks).select(rows).onConflictDoUpdate(CHUNK_CHANGE));
  return (writes) => [
    states({ rows: JSON.stringify(writes.map((write) => Object.values(stateRow(write)))) }),
    append({
      rows: JSON.stringify(writes.flatMap(({ appends }) => appends.map((one) => Object.values(chunkRow(one))))),
    }),
  ];
}

/** Writes all of it or nothing, and gives the pending commands of a host where they are wanted. */
export function compileWrite(db: Db): Write {
  const one = compileOne(db);
  const many = compileMany(db);
  return async (writes, commandsOf) => {
    const [only] = writes;
    const statements = only !== undefined && writes.length === 1 ? one(only, commandsOf) : many(writes);
    const [first] = await db.$client.batch<{ commands: string }>(statements);
    return commandsOf === null ? [] : parsePending(first?.results[0]?.commands ?? "[]");
  };
}
