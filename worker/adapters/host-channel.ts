// The Durable Objects that hold the agents' WebSockets, as routes and services see them.
import { CHANNEL_GRANT_HEADER, type ChannelGrant } from "../model/channel-grant.ts";

/** A command also waits for the agent's next heartbeat: nobody waits longer than this for a socket, ms. */
const WAKE_MS_MAX = 5000;

export type HostChannelObject = Rpc.DurableObjectBranded & { wake: () => Promise<boolean> };

export type HostChannels = {
  /** Takes a WebSocket of the host's agent; the answer has its other end. */
  connect: (grant: ChannelGrant) => Promise<Response>;
  /**
   * Sends the host's pending commands to its agent. False: its channel is not open, or does not take them in time. Never
   * throws.
   */
  wake: (hostId: string) => Promise<boolean>;
};

export function hostChannels(namespace: DurableObjectNamespace<HostChannelObject>): HostChannels {
  const objectOf = (hostId: string) => namespace.get(namespace.idFromName(hostId));
  return {
    connect: async (grant) => {
      const headers = { upgrade: "websocket", [CHANNEL_GRANT_HEADER]: JSON.stringify(grant) };
      const { webSocket } = await objectOf(grant.hostId).fetch("https://channel/", { headers });
      // A new answer: the headers of one that was fetched cannot be changed.
      return new Response(null, { status: 101, webSocket });
    },
    wake: async (hostId) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const limit = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), WAKE_MS_MAX)));
      try {
        return await Promise.race([objectOf(hostId).wake(), limit]);
      } catch {
        return false;
      } finally {
        clearTimeout(timer);
      }
    },
  };
}
