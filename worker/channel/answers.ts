// What is answered to one message of an agent. Nothing that an agent sends throws.
import type { Deps } from "../env.ts";
import { AppError, type Fault } from "../errors.ts";
import { problemOf } from "../http/problem.ts";
import { issuesOf } from "../http/route.ts";
import {
  CHANNEL_MESSAGE_CHARS_MAX,
  type ChannelHeartbeat,
  channelHeartbeat,
  type ChannelMessage,
} from "../model/wire/channel.ts";
import * as hosts from "../services/hosts.ts";

export type Read = { ok: true; beat: ChannelHeartbeat } | { ok: false; answer: ChannelMessage };

const refused = (fault: Fault, id: number | null = null): Read => ({
  ok: false,
  answer: errorOf(new AppError(fault), id),
});

export const errorOf = (error: unknown, id: number | null): ChannelMessage => ({
  type: "error",
  id,
  problem: problemOf(error),
});

/** A heartbeat, or what to say of something that is none. */
export function readMessage(message: string | ArrayBuffer): Read {
  if (typeof message !== "string") return refused({ code: "malformed_body", detail: "The message is binary." });
  if (message.length > CHANNEL_MESSAGE_CHARS_MAX)
    return refused({ code: "body_too_large", limitBytes: CHANNEL_MESSAGE_CHARS_MAX });
  let content: unknown;
  try {
    content = JSON.parse(message);
  } catch {
    return refused({ code: "malformed_body", detail: "The message is not JSON." });
  }
  const parsed = channelHeartbeat.safeParse(content);
  if (parsed.success) return { ok: true, beat: parsed.data };
  const id = channelHeartbeat.pick({ id: true }).loose().safeParse(content);
  return refused({ code: "invalid_request", issues: issuesOf(parsed.error) }, id.success ? id.data.id : null);
}

/** Hears the host, at the cost of `POST /v1/hosts/{hostId}/heartbeat`, and answers with what that answers. */
export async function heardBy(
  deps: Deps,
  hostId: string,
  { type: _, id, ...beat }: ChannelHeartbeat,
): Promise<ChannelMessage> {
  try {
    return { type: "heard", id, ...(await hosts.heartbeat(deps, hostId, beat)) };
  } catch (error) {
    return errorOf(error, id);
  }
}
