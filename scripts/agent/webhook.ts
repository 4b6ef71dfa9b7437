// Commands by webhook, for hosts that can be reached from outside: the same envelope, its parts in Standard Webhooks headers.
import { createServer, type IncomingMessage, type Server } from "node:http";
import { messageOf } from "./log.ts";
import type { Handled } from "./commands.ts";
import { answer, readBody } from "./serve.ts";

const BODY_BYTES_MAX = 65_536;

const STATUS: Record<string, number> = { "bad-signature": 401, unreadable: 400, driver: 503 };

function envelopeOf(request: IncomingMessage, body: string): unknown {
  const { headers } = request;
  return {
    id: headers["webhook-id"],
    timestamp: Number(headers["webhook-timestamp"]),
    signature: headers["webhook-signature"],
    body,
  };
}

export async function listenForCommands(
  settings: { listenHost: string; port: number },
  handle: (envelope: unknown) => Promise<Handled>,
): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.method !== "POST" || request.url !== "/commands")
      return answer(response, 404, JSON.stringify({ detail: "POST /commands takes signed commands" }));
    readBody(request, BODY_BYTES_MAX)
      .then(async (body) => {
        const handled = await handle(envelopeOf(request, body));
        // Only a 2xx ends Drover's deliveries: a refusal is an answer too, and travels as an event.
        const status = handled.verdict === "refuse" ? (STATUS[handled.reason] ?? 200) : 202;
        answer(response, status, JSON.stringify(handled));
      })
      .catch((error: unknown) => answer(response, 400, JSON.stringify({ detail: messageOf(error) })));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(settings.port, settings.listenHost, resolve);
  });
  return server;
}
