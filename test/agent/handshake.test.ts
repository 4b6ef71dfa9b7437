// Two agents under a hypervisor that decides by itself which side runs: what they are told of, and what they tell.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DriverError, type Driver } from "../../scripts/agent/driver.ts";
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
  for (const { script } of [source, target])
    Object.assign(script.driver, { handshake: "hypervisor" } satisfies Partial<Driver>);
});
afterEach(() => bench.close());

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 8000, interval: 5 });
const told = (hostId: string) =>
  bench.edge
    .events("m1")
    .filter((event) => event.hostId === hostId && event.type !== "progress")
    .map((event) => event.type);
const last = (hostId: string) => bench.edge.events("m1").findLast((event) => event.hostId === hostId);

/** Under way: the destination was prepared, the source's hypervisor has begun. */
async function begin(): Promise<void> {
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand())]);
  await target.start();
  await eventually(() => expect(told("hv-b")).toContain("prepared"));
  bench.edge.commands.delete("hv-b");
  const destination = { migrationUri: "libvirt:hv-b", peerUrl: target.agent?.peerUrl ?? "" };
  bench.edge.commands.set("hv-a", [bench.signer.seal(startCommand({ destination }))]);
  await source.start();
  await eventually(() => expect(told("hv-a")).toContain("accepted"));
  bench.edge.commands.delete("hv-a");
}
/** The hypervisors have handed the VM over: it runs there, and nothing is left of it here. */
function arrive(postCopy = false): void {
  target.script.incoming = { state: "running", postCopy };
  target.script.vms.set(VM, vmInventory());
  source.script.vms.delete(VM);
}
function leave(stoppedAtMs: number | null, postCopy = false): void {
  source.script.goTo({ state: "stopped", postCopy, stoppedAtMs, progress: progress({ phase: "switchover" }) });
}
function complete(stoppedAtMs: number | null): void {
  const done = { completedAtMs: Date.now(), progress: progress(), counters: { transferredBytes: 12_345 } };
  source.script.goTo({ state: "completed", postCopy: false, stoppedAtMs, ...done });
}

test("a VM that runs before its source's agent knows has arrived, and is no failure", async () => {
  await begin();
  arrive();
  await eventually(() => expect(told("hv-b")).toContain("switched"));
  const stoppedAtMs = Date.now() - 50;
  leave(stoppedAtMs);
  await eventually(() => expect(told("hv-a")).toContain("switched"));
  complete(stoppedAtMs);
  await eventually(() =>
    expect(last("hv-a")).toMatchObject({ type: "completed", outcome: { transferredBytes: 12_345 } }),
  );
  await eventually(() => expect(told("hv-b")).toEqual(["prepared", "switched", "announced"]));
});

test("a stop that nobody saw leaves the blackout unknown, never zero", async () => {
  await begin();
  arrive();
  leave(null);
  await eventually(() => expect(told("hv-a")).toContain("switched"));
  complete(null);
  await eventually(() => expect(last("hv-a")).toMatchObject({ type: "completed" }));
  const event = last("hv-a");
  const outcome = event?.type === "completed" ? event.outcome : {};
  expect(Object.keys(outcome)).toEqual(expect.not.arrayContaining(["downtimeMs", "preparationMs", "totalMs"]));
});

test("a destination in post-copy is not over before its memory is there", async () => {
  await begin();
  arrive(true);
  const switched = () => bench.edge.events("m1").find(({ type, hostId }) => type === "switched" && hostId === "hv-b");
  await eventually(() => expect(switched()).toMatchObject({ postCopy: true }));
  target.script.incoming = { state: "gone" };
  await eventually(() => expect(last("hv-b")).toMatchObject({ type: "failed", reason: "destination-lost" }));
});

test("a VM that is on neither side is told as lost, and nobody tries to run it here", async () => {
  await begin();
  target.script.on.continueIncoming = () => {
    target.script.incoming = { state: "failed" };
    throw new DriverError("not-here", "the VM is not on this host");
  };
  source.script.vms.delete(VM);
  leave(Date.now());
  await eventually(() => expect(last("hv-a")).toMatchObject({ type: "failed", reason: "destination-lost" }));
  expect(source.script.calls).not.toContain(`continueSource ${VM}`);
});
