// Messages of what is stored, as it is now.
import type { Deps } from "../env.ts";
import { isEnded } from "../model/lifecycle.ts";
import type { Message } from "../model/chat/message.ts";
import { planMessage } from "../model/chat/plan-message.ts";
import { runMessage } from "../model/chat/run-message.ts";
import type { Plan } from "../model/plan.ts";
import type { MigrationRun } from "../model/run.ts";
import { readApprovals } from "./approvals.ts";

/** A message that is brought up to date as what it is about goes on. */
export type LiveMessage = { message: Message; about: { subject: string; isEnded: boolean } };

const GOES_ON: readonly Plan["state"][] = ["proposed", "approved", "executing"];

export async function planView(deps: Deps, plan: Plan): Promise<LiveMessage> {
  const { rule, given } = await readApprovals(deps, plan);
  const counted = given.filter(({ counts }) => counts).map(({ by }) => by);
  const approvals = { needed: rule.needed, given: counted };
  return {
    message: planMessage({ plan, approvals, now: deps.now(), publicUrl: deps.outgoing.publicUrl }),
    about: { subject: plan.planId, isEnded: !GOES_ON.includes(plan.state) },
  };
}

export const runView = (deps: Deps, run: MigrationRun): LiveMessage => ({
  message: runMessage(run, deps.now()),
  about: { subject: run.migrationId, isEnded: isEnded(run.state) },
});
