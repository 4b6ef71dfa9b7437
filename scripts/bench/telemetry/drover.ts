// Drover under miniflare with a fleet registered: every host with its inventory and a token bound to it, as agents have.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Agent } from "node:http";
import { startDev } from "../../dev/server.ts";
import { CLUSTER } from "./remote-write-bodies.ts";
import { type Body, call, exchange, inLanes } from "./send.ts";
import { hostLoad, type Span } from "./workload.ts";

const JSON_TYPE = { "content-type": "application/json" };
const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

export type Drover = {
  stateDir: string;
  /** A success's body, asked for with a token that may read. */
  read: (path: string, agent?: Agent) => Promise<Buffer>;
  /** null: there is no such route. */
  readIfThere: (path: string) => Promise<Buffer | null>;
  /** As the fleet's agents, each with its own token. */
  sendNative: (bodies: readonly Body[], more?: { gzip: boolean }) => Promise<void>;
  /** As a Prometheus of the cluster. False: this Drover has no such route. */
  sendRemoteWrite: (bodies: readonly Body[]) => Promise<boolean>;
  runSchedule: () => Promise<void>;
  stop: () => Promise<void>;
};

const GIB = 2 ** 30;

function inventoryOf(index: number, span: Span): { host: string; body: string } {
  const { host, vms } = hostLoad(index, span);
  const body = {
    cluster: CLUSTER,
    sequence: 1,
    bootId: "bench",
    hypervisor: "kvm",
    driver: { name: "libvirt" },
    cpu: { cores: 96 },
    memoryBytes: 768 * GIB,
    vms: vms.map(({ uuid }) => ({
      uuid,
      name: `vm-${uuid.slice(0, 8)}`,
      state: "running",
      vcpus: 4,
      memoryBytes: 16 * GIB,
    })),
  };
  return { host, body: JSON.stringify(body) };
}

type Options = { span: Span; hostIndexes: readonly number[]; inspectorPort?: number };

/** A new Drover that knows these hosts and nothing of them. Its schedule runs only when told to. */
export async function startDrover({ span, hostIndexes, inspectorPort }: Options): Promise<Drover> {
  const stateDir = mkdtempSync(join(tmpdir(), "drover-bench-"));
  const inspector = inspectorPort === undefined ? {} : { inspectorPort };
  const dev = await startDev({ port: 0, stateDir, isScheduled: false, ...inspector });
  const stop = async (): Promise<void> => {
    await dev.stop();
    rmSync(stateDir, { recursive: true, force: true });
  };
  try {
    const admin = { ...bearer(dev.adminToken), ...JSON_TYPE };
    const tokenOf = async (token: object): Promise<string> => {
      const body = JSON.stringify({ name: "bench", ...token });
      const made = await call(`${dev.url}/v1/tokens`, { method: "POST", headers: admin, body });
      return (JSON.parse(made.toString()) as { token: string }).token;
    };
    const tokens = new Map<string, string>();
    const inventories = hostIndexes.map((index) => inventoryOf(index, span));
    await inLanes(
      inventories,
      ({ host }) => host,
      async ({ host, body }, agent) => {
        await call(`${dev.url}/v1/hosts/${host}`, { method: "PUT", headers: admin, body, agent });
        tokens.set(host, await tokenOf({ scopes: ["agent"], hostId: host }));
      },
    );
    const reader = bearer(await tokenOf({ scopes: ["read"] }));
    const sender = await tokenOf({ scopes: ["ingest"], cluster: CLUSTER });
    return {
      stateDir,
      read: (path, agent) => call(`${dev.url}${path}`, { headers: reader, ...(agent ? { agent } : {}) }),
      readIfThere: async (path) => {
        const { status } = await exchange(`${dev.url}${path}`, { headers: reader });
        return status === 404 ? null : call(`${dev.url}${path}`, { headers: reader });
      },
      sendNative: (bodies, { gzip } = { gzip: false }) => sendNative(dev.url, tokens, bodies, gzip),
      sendRemoteWrite: (bodies) => sendRemoteWrite(dev.url, sender, bodies),
      runSchedule: dev.runSchedule,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function sendNative(
  url: string,
  tokens: ReadonlyMap<string, string>,
  bodies: readonly Body[],
  gzip: boolean,
): Promise<void> {
  const encoding = gzip ? { "content-encoding": "gzip" } : {};
  await inLanes(
    bodies,
    ({ host }) => host,
    async ({ bytes, samples, host }, agent) => {
      const headers = { ...bearer(tokens.get(host) ?? ""), ...JSON_TYPE, ...encoding };
      const answer = await call(`${url}/v1/telemetry`, { method: "POST", headers, body: bytes, agent });
      const { stored } = JSON.parse(answer.toString()) as { stored: number };
      if (stored !== samples) throw new Error(`${host}: ${stored} of ${samples} samples stored: ${answer.toString()}`);
    },
  );
}

export const REMOTE_WRITE_HEADERS = {
  "content-type": "application/x-protobuf",
  "content-encoding": "snappy",
  "x-prometheus-remote-write-version": "0.1.0",
};

/** What a Prometheus is configured with to write to Drover. */
const REMOTE_WRITE_PATH = "/v1/prometheus/write?host_label=host&vm_label=vm&ignore_labels=cluster,job";

async function sendRemoteWrite(url: string, token: string, bodies: readonly Body[]): Promise<boolean> {
  const what = { method: "POST", headers: { ...bearer(token), ...REMOTE_WRITE_HEADERS } };
  const probe = bodies[0];
  if (probe === undefined) return true;
  // An empty WriteRequest: one byte of snappy that says "0 bytes follow".
  const { status } = await exchange(`${url}${REMOTE_WRITE_PATH}`, { ...what, body: Buffer.from([0]) });
  if (status === 404) return false;
  await inLanes(
    bodies,
    ({ host }) => host,
    async ({ bytes }, agent) => {
      await call(`${url}${REMOTE_WRITE_PATH}`, { ...what, body: bytes, agent });
    },
  );
  return true;
}
