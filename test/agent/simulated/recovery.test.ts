// Two agents on the simulated hypervisor: a post-copy that loses its link goes on by itself once the link is back, whatever becomes
// of the agents meanwhile.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startAgent, type Agent } from "../../../scripts/agent/agent.ts";
import { simulatedDriver } from "../../../scripts/agent/simulated/driver.ts";
import { createWorld, type SimulatedHypervisor } from "../../../scripts/agent/simulated/world.ts";
import { GIB } from "../../../worker/model/units.ts";
import { createBench, prepareCommand, startCommand, type Bench } from "../builders.ts";
import { hostNamed, parameters, uuidOf, vmOf, worldOf } from "./worlds.ts";

vi.setConfig({ testTimeout: 40_000 });

/** 4 GiB at 300 MB/s: some ten seconds of post-copy. */
const SKETCH = { hostId: "hv-a", memoryBytes: 4 * GIB, nonzeroRatio: 0.7 };
const uuid = uuidOf(1);

let bench: Bench;
let world: SimulatedHypervisor;
const agents: Agent[] = [];
beforeEach(async () => {
  bench = await createBench();
  const hosts = ["hv-a", "hv-b"].map((id) => hostNamed(id, { linkBytesPerSecond: 3e8 }));
  world = createWorld(worldOf([SKETCH], { timeScale: 2, hosts }));
});
afterEach(async () => {
  for (const agent of agents.splice(0)) agent.kill();
  await bench.close();
});

const eventually = (check: () => void | Promise<void>) => vi.waitFor(check, { timeout: 20_000, interval: 20 });
const told = (hostId: string) =>
  bench.edge
    .events("m1")
    .filter((event) => event.hostId === hostId && event.type !== "progress")
    .map((event) => event.type);

async function open(hostId: string): Promise<{ start: () => Promise<Agent> }> {
  const { config } = bench.host(hostId);
  const start = async (): Promise<Agent> => {
    const agent = await startAgent(config, simulatedDriver(world, hostId), { log: (line) => bench.lines.push(line) });
    agents.push(agent);
    return agent;
  };
  return { start };
}

/** Both agents run and the VM runs at the destination, most of its memory still at the source. */
async function toPostCopy() {
  const [source, destination] = [await open("hv-a"), await open("hv-b")];
  const move = {
    vm: { ...vmOf(SKETCH).inventory, state: "running" as const },
    mechanism: "post-copy" as const,
    parameters: parameters(),
    limits: { ...startCommand().limits, postCopyPermitted: true },
  };
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand(move))]);
  const arriving = await destination.start();
  const prepared = () => bench.edge.events("m1").find((event) => event.type === "prepared");
  await eventually(() => expect(prepared()).toBeDefined());
  const event = prepared();
  const migrationUri = event?.type === "prepared" ? event.migrationUri : "";
  const to = { migrationUri, peerUrl: arriving.peerUrl };
  bench.edge.commands.set("hv-a", [bench.signer.seal(startCommand({ ...move, destination: to }))]);
  const leaving = await source.start();
  await eventually(async () => expect((await world.inspect(uuid)).runningOn).toEqual(["hv-b"]));
  bench.edge.commands.clear();
  return { source, destination, leaving, arriving };
}

const cut = () => world.fault({ kind: "cut-link", hostIds: ["hv-a", "hv-b"] });
const restore = () => world.fault({ kind: "restore-link", hostIds: ["hv-a", "hv-b"] });

async function completes(): Promise<void> {
  await eventually(() => expect(told("hv-a").at(-1)).toBe("completed"));
  expect(await world.inspect(uuid)).toMatchObject({ runningOn: ["hv-b"] });
  expect(await world.host("hv-a").vmStates()).toEqual({});
}

test("a cut link pauses it; nothing is lost, and it completes once the link is back", async () => {
  await toPostCopy();
  await cut();
  await eventually(() => expect(told("hv-a")).toEqual(["accepted", "switched", "paused"]));
  expect((await world.inspect(uuid)).runningOn).toEqual([]);
  await eventually(() =>
    expect(bench.lines.filter((line) => line.includes("cannot go on yet")).length).toBeGreaterThan(1),
  );
  await restore();
  await completes();
  expect(told("hv-a")).toEqual(["accepted", "switched", "paused", "resumed", "completed"]);
});

test("agents that die while it is paused take it up where it stands, cut off from Drover too", async () => {
  const { source, destination, leaving, arriving } = await toPostCopy();
  await cut();
  await eventually(() => expect(told("hv-a")).toContain("paused"));
  leaving.kill();
  arriving.kill();
  bench.edge.down = true;
  await restore();
  await destination.start();
  await source.start();
  await eventually(async () => expect((await world.inspect(uuid)).runningOn).toEqual(["hv-b"]));
  bench.edge.down = false;
  await completes();
});
