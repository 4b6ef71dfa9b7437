import { createExecutionContext, createScheduledController, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { makeDeps } from "../../worker/env.ts";
import worker from "../../worker/index.ts";
import type { Plan } from "../../worker/model/plan.ts";
import { approvePlan } from "../../worker/services/plan-approvals.ts";
import { call, eventually } from "../support/api.ts";
import { approve, commandFor, read, runOf, toPreCopying, world } from "../support/run-world.ts";

/** One minute of Cron, as the platform calls it. */
async function cron(): Promise<void> {
  const context = createExecutionContext();
  worker.scheduled(createScheduledController({ cron: "* * * * *" }), env, context);
  await waitOnExecutionContext(context);
}

const ADMIN = { id: "admin", name: "admin", scopes: ["approve"], hostId: null, cluster: null } as const;

test("a plan that nobody decided in its time expires", async () => {
  const { plan } = await world();
  await cron();
  expect((await call<Plan>("GET", `/v1/plans/${plan.planId}`)).body.state).toBe("proposed");
  await env.DB.prepare("UPDATE plans SET expires_at = 1 WHERE id = ?").bind(plan.planId).run();
  await cron();
  expect((await call<Plan>("GET", `/v1/plans/${plan.planId}`)).body).toMatchObject({
    state: "expired",
    endedAt: expect.any(Number),
  });
});

test("an approved run whose Workflow could not be made gets one", async () => {
  const { b, plan } = await world();
  const down = {
    start: () => Promise.reject(new Error("no Workflows now")),
    ensure: async () => undefined,
    notify: async () => undefined,
  };
  await approvePlan({ ...makeDeps(env), runs: down }, ADMIN, plan.planId, { contentHash: plan.contentHash });
  expect((await runOf(plan)).state).toBe("queued");
  await cron();
  expect(await commandFor(b, {}, "migration.prepare")).toMatchObject({ hostId: b.hostId });
});

test("a run whose Workflow was ended goes on where it was", async () => {
  const w = await world();
  const run = await toPreCopying(w);
  await (await env.MIGRATION_RUN.get(run.migrationId)).terminate();
  await w.a.report(run.migrationId, { type: "switched", side: "source", postCopy: false });
  await w.b.report(run.migrationId, { type: "switched", side: "destination", postCopy: false });
  await w.a.report(run.migrationId, { type: "completed", outcome: { totalMs: 5 } });
  await w.b.beat({ [w.guest.uuid]: "running" });
  await w.a.beat({});
  await cron();
  const ended = await eventually(
    () => read(run.migrationId),
    (now) => now.endedAt !== null,
  );
  expect(ended.state).toBe("completed");
});

test("commands past their time are void, and idempotency keys are forgotten after a day", async () => {
  const { b, plan } = await world();
  await approve(plan);
  await commandFor(b, {}, "migration.prepare");
  const { migrationId } = await runOf(plan);
  await env.DB.batch([
    env.DB.prepare("UPDATE commands SET expires_at = 1 WHERE migration_id = ?").bind(migrationId),
    env.DB.prepare("INSERT INTO idempotency VALUES ('p', 'k', 'h', 200, '{}', 1)"),
  ]);
  await cron();
  expect(await env.DB.prepare("SELECT state FROM commands WHERE migration_id = ?").bind(migrationId).first()).toEqual({
    state: "expired",
  });
  expect(await env.DB.prepare("SELECT count(*) AS n FROM idempotency WHERE principal = 'p'").first()).toEqual({ n: 0 });
});
