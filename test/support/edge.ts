// A small real HTTP server that stands for Drover's API in tests of the agent, and the key that signs its commands.
import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { gunzipSync } from "node:zlib";
import { WebSocketServer, type WebSocket } from "ws";
import type { ChannelHeartbeat, ChannelMessage } from "../../worker/model/wire/channel.ts";
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
  /** The agent's open WebSocket by host; there is none where `channel` is not "open". */
  sockets: Map<string, WebSocket>;
  /** Pings that came over channels. */
  pings: number;
  /** `none`: 404 to whoever asks for one. `silent`: opened, and nothing is ever answered. */
  channel: "none" | "open" | "silent";
  /** Sends commands over the channel unasked. */
  push: (hostId: string, envelopes: CommandEnvelope[]) => void;
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

const textOf = (message: ChannelMessage): string => JSON.stringify(message);

/** Heartbeats over a channel are received as method `WS`. */
function takeChannels(edge: Edge, server: Server): void {
  const webSockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    const { url: path = "", headers } = request;
    if (edge.down || edge.channel === "none") {
      stream.end("HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n");
      return;
    }
    webSockets.handleUpgrade(request, stream, head, (socket) => {
      const hostId = path.split("/")[3] ?? "";
      edge.sockets.set(hostId, socket);
      socket.on("close", () => edge.sockets.get(hostId) === socket && edge.sockets.delete(hostId));
      socket.on("message", (data) => {
        const text = (data as Buffer).toString("utf8");
        if (edge.channel === "silent") return;
        if (text === "ping") {
          edge.pings += 1;
          return socket.send("pong");
        }
        const { type: _, id, ...body } = JSON.parse(text) as ChannelHeartbeat;
        edge.received.push({ method: "WS", path, authorization: headers.authorization, body });
        socket.send(textOf({ type: "heard", id, now: Date.now(), commands: edge.commands.get(hostId) ?? [] }));
      });
    });
  });
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
    sockets: new Map(),
    pings: 0,
    channel: "none",
    push: (hostId, envelopes) => edge.sockets.get(hostId)?.send(textOf({ type: "commands", envelopes })),
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
      for (const socket of edge.sockets.values()) socket.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  takeChannels(edge, server);
  return edge;
}
