// A real HTTP server on loopback that is Slack and Discord at once: it takes what is posted, names messages, and answers well
// or badly as the channel's name asks. What came for a channel is at `/_calls/{channel}`.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export type Call = {
  method: string;
  path: string;
  authorization: string | null;
  body: Record<string, unknown>;
  /** The message that it has become or changed; null: none. */
  messageId: string | null;
};

export type ChatPlatformServer = { url: string; close: () => Promise<void> };

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString("utf8") || "{}") as Record<string, unknown>;
}

/** Channels are named in the path of Discord and of answers, in the body of Slack's methods, or in a window's metadata. */
function channelIn(path: string, body: Record<string, unknown>): string {
  if (typeof body["channel"] === "string") return body["channel"];
  const view = body["view"] as { private_metadata?: string } | undefined;
  const kept =
    view?.private_metadata === undefined ? undefined : (JSON.parse(view.private_metadata) as { channelId: string });
  if (kept !== undefined) return kept.channelId;
  const [, inPath = ""] = /^\/(?:slack\/hooks|discord\/channels|discord\/webhooks\/app1)\/([^/]+)/.exec(path) ?? [];
  // An interaction's token begins with its channel.
  return inPath.replace(/-\d{6}$/, "");
}

type Fate = { status: number; body: object | string; headers?: Record<string, string>; isTaken: boolean };

/** What becomes of a call: `isFirst`: none came to this path before. */
function fateOf(path: string, channel: string, messageId: string, isFirst: boolean): Fate {
  const isHook = path.startsWith("/slack/hooks/");
  const isSlack = path.startsWith("/slack/");
  if (channel.startsWith("busy") && isFirst)
    return { status: 429, body: {}, headers: { "retry-after": "0" }, isTaken: false };
  if (isHook) return { status: 200, body: "ok", isTaken: true };
  if (channel.startsWith("gone") && isSlack)
    return { status: 200, body: { ok: false, error: "channel_not_found" }, isTaken: false };
  if (channel.startsWith("gone")) return { status: 404, body: { message: "Unknown Channel" }, isTaken: false };
  return { status: 200, body: isSlack ? { ok: true, ts: messageId, channel } : { id: messageId }, isTaken: true };
}

const respond = (response: ServerResponse, { status, body, headers = {} }: Omit<Fate, "isTaken">): void => {
  const isJson = typeof body !== "string";
  response.writeHead(status, { ...(isJson ? { "content-type": "application/json" } : {}), ...headers });
  response.end(isJson ? JSON.stringify(body) : body);
};

export async function startChatPlatform(port: number): Promise<ChatPlatformServer> {
  const calls = new Map<string, Call[]>();
  let named = 0;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { url: path = "/", method = "", headers } = request;
    const [, asked] = /^\/_calls\/(.+)$/.exec(path) ?? [];
    if (asked !== undefined) return respond(response, { status: 200, body: calls.get(asked) ?? [] });
    const body = await bodyOf(request);
    const channel = channelIn(path, body);
    const all = calls.get(channel) ?? [];
    calls.set(channel, all);
    const isHook = path.startsWith("/slack/hooks/");
    const known = typeof body["ts"] === "string" ? body["ts"] : /messages\/(\d+)$/.exec(path)?.[1];
    const messageId = known ?? String(++named);
    const fate = fateOf(path, channel, messageId, !all.some((one) => one.path === path));
    const isNamed = fate.isTaken && !isHook;
    const authorization = headers.authorization ?? null;
    all.push({ method, path, authorization, body, messageId: isNamed ? messageId : null });
    respond(response, fate);
  };
  const server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
