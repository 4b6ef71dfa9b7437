// Everything that the lab starts, and its end: guests, the Worker, two agents with the qmp driver, one folder for all of it.
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { GIB } from "../../worker/model/units.ts";
import { startAgent } from "../agent/agent.ts";
import { createQmpDriver } from "../agent/qmp/driver.ts";
import { createApi, type Api } from "../demo/api.ts";
import { startDev, type Dev } from "../dev/server.ts";
import { buildGuest, type Guest } from "./build-guest.ts";
import { endGuests, labHostConfig, serialFile, startGuest, type LabHost, type LabVm } from "./machine.ts";
import { readSerial, type SerialReader } from "./serial.ts";

export const CLUSTER = "lab";
export const FROM = "lab-a";
export const TO = "lab-b";

const BOOT_MS_MAX = 120_000;
/** Loopback under TCG, destination with untouched memory: measured 1.1 GB/s at the most. */
const LOOPBACK_BYTES_PER_SECOND = 1.1e9;

/** From quiet to busy. What is filled and set leaves some 60 MiB to the guest's kernel. */
const GUESTS: LabVm[] = [
  {
    name: "quiet",
    memoryMib: 256,
    vcpus: 1,
    work: { filledMib: 96, nonzeroRatio: 0.5, workingSetMib: 8, pagesPerSecond: 200 },
  },
  {
    name: "web",
    memoryMib: 384,
    vcpus: 1,
    work: { filledMib: 224, nonzeroRatio: 0.7, workingSetMib: 48, pagesPerSecond: 3000 },
  },
  {
    name: "busy",
    memoryMib: 512,
    vcpus: 1,
    work: { filledMib: 320, nonzeroRatio: 0.9, workingSetMib: 96, pagesPerSecond: 12_000 },
  },
];

/** A guest and its serial line on both hosts. */
export type Watched = { uuid: string; name: string; source: SerialReader; destination: SerialReader };

export type Running = { api: Api; url: string; guests: Watched[] };

export type Lab = {
  /** What the agents have logged, for when something went wrong. */
  readonly log: readonly string[];
  /** `tell` hears what is being done, in words for people. Rejects soon after an abort. */
  start: (stateDir: string, tell: (text: string) => void, signal: AbortSignal) => Promise<Running>;
  /** Ends whatever was started so far, in reverse order, and removes the folder. Twice does it once. */
  stop: () => Promise<void>;
};

type Ends = (() => Promise<void>)[];

export function createLab(): Lab {
  const folder = mkdtempSync(path.join(tmpdir(), "drover-lab-"));
  const ends: Ends = [async () => rmSync(folder, { recursive: true, force: true })];
  const log: string[] = [];
  let stopping: Promise<void> | null = null;

  const start: Lab["start"] = async (stateDir, tell, signal) => {
    const from = hostAt(path.join(folder, "a"));
    const to = hostAt(path.join(folder, "b"));
    tell("The guest: a Debian kernel and the lab's own init");
    const guest = buildGuest(stateDir);
    signal.throwIfAborted();
    tell(`${GUESTS.length} guests boot on ${FROM}`);
    ends.push(async () => {
      for (const host of [from, to]) await endGuests(host.directory);
    });
    const guests: Watched[] = [];
    for (const vm of GUESTS) guests.push(await bootGuest(guest, from, to, vm, ends));
    await Promise.race([
      Promise.all(guests.map(({ source }) => source.waitFor("FILLED", BOOT_MS_MAX))),
      abortOf(signal),
    ]);
    tell("Drover starts, and an agent for each of the two hosts");
    const dev = await startDev({ port: 0, stateDir: path.join(folder, "worker") });
    ends.push(dev.stop);
    const api = createApi(dev.url, dev.adminToken);
    const peerSecret = randomBytes(24).toString("base64url");
    for (const [hostId, host] of Object.entries({ [FROM]: from, [TO]: to })) {
      signal.throwIfAborted();
      const token = await api.agentToken(hostId);
      const plan = { dev, guest, host, hostId, token, peerSecret, folder: path.join(folder, hostId) };
      await addAgent(plan, (line) => void log.push(line), ends);
    }
    return { api, url: dev.url, guests };
  };
  const stop = async (): Promise<void> => {
    for (const end of ends.toReversed()) await end().catch((error: unknown) => console.error(error));
  };
  return { log, start, stop: () => (stopping ??= stop()) };
}

const hostAt = (directory: string): LabHost => ({
  directory,
  cores: 4,
  memoryBytes: 2 * GIB,
  migrationBytesPerSecond: LOOPBACK_BYTES_PER_SECOND,
});

/** Rejects when the signal aborts, and never otherwise. */
export function abortOf(signal: AbortSignal): Promise<never> {
  const aborted = new Promise<never>((_, reject) => {
    const fail = (): void => reject(new Error("told to end"));
    if (signal.aborted) fail();
    signal.addEventListener("abort", fail, { once: true });
  });
  aborted.catch(() => undefined);
  return aborted;
}

async function bootGuest(guest: Guest, from: LabHost, to: LabHost, vm: LabVm, ends: Ends): Promise<Watched> {
  const { uuid } = (await startGuest(guest, from, vm)).vm;
  const source = readSerial(serialFile(from.directory, uuid));
  const destination = readSerial(serialFile(to.directory, uuid));
  ends.push(async () => [source, destination].forEach((each) => each.close()));
  return { uuid, name: vm.name, source, destination };
}

type AgentPlan = {
  dev: Dev;
  guest: Guest;
  host: LabHost;
  hostId: string;
  token: string;
  peerSecret: string;
  folder: string;
};

async function addAgent(plan: AgentPlan, log: (line: string) => void, ends: Ends): Promise<void> {
  const { dev, guest, host, hostId, token, peerSecret, folder } = plan;
  mkdirSync(folder, { recursive: true });
  const policyFile = path.join(folder, "policy.json");
  // What the operator of these hosts decides: VMs may come and go, post-copy included.
  writeFileSync(policyFile, JSON.stringify({ mode: "in-out", postCopy: true }), { mode: 0o600 });
  const driver = createQmpDriver(labHostConfig(guest, host));
  ends.push(driver.close);
  const agent = await startAgent(
    {
      url: dev.url,
      token,
      hostId,
      cluster: CLUSTER,
      stateDir: path.join(folder, "state"),
      commandPublicKeys: [dev.commandPublicKey],
      peerSecret,
      peer: { listenHost: "127.0.0.1" },
      driver: { name: "qmp" },
      heartbeatMs: 1000,
      sampleMs: 5000,
      batchMs: 5000,
      policyFile,
      stopFile: path.join(folder, "STOP"),
    },
    driver,
    { log },
  );
  ends.push(agent.stop);
}
