// A TCP proxy on loopback in the way of one server, that misbehaves as told.
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export type TcpProxy = {
  url: string;
  /** Every piece of either direction waits so long, ms. */
  delayMs: number;
  /** Bytes go nowhere, in both directions, and no connection ends: what was sent meanwhile is lost. */
  isBlackHole: boolean;
  /** Requests for an upgrade are answered 403 by the proxy, as some in companies do. */
  blocksUpgrades: boolean;
  /** Connections that are open now. */
  open: () => number;
  /** Ends all that are open, without a word. */
  cut: () => void;
  close: () => Promise<void>;
};

const FORBIDDEN = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/** In front of `target`, an http address on loopback. */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const track = (socket: Socket, other: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      sockets.delete(socket);
      other.destroy();
    });
  };
  const pass = (from: Socket, to: Socket): void => {
    from.on("data", (data) => {
      if (proxy.isBlackHole) return;
      if (proxy.delayMs === 0) to.write(data);
      else setTimeout(() => !to.destroyed && !proxy.isBlackHole && to.write(data), proxy.delayMs);
    });
  };
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    track(client, upstream);
    track(upstream, client);
    client.prependListener("data", (data) => {
      if (proxy.blocksUpgrades && /^upgrade: websocket/im.test(data.toString("latin1"))) client.end(FORBIDDEN);
    });
    pass(client, upstream);
    pass(upstream, client);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = (): void => sockets.forEach((socket) => socket.destroy());
  const proxy: TcpProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    delayMs: 0,
    isBlackHole: false,
    blocksUpgrades: false,
    open: () => sockets.size / 2,
    cut,
    close: async () => {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}
