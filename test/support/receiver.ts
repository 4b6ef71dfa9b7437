// A real HTTP server on loopback that takes webhooks, well or badly, and a resolver for names. Requests are `/{box}/{how}`;
// what a box got is at `/_box/{box}`.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Taken = { how: string; headers: Record<string, string>; body: string };
export type Box = { taken: Taken[]; inFlightMax: number };

export type Receiver = { url: string; close: () => Promise<void> };

/** What names lead to; any other has no address. */
const NAMES: Record<string, string[]> = {
  "hooks.example.com": ["93.184.216.34", "2606:2800:21f:cb07::1"],
  "rebound.example.com": ["93.184.216.34", "127.0.0.1"],
  "metadata.example.com": ["169.254.169.254"],
  "mapped.example.com": ["::ffff:10.0.0.1"],
};

type Behaviour = (response: ServerResponse, argument: string, seen: number) => void;

const BEHAVIOURS: Record<string, Behaviour> = {
  ok: (response) => response.writeHead(204).end(),
  status: (response, code) => response.writeHead(Number(code)).end("no"),
  /** Well, from the request after so many on. */
  flaky: (response, failures, seen) => response.writeHead(seen > Number(failures) ? 200 : 503).end(),
  later: (response, seconds) => response.writeHead(503, { "retry-after": seconds }).end(),
  hang: () => undefined,
  /** Headers at once, the body never. */
  stall: (response) => response.writeHead(200, { "content-length": "10" }).write("1"),
  redirect: (response) => response.writeHead(302, { location: "/_trap/ok" }).end(),
  cut: (response) => response.socket?.destroy(),
  /** Cut in the middle of the answer's headers. */
  half: (response) => response.socket?.end("HTTP/1.1 200 OK\r\ncontent-le"),
  /** No HTTP at all. */
  noise: (response) => response.socket?.end("SSH-2.0-OpenSSH_9.9\r\n"),
  /** A body without an end. */
  flood: (response) => {
    response.writeHead(200, { "content-type": "text/plain" });
    const more = (): void => {
      while (!response.destroyed && response.write("x".repeat(16_384)));
    };
    response.on("drain", more);
    more();
  },
};

async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}

function dnsReply(query: URLSearchParams): object {
  const addresses = NAMES[query.get("name") ?? ""];
  if (addresses === undefined) return { Status: query.get("name")?.startsWith("broken") === true ? 2 : 3 };
  const isV6 = query.get("type") === "AAAA";
  const own = addresses.filter((address) => address.includes(":") === isV6);
  return { Status: 0, Answer: own.map((data) => ({ name: query.get("name"), type: isV6 ? 28 : 1, TTL: 60, data })) };
}

export async function startReceiver(): Promise<Receiver> {
  const boxes = new Map<string, Box & { inFlight: number }>();
  const boxOf = (name: string) => {
    const box = boxes.get(name) ?? { taken: [], inFlightMax: 0, inFlight: 0 };
    boxes.set(name, box);
    return box;
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://receiver");
    const [, name = "", how = "ok", argument = ""] = pathname.split("/");
    const json = (body: object) =>
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
    if (name === "_dns") return void json(dnsReply(searchParams));
    if (name === "_box") {
      const { taken, inFlightMax } = boxOf(how);
      return void json({ taken, inFlightMax });
    }
    const box = boxOf(name);
    box.inFlight += 1;
    box.inFlightMax = Math.max(box.inFlightMax, box.inFlight);
    response.on("close", () => (box.inFlight -= 1));
    const body = await textOf(request);
    const { headers } = request;
    box.taken.push({ how, body, headers: headers as Record<string, string> });
    const seen = box.taken.filter((one) => one.headers["webhook-id"] === headers["webhook-id"]).length;
    (BEHAVIOURS[how] ?? BEHAVIOURS["ok"])?.(response, argument, seen);
  };
  const server: Server = createServer(
    (request, response) => void answer(request, response).catch(() => response.destroy()),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
