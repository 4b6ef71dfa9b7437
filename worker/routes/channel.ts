import { AppError } from "../errors.ts";
import { assertActsFor, bearerToken } from "../http/auth.ts";
import { hostIdParam } from "../http/paging.ts";
import { createRouter, declareRoute } from "../http/route.ts";
import { channelHeartbeat, channelMessage } from "../model/wire/channel.ts";

const router = createRouter();
router.openAPIRegistry.register("ChannelHeartbeat", channelHeartbeat);
router.openAPIRegistry.register("ChannelMessage", channelMessage);

export const channelRoutes = router.openapi(
  declareRoute(["agent"], {
    method: "get",
    path: "/{hostId}/channel",
    summary: "The host channel: a WebSocket that brings heartbeats in and commands out",
    description:
      "The agent sends `ChannelHeartbeat` and is sent `ChannelMessage`, each as JSON text; `ping` is answered `pong`. Close codes: 4400 message after message could not be read, 4401 the token was revoked or has expired, 4409 a newer channel of this host was opened.",
    request: { params: hostIdParam },
    responses: { 101: { description: "The channel is open" } },
  }),
  async (c) => {
    const { hostId } = c.req.valid("param");
    const { channel, hash, store } = c.var.deps;
    assertActsFor(c.var.principal, hostId, null);
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket") throw new AppError({ code: "upgrade_required" });
    if (!(await store.hosts.byId(hostId))) throw new AppError({ code: "not_found", what: "host", id: hostId });
    return channel.connect({ hostId, tokenHash: await hash(bearerToken(c.req.header("authorization"))) });
  },
);
