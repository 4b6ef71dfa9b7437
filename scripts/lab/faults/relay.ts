// Stands where the edge sends an agent's commands, and delivers each of them several times at one moment.
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Site } from "./site.ts";

const BY_WEBHOOK = 2;
/** The other way is the channel or an answer to a heartbeat; without one within this time the delivery goes on alone, ms. */
const OTHER_WAY_MS_MAX = 20_000;
/** What the edge says by its channel may be a moment ahead of its webhook. */
const AHEAD_MS_MAX = 2000;
const HEADERS = ["webhook-id", "webhook-timestamp", "webhook-signature"] as const;

export type Delivery = {
  commandId: string;
  /** The verdicts of the agent on those by webhook. */
  verdicts: string[];
  /** The same command went to the agent by its channel or in an answer at that moment. */
  alsoOtherwise: boolean;
};

export type Relay = { url: string; deliveries: Delivery[]; close: () => Promise<void> };

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString("utf8");
}

/** What the edge says to the agent by its own way. */
type Overheard = {
  /** Resolves true when the command passes by, or has passed by just now; false when it does not come. */
  has: (commandId: string) => Promise<boolean>;
  off: () => void;
};

function overhear({ proxy }: Site): Overheard {
  const waiting = new Set<(said: string) => void>();
  let recent: { at: number; said: string }[] = [];
  const { off } = proxy.listen((said) => {
    recent = [...recent.filter(({ at }) => at > Date.now() - AHEAD_MS_MAX), { at: Date.now(), said }];
    for (const hear of waiting) hear(said);
  });
  return {
    off,
    has: (commandId) =>
      new Promise((resolve) => {
        const done = (seen: boolean): void => {
          clearTimeout(timer);
          waiting.delete(hear);
          resolve(seen);
        };
        const hear = (said: string): void => {
          if (said.includes(`"${commandId}"`)) done(true);
        };
        const timer = setTimeout(() => done(false), OTHER_WAY_MS_MAX);
        waiting.add(hear);
        for (const { said } of recent) hear(said);
      }),
  };
}

type Signed = { headers: Record<string, string>; body: string };

async function deliver(site: Site, overheard: Overheard, { headers, body }: Signed): Promise<Delivery> {
  const commandId = headers["webhook-id"] ?? "";
  const alsoOtherwise = await overheard.has(commandId);
  const verdicts = await Promise.all(
    Array.from({ length: BY_WEBHOOK }, async () => {
      const answer = await fetch(site.webhookUrl, { method: "POST", headers, body });
      return ((await answer.json()) as { verdict: string }).verdict;
    }),
  );
  return { commandId, verdicts, alsoOtherwise };
}

/** For one site. Its `url` is what the edge is to be given as the agent's. */
export async function startRelay(site: Site): Promise<Relay> {
  const deliveries: Delivery[] = [];
  const overheard = overhear(site);
  const server = createServer((request, response) => {
    const headers = Object.fromEntries(HEADERS.map((name) => [name, String(request.headers[name])]));
    bodyOf(request)
      .then((body) => deliver(site, overheard, { headers, body }))
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
        overheard.off();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
