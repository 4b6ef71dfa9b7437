// Two agents and their drivers: the order in which a VM stops here and runs there, and what is told of it.
import { createServer } from "node:http";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DriverError } from "../../scripts/agent/driver.ts";
import { signPeer } from "../../scripts/agent/peer.ts";
import type { StartCommand } from "../../worker/model/wire/command.ts";
import {
  cancelCommand,
  createBench,
  prepareCommand,
  SECRET,
  startCommand,
  VM,
  vmInventory,
  type Bench,
  type Host,
} from "./builders.ts";
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

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 5000, interval: 5 });
const told = (hostId: string) =>
  bench.edge
    .events("m1")
    .filter((event) => event.hostId === hostId && event.type !== "progress")
    .map((event) => event.type);
const last = (hostId: string) => bench.edge.events("m1").findLast((event) => event.hostId === hostId);

/** Both agents run, the destination is prepared. */
async function prepare(changes = {}): Promise<void> {
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand(changes))]);
  await target.start();
  await eventually(() => expect(told("hv-b")).toContain("prepared"));
  bench.edge.commands.delete("hv-b");
  target.script.calls.length = 0;
}
async function start(changes: Partial<StartCommand> = {}): Promise<void> {
  const destination = { migrationUri: "tcp:127.0.0.1:4444", peerUrl: target.agent?.peerUrl ?? "" };
  bench.edge.commands.set("hv-a", [bench.signer.seal(startCommand({ destination, ...changes }))]);
  await source.start();
  await eventually(() => expect(told("hv-a")).toContain("accepted"));
  bench.edge.commands.delete("hv-a");
}
/** The source's side stops for good and the destination has all of it. */
function stopSource(postCopy = false): number {
  const stoppedAtMs = Date.now();
  target.script.incoming = { state: "loaded" };
  const vm = vmInventory({ state: postCopy ? "paused" : "postmigrate" });
  source.script.vms.set(VM, vm);
  source.script.goTo({ state: "stopped", postCopy, stoppedAtMs, progress: progress({ phase: "switchover" }) });
  return stoppedAtMs;
}
function completeSource(stoppedAtMs: number, postCopy = false): void {
  source.script.goTo({
    state: "completed",
    postCopy,
    stoppedAtMs,
    completedAtMs: Date.now(),
    progress: progress(),
    counters: { transferredBytes: 12_345, rounds: 3 },
  });
}

test("a pre-copy migration: proof, resume, release, and an outcome that adds up", async () => {
  await prepare();
  await start();
  const stoppedAtMs = stopSource();
  await eventually(() => expect(target.script.calls).toEqual([`continueIncoming ${VM}`]));
  expect(source.script.calls).not.toContain(`releaseSource ${VM}`);
  completeSource(stoppedAtMs);
  await eventually(() => expect(told("hv-a")).toEqual(["accepted", "switched", "completed"]));
  await eventually(() => expect(told("hv-b")).toEqual(["prepared", "switched", "announced"]));
  expect(source.script.calls).toEqual([`startOutgoing ${VM}`, `releaseSource ${VM}`]);
  const completed = last("hv-a");
  if (completed?.type !== "completed") throw new Error("not completed");
  const { preparationMs = NaN, downtimeMs = NaN, resumeMs = NaN, totalMs = NaN } = completed.outcome;
  expect(totalMs).toBeCloseTo(preparationMs + downtimeMs + resumeMs);
  expect(downtimeMs).toBeLessThan(1000);
  expect(completed.outcome).toMatchObject({ transferredBytes: 12_345, rounds: 3 });
});

test("events of a host have rising sequence numbers and progress is told at most once a second", async () => {
  await prepare();
  await start();
  const begun = Date.now();
  await eventually(() =>
    expect(bench.edge.events("m1").filter(({ type }) => type === "progress").length).toBeGreaterThanOrEqual(2),
  );
  expect(Date.now() - begun).toBeGreaterThan(900);
  const sequences = bench.edge
    .events("m1")
    .filter(({ hostId }) => hostId === "hv-a")
    .map(({ sequence }) => sequence);
  expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b));
});

test("a destination is not continued by anything but the proof of its own migration", async () => {
  await prepare();
  target.script.incoming = { state: "loaded" };
  const url = `${target.agent?.peerUrl}/peer/stopped`;
  const good = {
    migrationId: "m1",
    vmUuid: VM,
    fencingToken: 7,
    fromHostId: "hv-a",
    postCopy: false,
    stoppedAtMs: Date.now(),
    sentAt: Date.now(),
  };
  const post = async (message: object, secret = SECRET) => {
    const body = JSON.stringify(message);
    const headers = { "drover-peer-signature": signPeer(secret, body) };
    return (await fetch(url, { method: "POST", headers, body })).status;
  };
  expect(await post(good, "another secret of some length")).toBe(401);
  expect((await fetch(url, { method: "POST", body: JSON.stringify(good) })).status).toBe(401);
  expect(await post({ ...good, migrationId: "m2" })).toBe(404);
  expect(await post({ ...good, fencingToken: 6 })).toBe(403);
  expect(await post({ ...good, vmUuid: VM.replace("1", "2") })).toBe(403);
  expect(await post({ ...good, fromHostId: "hv-c" })).toBe(403);
  expect(await post({ ...good, extra: 1 })).toBe(400);
  expect(target.script.calls).toEqual([]);
  expect((await fetch(`${target.agent?.peerUrl}/healthz`)).status).toBe(200);

  const answers = await Promise.all([good, good, { ...good, sentAt: 1 }].map((message) => post(message)));
  expect(answers).toEqual([200, 200, 200]);
  expect(target.script.calls).toEqual([`continueIncoming ${VM}`]);
});

test("an answer that is not proven changes nothing at the source", async () => {
  await prepare();
  await start();
  // From now on somebody else answers in the destination's place, and invites the source to run the VM again.
  await impostor();
  stopSource();
  await eventually(() => expect(bench.lines.join("\n")).toContain("without a proof"));
  expect(source.script.calls).not.toContain(`continueSource ${VM}`);
  expect(source.script.calls).not.toContain(`releaseSource ${VM}`);
});

/** Takes the destination's address over. */
async function impostor(): Promise<void> {
  const peerUrl = target.agent?.peerUrl ?? "";
  target.agent?.kill();
  const body = JSON.stringify({ processGone: true, mayHaveRun: false, detail: "gone" });
  const server = createServer((_request, response) => response.writeHead(409).end(body));
  await new Promise<void>((resolve) => server.listen(Number(new URL(peerUrl).port), "127.0.0.1", resolve));
  server.unref();
}

test("a VM whose destination died before it ran is continued at its source, and only then", async () => {
  await prepare();
  await start();
  target.script.on.continueIncoming = () => {
    throw new DriverError("hypervisor-refused", "not now");
  };
  stopSource();
  await eventually(() => expect(target.script.calls.length).toBeGreaterThan(2));
  expect(source.script.calls).not.toContain(`continueSource ${VM}`);
  target.script.on.continueIncoming = () => {
    target.script.incoming = { state: "gone" };
    throw new DriverError("incoming-failed", "the process has ended");
  };
  await eventually(() => expect(last("hv-a")).toMatchObject({ type: "failed", vmState: "running" }));
  expect(source.script.calls).toContain(`continueSource ${VM}`);
});

test("a destination that may have run the VM before it died keeps the source stopped", async () => {
  await prepare();
  await start();
  target.script.on.continueIncoming = () => {
    target.script.incoming = { state: "gone" };
    throw new Error("connection reset");
  };
  stopSource();
  const failed = { type: "failed", reason: "destination-lost", vmState: "postmigrate" };
  await eventually(() => expect(last("hv-a")).toMatchObject(failed));
  expect(source.script.calls).not.toContain(`continueSource ${VM}`);
});

test("a source does not stop its VM for a destination that it cannot talk to", async () => {
  await prepare();
  const destination = { migrationUri: "tcp:127.0.0.1:4444", peerUrl: target.agent?.peerUrl ?? "" };
  target.agent?.kill();
  bench.edge.commands.set("hv-a", [bench.signer.seal(startCommand({ destination }))]);
  await source.start();
  const failed = { type: "failed", reason: "peer-unreachable", vmState: "running" };
  await eventually(() => expect(last("hv-a")).toMatchObject(failed));
  expect(source.script.calls).not.toContain(`startOutgoing ${VM}`);
});

test("a prepared destination of which no source is heard dies with its lease", async () => {
  await prepare({ leaseMs: 1000 });
  await eventually(() => expect(last("hv-b")).toMatchObject({ type: "failed", reason: "lease-expired" }));
  expect(target.script.calls).toEqual([`abandonIncoming ${VM}`]);
});

test("a source that is heard keeps the lease, and a destination that has it all is never killed", async () => {
  await prepare({ leaseMs: 1000 });
  await start();
  const begun = Date.now();
  await vi.waitFor(() => expect(Date.now() - begun).toBeGreaterThan(1500), { timeout: 3000 });
  expect(target.script.calls).toEqual([]);
  target.script.incoming = { state: "loaded" };
  source.agent?.kill();
  await vi.waitFor(() => expect(Date.now() - begun).toBeGreaterThan(3000), { timeout: 4000 });
  expect(target.script.calls).toEqual([]);
});

test.each([
  ["cancel", "cancelOutgoing"],
  ["force", "forceSwitchover"],
  ["post-copy", "startPostCopy"],
] as const)("at its deadline a migration does what its command says: %s", async (onDeadline, call) => {
  const limits = { ...startCommand().limits, postCopyPermitted: true };
  await prepare();
  await start({ limits, parameters: { ...startCommand().parameters, deadlineMs: 1000, onDeadline } });
  await eventually(() => expect(source.script.calls.at(-1)).toBe(`${call} ${VM}`));
  if (onDeadline !== "cancel") return;
  await eventually(() =>
    expect(last("hv-a")).toMatchObject({ type: "cancelled", reason: "deadline", vmState: "running" }),
  );
});

test("a cancel ends a migration before the point of no return and is refused after it", async () => {
  await prepare();
  await start();
  stopSource();
  await eventually(() => expect(told("hv-a")).toContain("switched"));
  bench.edge.commands.set("hv-a", [bench.signer.seal(cancelCommand())]);
  await eventually(() => expect(last("hv-a")).toMatchObject({ type: "refused", reason: "point-of-no-return" }));
  expect(source.script.calls).not.toContain(`cancelOutgoing ${VM}`);
});

test("a cancelled migration is answered with the cancel's own id", async () => {
  await prepare();
  await start();
  bench.edge.commands.set("hv-a", [bench.signer.seal(cancelCommand())]);
  const cancelled = { type: "cancelled", commandId: "c-cancel", detail: "not wanted", vmState: "running" };
  await eventually(() => expect(last("hv-a")).toMatchObject(cancelled));
});

test("a VM stopped for a switch-over that failed runs on at its source", async () => {
  await prepare();
  await start();
  source.script.vms.set(VM, vmInventory({ state: "paused" }));
  source.script.goTo({ state: "failed", detail: "connection reset", vmState: "paused" });
  await eventually(() => expect(last("hv-a")).toMatchObject({ type: "failed", vmState: "running" }));
  expect(source.script.calls.at(-1)).toBe(`continueSource ${VM}`);
});

test("post-copy that loses its link is told as paused and resumed, and is never cancelled", async () => {
  const limits = { ...startCommand().limits, postCopyPermitted: true };
  const parameters = { ...startCommand().parameters, deadlineMs: 1000 };
  await prepare();
  await start({ mechanism: "post-copy", limits, parameters });
  const stoppedAtMs = stopSource(true);
  await eventually(() => expect(target.script.calls).toEqual([`continueIncoming ${VM}`]));
  await eventually(() => expect(told("hv-a")).toContain("switched"));
  source.script.goTo({ state: "paused", detail: "the link is down", progress: progress({ phase: "post-copy" }) });
  await eventually(() => expect(told("hv-a")).toContain("paused"));
  await vi.waitFor(() => expect(Date.now() - stoppedAtMs).toBeGreaterThan(1500), { timeout: 3000 });
  source.script.goTo({ state: "stopped", postCopy: true, stoppedAtMs, progress: progress({ phase: "post-copy" }) });
  await eventually(() => expect(told("hv-a")).toContain("resumed"));
  completeSource(stoppedAtMs, true);
  const all = ["accepted", "switched", "paused", "resumed", "completed"];
  await eventually(() => expect(told("hv-a")).toEqual(all));
  expect(source.script.calls).not.toContain(`cancelOutgoing ${VM}`);
});
