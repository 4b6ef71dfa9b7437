// The driver against real QEMUs: one guest that counts and checks its memory is moved from host to host of a small lab.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  objectionsIn,
  type Driver,
  type IncomingState,
  type MigrationSpec,
  type OutgoingState,
} from "../../../scripts/agent/driver.ts";
import { createQmpDriver } from "../../../scripts/agent/qmp/driver.ts";
import { buildGuest, missingTools, whyNoLab, type Guest } from "../../../scripts/lab/build-guest.ts";
import { endGuests, labHostConfig, serialFile, startGuest, type LabHost } from "../../../scripts/lab/machine.ts";
import { compareBeats, readSerial, type SerialReader } from "../../../scripts/lab/serial.ts";
import { MIB } from "../../../worker/model/units.ts";
import { prepareCommand } from "../builders.ts";
import { msBetween } from "../known.ts";

const STATE = path.join(import.meta.dirname, "../../../.drover");
const WORK = { filledMib: 112, nonzeroRatio: 0.7, workingSetMib: 32, pagesPerSecond: 4000 };
const SLOW = 4 * MIB;

const missing = whyNoLab();
if (missing !== null) console.warn(`real QEMU is not tested: ${missing}`);

/** Hosts 0 to 5; the guest starts on the first. Each has a folder and a driver of its own. */
const root = mkdtempSync(path.join(tmpdir(), "drover-real-"));
const hosts: LabHost[] = [0, 1, 2, 3, 4, 5].map((each) => ({
  directory: path.join(root, String(each)),
  cores: 2,
  memoryBytes: 1024 * MIB,
  migrationBytesPerSecond: 128 * MIB,
}));
const drivers: Driver[] = [];
let guest: Guest;
let uuid: string;
let at = 0;
let serial: SerialReader;

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("it should be there");
  return value;
}

const driver = (index: number): Driver => must(drivers[index]);
const directory = (index: number): string => must(hosts[index]).directory;
const open = (index: number, tls: { tlsDirectory?: string } = {}): Driver =>
  (drivers[index] = createQmpDriver({ ...labHostConfig(guest, must(hosts[index])), ...tls }));

async function restartAgent(index: number, tls: { tlsDirectory?: string } = {}): Promise<Driver> {
  await driver(index).close();
  return open(index, tls);
}

/** An authority, and certificates of 127.0.0.1 as server and as client, in QEMU's layout. */
function makeCertificates(folder: string): void {
  mkdirSync(folder);
  const openssl = (...args: string[]): Buffer => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
  const key = (role: string): string[] => [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-subj",
    `/CN=${role}`,
    "-keyout",
    `${role}-key.pem`,
  ];
  openssl(
    "req",
    "-x509",
    ...key("ca"),
    "-days",
    "2",
    "-addext",
    "keyUsage=critical,keyCertSign",
    "-out",
    "ca-cert.pem",
  );
  for (const role of ["server", "client"]) {
    writeFileSync(path.join(folder, `${role}.ext`), `subjectAltName=IP:127.0.0.1\nextendedKeyUsage=${role}Auth\n`);
    openssl("req", ...key(role), "-out", `${role}.csr`);
    const signed = [
      "-CA",
      "ca-cert.pem",
      "-CAkey",
      "ca-key.pem",
      "-CAcreateserial",
      "-days",
      "2",
      "-extfile",
      `${role}.ext`,
    ];
    openssl("x509", "-req", "-in", `${role}.csr`, ...signed, "-out", `${role}-cert.pem`);
  }
}

async function specFor(
  mechanism: MigrationSpec["mechanism"],
  parameters: Partial<MigrationSpec["parameters"]> = {},
): Promise<MigrationSpec> {
  const vm = must((await driver(at).inventory()).vms[0]);
  const defaults = { ...prepareCommand().parameters, maxBandwidthBytesPerSecond: 256 * MIB };
  return { migrationId: "m1", vm, mechanism, parameters: { ...defaults, ...parameters } };
}

/** Prepares the next host and starts towards it. */
async function begin(spec: MigrationSpec): Promise<{ startedAtMs: number }> {
  expect(objectionsIn(await driver(at + 1).preflight(spec))).toEqual([]);
  const { migrationUri } = await driver(at + 1).prepareIncoming(spec);
  expect(await driver(at + 1).observeIncoming(uuid)).toMatchObject({ state: "listening" });
  return driver(at).startOutgoing(spec, migrationUri);
}

/** The destination is asked first: were it running, the source asked later may not be. */
async function neverTwice(): Promise<void> {
  const there = (await driver(at + 1).vmStates())[uuid];
  const here = (await driver(at).vmStates())[uuid];
  expect(`${here} here, ${there} there`).not.toBe("running here, running there");
}

async function follow(until: OutgoingState["state"]): Promise<OutgoingState> {
  for (let since: OutgoingState["state"] | null = null; ;) {
    const state: OutgoingState = await driver(at).observeOutgoing(uuid, since, 200);
    if (state.state === until) return state;
    if (state.state !== "active" && state.state !== "stopped") throw new Error(JSON.stringify(state));
    since = state.state;
    await neverTwice();
  }
}

/** From `stopped` to the end, as the agents do it, and what the guest itself saw of it. */
async function finish(
  startedAtMs: number,
): Promise<{ blackoutMs: number; end: Extract<OutgoingState, { state: "completed" }> }> {
  const arrival = readSerial(serialFile(directory(at + 1), uuid));
  const stopped = await follow("stopped");
  if (stopped.state !== "stopped") throw new Error(stopped.state);
  const { resumedAtMs } = await driver(at + 1).continueIncoming(uuid);
  await neverTwice();
  const end = await follow("completed");
  if (end.state !== "completed") throw new Error(end.state);
  const blackoutMs = msBetween(end.stoppedAtMs, resumedAtMs);
  expect(msBetween(startedAtMs, end.stoppedAtMs)).toBeGreaterThanOrEqual(0);
  expect(blackoutMs).toBeGreaterThan(0);
  expect(end.counters.transferredPages).toBeGreaterThan(10_000);
  await driver(at).releaseSource(uuid);
  expect(await driver(at).vmStates()).toEqual({});
  await arrival.waitForBeats(20, 20_000);
  expect(await driver(at + 1).vmStates()).toEqual({ [uuid]: "running" });
  serial.close();
  expect(compareBeats(serial.beats, arrival.beats).problems).toEqual([]);
  serial = arrival;
  at += 1;
  return { blackoutMs, end };
}

async function waitFor(wanted: IncomingState["state"]): Promise<void> {
  await expect.poll(async () => (await driver(at + 1).observeIncoming(uuid)).state, { timeout: 10_000 }).toBe(wanted);
}

describe.skipIf(missing !== null)("a real guest", { timeout: 60_000 }, () => {
  beforeAll(async () => {
    guest = buildGuest(STATE);
    hosts.forEach((_, index) => open(index));
    const first = must(hosts[0]);
    ({ uuid } = (await startGuest(guest, first, { name: "counter", memoryMib: 256, vcpus: 1, work: WORK })).vm);
    serial = readSerial(serialFile(first.directory, uuid));
    await serial.waitFor("FILLED", 60_000);
  }, 120_000);

  afterAll(async () => {
    serial?.close();
    for (const each of drivers) await each.close();
    for (const each of hosts) await endGuests(each.directory);
    rmSync(root, { recursive: true });
  });

  test("is measured from outside: processor, memory, non-zero memory, dirty curve", async () => {
    await driver(0).sample();
    // U(1 s) of uniform writes is W (1 - exp(-rate / W)); sampling is within a factor of two of it.
    const expected = 32 * MIB * (1 - Math.exp((-4000 * 4096) / (32 * MIB)));
    const measured = async () => (await driver(0).dirtyCurve(uuid))?.points ?? [];
    let points = await measured();
    // On a busy machine the guest does not always get the processor that it needs to write as fast as it should.
    for (let tries = 1; tries < 6 && (points[0]?.[1] ?? 0) < expected / 2; tries++) points = await measured();
    expect(points[0]?.[1]).toBeGreaterThan(expected / 2);
    expect(points[0]?.[1]).toBeLessThan(expected * 2);
    expect(points.map(([, bytes]) => bytes)).toEqual(points.map(([, bytes]) => bytes).toSorted((a, b) => a - b));
    const figures = (await driver(0).sample()).vms[uuid] ?? {};
    expect(figures["memory_nonzero_bytes"]).toBeGreaterThan(WORK.filledMib * MIB * 0.7);
    expect(figures["memory_nonzero_bytes"]).toBeLessThan(
      (figures["memory_used_bytes"] ?? 0) - WORK.filledMib * MIB * 0.2,
    );
    expect(figures["cpu_used_cores"]).toBeGreaterThan(0);
    expect(figures["memory_dirty_bytes_per_second"]).toBe(points[0]?.[1]);
  });

  test("stays and goes on when its migration is cancelled, and what waited for it is proven dead", async () => {
    await begin(await specFor("pre-copy", { maxBandwidthBytesPerSecond: SLOW }));
    await follow("active");
    expect(objectionsIn(await driver(1).preflight(await specFor("pre-copy")))).not.toEqual([]);
    await expect(driver(0).releaseSource(uuid)).rejects.toMatchObject({ reason: "not-completed" });
    await driver(0).cancelOutgoing(uuid);
    expect(await driver(0).observeOutgoing(uuid, "active", 1000)).toMatchObject({
      state: "cancelled",
      vmState: "running",
    });
    await driver(1).abandonIncoming(uuid);
    expect(await driver(1).observeIncoming(uuid)).toEqual({ state: "gone" });
    await serial.waitForBeats(serial.beats.length + 20, 5000);
  });

  test("comes back when the destination dies under a stopped guest", async () => {
    await begin(await specFor("stop-and-copy", { maxBandwidthBytesPerSecond: SLOW }));
    await follow("active");
    expect(await driver(0).vmStates()).toEqual({ [uuid]: "paused" });
    await driver(1).abandonIncoming(uuid);
    const state = await driver(0).observeOutgoing(uuid, "active", 20_000);
    expect(state).toMatchObject({ state: "failed", vmState: "running" });
    await serial.waitForBeats(serial.beats.length + 20, 5000);
  });

  test("is untouched when nobody listens", async () => {
    const outgoing = driver(0).startOutgoing(await specFor("stop-and-copy"), "tcp:127.0.0.1:1");
    await expect(outgoing).rejects.toMatchObject({ reason: "hypervisor-refused" });
    expect(await driver(0).vmStates()).toEqual({ [uuid]: "running" });
  });

  test("moves by stop-and-copy: its blackout is the whole copy", async () => {
    const { startedAtMs } = await begin(await specFor("stop-and-copy"));
    const { blackoutMs, end } = await finish(startedAtMs);
    expect(blackoutMs).toBeGreaterThan(300);
    expect(end).toMatchObject({ postCopy: false });
  });

  test("moves by pre-copy over a restart of both agents, and is throttled or sped up on the way", async () => {
    const { startedAtMs } = await begin(await specFor("pre-copy", { maxBandwidthBytesPerSecond: SLOW }));
    const [source, destination] = [await restartAgent(at), await restartAgent(at + 1)];
    expect(await source.observeOutgoing(uuid, null, 0)).toMatchObject({ state: "active" });
    expect(await destination.observeIncoming(uuid)).toMatchObject({ state: "listening" });
    await source.setDowntimeLimit(uuid, 200);
    await source.setBandwidth(uuid, 256 * MIB);
    const { end, blackoutMs } = await finish(startedAtMs);
    expect(end.counters.rounds).toBeGreaterThanOrEqual(2);
    expect(blackoutMs).toBeLessThan(2000);
  });

  test("moves by hybrid: post-copy after one pre-copy round", async () => {
    // Slow enough for the second pass to outlast the agent's answer to it, on a machine that is busy with other things too.
    const patient = { downtimeLimitMs: 1, maxBandwidthBytesPerSecond: 48 * MIB };
    const { startedAtMs } = await begin(await specFor("hybrid", patient));
    const { end } = await finish(startedAtMs);
    expect(end.postCopy).toBe(true);
    expect(end.counters.rounds).toBeGreaterThanOrEqual(2);
  });

  test("moves by post-copy: past its start it can be neither cancelled nor brought back", async () => {
    const { startedAtMs } = await begin(await specFor("post-copy"));
    await waitFor("loaded");
    expect(await driver(at + 1).vmStates()).toEqual({ [uuid]: "inmigrate" });
    const refused = { reason: "past-point-of-no-return" };
    await expect(driver(at).cancelOutgoing(uuid)).rejects.toMatchObject(refused);
    await expect(driver(at).continueSource(uuid)).rejects.toMatchObject(refused);
    const { end } = await finish(startedAtMs);
    expect(end).toMatchObject({ postCopy: true });
    await expect(driver(at).abandonIncoming(uuid)).rejects.toMatchObject({ reason: "already-running" });
  });

  test.skipIf(missingTools(["openssl"]).length > 0)(
    "moves encrypted, and not at all from a host without a certificate",
    async () => {
      const tls = { tlsDirectory: path.join(root, "tls") };
      makeCertificates(tls.tlsDirectory);
      await restartAgent(at + 1, tls);
      await expect(begin(await specFor("pre-copy"))).rejects.toMatchObject({ reason: "hypervisor-refused" });
      expect(await driver(at).vmStates()).toEqual({ [uuid]: "running" });
      await driver(at + 1).abandonIncoming(uuid);
      await restartAgent(at, tls);
      const { startedAtMs } = await begin(await specFor("pre-copy"));
      await finish(startedAtMs);
    },
  );
});
