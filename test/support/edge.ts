// A small real HTTP server that stands for Drover's API in tests of the agent, and the key that signs its commands.
import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import type { Command, CommandEnvelope } from "../../worker/model/wire/command.ts";
import type { MigrationEvent } from "../../worker/model/wire/event.ts";
import type { TelemetryBatch } from "../../worker/model/wire/telemetry.ts";

export type Received = { method: string; path: string; authorization: string | undefined; body: unknown };

export type Signer = { publicKey: string; seal: (command: Command | string, changes?: SealChanges) => CommandEnvelope };
type SealChanges = { id?: string; signedAtMs?: number };

/** A key pair and the means to sign commands with it, as Drover does. */
export function createSigner(): Signer {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  return {
    publicKey: `whpk_${raw.toString("base64")}`,
    seal: (command, changes = {}) => seal(privateKey, command, changes),
  };
}

function seal(
  key: KeyObject,
  command: Command | string,
  { id, signedAtMs = Date.now() }: SealChanges,
): CommandEnvelope {
  const body = typeof command === "string" ? command : JSON.stringify(command);
  const name = id ?? (typeof command === "string" ? "command" : command.id);
  const timestamp = Math.floor(signedAtMs / 1000);
  const signature = `v1a,${sign(null, Buffer.from(`${name}.${timestamp}.${body}`), key).toString("base64")}`;
  return { id: name, timestamp, signature, body };
}

type Answer = { status: number; body: unknown; headers?: Record<string, string> };

export type Edge = {
  url: string;
  received: Received[];
  /** What each host gets in the answer to its next heartbeats; stays until it is taken out. */
  commands: Map<string, CommandEnvelope[]>;
  /** Every connection is cut. */
  down: boolean;
  /** Decides about a request in place of the ordinary answer. */
  answer: ((request: Received) => Answer | null) | null;
  /** In the order of their first arrival; a repeated one once, as Drover answers it. */
  events: (migrationId: string) => MigrationEvent[];
  batches: () => TelemetryBatch[];
  to: (method: string, path: RegExp) => Received[];
  close: () => Promise<void>;
};

async function read(request: IncomingMessage): Promise<Received> {
  const parts: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  const raw = Buffer.concat(parts);
  const text = (request.headers["content-encoding"] === "gzip" ? gunzipSync(raw) : raw).toString("utf8");
  const { method = "", url: path = "" } = request;
  return { method, path, authorization: request.headers.authorization, body: text === "" ? null : JSON.parse(text) };
}

function ordinary(edge: Edge, { path, body }: Received): unknown {
  const commands = edge.commands.get(path.split("/")[3] ?? "") ?? [];
  if (path.endsWith("/heartbeat")) return { now: Date.now(), commands };
  if (path === "/v1/telemetry") {
    const { batch } = body as TelemetryBatch;
    return { batch, stored: 1, refused: [], refusedCount: 0, commands: [] };
  }
  return path.endsWith("/events") ? { duplicate: false } : {};
}

export async function startEdge(): Promise<Edge> {
  const server = createServer((request, response) => {
    void read(request).then((one) => {
      if (edge.down) {
        request.socket.destroy();
        return;
      }
      const special = edge.answer?.(one) ?? null;
      if (special === null || special.status < 300) edge.received.push(one);
      const { status, body, headers }: Answer = special ?? { status: 200, body: ordinary(edge, one) };
      const type = status < 300 ? "application/json" : "application/problem+json";
      response.writeHead(status, { "content-type": type, ...headers }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const to: Edge["to"] = (method, path) => edge.received.filter((one) => one.method === method && path.test(one.path));
  const edge: Edge = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received: [],
    commands: new Map(),
    down: false,
    answer: null,
    events: (migrationId) => {
      const all = to("POST", /\/events$/).filter(({ path }) => path === `/v1/migrations/${migrationId}/events`);
      const distinct = new Map<string, MigrationEvent>();
      for (const event of all.map(({ body }) => body as MigrationEvent)) {
        const key = `${event.hostId} ${event.sequence}`;
        if (!distinct.has(key)) distinct.set(key, event);
      }
      return [...distinct.values()];
    },
    batches: () => to("POST", /^\/v1\/telemetry$/).map(({ body }) => body as TelemetryBatch),
    to,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return edge;
}
