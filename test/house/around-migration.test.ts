// What migration 0008 makes of what was stored before it.
import { readFileSync, readdirSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";

const files = readdirSync("migrations")
  .filter((name) => name.endsWith(".sql"))
  .sort();
const apply = (db: DatabaseSync, names: readonly string[]) =>
  names.forEach((name) =>
    db.exec(readFileSync(`migrations/${name}`, "utf8").replaceAll("--> statement-breakpoint", "")),
  );

test("entries of timelines are numbered in their order, and every run that has ended gets its outcome", () => {
  const db = new DatabaseSync(":memory:");
  const own = files.findIndex((name) => name.startsWith("0008_"));
  apply(db, files.slice(0, own));
  const host = JSON.stringify({ hypervisor: "xen", driver: { name: "libvirt" } });
  db.exec(
    `INSERT INTO hosts (id, cluster, sequence, boot_id, memory_bytes, inventory, created_at, updated_at) VALUES ('a', 'c', 1, 'b', 1, '${host}', 1, 1)`,
  );
  const run = (id: string, from: string, state: string, ended: number | null, measured: string | null) =>
    db
      .prepare(
        `INSERT INTO migrations (id, cluster, plan_id, move_number, vm_uuid, vm_name, from_host_id, to_host_id, mechanism, state, version, parameters, limits, predicted, measured, created_at, state_at, ended_at)
         VALUES (?, 'c', 'p', 1, ?, 'vm', ?, 'z', 'pre-copy', ?, 1, '{}', '{}', '{"p":1}', ?, 1, 1, ?)`,
      )
      .run(id, id, from, state, measured, ended);
  run("m1", "a", "completed", 7, '{"totalMs":5}');
  run("m2", "gone", "failed", 8, null);
  run("m3", "a", "pre-copying", null, null);
  db.exec(
    `INSERT INTO outcomes (migration_id, cluster, hypervisor, driver, mechanism, state, predicted, measured, recorded_at, lesson)
     VALUES ('m1', 'c', 'kvm', 'qmp', 'pre-copy', 'completed', '{}', '{"totalMs":5}', 7, '{"learned":true}')`,
  );
  const event = (id: string, sequence: number, receivedAt: number) =>
    db
      .prepare(
        `INSERT INTO migration_events (migration_id, host_id, boot_id, sequence, type, at, received_at, verdict, body)
         VALUES (?, 'a', 'b', ?, 'progress', 1, ?, 'noted', '{}')`,
      )
      .run(id, sequence, receivedAt);
  event("m1", 1, 30);
  event("m1", 3, 10);
  event("m1", 2, 10);
  event("m2", 9, 20);
  apply(db, files.slice(own, own + 1));

  const numbered = db.prepare("SELECT migration_id AS id, sequence, number FROM migration_events ORDER BY 1, 3").all();
  expect(numbered.map((row) => ({ ...row }))).toEqual([
    { id: "m1", sequence: 2, number: 1 },
    { id: "m1", sequence: 3, number: 2 },
    { id: "m1", sequence: 1, number: 3 },
    { id: "m2", sequence: 9, number: 1 },
  ]);
  const outcomes = db
    .prepare("SELECT migration_id AS id, hypervisor, driver, state, measured, lesson FROM outcomes ORDER BY 1")
    .all();
  expect(outcomes.map((row) => ({ ...row }))).toEqual([
    {
      id: "m1",
      hypervisor: "kvm",
      driver: "qmp",
      state: "completed",
      measured: '{"totalMs":5}',
      lesson: '{"learned":true}',
    },
    { id: "m2", hypervisor: "kvm", driver: "qmp", state: "failed", measured: "{}", lesson: null },
  ]);
});
