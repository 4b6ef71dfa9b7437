import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import { call } from "../support/api.ts";
import { cron, hotCluster, policyOf, runNow, runsOf } from "../support/policies.ts";

/** As if its runs had been that much earlier. */
const age = (policyId: string, ms: number) =>
  env.DB.prepare(
    "UPDATE policy_runs SET started_at = started_at - ?1, created_at = created_at - ?1 WHERE policy_id = ?2",
  )
    .bind(ms, policyId)
    .run();
const movedBy = async (planId: string | null | undefined): Promise<string[]> =>
  (await call<Plan>("GET", `/v1/plans/${planId}`)).body.content.moves.map(({ vm }) => vm);
const shadowed = { mode: "auto", shadowUntil: Date.now() + 86_400_000 };

test("a policy in shadow rests after what it would have done, as it will when it acts", async () => {
  const { cluster } = await hotCluster();
  const { policyId } = await policyOf(cluster, shadowed);
  await cron();
  await age(policyId, 120_000);
  await env.DB.prepare("UPDATE policies SET last_due_at = last_due_at - 120000, activated_at = 1 WHERE id = ?")
    .bind(policyId)
    .run();
  await cron();
  const [second, first] = await runsOf(policyId);
  expect(first).toMatchObject({ outcome: "shadowed", numbers: { simulated: { moves: [expect.anything()] } } });
  expect(second).toMatchObject({ outcome: "cooling-down", summary: expect.stringContaining("Rests until") });
});

test("what shadow would have done is not proposed again while it counts as done: a day", async () => {
  const { cluster, hot } = await hotCluster();
  const { policyId } = await policyOf(cluster, shadowed);
  const moved = await movedBy((await runNow(policyId)).body.run?.planId);
  expect(moved.length).toBeGreaterThan(0);
  const again = await runNow(policyId);
  expect(again.body).toMatchObject({ outcome: "nothing-to-do", numbers: { before: { hotHosts: 1 } } });
  const later = await runNow(policyId, { dryRun: true });
  expect(later.body.content).toMatchObject({ moves: [], before: { hotHosts: 0 } });
  await age(policyId, 25 * 3_600_000);
  const next = await runNow(policyId, { dryRun: true });
  expect(next.body.content?.moves.map(({ vm, fromHostId }) => [vm, fromHostId])).toEqual(
    moved.map((uuid) => [uuid, hot.hostId]),
  );
});

test("what shadow would have done spends its budgets, and nothing of them once it acts", async () => {
  const { cluster, hot } = await hotCluster();
  const goals = [{ goal: "evacuate", parameters: { hostIds: [hot.hostId] } }];
  const { policyId } = await policyOf(cluster, { ...shadowed, goals, budgets: { movesMaxPerHour: 3 } });
  expect((await runNow(policyId)).body).toMatchObject({ outcome: "shadowed", numbers: { approved: [1, 2, 3] } });
  expect((await runNow(policyId)).body).toMatchObject({ outcome: "budget-spent", numbers: null });
  await call("PATCH", `/v1/policies/${policyId}`, { body: { shadowUntil: null } });
  expect((await runNow(policyId)).body).toMatchObject({ outcome: "approved", numbers: { approved: [1, 2, 3] } });
});
