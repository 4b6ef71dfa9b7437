import { env } from "cloudflare:workers";
import { drizzle } from "drizzle-orm/d1";
import { expect, test } from "vitest";
import { randomOf } from "../../worker/model/forecast/random.ts";
import { readText, storedText } from "../../worker/store/packed-text.ts";
import { inputRows, planInputStore } from "../../worker/store/plan-inputs.ts";

const db = drizzle(env.DB);
const store = planInputStore(db);

/** Text that hardly packs. */
function noise(length: number): string {
  const random = randomOf(7);
  let text = "";
  while (text.length < length) text += random().toString(36).slice(2);
  return text.slice(0, length);
}

async function insert(planId: string, snapshotText: string, createdAt: number): Promise<number> {
  const [first, ...rest] = inputRows(db, planId, snapshotText, "engine", createdAt);
  if (first !== undefined) await db.batch([first, ...rest]);
  return first === undefined ? 0 : rest.length + 1;
}

test("a snapshot that is larger than a row may be comes back as it was", async () => {
  // Characters of two halves, one of them on every border of two pieces.
  const snapshot = {
    cluster: "large",
    noise: noise(5_000_000),
    cows: ["🐄".repeat(1_000_000), "🐄".repeat(1_000_000)],
  };
  expect(await insert("pln_large", JSON.stringify(snapshot), 1)).toBeGreaterThan(4);
  const { results } = await env.DB.prepare("SELECT max(length(packed)) AS longest FROM plan_inputs").all();
  expect(results[0]?.["longest"]).toBeLessThan(2_000_000);
  expect(await store.read("pln_large")).toEqual({ engineVersion: "engine", snapshot });
});

test("one that takes too many parts, or packs too badly, is not kept", async () => {
  expect(await insert("pln_huge", JSON.stringify({ noise: "x".repeat(70_000_000) }), 1)).toBe(0);
  const random = randomOf(9);
  const badly = Array.from({ length: 2_000_000 }, () => String.fromCharCode(0x4e00 + random() * 0x5000)).join("");
  expect(await insert("pln_huge", JSON.stringify({ badly }), 1)).toBe(0);
  expect(await store.read("pln_huge")).toBeNull();
});

test("what is older is forgotten, whole plans at a time", async () => {
  await env.DB.prepare("DELETE FROM plan_inputs").run();
  await insert("pln_1", JSON.stringify({ noise: noise(3_000_000) }), 100);
  await insert("pln_2", "{}", 101);
  await insert("pln_3", "{}", 200);
  expect(await store.forget(200, 1)).toBe(1);
  expect(await store.forget(200, 10)).toBe(1);
  expect(await store.forget(200, 10)).toBe(0);
  expect(await store.read("pln_1")).toBeNull();
  expect(await store.read("pln_3")).toEqual({ engineVersion: "engine", snapshot: {} });
});

test("JSON is packed only where it is long, and read as it was either way", () => {
  for (const json of ['{"a":1}', "[]", JSON.stringify({ long: "x".repeat(200_000) })]) {
    expect(readText(storedText(json))).toBe(json);
    expect(storedText(json).length).toBeLessThanOrEqual(json.length);
  }
});
