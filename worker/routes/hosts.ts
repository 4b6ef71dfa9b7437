import { z } from "zod";
import { AppError } from "../errors.ts";
import { assertActsFor } from "../http/auth.ts";
import { cursor, hostIdParam, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { maintenance, maintenanceAt, maintenanceRequest, type StoredMaintenance } from "../model/maintenance.ts";
import { commandEnvelope } from "../model/wire/command.ts";
import { operatorId } from "../model/wire/common.ts";
import { refusal } from "../model/wire/event.ts";
import { heartbeat, hostFacts, hostInventory } from "../model/wire/inventory.ts";
import { checkAnswer } from "../model/wire/question.ts";
import { recordRefusal } from "../services/commands.ts";
import * as hosts from "../services/hosts.ts";
import { takeAnswer } from "../services/preflights.ts";

const hostView = z
  .strictObject({
    hostId: z.string(),
    cluster: z.string(),
    heardAt: z.int().nullable(),
    agentUrl: z.string().nullable(),
    /** null: in none. */
    maintenance: maintenance.nullable(),
    inventory: hostFacts,
  })
  .meta({ id: "Host" });

type Stored = Omit<z.infer<typeof hostView>, "maintenance"> & StoredMaintenance;

const toView = (host: Stored, now: number): z.infer<typeof hostView> => ({
  hostId: host.hostId,
  cluster: host.cluster,
  heardAt: host.heardAt,
  agentUrl: host.agentUrl,
  maintenance: maintenanceAt(host, now),
  inventory: host.inventory,
});

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
      const { store, now } = c.var.deps;
      const found = await store.hosts.list(cluster ?? null, after ?? null, limit + 1);
      const { items, next } = cursor(found, limit, (host) => host.hostId);
      return c.json({ items: items.map((host) => toView(host, now())), next }, 200);
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
      return c.json(toView(host, c.var.deps.now()), 200);
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{hostId}/maintenance",
      summary: "The host is to be emptied and gets no VMs, until a time or until it is ended",
      request: { params: hostIdParam, body: jsonBody(maintenanceRequest) },
      responses: { 200: jsonAnswer("In maintenance", z.strictObject({ hostId: z.string(), maintenance })) },
    }),
    async (c) => {
      const { hostId } = c.req.valid("param");
      const begun = await hosts.beginMaintenance(c.var.deps, c.var.principal, hostId, c.req.valid("json"));
      return c.json({ hostId, maintenance: begun }, 200);
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "delete",
      path: "/{hostId}/maintenance",
      summary: "End a host's maintenance",
      request: { params: hostIdParam },
      responses: { 200: jsonAnswer("In none", z.strictObject({ hostId: z.string(), maintenance: z.null() })) },
    }),
    async (c) => {
      const { hostId } = c.req.valid("param");
      await hosts.endMaintenance(c.var.deps, c.var.principal, hostId);
      return c.json({ hostId, maintenance: null }, 200);
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
  )
  .openapi(
    declareRoute(["agent"], {
      method: "post",
      path: "/{hostId}/checks/{checkId}",
      summary: "The agent answers a question that moves nothing: its preflight, or a probe of the link",
      request: { params: hostIdParam.extend({ checkId: z.string().min(1).max(64) }), body: jsonBody(checkAnswer) },
      responses: { 200: jsonAnswer("Stored", z.strictObject({ duplicate: z.boolean() })) },
    }),
    async (c) => {
      const { hostId, checkId } = c.req.valid("param");
      assertActsFor(c.var.principal, hostId, null);
      return c.json(await takeAnswer(c.var.deps, hostId, checkId, c.req.valid("json")), 200);
    },
  );
