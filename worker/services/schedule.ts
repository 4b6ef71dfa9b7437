// What Cron does every minute. Each part is idempotent and complete in itself.
import type { Deps } from "../env.ts";
import { ALERTS_KEPT_MS } from "../model/triggers/trigger.ts";
import { DAY_MS, MINUTE_MS } from "../model/units.ts";
import { sweepChat } from "./chat-requests.ts";
import { closeHours, closeLate, fullBudget } from "./closing.ts";
import { PLAN_INPUT_KEPT_MS } from "./plan-questions.ts";
import { sweepOutbox } from "./outbox.ts";
import { CHECK_KEPT_MS } from "./preflights.ts";
import { runPolicies } from "./policy-schedule.ts";
import { replanRest } from "./replan.ts";
import { retain } from "./retention.ts";
import { settlePlan } from "./runs.ts";

/** Plans a minute whose inputs are removed: a large one has a few rows of over a megabyte. */
const PLAN_INPUTS_AT_ONCE = 50;

/** Alerts that are too old, deleted a minute. */
const ALERTS_AT_ONCE = 500;

/** A plan that failed longer ago is not planned anew: its approval is of another time. */
const REPLAN_WITHIN_MS = 10 * MINUTE_MS;

/** Takes up what was cut off of runs and their plans. What fails of one keeps Cron neither from the others nor from its other work. */
export async function keepRuns(deps: Deps): Promise<void> {
  // A run whose Workflow instance is missing or has given up gets a living one.
  for (const { migrationId } of await deps.store.migrations.activeIn(null))
    await alone(`${migrationId} has no instance`, () => deps.runs.ensure(migrationId));
  // Where the instance has gone before it could.
  for (const { planId } of await deps.store.plans.underway(null))
    await alone(`${planId} could not be settled`, () => settlePlan(deps, planId));
  for (const planId of await deps.store.plans.toReplan(deps.now() - REPLAN_WITHIN_MS))
    await alone(`${planId} could not be planned anew`, () => replanRest(deps, planId));
}

async function alone(trouble: string, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    // oxlint-disable-next-line no-console
    console.error(trouble, error);
  }
}

export async function runSchedule(deps: Deps): Promise<void> {
  const now = deps.now();
  await deps.store.plans.expire(now);
  await deps.store.planInputs.forget(now - PLAN_INPUT_KEPT_MS, PLAN_INPUTS_AT_ONCE);
  await deps.store.commands.expire(now);
  await deps.store.idempotency.forget(now - DAY_MS);
  await deps.store.checks.forget(now - CHECK_KEPT_MS);
  await keepRuns(deps);
  await runPolicies(deps);
  await alone("the outbox could not be swept", () => sweepOutbox(deps));
  await alone("chat could not be swept", () => sweepChat(deps));
  await deps.store.triggers.forget(now - ALERTS_KEPT_MS, ALERTS_AT_ONCE);
  const budget = fullBudget();
  if ((await closeHours(deps, budget)) && (await closeLate(deps, budget))) await retain(deps);
}
