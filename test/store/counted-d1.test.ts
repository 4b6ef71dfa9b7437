import { env } from "cloudflare:workers";
import { drizzle } from "drizzle-orm/d1";
import { beforeEach, describe, expect, test } from "vitest";
import { countedD1 } from "../../worker/store/counted-d1.ts";
import { jobs } from "../../worker/store/schema.ts";

const counts = { queries: 0, rowsRead: 0, rowsWritten: 0 };
const client = countedD1(env.DB, counts);
const put = (name: string) => client.prepare("INSERT INTO jobs VALUES (?, '{}', 1)").bind(name);

beforeEach(async () => {
  await env.DB.prepare("DELETE FROM jobs").run();
  Object.assign(counts, { queries: 0, rowsRead: 0, rowsWritten: 0 });
});

describe("counted D1", () => {
  test("answers as D1 does, whatever a statement is asked for", async () => {
    await put("a").run();
    const all = client.prepare("SELECT name FROM jobs WHERE name = ?").bind("a");
    expect((await all.all()).results).toEqual([{ name: "a" }]);
    expect(await all.first()).toEqual({ name: "a" });
    expect(await all.first("name")).toBe("a");
    expect(await all.raw()).toEqual([["a"]]);
    expect(await all.raw({ columnNames: true })).toEqual([["name"], ["a"]]);
    expect(counts.queries).toBe(6);
  });

  test("counts statements, and rows as D1 bills them, one by one and in batches", async () => {
    const { meta } = await put("a").run();
    // The row and its entry in the index of the text key.
    expect(meta.rows_written).toBe(2);
    expect(counts).toMatchObject({ queries: 1, rowsWritten: 2 });
    await client.batch([put("b"), put("c"), client.prepare("SELECT * FROM jobs")]);
    expect(counts).toMatchObject({ queries: 4, rowsWritten: 6 });
    expect(counts.rowsRead).toBeGreaterThanOrEqual(3);
  });

  test("counts nothing written by a batch that fails, of which nothing is there", async () => {
    await expect(client.batch([put("a"), put("a")])).rejects.toThrow("UNIQUE constraint failed");
    expect(counts).toMatchObject({ queries: 2, rowsWritten: 0 });
    expect(await client.prepare("SELECT count(*) AS n FROM jobs").first("n")).toBe(0);
  });

  test("serves drizzle, a batch of its queries included", async () => {
    const db = drizzle(client);
    await db.insert(jobs).values({ name: "a", state: "{}", updatedAt: 1 });
    const [[row], rows] = await db.batch([db.select({ name: jobs.name }).from(jobs), db.select().from(jobs)]);
    expect([row?.name, rows.length]).toEqual(["a", 1]);
    expect(counts).toMatchObject({ queries: 3, rowsWritten: 2 });
  });
});
