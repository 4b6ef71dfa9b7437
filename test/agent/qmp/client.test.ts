import { expect, onTestFinished, test } from "vitest";
import { QmpClient, type QmpEvent } from "../../../scripts/agent/qmp/client.ts";
import { listen, type Command } from "./fake-qmp.ts";

function open(file: string, events: QmpEvent[] = []): QmpClient {
  const client = new QmpClient(file, (event) => events.push(event));
  onTestFinished(() => client.close());
  return client;
}

test("answers find their commands whatever comes between", async () => {
  const events: QmpEvent[] = [];
  const waiting: Command[] = [];
  const file = await listen((command) => {
    waiting.push(command);
    if (waiting.length < 2) return [];
    const stop = { event: "STOP", timestamp: { seconds: 1_795_399_200, microseconds: 250_500 } };
    return [stop, ...waiting.toReversed().map(({ id, execute }) => ({ id, return: { status: execute } }))];
  });
  const client = open(file, events);
  const answers = await Promise.all([client.execute("query-status"), client.execute("query-migrate")]);
  expect(answers).toEqual([{ status: "query-status" }, { status: "query-migrate" }]);
  expect(events).toEqual([{ name: "STOP", data: {}, atMs: 1_795_399_200_250.5 }]);
});

test("a refusal carries QEMU's words and the connection lives on", async () => {
  const file = await listen(({ id, execute }) =>
    execute === "cont"
      ? [{ id, error: { class: "GenericError", desc: "Resetting is required" } }]
      : [{ id, return: {} }],
  );
  const client = open(file);
  await expect(client.execute("cont")).rejects.toMatchObject({
    kind: "refused",
    message: "cont: Resetting is required",
  });
  await expect(client.execute("stop")).resolves.toEqual({});
});

test("a command under a broken connection fails and is not repeated; the next one connects anew", async () => {
  let seen = 0;
  const file = await listen(({ id, execute }, socket) => {
    if (execute === "query-status") return [{ id, return: "here" }];
    seen += 1;
    socket.destroy();
    return [];
  });
  const client = open(file);
  await expect(client.execute("migrate")).rejects.toMatchObject({ kind: "closed" });
  await expect(client.execute("query-status")).resolves.toBe("here");
  expect(seen).toBe(1);
});

test("silence ends in a timeout, and a later answer disturbs nothing", async () => {
  const held: Command[] = [];
  const file = await listen((command) => {
    held.push(command);
    return held.length === 1 ? [] : held.map(({ id, execute }) => ({ id, return: execute }));
  });
  const client = open(file);
  await client.open(1000);
  await expect(client.execute("first", {}, 20)).rejects.toMatchObject({ kind: "timeout" });
  await expect(client.execute("second")).resolves.toBe("second");
});

test("while QEMU answers nothing, what goes out of band is answered, and no more is asked than leaves it room", async () => {
  const asked: Command[] = [];
  const file = await listen((command) => {
    asked.push(command);
    const urgent = command["exec-oob"];
    return urgent === undefined ? [] : [{ id: command.id, return: urgent }];
  });
  const client = open(file);
  await client.open(1000);
  for (let question = 0; question < 20; question++)
    await expect(client.execute("query-status", {}, 5)).rejects.toMatchObject({ kind: "timeout" });
  // QEMU reads no further than eight that wait.
  expect(asked.length).toBeLessThan(8);
  await expect(client.executeUrgent("migrate-recover", { uri: "tcp:127.0.0.1:1" })).resolves.toBe("migrate-recover");
  expect(asked.at(-1)?.arguments).toEqual({ uri: "tcp:127.0.0.1:1" });
});

test("a QEMU that takes nothing out of band is asked in band", async () => {
  const greeting = { QMP: { version: {}, capabilities: [] } };
  const file = await listen(({ id, execute }) => [{ id, return: execute }], greeting);
  await expect(open(file).executeUrgent("migrate-pause")).resolves.toBe("migrate-pause");
});

test("a socket without QMP behind it is told as what it is", async () => {
  await expect(open("/nonexistent/qmp").execute("stop")).rejects.toMatchObject({ kind: "connect" });
  const silent = await listen(() => [], null);
  await expect(open(silent).execute("stop", {}, 30)).rejects.toMatchObject({
    kind: "connect",
    message: /another client/,
  });
  const other = await listen(() => [], "SSH-2.0-OpenSSH");
  await expect(open(other).execute("stop", {}, 1000)).rejects.toThrow(/closed/);
});

test("whoever waits for an event also wakes when the connection is lost", async () => {
  const file = await listen((_, socket) => {
    socket.destroy();
    return [];
  });
  const client = open(file);
  await client.open(1000);
  const woken = client.waitForEvent(client.eventsSeen, 60_000);
  await client.execute("quit").catch(() => undefined);
  await woken;
  expect(client.eventsSeen).toBe(1);
});
