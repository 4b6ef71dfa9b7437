// Many receivers on one real server: those that take everything, those that hang and those that fail.
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export type Manner = "good" | "hangs" | "fails";
export type ReceiverLog = {
  manner: Manner;
  requests: number;
  inFlightMax: number;
  /** When each event came for the first time, by its id. */
  cameAt: Map<string, number>;
  duplicates: number;
};

export type Receivers = {
  urlOf: (name: string) => string;
  logs: Map<string, ReceiverLog>;
  close: () => Promise<void>;
};

async function drained(request: IncomingMessage): Promise<void> {
  for await (const _ of request as AsyncIterable<Buffer>);
}

/** `manners`: by name. */
export async function startReceivers(manners: ReadonlyMap<string, Manner>): Promise<Receivers> {
  const logs = new Map<string, ReceiverLog>();
  for (const [name, manner] of manners)
    logs.set(name, { manner, requests: 0, inFlightMax: 0, cameAt: new Map(), duplicates: 0 });
  const inFlight = new Map<string, number>();
  const server = createServer((request, response) => {
    const name = (request.url ?? "/").slice(1);
    const log = logs.get(name);
    if (log === undefined) return void response.writeHead(404).end();
    const open = (inFlight.get(name) ?? 0) + 1;
    inFlight.set(name, open);
    log.inFlightMax = Math.max(log.inFlightMax, open);
    log.requests += 1;
    response.on("close", () => inFlight.set(name, (inFlight.get(name) ?? 1) - 1));
    void drained(request).then(
      () => {
        if (log.manner === "hangs") return;
        if (log.manner === "fails") return void response.writeHead(500).end();
        const id = String(request.headers["webhook-id"]);
        if (log.cameAt.has(id)) log.duplicates += 1;
        else log.cameAt.set(id, Date.now());
        response.writeHead(204).end();
      },
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    urlOf: (name) => `http://127.0.0.1:${port}/${name}`,
    logs,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
