// What people tell running migrations: signed directives to the source's agent, which has the last word.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { isPastNoReturn } from "../model/lifecycle.ts";
import { objectionTo } from "../model/migration/directives.ts";
import type { Principal } from "../model/principal.ts";
import type { CommandRecord, MigrationRun } from "../model/run.ts";
import { type SentDirective, type SteerBody, directiveOf } from "../model/wire/steering.ts";
import { dispatch } from "./commands.ts";
import { recoverFor, steerFor } from "./run-commands.ts";
import { readRun } from "./runs.ts";

/** Several people who steer one run at once get their numbers within this many tries. */
const TRIES_MAX = 5;

/** `POST /v1/migrations/{id}/steer`: while it copies, within what was approved. The agent's answer comes into the timeline. */
export async function steerRun(
  deps: Deps,
  principal: Principal,
  migrationId: string,
  body: SteerBody,
): Promise<SentDirective> {
  const { reason } = body;
  const directive = directiveOf(body);
  const run = await readRun(deps, migrationId);
  if (isPastNoReturn(run.state, run.postCopyActive))
    throw new AppError({ code: "point_of_no_return", migrationId, state: run.state });
  demandState(run, ["pre-copying"]);
  const objection = objectionTo(directive, run, "the approval");
  if (objection !== null)
    throw new AppError({ code: "outside_limits", migrationId, detail: objection, limits: run.limits });
  await deps.store.audit.record(
    { actor: principal.id, action: "migration.steer", subject: migrationId, reason, detail: directive },
    deps.now(),
  );
  return send(deps, run, "steer", (number) => steerFor(deps, run, number, { directive, reason }));
}

/** `POST /v1/migrations/{id}/recover`: the agents try by themselves; this makes them try now. */
export async function recoverRun(
  deps: Deps,
  principal: Principal,
  migrationId: string,
  reason: string,
): Promise<SentDirective> {
  const run = await readRun(deps, migrationId);
  // A run that was lost from sight may well be paused: the agent knows.
  if (!(run.state === "lost" && run.postCopyActive)) demandState(run, ["paused"]);
  await deps.store.audit.record(
    { actor: principal.id, action: "migration.recover", subject: migrationId, reason },
    deps.now(),
  );
  return send(deps, run, "recover", (number) => recoverFor(deps, run, number, reason));
}

function demandState({ migrationId: id, state }: MigrationRun, allowed: MigrationRun["state"][]): void {
  if (!allowed.includes(state)) throw new AppError({ code: "illegal_state", what: "Migration", id, state, allowed });
}

/** Numbers the command, stores it and sends it where the agent can be reached; it also goes with the agent's next answer. */
async function send(
  deps: Deps,
  { migrationId }: MigrationRun,
  kind: "steer" | "recover",
  commandFor: (number: number) => CommandRecord,
): Promise<SentDirective> {
  for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
    const number = (await deps.store.commands.countOf(migrationId, kind)) + 1;
    const command = commandFor(number);
    if (!(await deps.store.commands.insertNew(command))) continue;
    await dispatch(deps, command);
    return { migrationId, commandId: command.id, number, expiresAt: command.expiresAt };
  }
  const detail = `Migration ${migrationId} is being steered by several at once.`;
  throw new AppError({ code: "busy", detail, retryAfterSeconds: 1 });
}
