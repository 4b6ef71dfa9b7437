// Stands where the edge sends an agent's commands, and delivers each of them several times at one moment.
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Site } from "./site.ts";

const BY_WEBHOOK = 2;
/** The other way is an answer to a heartbeat; without one within this time the delivery goes on alone, ms. */
const OTHER_WAY_MS_MAX = 20_000;
const HEADERS = ["webhook-id", "webhook-timestamp", "webhook-signature"] as const;

export type Delivery = {
  commandId: string;
  /** The verdicts of the agent on those by webhook. */
  verdicts: string[];
  /** The same command was in an answer to the agent at that moment. */
  alsoByHeartbeat: boolean;
};

export type Relay = { url: string; deliveries: Delivery[]; close: () => Promise<void> };

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString("utf8");
}

/** Resolves true when the command passes by in an answer of the edge to the agent, false when it does not come. */
function seenInAnswer({ proxy }: Site, commandId: string): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (seen: boolean): void => {
      clearTimeout(timer);
      watching.off();
      resolve(seen);
    };
    const timer = setTimeout(() => done(false), OTHER_WAY_MS_MAX);
    const watching = proxy.listen((answer) => {
      if (answer.includes(`"${commandId}"`)) done(true);
    });
  });
}

async function deliver(site: Site, headers: Record<string, string>, body: string): Promise<Delivery> {
  const commandId = headers["webhook-id"] ?? "";
  const alsoByHeartbeat = await seenInAnswer(site, commandId);
  const verdicts = await Promise.all(
    Array.from({ length: BY_WEBHOOK }, async () => {
      const answer = await fetch(site.webhookUrl, { method: "POST", headers, body });
      return ((await answer.json()) as { verdict: string }).verdict;
    }),
  );
  return { commandId, verdicts, alsoByHeartbeat };
}

/** For one site. Its `url` is what the edge is to be given as the agent's. */
export async function startRelay(site: Site): Promise<Relay> {
  const deliveries: Delivery[] = [];
  const server = createServer((request, response) => {
    const headers = Object.fromEntries(HEADERS.map((name) => [name, String(request.headers[name])]));
    bodyOf(request)
      .then((body) => deliver(site, headers, body))
      .then((delivery) => {
        deliveries.push(delivery);
        response.writeHead(202).end();
      })
      .catch(() => response.writeHead(502).end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    deliveries,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
