// A crash of an agent, at any moment of a migration, loses nothing and does nothing twice.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createBench, prepareCommand, startCommand, VM, vmInventory, type Bench, type Host } from "./builders.ts";
import { progress } from "./scripted-driver.ts";

vi.setConfig({ testTimeout: 15_000 });

let bench: Bench;
let source: Host;
let target: Host;
beforeEach(async () => {
  bench = await createBench();
  source = bench.host("hv-a", [vmInventory()]);
  target = bench.host("hv-b");
});
afterEach(() => bench.close());

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 6000, interval: 5 });
const told = (hostId: string) =>
  bench.edge
    .events("m1")
    .filter((event) => event.hostId === hostId && event.type !== "progress")
    .map((event) => event.type);

async function begin(): Promise<void> {
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand())]);
  const { peerUrl } = await target.start();
  await eventually(() => expect(told("hv-b")).toContain("prepared"));
  const destination = { migrationUri: "tcp:127.0.0.1:4444", peerUrl };
  bench.edge.commands.set("hv-a", [bench.signer.seal(startCommand({ destination }))]);
  await source.start();
  await eventually(() => expect(told("hv-a")).toContain("accepted"));
  bench.edge.commands.clear();
}
const stopped = { state: "stopped", postCopy: false, stoppedAtMs: Date.now(), progress: progress() } as const;
function stopSource(): void {
  target.script.incoming = { state: "loaded" };
  source.script.vms.set(VM, vmInventory({ state: "postmigrate" }));
  source.script.goTo(stopped);
}
function completeSource(): void {
  source.script.goTo({ ...stopped, state: "completed", completedAtMs: Date.now(), counters: {} });
}

test("killed in mid-migration on both sides, both agents finish it with the truth", async () => {
  await begin();
  source.agent?.kill();
  target.agent?.kill();
  stopSource();
  await source.start();
  await target.start();
  await eventually(() => expect(target.script.calls).toContain(`continueIncoming ${VM}`));
  completeSource();
  await eventually(() => expect(told("hv-a")).toEqual(["accepted", "switched", "completed"]));
  expect(source.script.calls.filter((call) => call.startsWith("startOutgoing"))).toHaveLength(1);
});

test("a source killed after its stop proves it when it is back, and the destination runs the VM once", async () => {
  await begin();
  target.script.on.continueIncoming = () => source.agent?.kill();
  stopSource();
  await eventually(() => expect(told("hv-b")).toContain("switched"));
  completeSource();
  await source.start();
  await eventually(() => expect(told("hv-a")).toEqual(["accepted", "switched", "completed"]));
  expect(target.script.calls.filter((call) => call.startsWith("continueIncoming"))).toHaveLength(1);
});

test("a destination killed between proof and resume lets the VM run when it is back, with no blackout made up", async () => {
  await begin();
  target.script.on.continueIncoming = () => {
    target.agent?.kill();
    throw new Error("the process died");
  };
  stopSource();
  await eventually(() => expect(target.script.calls).toContain(`continueIncoming ${VM}`));
  delete target.script.on.continueIncoming;
  await target.start();
  await eventually(() => expect(told("hv-b")).toContain("switched"));
  completeSource();
  await eventually(() => expect(told("hv-a")).toContain("completed"));
  const completed = bench.edge.events("m1").findLast(({ type }) => type === "completed");
  expect(completed).toHaveProperty("outcome.preparationMs");
  expect(completed).not.toHaveProperty("outcome.downtimeMs");
});

test("killed between release and its event, the end is told once", async () => {
  await begin();
  source.script.on.releaseSource = () => source.agent?.kill();
  stopSource();
  await eventually(() => expect(told("hv-b")).toContain("switched"));
  completeSource();
  await eventually(() => expect(source.script.calls).toContain(`releaseSource ${VM}`));
  delete source.script.on.releaseSource;
  expect(told("hv-a")).not.toContain("completed");
  await source.start();
  await eventually(() => expect(told("hv-a").filter((type) => type === "completed")).toHaveLength(1));
});

test("a VM found running with no migration is told as failed, where it runs", async () => {
  await begin();
  source.agent?.kill();
  source.script.outgoing = null;
  await source.start();
  await eventually(() =>
    expect(bench.edge.events("m1").at(-1)).toMatchObject({ type: "failed", hostId: "hv-a", vmState: "running" }),
  );
});

test("events told while the edge is down arrive in order when it is back, across a crash", async () => {
  await begin();
  bench.edge.down = true;
  stopSource();
  await eventually(() => expect(target.script.calls).toContain(`continueIncoming ${VM}`));
  completeSource();
  await eventually(() => expect(source.script.calls).toContain(`releaseSource ${VM}`));
  await eventually(() => expect(bench.lines.join("\n")).toContain("migration completed"));
  source.agent?.kill();
  await source.start();
  bench.edge.down = false;
  await eventually(() => expect(told("hv-a")).toEqual(["accepted", "switched", "completed"]));
  const events = bench.edge.events("m1").filter(({ hostId }) => hostId === "hv-a");
  const sequences = events.map(({ sequence }) => sequence);
  expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b));
});

test("an event that Drover will never take does not hold up the others", async () => {
  bench.edge.answer = ({ body }) =>
    (body as { type?: string }).type === "accepted" ? { status: 409, body: { title: "illegal step" } } : null;
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand())]);
  const { peerUrl } = await target.start();
  await eventually(() => expect(told("hv-b")).toContain("prepared"));
  const destination = { migrationUri: "tcp:127.0.0.1:4444", peerUrl };
  bench.edge.commands.set("hv-a", [bench.signer.seal(startCommand({ destination }))]);
  await source.start();
  await eventually(() => expect(source.script.calls).toContain(`startOutgoing ${VM}`));
  stopSource();
  await eventually(() => expect(told("hv-a")).toContain("switched"));
  expect(bench.lines.join("\n")).toContain("illegal step");
});

test("a graceful stop in the blackout ends the blackout first", async () => {
  await begin();
  const { promise, resolve } = Promise.withResolvers<void>();
  target.script.on.continueIncoming = () => promise;
  stopSource();
  await eventually(() => expect(target.script.calls).toContain(`continueIncoming ${VM}`));
  const stopping = source.agent?.stop();
  resolve();
  await stopping;
  expect(target.script.incoming.state).toBe("running");
  completeSource();
  await source.start();
  await eventually(() => expect(told("hv-a")).toEqual(["accepted", "switched", "completed"]));
});
