import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import { z } from "zod";
import type { AppEnv } from "../env.ts";
import { idempotent } from "../http/idempotency.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { problemOf } from "../http/problem.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { chatChannel } from "../model/chat/channel.ts";
import type { PlatformName } from "../model/chat/inbound.ts";
import { linkedUser, linkRequest, newChatUser } from "../model/chat/user.ts";
import { removeChannel } from "../services/chat-channels.ts";
import { takeRequest } from "../services/chat-requests.ts";
import { linkSelf, linkUser, unlinkUser } from "../services/chat-users.ts";

const idParam = z.strictObject({ id: z.string().min(1).max(64) });

/** The body byte for byte, whatever type it says it is of: that is what was signed. */
const utf8 = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

/** As by HTTP, but for what only somebody who writes a request can do. */
function explained(error: unknown): { title: string; detail: string; advice: string } {
  const problem = problemOf(error);
  return "issues" in problem ? { ...problem, advice: "help COMMAND says how it is written." } : problem;
}

async function take(c: Context<AppEnv>, platform: PlatformName): Promise<Response> {
  const raw = { headers: c.req.header(), body: utf8.decode(await c.req.arrayBuffer()) };
  const answer = await takeRequest(c.var.deps, platform, raw, explained);
  return answer === null ? c.body(null, 200) : c.json(answer, 200);
}

const endpoint = (platform: PlatformName, summary: string) =>
  createRoute({
    method: "post",
    path: `/${platform}`,
    summary,
    responses: {
      200: { description: "Taken; the answer, or nothing where it comes later" },
      401: { description: "Forged, old, or it came before; which of them stands in the Worker's log" },
    },
  });

const endpoints = createRouter()
  .openapi(endpoint("slack", "Where Slack sends commands, buttons and windows; signed by v0"), (c) => take(c, "slack"))
  .openapi(endpoint("discord", "Where Discord sends interactions; signed by Ed25519"), (c) => take(c, "discord"));

const users = createRouter()
  .openapi(
    declareRoute(["admin"], {
      method: "get",
      path: "/users",
      summary: "Who chat users are to Drover",
      request: { query: z.strictObject(pageQuery) },
      responses: { 200: jsonAnswer("Users", page(linkedUser)) },
    }),
    async (c) => {
      const { after, limit } = c.req.valid("query");
      const found = await c.var.deps.store.chat.users(after ?? null, limit + 1);
      return c.json(
        cursor(found, limit, ({ id }) => id),
        200,
      );
    },
  )
  .openapi(
    declareRoute(["admin"], {
      method: "post",
      path: "/users",
      summary: "Say who a chat user is, by the code that they were shown or by the platform's ids",
      middleware: idempotent,
      request: { body: jsonBody(newChatUser) },
      responses: { 201: jsonAnswer("Linked", linkedUser) },
    }),
    async (c) => c.json(await linkUser(c.var.deps, c.var.principal, c.req.valid("json")), 201),
  )
  .openapi(
    declareRoute(["admin"], {
      method: "delete",
      path: "/users/{id}",
      summary: "Forget who a chat user is; at once",
      request: { params: idParam },
      responses: { 200: jsonAnswer("Forgotten", idParam) },
    }),
    async (c) => {
      const { id } = c.req.valid("param");
      await unlinkUser(c.var.deps, c.var.principal, id);
      return c.json({ id }, 200);
    },
  )
  .openapi(
    declareRoute(["read", "plan", "approve", "operate", "admin"], {
      method: "post",
      path: "/links",
      summary: "Link yourself: the chat user who was shown this code may do what this token may",
      middleware: idempotent,
      request: { body: jsonBody(linkRequest) },
      responses: { 201: jsonAnswer("Linked", linkedUser) },
    }),
    async (c) => c.json(await linkSelf(c.var.deps, c.var.principal, c.req.valid("json")), 201),
  );

const channels = createRouter()
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/channels",
      summary: "Channels that are told something, and why the last message did not come through where it did not",
      request: { query: z.strictObject(pageQuery) },
      responses: { 200: jsonAnswer("Channels", page(chatChannel)) },
    }),
    async (c) => {
      const { after, limit } = c.req.valid("query");
      const found = await c.var.deps.store.chatChannels.list(after ?? null, limit + 1);
      return c.json(
        cursor(found, limit, ({ id }) => id),
        200,
      );
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "delete",
      path: "/channels/{id}",
      summary: "Tell a channel nothing any more",
      request: { params: idParam },
      responses: { 200: jsonAnswer("Deleted", idParam) },
    }),
    async (c) => {
      const { id } = c.req.valid("param");
      await removeChannel(c.var.deps, c.var.principal, id);
      return c.json({ id }, 200);
    },
  );

export const chatRoutes = createRouter().route("/", endpoints).route("/", users).route("/", channels);
