import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import type { Scoreboard } from "../../worker/model/policy/scoreboard.ts";
import { call } from "../support/api.ts";
import { hotCluster, policyOf, runNow } from "../support/policies.ts";
import type { VmInventory } from "../../worker/model/wire/inventory.ts";
import { OUTCOME } from "../support/run-world.ts";

/** As if a run had been carried out: with what it cost. Its Workflow finds another version and leaves it alone. */
const completed = (migrationId: string, measured: unknown) =>
  env.DB.prepare(
    "UPDATE migrations SET state = 'completed', version = version + 9, ended_at = ?, measured = ? WHERE id = ?",
  )
    .bind(Date.now(), JSON.stringify(measured), migrationId)
    .run();

/**
 * A person moves the first VM as the advisor would; the second is seen on a third host, which no migration explains, and so is
 * one that nobody proposed. Returns the migration.
 */
async function realMoves(cluster: string, hotId: string, guests: VmInventory[]): Promise<string> {
  const { body: plan } = await call<Plan>("POST", "/v1/plans", {
    body: { cluster, goal: "evacuate", parameters: { hostIds: [hotId] } },
  });
  for (const { n } of plan.content.moves.slice(1))
    await call("POST", `/v1/plans/${plan.planId}/moves/${n}/skip`, { body: { reason: "only one" } });
  await call("POST", `/v1/plans/${plan.planId}/approve`, { body: { contentHash: plan.contentHash } });
  const { items } = (
    await call<{ items: { migrationId: string; vmUuid: string }[] }>("GET", `/v1/migrations?planId=${plan.planId}`)
  ).body;
  const migrationId = items[0]?.migrationId ?? "";
  await completed(migrationId, OUTCOME);
  const moved = guests.find(({ uuid }) => uuid !== items[0]?.vmUuid);
  await env.DB.prepare("INSERT INTO placements VALUES (?, ?, ?, ?, NULL)")
    .bind(cluster, moved?.uuid, Date.now(), "elsewhere")
    .run();
  await env.DB.batch([
    env.DB.prepare("INSERT INTO placements VALUES (?, 'stranger', 5, 'x', NULL)").bind(cluster),
    env.DB.prepare("INSERT INTO placements VALUES (?, 'stranger', ?, 'y', NULL)").bind(cluster, Date.now()),
  ]);
  return migrationId;
}

test("the scoreboard sets what shadow would have done against what was done, and what came of it", async () => {
  const { cluster, hot, cold, guests } = await hotCluster();
  const goals = [{ goal: "evacuate", parameters: { hostIds: [hot.hostId] } }];
  const { policyId } = await policyOf(cluster, { goals, mode: "auto", shadowUntil: Date.now() + 3_600_000 });
  const score = async (query = "") =>
    (await call<Scoreboard>("GET", `/v1/policies/${policyId}/scoreboard?to=${Date.now() + 1000}${query}`)).body;

  const shadow = (await runNow(policyId)).body.run?.planId;
  const before = await score();
  expect(before.counts).toMatchObject({
    plans: 1,
    moves: 4,
    agree: 0,
    pending: 4,
    shadowOnly: 0,
    persisted: 0,
    gone: 0,
  });
  expect(before.plans[0]).toMatchObject({ planId: shadow, next: null, persisted: null, timesProposed: 1 });
  expect(before.plans[0]?.moves[0]).toMatchObject({
    wouldApprove: true,
    predicted: { downtimeMs: { p50: expect.any(Number) } },
  });

  expect((await runNow(policyId)).body).toMatchObject({
    outcome: "nothing-to-do",
    numbers: { before: { toEvacuate: 4 } },
  });

  const followed = await realMoves(cluster, hot.hostId, guests);
  const after = await score();
  expect(after.counts).toMatchObject({ moves: 4, agree: 1, differ: 1, pending: 2, doneOnly: 1, persisted: 1, gone: 0 });
  const [scored] = after.plans;
  expect(scored).toMatchObject({ timesProposed: 1, persisted: true, next: { found: { toEvacuate: 4 } } });
  expect(scored?.moves.find(({ verdict }) => verdict === "agree")?.real).toMatchObject({
    migrationId: followed,
    toHostId: cold.hostId,
    measured: OUTCOME,
  });
  expect(scored?.moves.find(({ verdict }) => verdict === "differ")?.real).toMatchObject({
    state: "seen",
    toHostId: "elsewhere",
  });
  expect(after.doneOnly).toMatchObject([{ vm: "stranger", fromHostId: "x", toHostId: "y", migrationId: null }]);
  expect(after.downtimeMs).toMatchObject({ moves: 1, measured: OUTCOME.downtimeMs, predicted: expect.any(Number) });
  expect(after.transferredBytes).toMatchObject({ moves: 1, measured: OUTCOME.transferredBytes });
});

test("a time without shadow plans has an empty scoreboard, and one without length is refused", async () => {
  const { cluster } = await hotCluster();
  const { policyId } = await policyOf(cluster);
  const elsewhen = await call<Scoreboard>("GET", `/v1/policies/${policyId}/scoreboard?from=1&to=2`);
  expect(elsewhen.body).toMatchObject({ plans: [], doneOnly: [], counts: { plans: 0, moves: 0 } });
  const bad = await call<{ issues: { path: string }[] }>("GET", `/v1/policies/${policyId}/scoreboard?from=2&to=2`);
  expect([bad.status, bad.body.issues[0]?.path]).toEqual([422, "to"]);
});
