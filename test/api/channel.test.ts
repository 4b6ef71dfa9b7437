// The host channel in workerd: who may open it, what crosses it, and what it costs.
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readMessage } from "../../worker/channel/answers.ts";
import { type Bindings, makeDeps } from "../../worker/env.ts";
import { channelHeartbeat, channelMessage } from "../../worker/model/wire/channel.ts";
import type { Command } from "../../worker/model/wire/command.ts";
import { agentOf, call, eventually, tokenFor } from "../support/api.ts";
import { openChannel } from "../support/channel.ts";
import { approve, PEER, runOf, world } from "../support/run-world.ts";

const stubOf = (hostId: string) => env.HOST_CHANNEL.get(env.HOST_CHANNEL.idFromName(hostId));
const commandOf = (envelope: { body: string }) => JSON.parse(envelope.body) as Command;
type Problem = { type: string; advice: string };

/** JSON has no bigint. */
const plain = (_: string, value: unknown) => (typeof value === "bigint" ? String(value) : value);

type D1Work = [queries: number, rowsWritten: number];

/** What the object of the host has asked of D1. */
const inObject = (hostId: string) => () =>
  runInDurableObject(stubOf(hostId), (instance): D1Work => {
    const { queries, rowsWritten } = makeDeps((instance as unknown as { env: Bindings }).env).counts.d1;
    return [queries, rowsWritten];
  });

/** What the Worker has, what it is asked here included. */
async function inWorker(): Promise<D1Work> {
  const headers = { authorization: `Bearer ${env.ADMIN_TOKEN}` };
  const text = await (await exports.default.fetch(new Request("https://drover.test/metrics", { headers }))).text();
  const valueOf = (name: string) => Number(new RegExp(`^drover_d1_${name}_total (\\d+)$`, "m").exec(text)?.[1]);
  return [valueOf("queries"), valueOf("rows_written")];
}

/** What ten of them cost. */
async function costOf(read: () => Promise<D1Work>, once: () => Promise<unknown>): Promise<D1Work> {
  const [first, second] = [await read(), await read()];
  for (let count = 0; count < 10; count++) await once();
  const last = await read();
  // The last look has its own cost, which is that of the one before.
  return [last[0] - 2 * second[0] + first[0], last[1] - 2 * second[1] + first[1]];
}

describe("opening it", () => {
  test("without an upgrade it is a 426 that names the protocol", async () => {
    const { token } = await agentOf("ch-up", "ch-up", []);
    const { status, headers, body } = await call<Problem>("GET", "/v1/hosts/ch-up/channel", { token });
    expect([status, headers.get("upgrade"), body.type]).toEqual([426, "websocket", "/problems/upgrade-required"]);
    expect(headers.get("content-type")).toContain("application/problem+json");
  });

  test("another host's agent, a reader and a stranger are refused before the upgrade", async () => {
    const other = await agentOf("ch-own", "ch-other", []);
    await agentOf("ch-own", "ch-own", []);
    await expect(openChannel("ch-own", other.token)).rejects.toThrow(/403 .*foreign-host/);
    await expect(openChannel("ch-own", await tokenFor(["read"]))).rejects.toThrow(/403 .*missing-scope/);
    await expect(openChannel("ch-own", "drv_nobody")).rejects.toThrow(/401 .*unauthorized/);
  });

  test("a host that is not registered is a 404 that says what to do", async () => {
    const token = await tokenFor(["agent"], { hostId: "ch-none" });
    await expect(openChannel("ch-none", token)).rejects.toThrow(/404 .*host-not-found.*PUT \/v1\/hosts/);
  });

  test("the newest of a host counts: the older one is closed with its reason", async () => {
    const { token } = await agentOf("ch-two", "ch-two", []);
    const older = await openChannel("ch-two", token);
    await older.beat();
    const newer = await openChannel("ch-two", token);
    expect(await older.ended()).toEqual({ code: 4409, reason: expect.stringContaining("newer") });
    expect(await newer.beat()).toMatchObject({ type: "heard" });
    expect(newer.closed).toBeNull();
  });

  test("of several at once one stays", async () => {
    const { token } = await agentOf("ch-many", "ch-many", []);
    const ends = await Promise.all(Array.from({ length: 5 }, () => openChannel("ch-many", token)));
    await eventually(
      async () => ends.filter(({ closed }) => closed?.code === 4409).length,
      (count) => count === 4,
    );
    const stays = ends.find(({ closed }) => closed === null);
    expect(await stays?.beat()).toMatchObject({ type: "heard" });
  });
});

describe("a heartbeat over it", () => {
  test("makes the host heard with the VMs that it says, and is answered with the time", async () => {
    const { token } = await agentOf("ch-beat", "ch-beat", []);
    const channel = await openChannel("ch-beat", token);
    const uuid = "00000000-0000-4000-8000-0000000000aa";
    expect(await channel.beat({ [uuid]: "running" })).toEqual({
      type: "heard",
      id: 1,
      now: expect.any(Number),
      commands: [],
    });
    const row = await env.DB.prepare(
      "SELECT vm_states FROM host_state JOIN hosts ON number = host_number WHERE id = 'ch-beat'",
    ).first<{ vm_states: string }>();
    expect(JSON.parse(row?.vm_states ?? "")).toEqual({ [uuid]: "running" });
  });

  test("costs as many statements and written rows as by HTTP: four and one", async () => {
    const agent = await agentOf("ch-cost", "ch-cost", []);
    const channel = await openChannel("ch-cost", agent.token);
    // The first looks the token up.
    await channel.beat();
    await agent.beat({});
    expect(await costOf(inObject("ch-cost"), () => channel.beat())).toEqual([40, 10]);
    expect(await costOf(inWorker, () => agent.beat({}))).toEqual([40, 10]);
  });
});

describe("commands", () => {
  test("are pushed when they are written, to a host that asks for nothing", async () => {
    const { a, b, plan } = await world();
    const destination = await openChannel(b.hostId, b.token);
    const source = await openChannel(a.hostId, a.token);
    await Promise.all([destination.beat(), source.beat()]);
    expect((await approve(plan)).status).toBe(200);
    const { migrationId } = await runOf(plan);
    const { envelopes } = await destination.first("commands");
    const [prepare] = envelopes.map(commandOf);
    expect(prepare).toMatchObject({ type: "migration.prepare", hostId: b.hostId, migrationId });
    await b.report(migrationId, { type: "prepared", commandId: prepare?.id, ...PEER });
    const started = await source.first("commands");
    expect(started.envelopes.map(commandOf)).toMatchObject([{ type: "migration.start", hostId: a.hostId }]);
  });

  test("that were written before it was opened come with the first heartbeat", async () => {
    const { b, plan } = await world();
    await approve(plan);
    await eventually(
      () => b.beat({}),
      ({ body }) => body.commands.length > 0,
    );
    const channel = await openChannel(b.hostId, b.token);
    const answer = await channel.beat();
    expect(answer.type === "heard" && answer.commands.map(commandOf)).toMatchObject([{ type: "migration.prepare" }]);
  });
});

test("it sleeps and wakes: after an eviction the socket still takes, answers and is sent commands", async () => {
  const { b, plan } = await world();
  const channel = await openChannel(b.hostId, b.token);
  await channel.beat();
  await evictDurableObject(stubOf(b.hostId));
  channel.send("ping");
  await eventually(
    async () => channel.texts,
    (texts) => texts.includes("pong"),
  );
  expect(await channel.beat()).toMatchObject({ type: "heard", id: 2 });
  await evictDurableObject(stubOf(b.hostId));
  await approve(plan);
  expect((await channel.first("commands")).envelopes.map(commandOf)).toMatchObject([{ type: "migration.prepare" }]);
  const newer = await openChannel(b.hostId, b.token);
  expect((await channel.ended()).code).toBe(4409);
  expect(await newer.beat()).toMatchObject({ type: "heard" });
});

describe("messages that it cannot take", () => {
  const beat = { type: "heartbeat", id: 7, bootId: "boot-1", at: 1, vms: {} };
  test.each<[string, unknown, string, number | null]>([
    ["no JSON", "{", "/problems/malformed-body", null],
    ["binary", new ArrayBuffer(8), "/problems/malformed-body", null],
    ["no object", "null", "/problems/invalid-request", null],
    ["of an unknown type", { type: "reboot", id: 7 }, "/problems/invalid-request", 7],
    ["with a field nobody knows", { ...beat, force: true }, "/problems/invalid-request", 7],
    ["with a state no VM has", { ...beat, vms: { x: "flying" } }, "/problems/invalid-request", 7],
    ["too long", JSON.stringify({ ...beat, pad: "x".repeat(262_144) }), "/problems/body-too-large", null],
  ])("%s: told with a stable type, and the next is heard", async (name, message, type, id) => {
    const hostId = `ch-bad-${name.replaceAll(" ", "-")}`;
    const { token } = await agentOf("ch-bad", hostId, []);
    const channel = await openChannel(hostId, token);
    channel.send(message);
    expect(await channel.first("error")).toMatchObject({ id, problem: { type, advice: expect.any(String) } });
    expect(await channel.beat()).toMatchObject({ type: "heard" });
    expect(channel.closed).toBeNull();
  });

  test("whatever is sent is a heartbeat, or told of by a message of the schema", () => {
    const almost = fc.record(
      {
        type: fc.constantFrom("heartbeat", "beat"),
        id: fc.anything(),
        bootId: fc.anything(),
        at: fc.anything(),
        vms: fc.anything(),
      },
      { requiredKeys: [] },
    );
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      almost.map((content) => JSON.stringify(content, plain)),
    );
    const binary = fc.uint8Array().map(({ buffer }) => buffer as ArrayBuffer);
    fc.assert(
      fc.property(fc.oneof(text, binary), (message) => {
        const content = readMessage(message);
        if (content.ok) channelHeartbeat.parse(content.beat);
        else channelMessage.parse(content.answer);
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  test("three in a row close it with a code", async () => {
    const { token } = await agentOf("ch-bad", "ch-bad-3", []);
    const channel = await openChannel("ch-bad-3", token);
    for (let count = 0; count < 3; count++) channel.send("{");
    expect(await channel.ended()).toEqual({ code: 4400, reason: expect.stringContaining("3 messages") });
    expect(channel.texts).toHaveLength(3);
  });
});

describe("a token that has ended", () => {
  const ENDINGS = { revoked: "revoked_at = 1", expired: "expires_at = 1" };
  const end = (hostId: string, ending: keyof typeof ENDINGS) =>
    env.DB.prepare(`UPDATE tokens SET ${ENDINGS[ending]} WHERE host_id = ?`).bind(hostId).run();

  test.each(["revoked", "expired"] as const)(
    "%s before the first heartbeat: it is closed with a code, and the heartbeat is not heard",
    async (ending) => {
      const hostId = `ch-${ending}`;
      const { token } = await agentOf("ch-token", hostId, []);
      const channel = await openChannel(hostId, token);
      await end(hostId, ending);
      channel.send({ type: "heartbeat", id: 1, bootId: "boot-1", at: Date.now(), vms: {} });
      expect(await channel.ended()).toEqual({ code: 4401, reason: expect.stringContaining("revoked or has expired") });
      expect(channel.texts).toEqual([]);
    },
  );

  test("later it is trusted for 50 s, so that heartbeats every 15 s find out within 60 s, also over a sleep", async () => {
    const { token } = await agentOf("ch-token", "ch-later", []);
    const channel = await openChannel("ch-later", token);
    await channel.beat();
    await end("ch-later", "revoked");
    const asIfCheckedBefore = async (ms: number) => {
      await evictDurableObject(stubOf("ch-later"));
      await runInDurableObject(stubOf("ch-later"), (_, state) => {
        const [socket] = state.getWebSockets();
        socket?.serializeAttachment({ ...socket.deserializeAttachment(), checkedAt: Date.now() - ms });
      });
    };
    await asIfCheckedBefore(45_000);
    expect(await channel.beat()).toMatchObject({ type: "heard" });
    await asIfCheckedBefore(50_000);
    channel.send({ type: "heartbeat", id: 9, bootId: "boot-1", at: Date.now(), vms: {} });
    expect((await channel.ended()).code).toBe(4401);
  });

  test("gets no command", async () => {
    const { token } = await agentOf("ch-token", "ch-mute", []);
    const channel = await openChannel("ch-mute", token);
    await end("ch-mute", "revoked");
    expect(await stubOf("ch-mute").wake()).toBe(false);
    expect((await channel.ended()).code).toBe(4401);
  });
});

test("when the agent closes it nothing is left of it, and nothing is sent to it", async () => {
  const { token } = await agentOf("ch-end", "ch-end", []);
  const channel = await openChannel("ch-end", token);
  await channel.beat();
  channel.close();
  expect((await channel.ended()).code).toBe(1000);
  await eventually(
    () => runInDurableObject(stubOf("ch-end"), (_, state) => state.getWebSockets().length),
    (count) => count === 0,
  );
  expect(await stubOf("ch-end").wake()).toBe(false);
});

test("a host whose agent never came is woken in vain", async () => {
  expect(await stubOf("ch-never").wake()).toBe(false);
});
