// Prometheus and VictoriaMetrics on a free loopback port with their data in a temporary folder, ended by process id.
import { type ChildProcess, spawn } from "node:child_process";
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { processCpuSeconds } from "./cpu.ts";
import { REMOTE_WRITE_HEADERS } from "./drover.ts";
import type { Server } from "./measure.ts";
import { call, exchange, inLanes, sleep } from "./send.ts";

export type Peer = Server & {
  peer: PeerName;
  url: string;
  /** The folder of its data; its own only. */
  dataDir: string;
  /** Ends the process; the data stay. */
  end: () => Promise<void>;
  /** Ends the process and removes its data. */
  stop: () => Promise<void>;
};

export const PEERS = ["prometheus", "victoria-metrics"] as const;
export type PeerName = (typeof PEERS)[number];

type Kind = {
  variable: string;
  args: (port: number, folder: string, dataDir: string) => string[];
  readyPath: string;
  settle: (url: string) => Promise<void>;
};

const PROMETHEUS: Kind = {
  variable: "PROMETHEUS",
  readyPath: "/-/ready",
  args: (port, folder, dataDir) => [
    `--config.file=${join(folder, "prometheus.yml")}`,
    `--storage.tsdb.path=${dataDir}`,
    "--storage.tsdb.retention.time=30d",
    `--web.listen-address=127.0.0.1:${port}`,
    "--web.enable-remote-write-receiver",
    "--web.enable-admin-api",
  ],
  settle: () => sleep(1500),
};

const VICTORIA_METRICS: Kind = {
  variable: "VICTORIA_METRICS",
  readyPath: "/health",
  args: (port, _folder, dataDir) => [
    `-storageDataPath=${dataDir}`,
    `-httpListenAddr=127.0.0.1:${port}`,
    "-retentionPeriod=1",
    "-search.disableCache",
    "-search.latencyOffset=0s",
    "-dedup.minScrapeInterval=0",
  ],
  settle: async (url) => {
    await call(`${url}/internal/force_flush`);
    await sleep(1500);
  },
};

const KINDS: Record<PeerName, Kind> = { prometheus: PROMETHEUS, "victoria-metrics": VICTORIA_METRICS };
const READY_MS_MAX = 60_000;
const END_MS_MAX = 20_000;

/** Where the peer's binary is; null: nowhere. */
export function binaryOf(peer: PeerName): string | null {
  const given = process.env[KINDS[peer].variable];
  const places = (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, peer));
  return (given ? [given] : places).find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A port of loopback that nothing listens on. */
export function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer().once("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => done(typeof address === "object" && address ? address.port : 0));
    });
  });
}

/** `dataDir`: data of another one of its kind that has ended; a folder of its own unless given. */
export async function startPeer(peer: PeerName, binary: string, dataDir?: string): Promise<Peer> {
  const kind = KINDS[peer];
  const folder = mkdtempSync(join(tmpdir(), `drover-bench-${peer}-`));
  const data = dataDir ?? join(folder, "data");
  mkdirSync(data, { recursive: true });
  writeFileSync(join(folder, "prometheus.yml"), "global: {scrape_interval: 15s}\n");
  const port = await freePort();
  const logPath = join(folder, "log");
  const log = openSync(logPath, "w");
  const child = spawn(binary, kind.args(port, folder, data), { stdio: ["ignore", log, log] });
  closeSync(log);
  const lost = (): void => void child.kill("SIGKILL");
  process.once("exit", lost);
  const end = async (): Promise<void> => {
    await ended(child);
    process.removeListener("exit", lost);
  };
  const stop = async (): Promise<void> => {
    await end();
    rmSync(folder, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  try {
    await ready(`${url}${kind.readyPath}`, child, logPath);
    await kind.settle(url);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    peer,
    url,
    dataDir: data,
    end,
    stop,
    cpuSeconds: () => processCpuSeconds(child.pid ?? 0),
    settle: () => kind.settle(url),
    send: (bodies) =>
      inLanes(
        bodies,
        ({ host }) => host,
        async ({ bytes }, agent) => {
          const what = { method: "POST", headers: REMOTE_WRITE_HEADERS, body: bytes, agent };
          await call(`${url}/api/v1/write`, what);
        },
      ),
  };
}

async function ready(url: string, child: ChildProcess, logPath: string): Promise<void> {
  let failure: Error | undefined;
  child.once("error", (error) => (failure = error));
  for (const began = Date.now(); Date.now() - began < READY_MS_MAX; await sleep(100)) {
    if (failure) throw failure;
    if (child.exitCode !== null) break;
    const answer = await exchange(url, {}).catch(() => null);
    if (answer?.status === 200) return;
  }
  throw new Error(`${child.spawnfile} does not answer at ${url}: ${readFileSync(logPath, "utf8").slice(-2000)}`);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exit = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), END_MS_MAX);
  await exit;
  clearTimeout(late);
}
