// The agent's side of the host channel: what goes over it, what comes by it, and what becomes of both when it is not there.
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { channelDelayMs } from "../../scripts/agent/retry.ts";
import { VM, createBench, prepareCommand, vmInventory, type Bench } from "./builders.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await createBench();
  bench.edge.channel = "open";
});
afterEach(() => bench.close());

const within = { timeout: 10_000, interval: 5 };
const eventually = (check: () => void) => vi.waitFor(check, within);
const beats = (by: "WS" | "POST") => bench.edge.to(by, by === "WS" ? /channel$/ : /heartbeat$/);
const types = () => bench.edge.events("m1").map(({ type }) => type);
const prepared = (calls: string[]) => calls.filter((call) => call.startsWith("prepareIncoming"));
const socketOf = (hostId: string) => {
  const socket = bench.edge.sockets.get(hostId);
  if (socket === undefined) throw new Error("the channel is not open");
  return socket;
};

test("while it is open heartbeats go over it and not by HTTP; the token goes with it", async () => {
  await bench.host("hv-b", [vmInventory()], { channel: "auto" }).start();
  await eventually(() => expect(beats("WS").length).toBeGreaterThan(1));
  const byHttp = beats("POST").length;
  const seen = beats("WS").length;
  await eventually(() => expect(beats("WS").length).toBeGreaterThan(seen + 3));
  expect(beats("POST")).toHaveLength(byHttp);
  expect(beats("WS")[0]).toMatchObject({ authorization: "Bearer drv_hv-b", body: { vms: { [VM]: "running" } } });
  expect(bench.edge.received[0]).toMatchObject({ method: "PUT" });
  expect(bench.lines.join()).not.toContain("drv_hv-b");
});

test("a command that is pushed is carried out though no heartbeat brings it", async () => {
  const { script, start } = bench.host("hv-b", [], { channel: "auto", heartbeatMs: 86_400_000 });
  await start();
  await eventually(() => expect(beats("WS")).toHaveLength(1));
  bench.edge.push("hv-b", [bench.signer.seal(prepareCommand())]);
  await eventually(() => expect(types()).toContain("prepared"));
  expect(prepared(script.calls)).toEqual([`prepareIncoming ${VM}`]);
  expect(beats("POST").length).toBeLessThanOrEqual(1);
});

test("the same command by webhook, by channel and in answers to heartbeats and telemetry at once starts once", async () => {
  const webhook = { listenHost: "127.0.0.1", port: 0 };
  const { script, start } = bench.host("hv-b", [], { channel: "auto", webhook });
  const agent = await start();
  await eventually(() => expect(beats("WS").length).toBeGreaterThan(0));
  const sealed = bench.signer.seal(prepareCommand());
  bench.edge.answer = ({ path, body }) =>
    path === "/v1/telemetry"
      ? { status: 200, body: { batch: (body as { batch: string }).batch, commands: [sealed] } }
      : path.endsWith("/heartbeat")
        ? { status: 200, body: { now: Date.now(), commands: [sealed] } }
        : null;
  bench.edge.commands.set("hv-b", [sealed]);
  const headers = {
    "webhook-id": sealed.id,
    "webhook-timestamp": String(sealed.timestamp),
    "webhook-signature": sealed.signature,
  };
  const post = () => fetch(`${agent.webhookUrl}/commands`, { method: "POST", headers, body: sealed.body });
  for (let count = 0; count < 3; count++) bench.edge.push("hv-b", [sealed, sealed]);
  const answers = await Promise.all([post(), post(), post()]);
  expect(answers.map(({ status }) => status)).toEqual([202, 202, 202]);
  const [byWebSocket, byTelemetry] = [beats("WS").length, bench.edge.batches().length];
  await eventually(() => {
    expect(beats("WS").length).toBeGreaterThan(byWebSocket + 2);
    expect(bench.edge.batches().length).toBeGreaterThan(byTelemetry);
    expect(types()).toContain("prepared");
  });
  expect(prepared(script.calls)).toHaveLength(1);
});

test("where there is none everything goes by HTTP, and it is tried again", async () => {
  bench.edge.channel = "none";
  await bench.host("hv-b", [], { channel: "auto" }).start();
  await eventually(() => expect(beats("POST").length).toBeGreaterThan(2));
  bench.edge.channel = "open";
  await eventually(() => expect(beats("WS").length).toBeGreaterThan(0));
  expect(bench.lines.join("\n")).toContain("404");
});

test("when it is cut heartbeats go by HTTP until it is open again", async () => {
  await bench.host("hv-b", [], { channel: "auto" }).start();
  await eventually(() => expect(beats("WS").length).toBeGreaterThan(0));
  bench.edge.channel = "none";
  socketOf("hv-b").terminate();
  const byHttp = beats("POST").length;
  await eventually(() => expect(beats("POST").length).toBeGreaterThan(byHttp + 2));
  bench.edge.channel = "open";
  const seen = beats("WS").length;
  await eventually(() => expect(beats("WS").length).toBeGreaterThan(seen));
});

test("one that answers nothing is given up: the heartbeat goes by HTTP", async () => {
  const { start } = bench.host("hv-b", [], { channel: "auto" });
  await start();
  await eventually(() => expect(beats("WS").length).toBeGreaterThan(0));
  bench.edge.channel = "silent";
  const dead = socketOf("hv-b");
  const byHttp = beats("POST").length;
  await eventually(() => expect(beats("POST").length).toBeGreaterThan(byHttp));
  await eventually(() => expect(dead.readyState).toBe(dead.CLOSED));
});

test("without heartbeats pings keep it open, and without an answer to them it is given up", async () => {
  const { script, start } = bench.host("hv-b", [], { channel: "auto" });
  script.driver.vmStates = () => Promise.reject(new Error("the hypervisor does not answer"));
  await start();
  await eventually(() => expect(bench.edge.pings).toBeGreaterThan(2));
  expect(beats("WS")).toEqual([]);
  expect(bench.lines.join("\n")).not.toContain("the channel is not open");
  const dead = socketOf("hv-b");
  bench.edge.channel = "silent";
  await eventually(() => expect(dead.readyState).toBe(dead.CLOSED));
});

test("one that Drover ended on purpose is opened again after up to a minute, not at once", async () => {
  await bench.host("hv-b", [], { channel: "auto" }).start();
  await eventually(() => expect(beats("WS").length).toBeGreaterThan(0));
  socketOf("hv-b").close(4409, "a newer channel of this host was opened");
  const told = () =>
    bench.lines.map((line) => JSON.parse(line) as Record<string, unknown>).find(({ code }) => code === 4409);
  await eventually(() => expect(told()).toMatchObject({ detail: "a newer channel of this host was opened" }));
  expect(bench.edge.sockets.size).toBe(0);
});

test("what it does not understand, and errors that it is told, are logged and end nothing", async () => {
  const { script, start } = bench.host("hv-b", [], { channel: "auto" });
  await start();
  await eventually(() => expect(beats("WS").length).toBeGreaterThan(0));
  const problem = { type: "/problems/busy", title: "Busy", status: 503, detail: "later", advice: "wait" };
  const socket = socketOf("hv-b");
  for (const text of [
    "{",
    "[]",
    '{"type":"dance"}',
    '{"type":"commands"}',
    JSON.stringify({ type: "error", id: null, problem }),
  ])
    socket.send(text);
  socket.send(Buffer.from([0xff, 0x00]));
  bench.edge.push("hv-b", [{ id: 1 } as never, bench.signer.seal(prepareCommand())]);
  await eventually(() => expect(prepared(script.calls)).toHaveLength(1));
  const lines = bench.lines.join("\n");
  expect(lines.match(/was not understood/g)).toHaveLength(5);
  expect(lines).toContain("503 Busy: later");
  expect(bench.edge.sockets.get("hv-b")).toBe(socket);
});

test("with `off` it is never opened", async () => {
  await bench.host("hv-b", [], { channel: "off" }).start();
  await eventually(() => expect(beats("POST").length).toBeGreaterThan(3));
  expect(bench.edge.sockets.size).toBe(0);
});

test("a stop closes it, and so does a kill", async () => {
  for (const way of ["stop", "kill"] as const) {
    const agent = await bench.host("hv-b", [], { channel: "auto" }).start();
    await eventually(() => expect(bench.edge.sockets.size).toBe(1));
    await agent[way]();
    await eventually(() => expect(bench.edge.sockets.size).toBe(0));
  }
});

test("the wait before it is opened again is anything up to a ceiling that doubles from a second to a minute", () => {
  const failures = fc.oneof(fc.integer({ min: 1, max: 2000 }), fc.constant(Number.POSITIVE_INFINITY));
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(failures, random, (count, at) => {
      const delay = channelDelayMs(count, at);
      expect(delay).toBe(Math.min(1000 * 2 ** (count - 1), 60_000) * at);
      expect(delay).toBeLessThan(60_000);
    }),
    { seed: 1 },
  );
});
