// Sends a signed command to the agent's own URL, where the operator opted in.
import type { CommandEnvelope } from "../model/wire/command.ts";

const TIMEOUT_MS = 5000;

/** True: the agent took it. False: it could not be reached or did not take it; the command also waits for a heartbeat. */
export async function postCommand(agentUrl: string, envelope: CommandEnvelope): Promise<boolean> {
  try {
    const answer = await fetch(new URL("commands", agentUrl.endsWith("/") ? agentUrl : `${agentUrl}/`), {
      method: "POST",
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: {
        "content-type": "application/json",
        "webhook-id": envelope.id,
        "webhook-timestamp": String(envelope.timestamp),
        "webhook-signature": envelope.signature,
      },
      body: envelope.body,
    });
    await answer.body?.cancel();
    return answer.ok;
  } catch {
    return false;
  }
}
