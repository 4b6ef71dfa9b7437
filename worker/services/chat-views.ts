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
  const nameOf = await namesOf(deps, [stored.createdBy, stored.decidedBy, ...counted]);
  const { decidedBy } = stored;
  const plan = {
    ...stored,
    createdBy: nameOf(stored.createdBy),
    decidedBy: decidedBy === null ? null : nameOf(decidedBy),
  };
  const approvals = { needed: rule.needed, given: counted.map(nameOf) };
  return {
    message: planMessage({ plan, approvals, now: deps.now(), publicUrl: deps.outgoing.publicUrl }),
    about: { subject: plan.planId, isEnded: !GOES_ON.includes(plan.state) },
  };
}

export const runView = (deps: Deps, run: MigrationRun): LiveMessage => ({
  message: runMessage(run, deps.now()),
  about: { subject: run.migrationId, isEnded: isEnded(run.state) },
});
