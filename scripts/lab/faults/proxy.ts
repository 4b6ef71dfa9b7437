// A TCP proxy of the lab's own. It stands between an agent and the edge and does to their connections what networks do.
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** What befalls connections; drawn anew for each of them. */
export type Weather = {
  /** Every piece of an answer waits so long, ms, at most. */
  delayMsMax: number;
  /** A connection is cut after so long, ms, at most. */
  lifeMsMax: number;
  /** Share of the connections whose answers never arrive, though the edge was asked. */
  dropRatio: number;
  /** From 0 to below 1. */
  random: () => number;
};

export type Proxy = {
  url: string;
  /** From now on; null: everything passes at once. Connections that are open are cut. */
  set: (weather: Weather | null) => void;
  /** Hears every piece of an answer as it comes from the edge, before it goes on; `off` ends that. */
  listen: (listener: (answer: string) => void) => { off: () => void };
  /** What was done since the start. */
  counts: () => { delayed: number; dropped: number; cut: number };
  close: () => Promise<void>;
};

type State = {
  weather: Weather | null;
  listeners: Set<(answer: string) => void>;
  cuts: Set<() => void>;
  counts: { delayed: number; dropped: number; cut: number };
};

/** One connection: `client` is the agent's, `edge` the one that is opened for it. */
function carry(state: State, client: Socket, edge: Socket): void {
  const { weather, counts } = state;
  const cut = (): void => {
    clearTimeout(timer);
    state.cuts.delete(cut);
    client.destroy();
    edge.destroy();
  };
  state.cuts.add(cut);
  const timer =
    weather === null
      ? undefined
      : setTimeout(() => {
          counts.cut += 1;
          cut();
        }, weather.lifeMsMax * weather.random());
  const isDropped = weather !== null && weather.random() < weather.dropRatio;
  if (isDropped) counts.dropped += 1;
  for (const socket of [client, edge]) socket.on("error", cut).on("close", cut);
  client.pipe(edge);
  edge.on("data", (piece: Buffer) => {
    for (const listener of state.listeners) listener(piece.toString("latin1"));
    if (isDropped) return;
    if (weather === null) return void client.write(piece);
    counts.delayed += 1;
    edge.pause();
    setTimeout(() => {
      if (!client.destroyed) client.write(piece);
      edge.resume();
    }, weather.delayMsMax * weather.random());
  });
}

export async function startProxy(targetUrl: string): Promise<Proxy> {
  const { hostname, port } = new URL(targetUrl);
  const counts = { delayed: 0, dropped: 0, cut: 0 };
  const state: State = { weather: null, listeners: new Set(), cuts: new Set(), counts };
  const server = createServer((client) => carry(state, client, connect(Number(port), hostname)));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const cutAll = (): void => {
    for (const cut of state.cuts) cut();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    set: (weather) => {
      state.weather = weather;
      cutAll();
    },
    listen: (listener) => {
      state.listeners.add(listener);
      return { off: () => void state.listeners.delete(listener) };
    },
    counts: () => ({ ...counts }),
    close: async () => {
      cutAll();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** A port of 127.0.0.1 that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
