import { z } from "zod";
import { AppError } from "../errors.ts";
import { assertActsFor } from "../http/auth.ts";
import { cursor, hostIdParam, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { commandEnvelope } from "../model/wire/command.ts";
import { operatorId } from "../model/wire/common.ts";
import { refusal } from "../model/wire/event.ts";
import { heartbeat, hostFacts, hostInventory } from "../model/wire/inventory.ts";
import { recordRefusal } from "../services/commands.ts";
import * as hosts from "../services/hosts.ts";

const hostView = z
  .strictObject({
    hostId: z.string(),
    cluster: z.string(),
    heardAt: z.int().nullable(),
    agentUrl: z.string().nullable(),
    inventory: hostFacts,
  })
  .meta({ id: "Host" });

const toView = ({ number: _, ...host }: z.infer<typeof hostView> & { number: number }): z.infer<typeof hostView> =>
  host;

export const hostRoutes = createRouter()
  .openapi(
    declareRoute(["agent", "operate"], {
      method: "put",
      path: "/{hostId}",
      summary: "Register a host, or replace its inventory",
      request: { params: hostIdParam, body: jsonBody(hostInventory) },
      responses: {
        200: jsonAnswer(
          "Stored",
          z.strictObject({ hostId: z.string(), sequence: z.int(), vms: z.int(), commands: z.array(commandEnvelope) }),
        ),
      },
    }),
    async (c) => {
      const { hostId } = c.req.valid("param");
      const inventory = c.req.valid("json");
      assertActsFor(c.var.principal, hostId, inventory.cluster);
      return c.json(await hosts.registerInventory(c.var.deps, c.var.principal, hostId, inventory), 200);
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "patch",
      path: "/{hostId}",
      summary: "Set or clear the URL at which the host's agent takes commands",
      request: { params: hostIdParam, body: jsonBody(z.strictObject({ agentUrl: z.url().max(2048).nullable() })) },
      responses: {
        200: jsonAnswer("Changed", z.strictObject({ hostId: z.string(), agentUrl: z.string().nullable() })),
      },
    }),
    async (c) => {
      const { hostId } = c.req.valid("param");
      const { agentUrl } = c.req.valid("json");
      await hosts.setAgentUrl(c.var.deps, c.var.principal, hostId, agentUrl);
      return c.json({ hostId, agentUrl }, 200);
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/",
      summary: "Hosts by id",
      request: { query: z.strictObject({ cluster: operatorId.optional(), ...pageQuery }) },
      responses: { 200: jsonAnswer("Hosts", page(hostView)) },
    }),
    async (c) => {
      const { cluster, after, limit } = c.req.valid("query");
      const found = await c.var.deps.store.hosts.list(cluster ?? null, after ?? null, limit + 1);
      return c.json(
        cursor(found.map(toView), limit, (host) => host.hostId),
        200,
      );
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{hostId}",
      summary: "One host",
      request: { params: hostIdParam },
      responses: { 200: jsonAnswer("The host", hostView) },
    }),
    async (c) => {
      const { hostId } = c.req.valid("param");
      const host = await c.var.deps.store.hosts.byId(hostId);
      if (!host) throw new AppError({ code: "not_found", what: "host", id: hostId });
      return c.json(toView(host), 200);
    },
  )
  .openapi(
    declareRoute(["agent"], {
      method: "post",
      path: "/{hostId}/heartbeat",
      summary: "The host lives and these are its VMs; answered with its commands",
      request: { params: hostIdParam, body: jsonBody(heartbeat) },
      responses: { 200: jsonAnswer("Heard", z.strictObject({ now: z.int(), commands: z.array(commandEnvelope) })) },
    }),
    async (c) => {
      const { hostId } = c.req.valid("param");
      assertActsFor(c.var.principal, hostId, null);
      return c.json(await hosts.heartbeat(c.var.deps, hostId, c.req.valid("json")), 200);
    },
  )
  .openapi(
    declareRoute(["agent"], {
      method: "post",
      path: "/{hostId}/refusals",
      summary: "The agent did not act on a command that it could not trust",
      request: { params: hostIdParam, body: jsonBody(refusal) },
      responses: { 200: jsonAnswer("Noted", z.strictObject({})) },
    }),
    async (c) => {
      const { hostId } = c.req.valid("param");
      assertActsFor(c.var.principal, hostId, null);
      await recordRefusal(c.var.deps, hostId, c.req.valid("json"));
      return c.json({}, 200);
    },
  );
