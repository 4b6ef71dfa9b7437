// A real post-copy that loses its link on the way, twice, and goes on each time: the guest lives on.
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Driver, MigrationSpec } from "../../../scripts/agent/driver.ts";
import { createQmpDriver } from "../../../scripts/agent/qmp/driver.ts";
import { buildGuest, whyNoLab, type Guest } from "../../../scripts/lab/build-guest.ts";
import { endGuests, labHostConfig, serialFile, startGuest, type LabHost } from "../../../scripts/lab/machine.ts";
import { compareBeats, readSerial, type SerialReader } from "../../../scripts/lab/serial.ts";
import { startAgent, type Agent } from "../../../scripts/agent/agent.ts";
import { MIB } from "../../../worker/model/units.ts";
import type { MigrationEvent } from "../../../worker/model/wire/event.ts";
import type { VmInventory } from "../../../worker/model/wire/inventory.ts";
import { createBench, prepareCommand, startCommand, type Bench } from "../builders.ts";

const STATE = path.join(import.meta.dirname, "../../../.drover");
const WORK = { filledMib: 112, nonzeroRatio: 0.7, workingSetMib: 16, pagesPerSecond: 1000 };
/** 80 MiB that are not zero take some ten seconds: time enough to lose the link in. */
const SLOW = 8 * MIB;

const missing = whyNoLab();
if (missing !== null) console.warn(`recovery is not tested on real QEMU: ${missing}`);

const root = mkdtempSync(path.join(tmpdir(), "drover-recovery-"));
const hostNamed = (name: string): LabHost => ({
  directory: path.join(root, name),
  cores: 2,
  memoryBytes: 1024 * MIB,
  migrationBytesPerSecond: 128 * MIB,
});
const [here, there, beyond] = [hostNamed("a"), hostNamed("b"), hostNamed("c")];

type Wire = { uri: string; cut: (sides: "both" | "source") => void; close: () => void };

/** A link to where the destination listens that can be cut. */
async function wireTo(uri: string): Promise<Wire> {
  const port = Number(uri.split(":").at(-1));
  const ends: { near: Socket; far: Socket }[] = [];
  const server: Server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    const pair = { near, far };
    ends.push(pair);
    for (const socket of [near, far]) socket.on("error", () => socket.destroy());
    near.pipe(far, { end: false });
    far.pipe(near, { end: false });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    uri: `tcp:127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: (sides) => {
      for (const { near, far } of ends) {
        near.destroy();
        if (sides === "both") far.destroy();
      }
    },
    close: () => {
      for (const { near, far } of ends) [near, far].forEach((socket) => socket.destroy());
      server.close();
    },
  };
}

describe.skipIf(missing !== null)("a real post-copy", { timeout: 120_000 }, () => {
  let guest: Guest;
  let uuid: string;
  let source: Driver;
  let destination: Driver;
  let serial: SerialReader;
  const wires: Wire[] = [];
  const open = (host: LabHost): Driver =>
    createQmpDriver({ ...labHostConfig(guest, host), postCopyBytesPerSecond: SLOW });
  const wired = async (uri: string): Promise<Wire> => {
    const wire = await wireTo(uri);
    wires.push(wire);
    return wire;
  };

  beforeAll(async () => {
    guest = buildGuest(STATE);
    [source, destination] = [open(here), open(there)];
    ({ uuid } = (await startGuest(guest, here, { name: "counter", memoryMib: 256, vcpus: 1, work: WORK })).vm);
    serial = readSerial(serialFile(here.directory, uuid));
    await serial.waitFor("FILLED", 60_000);
  }, 120_000);

  afterAll(async () => {
    serial?.close();
    for (const wire of wires) wire.close();
    for (const each of [source, destination]) await each?.close();
    for (const host of [here, there, beyond]) await endGuests(host.directory);
    rmSync(root, { recursive: true });
  });

  /** Reconnects as the two agents do. */
  async function recover(): Promise<Wire> {
    const { migrationUri } = await destination.recoverIncoming(uuid);
    const wire = await wired(migrationUri);
    await source.recoverOutgoing(uuid, wire.uri);
    return wire;
  }
  const paused = () => source.observeOutgoing(uuid, "stopped", 20_000);

  test("is paused by a lost link, also one of which only the source knows, and goes on where it was", async () => {
    const [vm] = (await source.inventory()).vms;
    if (vm === undefined) throw new Error("no guest");
    const parameters = { ...prepareCommand().parameters, maxBandwidthBytesPerSecond: 256 * MIB };
    const spec: MigrationSpec = { migrationId: "m1", vm, mechanism: "post-copy", parameters };
    const { migrationUri } = await destination.prepareIncoming(spec);
    await expect(destination.recoverIncoming(uuid)).rejects.toMatchObject({ reason: "not-paused" });
    const first = await wired(migrationUri);
    await source.startOutgoing(spec, first.uri);
    const stopped = await source.observeOutgoing(uuid, "active", 20_000);
    expect(stopped).toMatchObject({ state: "stopped", postCopy: true });
    const arrival = readSerial(serialFile(there.directory, uuid));
    await destination.continueIncoming(uuid);
    await expect(source.recoverOutgoing(uuid, first.uri)).rejects.toMatchObject({ reason: "not-paused" });
    // Emulated, a processor that waits for a page of its stack holds the lock without which QEMU says no state.
    await arrival.waitForBeats(5, 20_000);

    first.cut("both");
    const lost = await paused();
    expect(lost.state).toBe("paused");
    await expect.poll(async () => (await destination.vmStates())[uuid], { timeout: 10_000 }).toBe("postcopy-paused");
    expect(await source.vmStates()).toEqual({ [uuid]: "postmigrate" });
    // Nothing but going on is possible.
    await expect(source.cancelOutgoing(uuid)).rejects.toMatchObject({ reason: "past-point-of-no-return" });
    await expect(source.continueSource(uuid)).rejects.toMatchObject({ reason: "past-point-of-no-return" });
    await expect(source.releaseSource(uuid)).rejects.toMatchObject({ reason: "not-completed" });
    await expect(destination.abandonIncoming(uuid)).rejects.toMatchObject({ reason: "already-running" });

    // A destination that does not listen leaves everything as it was.
    await destination.recoverIncoming(uuid);
    await expect(source.recoverOutgoing(uuid, "tcp:127.0.0.1:1")).rejects.toMatchObject({
      reason: expect.stringMatching(/hypervisor-refused|timeout/),
    });
    expect((await source.observeOutgoing(uuid, null, 0)).state).toBe("paused");

    const second = await recover();
    expect((await source.observeOutgoing(uuid, "paused", 10_000)).state).toBe("stopped");
    await arrival.waitForBeats(10, 20_000);
    expect(await destination.vmStates()).toEqual({ [uuid]: "running" });

    second.cut("source");
    expect((await paused()).state).toBe("paused");
    await recover();
    for (let since: "paused" | "stopped" | "completed" = "paused"; since !== "completed";) {
      const { state } = await source.observeOutgoing(uuid, since, 30_000);
      if (state !== "stopped" && state !== "completed") throw new Error(state);
      since = state;
    }
    await source.releaseSource(uuid);
    expect(await source.vmStates()).toEqual({});
    await arrival.waitForBeats(arrival.beats.length + 20, 20_000);
    expect(await destination.vmStates()).toEqual({ [uuid]: "running" });
    expect(compareBeats(serial.beats, arrival.beats).problems).toEqual([]);
    serial.close();
    serial = arrival;
  });

  test("is recovered by the two agents themselves: nobody tells them to", async () => {
    const bench = await createBench();
    const last = open(beyond);
    const agents: Agent[] = [];
    try {
      const [vm] = (await destination.inventory()).vms;
      if (vm === undefined) throw new Error("no guest");
      await moveByAgents(bench, agents, { leaving: destination, arriving: last, vm, wired });
      expect(await last.vmStates()).toEqual({ [uuid]: "running" });
      const arrival = readSerial(serialFile(beyond.directory, uuid));
      await arrival.waitForBeats(20, 20_000);
      expect(compareBeats(serial.beats, arrival.beats).problems).toEqual([]);
      arrival.close();
    } finally {
      for (const agent of agents) agent.kill();
      await bench.close();
      await last.close();
    }
  });
});

type Move = { leaving: Driver; arriving: Driver; vm: VmInventory; wired: (uri: string) => Promise<Wire> };

/** Two agents move the guest by post-copy over a wire that is cut in the middle of it. */
async function moveByAgents(bench: Bench, agents: Agent[], { leaving, arriving, vm, wired }: Move): Promise<void> {
  const calm = { heartbeatMs: 200, sampleMs: 10_000, batchMs: 20_000 };
  const start = async (hostId: string, driver: Driver): Promise<Agent> => {
    const { config } = bench.host(hostId, [], calm);
    const agent = await startAgent(config, driver, { log: (line) => bench.lines.push(line) });
    agents.push(agent);
    return agent;
  };
  const event = async <T extends MigrationEvent["type"]>(hostId: string, type: T) => {
    const find = () => bench.edge.events("m1").find((each) => each.hostId === hostId && each.type === type);
    await expect.poll(() => find()?.type, { timeout: 60_000 }).toBe(type);
    return find() as Extract<MigrationEvent, { type: T }>;
  };
  const move = {
    vm,
    mechanism: "post-copy" as const,
    parameters: { ...prepareCommand().parameters, maxBandwidthBytesPerSecond: 256 * MIB },
    limits: { ...startCommand().limits, postCopyPermitted: true },
  };
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand(move))]);
  const { peerUrl } = await start("hv-b", arriving);
  const wire = await wired((await event("hv-b", "prepared")).migrationUri);
  const to = { migrationUri: wire.uri, peerUrl };
  bench.edge.commands.set("hv-a", [bench.signer.seal(startCommand({ ...move, destination: to }))]);
  await start("hv-a", leaving);
  await event("hv-b", "switched");
  bench.edge.commands.clear();
  wire.cut("both");
  await event("hv-a", "paused");
  await event("hv-a", "resumed");
  const { outcome } = await event("hv-a", "completed");
  expect(outcome.transferredPages).toBeGreaterThan(10_000);
  expect(await leaving.vmStates()).toEqual({});
}
