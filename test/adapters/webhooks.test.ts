// Posting and resolving, against a real server that fails, hangs, redirects, cuts and lies.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createResolver } from "../../worker/adapters/dns.ts";
import { postWebhook } from "../../worker/adapters/webhook-post.ts";
import { type Box, type Receiver, startReceiver } from "../support/receiver.ts";

let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
});
afterAll(() => receiver.close());

const post = (path: string, timeoutMs = 400) =>
  postWebhook({ url: `${receiver.url}/${path}`, headers: { "webhook-id": "evt_1" }, body: "{}", timeoutMs });
const box = async (name: string) => (await (await fetch(`${receiver.url}/_box/${name}`)).json()) as Box;

describe("a POST", () => {
  test.each([
    ["ok", 204],
    ["status/500", 500],
    ["status/410", 410],
  ])("that is answered %s has its status", async (how, status) => {
    expect(await post(`a/${how}`, 3000)).toMatchObject({ status });
  });

  test("keeps what the receiver asked for", async () => {
    expect(await post("a/later/7", 3000)).toMatchObject({ status: 503, headers: { "retry-after": "7" } });
  });

  test("follows no redirect", async () => {
    expect(await post("a/redirect", 3000)).toMatchObject({ status: 302, headers: { location: "/_trap/ok" } });
    expect((await box("_trap")).taken).toEqual([]);
  });

  test.each(["hang", "stall"])("to a receiver that does %s ends with its time", async (how) => {
    expect(await post(`a/${how}`)).toEqual({ error: "no answer within 400 ms" });
  });

  test.each(["cut", "half", "noise"])("whose answer is %s says that there was none", async (how) => {
    expect(await post(`a/${how}`, 3000)).toEqual({ error: expect.stringMatching(/^no connection, or it was cut/) });
  });

  test("reads two kilobytes of a body without end", async () => {
    const answer = await post("a/flood", 3000);
    expect(answer).toMatchObject({ status: 200 });
    expect("body" in answer && answer.body.length).toBe(2048);
  });

  test("to nobody says so", async () => {
    const answer = await postWebhook({ url: "http://127.0.0.1:9/", headers: {}, body: "", timeoutMs: 3000 });
    expect(answer).toHaveProperty("error");
  });
});

describe("a name", () => {
  const resolve = (name: string) => createResolver(`${receiver.url}/_dns`)(name);

  test("has all of its addresses, of both kinds", async () => {
    expect(await resolve("hooks.example.com")).toEqual({ addresses: ["93.184.216.34", "2606:2800:21f:cb07::1"] });
  });
  test("that does not exist has none", async () => {
    expect(await resolve("nowhere.example.com")).toHaveProperty("missing");
  });
  test.each(["broken.example.com"])("whose resolver fails is unknown", async (name) => {
    expect(await resolve(name)).toHaveProperty("unknown");
  });
  test("is unknown while no resolver answers", async () => {
    expect(await createResolver("http://127.0.0.1:9/dns-query")("hooks.example.com")).toHaveProperty("unknown");
  });
});
