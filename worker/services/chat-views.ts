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

/** People by what their tokens are called; whoever has none is called by their id. */
export async function namesOf(deps: Deps, ids: readonly (string | null)[]): Promise<(id: string) => string> {
  const names = await deps.store.tokens.names(ids.filter((id) => id !== null));
  return (id) => names.get(id) ?? id;
}

export async function planView(deps: Deps, stored: Plan): Promise<LiveMessage> {
  const { rule, given } = await readApprovals(deps, stored);
  const counted = given.filter(({ counts }) => counts).map(({ by }) => by);
  const { from = null } = rule;
  const nameOf = await namesOf(deps, [stored.createdBy, stored.decidedBy, ...counted, ...(from ?? [])]);
  const { decidedBy } = stored;
  const plan = {
    ...stored,
    createdBy: nameOf(stored.createdBy),
    decidedBy: decidedBy === null ? null : nameOf(decidedBy),
  };
  const approvals = { needed: rule.needed, given: counted.map(nameOf), from: from?.map(nameOf) ?? null };
  const silenceAt = await silenceOf(deps, stored);
  return {
    message: planMessage({ plan, approvals, silenceAt, now: deps.now(), publicUrl: deps.outgoing.publicUrl }),
    about: { subject: plan.planId, isEnded: !GOES_ON.includes(plan.state) },
  };
}

/** When silence approves a plan, as its policy says now. */
async function silenceOf(deps: Deps, { policyId, mode, createdAt }: Plan): Promise<number | null> {
  if (policyId === null || mode !== "approve-by-timeout") return null;
  const after = (await deps.store.policies.byId(policyId))?.policy?.approveAfterMs;
  return after === undefined ? null : createdAt + after;
}

export const runView = (deps: Deps, run: MigrationRun): LiveMessage => ({
  message: runMessage(run, deps.now()),
  about: { subject: run.migrationId, isEnded: isEnded(run.state) },
});
