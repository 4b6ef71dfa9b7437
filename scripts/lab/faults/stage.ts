// What the fault cases play on: one edge, and lanes that do not disturb each other. A lane is a cluster of two hosts whose
// guests are moved to and fro between them.
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { bundleAgent } from "../../agent-bundle.ts";
import { createApi, type Api } from "../../demo/api.ts";
import { startDev, type Dev } from "../../dev/server.ts";
import { buildGuest, type Guest } from "../build-guest.ts";
import type { LabVm } from "../machine.ts";
import { readSerial } from "../serial.ts";
import { abortOf } from "../stage.ts";
import type { LabGuest } from "./guests.ts";
import { libvirtHost, qmpHost } from "./host.ts";
import { freePort } from "./proxy.ts";
import { prepareSite, type Site } from "./site.ts";

const BOOT_MS_MAX = 120_000;

/** What a lane consists of. Its cluster has its name. */
export type LaneSpec = { name: string; driver: "qmp" | "libvirt"; hostIds: [string, string]; vms: LabVm[] };

export type Lane = {
  name: string;
  sites: [Site, Site];
  guests: LabGuest[];
};

/** The Worker, which can be stopped and started again at the same address and on the same state. */
export type Edge = {
  url: string;
  api: Api;
  /** The seed with which commands are signed, `whsk_…`: the lab owns this edge. */
  signingKey: string;
  stop: () => Promise<void>;
  start: () => Promise<void>;
  /** What Cron does every minute, now. */
  runSchedule: () => Promise<void>;
};

export type Stage = {
  edge: Edge;
  lanes: Lane[];
  /** Ends whatever was started, in reverse order, and removes the folder. Twice does it once. */
  stop: () => Promise<void>;
};

type Ends = (() => Promise<void>)[];

async function startEdge(stateDir: string, ends: Ends): Promise<Edge & { commandPublicKey: string }> {
  const port = await freePort();
  const open = (): Promise<Dev> => startDev({ port, stateDir });
  let dev = await open();
  let isOver = false;
  ends.push(() => {
    isOver = true;
    return dev.stop();
  });
  return {
    url: dev.url,
    api: createApi(dev.url, dev.adminToken),
    signingKey: readFileSync(path.join(stateDir, "command-signing-key"), "utf8").trim(),
    commandPublicKey: dev.commandPublicKey,
    stop: () => dev.stop(),
    start: async () => {
      if (isOver) throw new Error("the lab is ending: the edge is not started any more");
      dev = await open();
    },
    runSchedule: () => dev.runSchedule(),
  };
}

async function bootGuest(site: Site, vm: LabVm): Promise<LabGuest> {
  const uuid = await site.host.boot(vm);
  return { uuid, name: vm.name, site, line: readSerial(site.host.serialFile(uuid)) };
}

type Ground = {
  folder: string;
  guest: Guest;
  agentFile: string;
  edge: Awaited<ReturnType<typeof startEdge>>;
  peerSecret: string;
  ends: Ends;
};

async function startLane(ground: Ground, { name, driver, hostIds, vms }: LaneSpec, signal: AbortSignal): Promise<Lane> {
  const { folder, guest, agentFile, edge, peerSecret, ends } = ground;
  const siteOf = async (hostId: string, index: number): Promise<Site> => {
    const own = path.join(folder, hostId);
    const host = driver === "qmp" ? qmpHost(guest, own) : await libvirtHost(guest, own, index);
    ends.push(host.stop);
    const token = await edge.api.agentToken(hostId);
    const { url: edgeUrl, commandPublicKey } = edge;
    const plan = { folder: own, hostId, cluster: name, host, agentFile, edgeUrl, token, commandPublicKey, peerSecret };
    const site = await prepareSite(plan);
    ends.push(site.proxy.close);
    ends.push(site.agent.stop);
    return site;
  };
  const sites: [Site, Site] = [await siteOf(hostIds[0], 0), await siteOf(hostIds[1], 1)];
  const guests = await Promise.all(vms.map((vm) => bootGuest(sites[0], vm)));
  ends.push(async () => guests.forEach(({ line }) => line.close()));
  const up = Promise.all(guests.map(({ line }) => line.waitFor("FILLED", BOOT_MS_MAX)));
  await Promise.race([up, abortOf(signal)]);
  await Promise.all(sites.map(({ agent }) => agent.start()));
  return { name, sites, guests };
}

/** `tell` hears what is being done, in words for people. What was started before a failure is ended by `stop` as well. */
export function createStage(signal: AbortSignal): {
  start: (stateDir: string, specs: readonly LaneSpec[], tell: (text: string) => void) => Promise<Stage>;
  stop: () => Promise<void>;
} {
  const folder = mkdtempSync(path.join(tmpdir(), "drover-faults-"));
  const ends: Ends = [async () => rmSync(folder, { recursive: true, force: true })];
  let stopping: Promise<void> | null = null;
  const stopAll = async (): Promise<void> => {
    for (const end of ends.toReversed()) await end().catch((error: unknown) => console.error(error));
  };
  const stop = (): Promise<void> => (stopping ??= stopAll());
  const start = async (stateDir: string, specs: readonly LaneSpec[], tell: (text: string) => void): Promise<Stage> => {
    tell("The guest, the agent's bundle and Drover");
    const guest = buildGuest(stateDir);
    const agentFile = path.join(folder, "drover-agent.js");
    await bundleAgent(agentFile);
    const edge = await startEdge(path.join(folder, "worker"), ends);
    const ground = { folder, guest, agentFile, edge, peerSecret: randomBytes(24).toString("base64url"), ends };
    const vms = specs.reduce((sum, spec) => sum + spec.vms.length, 0);
    tell(`${vms} guests boot, and ${specs.length * 2} agents start`);
    signal.throwIfAborted();
    // All of them are waited for, also after a failure: what is started later than `stop` would never be ended.
    const lanes = await Promise.allSettled(specs.map((spec) => startLane(ground, spec, signal)));
    return {
      edge,
      lanes: lanes.map((lane) => {
        if (lane.status === "rejected") throw lane.reason;
        return lane.value;
      }),
      stop,
    };
  };
  return { start, stop };
}
