// What a request is answered with at once, from the request alone.
import { ACTION_RULES, readAction } from "./actions.ts";
import { specOf } from "./commands.ts";
import { misreadMessage } from "./help-messages.ts";
import type { Acknowledgement, Inbound } from "./inbound.ts";
import { parseCommand } from "./parse.ts";

const LATER_ALONE: Acknowledgement = { ack: "later", audience: "asker", replaces: false };

export function acknowledgementOf(request: Inbound, now: number): Acknowledgement {
  if (request.kind === "command") return forCommand(request.text, now);
  const action = readAction(request.action);
  if (action === null) return LATER_ALONE;
  const { asks, isPrivate } = ACTION_RULES[action.do];
  if (request.kind === "button" && asks !== null) return { ack: "ask", title: asks, action: request.action };
  if (isPrivate) return LATER_ALONE;
  // Nothing stands in a message that asks for everything to be stopped: it was typed.
  return { ack: "later", audience: "channel", replaces: action.do !== "stop" };
}

function forCommand(text: string, now: number): Acknowledgement {
  const parsed = parseCommand(text, now);
  if ("misread" in parsed) return { ack: "say", message: misreadMessage(parsed) };
  const { command } = parsed;
  if (command.name === "stop" && command.reason === null)
    return { ack: "ask", title: ACTION_RULES.stop.asks ?? "", action: "stop" };
  return { ack: "later", audience: specOf(command.name).audience, replaces: false };
}
