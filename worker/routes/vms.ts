import { z } from "zod";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer } from "../http/route.ts";
import { operatorId, vmUuid } from "../model/wire/common.ts";
import { vmInventory } from "../model/wire/inventory.ts";

const vmView = z
  .strictObject({
    cluster: z.string(),
    uuid: vmUuid,
    /** Where it was last seen; null: nowhere now. */
    hostId: z.string().nullable(),
    state: z.string(),
    inventory: vmInventory,
    lastMovedAt: z.int().nullable(),
    updatedAt: z.int(),
  })
  .meta({ id: "Vm" });

export const vmRoutes = createRouter().openapi(
  declareRoute(["read"], {
    method: "get",
    path: "/",
    summary: "VMs by cluster and uuid",
    request: {
      query: z.strictObject({
        cluster: operatorId.optional(),
        host: operatorId.optional(),
        uuid: vmUuid.optional(),
        ...pageQuery,
      }),
    },
    responses: { 200: jsonAnswer("VMs", page(vmView)) },
  }),
  async (c) => {
    const { cluster, host, uuid, after, limit } = c.req.valid("query");
    const found = await c.var.deps.store.hosts.vms({
      cluster: cluster ?? null,
      hostId: host ?? null,
      uuid: uuid ?? null,
      after: after ?? null,
      limit: limit + 1,
    });
    return c.json(
      cursor(found, limit, (vm) => `${vm.cluster}/${vm.uuid}`),
      200,
    );
  },
);
