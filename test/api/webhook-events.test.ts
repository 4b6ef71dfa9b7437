// Every change that is told is told by an event in its own batch; what did not happen is not told.
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { makeDeps } from "../../worker/env.ts";
import { envelopeOf, EVENTS, type EventType } from "../../worker/model/webhooks/events.ts";
import { MINUTE_MS } from "../../worker/model/units.ts";
import { runSchedule } from "../../worker/services/schedule.ts";
import { watchHosts } from "../../worker/services/host-watch.ts";
import { agentOf, call, vm } from "../support/api.ts";
import { approve, OUTCOME, read, runOf, toPreCopying, world } from "../support/run-world.ts";
import { failing, tappedD1 } from "../support/tapped-d1.ts";
import { later, STILL } from "../support/webhooks.ts";

type Row = { type: EventType; subject: string; data: string; version: number };

/** What was written of a cluster, in its order; each held against the schema of its type. */
async function eventsOf(cluster: string): Promise<(Omit<Row, "data"> & { data: Record<string, unknown> })[]> {
  const { results } = await env.DB.prepare(
    "SELECT type, subject, data, version FROM outbox WHERE cluster = ? ORDER BY sequence",
  )
    .bind(cluster)
    .all<Row>();
  return results.map((row) => {
    const data = JSON.parse(row.data) as Record<string, unknown>;
    const { data: schema } = envelopeOf(row.type, EVENTS[row.type].data).shape;
    schema.parse(data);
    return { ...row, data };
  });
}
const typesOf = async (cluster: string) => (await eventsOf(cluster)).map(({ type }) => type);

describe("a plan", () => {
  test("and its migration are told from the proposal to the end", async () => {
    const at = await world();
    const { migrationId } = await toPreCopying(at);
    await at.a.report(migrationId, { type: "completed", outcome: OUTCOME });
    await at.a.put([]);
    await at.b.put([at.guest]);
    await at.a.beat({});
    await at.b.beat({ [at.guest.uuid]: "running" });
    await expect.poll(async () => (await read(migrationId)).state, { timeout: 10_000 }).toBe("completed");
    await expect.poll(() => typesOf(at.cluster), { timeout: 10_000 }).toContain("plan.done");
    const events = await eventsOf(at.cluster);
    expect(events.map(({ type }) => type)).toEqual([
      "plan.proposed",
      "plan.approved",
      "migration.started",
      "plan.executing",
      "migration.completed",
      "plan.done",
    ]);
    expect(events[1]).toMatchObject({ subject: at.plan.planId, data: { by: "admin", reason: "test", moveCount: 1 } });
    expect(events[4]).toMatchObject({
      subject: migrationId,
      data: { vmName: at.guest.name, state: "completed", before: "verifying", measured: { downtimeMs: 30 } },
    });
  });

  test("that is rejected, cancelled or left alone is told as that", async () => {
    const [rejected, cancelled, left] = [await world(), await world(), await world()];
    await call("POST", `/v1/plans/${rejected.plan.planId}/reject`, { body: { reason: "no" } });
    await approve(cancelled.plan);
    await call("POST", `/v1/plans/${cancelled.plan.planId}/cancel`, { body: { reason: "not today" } });
    await later(0).store.plans.expire(Date.now() + 25 * 60 * MINUTE_MS);
    expect(await typesOf(rejected.cluster)).toEqual(["plan.proposed", "plan.rejected"]);
    expect(await typesOf(cancelled.cluster)).toEqual([
      "plan.proposed",
      "plan.approved",
      "plan.cancelled",
      "migration.cancelled",
    ]);
    expect(await typesOf(left.cluster)).toEqual(["plan.proposed", "plan.expired"]);
  });

  test("that could not be decided is not told: the event goes with its batch", async () => {
    const { cluster, plan } = await world();
    const { store } = later(0);
    const decision = { state: "rejected" as const, by: "test", reason: "late", at: Date.now() };
    const entry = { actor: "test", action: "plan.rejected", subject: plan.planId };
    await expect(store.plans.decide({ ...plan, version: 7 }, decision, [], entry)).rejects.toThrow(
      /Failed query|version/,
    );
    expect(await typesOf(cluster)).toEqual(["plan.proposed"]);
    const { tap } = failing(0, "before");
    const cut = makeDeps({ ...STILL, DB: tappedD1(env.DB, tap) });
    await expect(cut.store.plans.decide(plan, decision, [], entry)).rejects.toThrow(/Failed query|lost/);
    expect(await typesOf(cluster)).toEqual(["plan.proposed"]);
  });
});

describe("a migration", () => {
  test("that fails says why", async () => {
    const at = await world();
    const { migrationId } = await toPreCopying(at);
    await at.a.report(migrationId, { type: "failed", reason: "io", detail: "The disk is gone.", vmState: "running" });
    const events = await eventsOf(at.cluster);
    expect(events.at(-2)).toMatchObject({
      type: "migration.failed",
      data: { failure: { reason: "io", detail: "The disk is gone.", hostId: at.a.hostId }, measured: null },
    });
    expect(events.at(-1)?.type).toBe("plan.failed");
  });

  test("whose post-copy loses its link is told as paused, and as resumed", async () => {
    const at = await world();
    const { migrationId } = await toPreCopying(at);
    await at.a.report(migrationId, { type: "switched", side: "source", postCopy: true });
    await at.b.report(migrationId, { type: "switched", side: "destination", postCopy: true });
    await at.a.report(migrationId, { type: "paused", detail: "The link is lost." });
    await at.a.report(migrationId, { type: "resumed" });
    expect((await typesOf(at.cluster)).slice(-2)).toEqual(["migration.paused", "migration.resumed"]);
  });

  test("that nobody hears of is told as lost once", async () => {
    const at = await world();
    const { migrationId } = await toPreCopying(at);
    const run = await runOf(at.plan);
    const change = {
      state: "lost" as const,
      at: Date.now(),
      failure: { reason: "silent", detail: "No event for 61 s." },
    };
    const { store } = later(0);
    expect(await Promise.all([store.migrations.step(run, change), store.migrations.step(run, change)])).toContain(
      false,
    );
    const lost = (await eventsOf(at.cluster)).filter(({ type }) => type === "migration.lost");
    expect(lost).toMatchObject([{ subject: migrationId, data: { failure: { reason: "silent" } } }]);
  });
});

test("freezes, maintenance and the stop are told", async () => {
  const cluster = "we-hands";
  await agentOf(cluster, "we-host", [vm()]);
  await call("POST", "/v1/hosts/we-host/maintenance", { body: { reason: "new DIMMs" } });
  await call("DELETE", "/v1/hosts/we-host/maintenance");
  const { body } = await call<{ freezeId: string }>("POST", "/v1/freezes", { body: { cluster, from: 1, reason: "x" } });
  await call("PATCH", `/v1/freezes/${body.freezeId}`, { body: { reason: "y" } });
  await call("DELETE", `/v1/freezes/${body.freezeId}`);
  await call("POST", "/v1/stop", { body: { cluster, reason: "fire drill" } });
  expect(await typesOf(cluster)).toEqual([
    "host.maintenance-begun",
    "host.maintenance-ended",
    "freeze.created",
    "freeze.changed",
    "freeze.deleted",
    "stop.pressed",
    "freeze.created",
  ]);
});

describe("a host", () => {
  const WANTING = { kind: "webhook", targetId: "whk_x", events: ["host.*"], isOrdered: false } as const;

  test("that is hot is told once, and again when it has cooled; one that is not heard, once", async () => {
    const cluster = "we-hot";
    const host = await agentOf(cluster, "we-hot-1", []);
    const watch = (ms: number) => watchHosts(later(ms), [{ ...WANTING, clusters: [cluster] }]);
    await host.load(15.9, {});
    for (let n = 0; n < 6; n++) await host.load(15.9, {});
    await watch(0);
    await watch(0);
    const first = await typesOf(cluster);
    await watch(10 * MINUTE_MS);
    await watch(11 * MINUTE_MS);
    await host.beat({});
    await watch(0);
    expect((await eventsOf(cluster)).map(({ type }) => type)).toEqual([...first, "host.unreachable", "host.recovered"]);
  });

  test("is not looked at while nobody wants to know", async () => {
    await agentOf("we-unwatched", "we-unwatched-1", []);
    const deps = later(10 * MINUTE_MS);
    await watchHosts(deps, [{ ...WANTING, events: ["plan.*"], clusters: null }]);
    expect(await typesOf("we-unwatched")).toEqual([]);
  });
});

test("Cron does all of it, with a queue that loses everything", async () => {
  await runSchedule(later(0));
  expect(await later(0).store.outbox.waitingCount()).toBe(0);
});
