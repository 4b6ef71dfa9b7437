// Commands on their way through a real agent: what reaches the hypervisor, and what Drover is told.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createSigner } from "../support/edge.ts";
import { VM, cancelCommand, createBench, prepareCommand, startCommand, vmInventory, type Bench } from "./builders.ts";

let bench: Bench;
beforeEach(async () => void (bench = await createBench()));
afterEach(() => bench.close());

const within = { timeout: 4000, interval: 5 };
const eventually = (check: () => void) => vi.waitFor(check, within);
const refusals = () => bench.edge.to("POST", /\/refusals$/).map(({ body }) => body);
const types = (migrationId = "m1") => bench.edge.events(migrationId).map(({ type }) => type);

test("an agent says who it is before anything else, and its token goes with every request", async () => {
  await bench.host("hv-b", [vmInventory()]).start();
  await eventually(() => expect(bench.edge.to("POST", /heartbeat$/).length).toBeGreaterThan(1));
  const [first] = bench.edge.received;
  expect(first).toMatchObject({ method: "PUT", path: "/v1/hosts/hv-b", authorization: "Bearer drv_hv-b" });
  expect(first?.body).toMatchObject({ cluster: "lab", policy: { in: true, out: true }, vms: [{ uuid: VM }] });
  expect(bench.edge.to("PUT", /./)).toHaveLength(1);
  expect(bench.edge.to("POST", /heartbeat$/)[0]?.body).toMatchObject({ vms: { [VM]: "running" } });
  expect(bench.lines.join()).not.toContain("drv_hv-b");
});

test("an inventory that Drover finds older is sent again with a higher sequence", async () => {
  const sequences: number[] = [];
  bench.edge.answer = ({ method, body }) => {
    if (method !== "PUT") return null;
    sequences.push((body as { sequence: number }).sequence);
    return sequences.length < 3 ? { status: 409, body: { type: "https://drover/problems/older-sequence" } } : null;
  };
  await bench.host("hv-b").start();
  await eventually(() => expect(bench.edge.to("PUT", /./)).toHaveLength(1));
  expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
  expect(new Set(sequences).size).toBe(3);
});

test("a prepare in the answer to a heartbeat is carried out once, however often it comes", async () => {
  const { script, start } = bench.host("hv-b");
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand())]);
  const agent = await start();
  // Each further delivery makes the agent give the same answer again.
  const posted = () => bench.edge.to("POST", /m1\/events$/).map(({ body }) => body);
  await eventually(() => expect(posted().length).toBeGreaterThan(2));
  expect(script.calls.filter((call) => call.startsWith("prepareIncoming"))).toEqual([`prepareIncoming ${VM}`]);
  const [event, ...others] = posted();
  expect(event).toMatchObject({ type: "prepared", hostId: "hv-b", commandId: "c-prepare", peerUrl: agent.peerUrl });
  for (const other of others) expect(other).toEqual(event);
});

test("the same command by heartbeat and by webhook at once starts once", async () => {
  const { script, start } = bench.host("hv-b", [], { webhook: { listenHost: "127.0.0.1", port: 0 } });
  const sealed = bench.signer.seal(prepareCommand());
  bench.edge.commands.set("hv-b", [sealed]);
  const agent = await start();
  const headers = {
    "webhook-id": sealed.id,
    "webhook-timestamp": String(sealed.timestamp),
    "webhook-signature": sealed.signature,
  };
  const post = () => fetch(`${agent.webhookUrl}/commands`, { method: "POST", headers, body: sealed.body });
  const statuses = await Promise.all([post(), post(), post()].map(async (answer) => (await answer).status));
  expect(statuses).toEqual([202, 202, 202]);
  await eventually(() => expect(types()).toContain("prepared"));
  expect(script.calls.filter((call) => call.startsWith("prepareIncoming"))).toHaveLength(1);
});

test.each<[string, (seal: Bench["signer"]["seal"]) => unknown, string]>([
  ["signed by another key", () => createSigner().seal(prepareCommand()), "bad-signature"],
  [
    "changed after it was signed",
    (seal) => ({ ...seal(prepareCommand()), body: JSON.stringify(prepareCommand()) + " " }),
    "bad-signature",
  ],
  ["under another id than its own", (seal) => seal(prepareCommand(), { id: "c-other" }), "unreadable"],
  [
    "with a field nobody knows",
    (seal) => seal(JSON.stringify({ ...prepareCommand(), force: true }), { id: "c-prepare" }),
    "unreadable",
  ],
  ["not an envelope", () => ({ id: 1 }), "unreadable"],
  ["for another host", (seal) => seal(prepareCommand({ hostId: "hv-c", toHostId: "hv-c" })), "wrong-host"],
])("a command %s never reaches the hypervisor and is reported", async (_name, envelope, reason) => {
  const { script, start } = bench.host("hv-b");
  bench.edge.commands.set("hv-b", [envelope(bench.signer.seal) as never]);
  await start();
  await eventually(() => expect(refusals()[0]).toMatchObject({ reason }));
  expect(types()).toEqual([]);
  expect(script.calls).toEqual([]);
});

test("a second pinned key signs as well as the first", async () => {
  const next = createSigner();
  const host = bench.host("hv-b", [], { commandPublicKeys: [bench.signer.publicKey, next.publicKey] });
  bench.edge.commands.set("hv-b", [next.seal(prepareCommand())]);
  await host.start();
  await eventually(() => expect(types()).toContain("prepared"));
});

test.each<[string, object, string]>([
  ["expired", { expiresAt: Date.now() - 1000 }, "expired"],
  ["for a VM that is not on the list", { vm: vmInventory({ name: "db-1" }) }, "policy"],
])("a command %s is refused as an event of its migration", async (_name, changes, reason) => {
  const host = bench.host("hv-b");
  writeFileSync(host.policyFile, JSON.stringify({ mode: "in", vms: ["web-*"] }));
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand(changes))]);
  await host.start();
  await eventually(() => expect(bench.edge.events("m1")[0]).toMatchObject({ type: "refused", reason }));
  expect(host.script.calls).toEqual([]);
});

test("a preflight that fails is a refusal with its reasons", async () => {
  const host = bench.host("hv-b");
  host.script.driver.preflight = async () => [
    { check: "memory", ok: false, detail: "memory: 4 GiB needed, 1 GiB free" },
  ];
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand())]);
  await host.start();
  const refused = { type: "refused", reason: "preflight", detail: "memory: 4 GiB needed, 1 GiB free" };
  await eventually(() => expect(bench.edge.events("m1")[0]).toMatchObject(refused));
  expect(host.script.calls).toEqual([]);
});

test("the STOP file and the policy are looked at for every command, and the edge sees them", async () => {
  const host = bench.host("hv-b");
  await host.start();
  writeFileSync(host.stopFile, "");
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand())]);
  await eventually(() => expect(bench.edge.events("m1")[0]).toMatchObject({ type: "refused", reason: "stopped" }));
  await eventually(() => expect(bench.edge.to("PUT", /./).at(-1)?.body).toMatchObject({ policy: { in: false } }));
  writeFileSync(host.policyFile, "{ mode: in }");
  bench.edge.commands.set("hv-b", [
    bench.signer.seal(prepareCommand({ id: "c2", migrationId: "m2", fencingToken: 8 })),
  ]);
  await eventually(() => expect(types("m2")).toContain("refused"));
  expect(host.script.calls).toEqual([]);
});

test("a cancel before anything began is answered, and what it cancels can never begin", async () => {
  const host = bench.host("hv-b");
  bench.edge.commands.set("hv-b", [bench.signer.seal(cancelCommand({ hostId: "hv-b" }))]);
  await host.start();
  await eventually(() =>
    expect(bench.edge.events("m1")[0]).toMatchObject({ type: "cancelled", commandId: "c-cancel" }),
  );
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand())]);
  await eventually(() =>
    expect(bench.edge.events("m1").at(-1)).toMatchObject({ type: "refused", reason: "cancelled" }),
  );
  expect(host.script.calls).toEqual([]);
});

test("a prepared destination is killed by a cancel", async () => {
  const host = bench.host("hv-b");
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand())]);
  await host.start();
  await eventually(() => expect(types()).toContain("prepared"));
  bench.edge.commands.set("hv-b", [bench.signer.seal(cancelCommand({ hostId: "hv-b" }))]);
  await eventually(() => expect(types()).toContain("cancelled"));
  expect(host.script.calls).toEqual([`prepareIncoming ${VM}`, `abandonIncoming ${VM}`]);
});

test("the ledger is on the disk before the hypervisor is touched, and outlives a crash in between", async () => {
  const host = bench.host("hv-b");
  const ledger = path.join(host.stateDir, "ledger.json");
  let seen = "";
  host.script.on.preflight = () => {
    seen = readFileSync(ledger, "utf8");
    host.agent?.kill();
  };
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand())]);
  await host.start();
  await eventually(() => expect(seen).toContain("c-prepare"));
  delete host.script.on.preflight;
  await host.start();
  // The command still comes with every heartbeat; it is never begun a second time.
  await eventually(() =>
    expect(bench.edge.events("m1")[0]).toMatchObject({ type: "failed", reason: "agent-restarted" }),
  );
  const beats = bench.edge.to("POST", /heartbeat$/).length;
  await eventually(() => expect(bench.edge.to("POST", /heartbeat$/).length).toBeGreaterThan(beats + 2));
  expect(host.script.calls).toEqual([]);
});

test("a crash between start's record and its act is told as the truth: the VM runs here", async () => {
  const source = bench.host("hv-a", [vmInventory()]);
  const peer = bench.host("hv-b");
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand())]);
  const { peerUrl } = await peer.start();
  await eventually(() => expect(types()).toContain("prepared"));
  source.script.on.startOutgoing = () => {
    source.agent?.kill();
    throw new Error("the process died");
  };
  const destination = { migrationUri: "tcp:127.0.0.1:4444", peerUrl };
  bench.edge.commands.set("hv-a", [bench.signer.seal(startCommand({ destination }))]);
  await source.start();
  await eventually(() => expect(source.script.calls).toHaveLength(1));
  expect(existsSync(path.join(source.stateDir, "runs", "m1.json"))).toBe(true);
  await source.start();
  const failed = { type: "failed", hostId: "hv-a", vmState: "running", commandId: "c-start" };
  await eventually(() => expect(bench.edge.events("m1").at(-1)).toMatchObject(failed));
  expect(source.script.calls).toHaveLength(1);
});

test("a ledger that cannot be read keeps the agent from starting", async () => {
  const host = bench.host("hv-b");
  await (await host.start()).stop();
  writeFileSync(path.join(host.stateDir, "ledger.json"), "{");
  await expect(host.start()).rejects.toThrow(/ledger\.json cannot be read/);
});

test("two agents never work on one state folder", async () => {
  const host = bench.host("hv-b");
  const agent = await host.start();
  await expect(host.start()).rejects.toThrow(/another agent \(pid \d+\)/);
  await agent.stop();
  await host.start();
});
