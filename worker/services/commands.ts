// Commands on their way to agents.
import type { Deps } from "../env.ts";
import type { CommandRecord } from "../model/run.ts";
import type { CommandEnvelope } from "../model/wire/command.ts";
import type { Refusal } from "../model/wire/event.ts";

const sign = async (deps: Deps, command: CommandRecord): Promise<CommandEnvelope> =>
  (await deps.signer()).sign(command.id, Math.floor(deps.now() / 1000), command.body);

/** What this host's agent has not answered yet, signed for this delivery. */
export async function pendingEnvelopes(deps: Deps, hostId: string): Promise<CommandEnvelope[]> {
  return envelopes(deps, await deps.store.commands.pendingFor(hostId, deps.now()));
}

export const envelopes = (deps: Deps, commands: readonly CommandRecord[]): Promise<CommandEnvelope[]> =>
  Promise.all(commands.map((command) => sign(deps, command)));

/**
 * Sends a command that is written by every way that is open: its URL where the operator opted in, and its channel. The agent
 * also finds it in its next answer; by several ways at once it starts once.
 */
export async function dispatch(deps: Deps, command: CommandRecord): Promise<void> {
  await Promise.all([deps.channel.wake(command.hostId), post(deps, command)]);
}

async function post(deps: Deps, command: CommandRecord): Promise<void> {
  const host = await deps.store.hosts.byId(command.hostId);
  if (host?.agentUrl) await deps.postCommand(host.agentUrl, await sign(deps, command));
}

/** `POST /v1/hosts/{hostId}/refusals`: an agent did not act on something it could not trust. Kept for people; moves no run. */
export async function recordRefusal(deps: Deps, hostId: string, refusal: Refusal): Promise<void> {
  await deps.store.audit.record(
    {
      actor: hostId,
      action: "command.refused",
      subject: refusal.commandId ?? hostId,
      reason: refusal.reason,
      detail: refusal,
    },
    deps.now(),
  );
  const { commandId, reason, detail } = refusal;
  const check = commandId === undefined ? null : await deps.store.checks.byId(commandId);
  // Whoever asked need not wait any longer.
  if (check?.hostId === hostId)
    await deps.store.checks.answer(check.id, { type: "refused", reason, detail: detail || reason }, deps.now());
}
