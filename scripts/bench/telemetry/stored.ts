// What telemetry takes on disk, counted in pages of the database file itself.
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { chunkKey, type Tier } from "../../../worker/model/telemetry/chunk-id.ts";

/** The D1 file under the state folder of miniflare: the one with a table of chunks. */
function databaseFile(stateDir: string): string {
  const found = readdirSync(stateDir, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".sqlite"))
    .map((path) => join(stateDir, path))
    .find((path) => reading(path, (database) => pagesBytes(database).has("chunks")));
  if (found === undefined) throw new Error(`no database with chunks under ${stateDir}`);
  return found;
}

function reading<T>(path: string, act: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return act(database);
  } finally {
    database.close();
  }
}

/** Bytes of the pages of every table and index, those that are only partly filled and those that overflow included. */
function pagesBytes(database: DatabaseSync): Map<string, number> {
  const rows = database.prepare("SELECT name, sum(pgsize) AS bytes FROM dbstat GROUP BY name").all();
  return new Map(rows.map((row) => [String(row["name"]), Number(row["bytes"])]));
}

export type Stored = {
  /** (page_count - freelist_count) * page_size */
  fileBytes: number;
  /** Pages of the table of chunks, by tier. */
  tiers: Record<Tier, number>;
  /** Pages of each of the other tables with its indexes. */
  others: Map<string, number>;
};

/**
 * What the file holds now, by table, and for chunks by tier. A tier shares pages with the others, so roll-ups count with
 * what they add to a vacuumed copy, and all the rest of the table's pages, with every gap in them, counts as raw.
 */
export function storedNow(stateDir: string): Stored {
  const path = databaseFile(stateDir);
  const { fileBytes, tables, indexes } = reading(path, (database) => {
    const pragma = (name: string): number => Number(Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]);
    const names = database.prepare("SELECT name, tbl_name AS owner FROM sqlite_schema").all();
    return {
      fileBytes: (pragma("page_count") - pragma("freelist_count")) * pragma("page_size"),
      tables: pagesBytes(database),
      indexes: new Map(names.map((row) => [String(row["name"]), String(row["owner"])])),
    };
  });
  const others = new Map<string, number>();
  for (const [name, bytes] of tables) {
    const table = indexes.get(name) ?? name;
    if (table !== "chunks") others.set(table, (others.get(table) ?? 0) + bytes);
  }
  const coarse = rollUpBytes(path);
  const raw = (tables.get("chunks") ?? 0) - coarse["5min"] - coarse["1h"];
  return { fileBytes, tiers: { raw, ...coarse }, others };
}

function rollUpBytes(path: string): Record<"5min" | "1h", number> {
  const folder = mkdtempSync(join(tmpdir(), "drover-bench-"));
  try {
    const whole = join(folder, "whole.sqlite");
    reading(path, (database) => database.prepare("VACUUM INTO ?").run(whole));
    const wholeBytes = chunkBytes(whole);
    const without = (tier: Tier): number => {
      const copy = join(folder, `${tier}.sqlite`);
      copyFileSync(whole, copy);
      removeTier(copy, tier);
      return wholeBytes - chunkBytes(copy);
    };
    return { "5min": without("5min"), "1h": without("1h") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const chunkBytes = (path: string): number => reading(path, (database) => pagesBytes(database).get("chunks") ?? 0);

function removeTier(path: string, tier: Tier): void {
  if (!existsSync(path)) throw new Error(`no ${path}`);
  const database = new DatabaseSync(path);
  try {
    const ids = database
      .prepare("SELECT id FROM chunks")
      .all()
      .map((row) => Number(row["id"]));
    const remove = database.prepare("DELETE FROM chunks WHERE id = ?");
    database.exec("BEGIN");
    for (const id of ids) if (chunkKey(id).tier === tier) remove.run(id);
    database.exec("COMMIT");
    database.exec("VACUUM");
  } finally {
    database.close();
  }
}
