// One suite for every chat platform: what is signed is taken, what is not is not, and what is asked is read.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InteractionResponseType, InteractionType, verifyKey } from "discord-interactions";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chatPlatforms } from "../../../worker/adapters/chat/index.ts";
import type { Acknowledgement, ChatRequest, Inbound } from "../../../worker/model/chat/inbound.ts";
import { sentence } from "../../../worker/model/chat/message.ts";
import {
  DISCORD,
  DISCORD_PUBLIC_KEY,
  signDiscord,
  signSlack,
  SLACK,
  SLACK_SECRET,
  type Spoken,
} from "../../support/chat-requests.ts";

const platforms = chatPlatforms({
  slack: { signingSecret: SLACK_SECRET, botToken: "xoxb-1", apiUrl: "https://slack.com/api", local: false },
  discord: { publicKey: DISCORD_PUBLIC_KEY, botToken: "bot-1", apiUrl: "https://discord.com/api/v10" },
});
const documented = (name: string): string =>
  readFileSync(join(import.meta.dirname, `../../golden/chat/documented/${name}.txt`), "utf8");

const NOW = Date.UTC(2026, 10, 27, 12);
const BY = { userId: "U1", teamId: "T1", channelId: "C1", url: "https://hooks.slack.com" };
const LATER: Acknowledgement = { ack: "later", audience: "channel", replaces: false };
const HI = sentence("good", "Hi");

const inboundOf = (request: ChatRequest): Inbound => {
  if (request.kind === "ping" || request.kind === "other") throw new Error(`${request.kind} is no question`);
  return request;
};

type Case = { name: "slack" | "discord"; sign: typeof signSlack; spoken: Spoken; otherKey: string | Uint8Array };
const CASES: Case[] = [
  { name: "slack", sign: signSlack, spoken: SLACK, otherKey: "another secret of Slack's" },
  { name: "discord", sign: signDiscord as typeof signSlack, spoken: DISCORD, otherKey: new Uint8Array(32).fill(7) },
];

describe.each(CASES)("$name", ({ name, sign, spoken, otherKey }) => {
  const platform = platforms[name];
  const body = spoken.command(BY, "status");

  test("takes what is signed, and knows the same again by its key", async () => {
    const signed = await sign(body, NOW);
    const [first, second] = [await platform.verify(signed, NOW), await platform.verify(signed, NOW + 1000)];
    expect(first).toMatchObject({ ok: true });
    expect(second).toEqual(first);
    expect(await platform.verify(await sign(spoken.command(BY, "status"), NOW), NOW)).not.toEqual(first);
  });

  test.each([
    ["another body", async () => ({ ...(await sign(body, NOW)), body: `${body} ` }), /not of this body/],
    ["another key", () => sign(body, NOW, otherKey as string), /not of this body/],
    ["six minutes ago", () => sign(body, NOW - 360_000), /^old: sent 360 s ago/],
    ["from the future", () => sign(body, NOW + 360_000), /in the future/],
    ["no headers", () => Promise.resolve({ headers: {}, body }), /no timestamp/],
  ])("refuses what is signed with %s, and says why to us alone", async (_what, request, why) => {
    expect(await platform.verify(await request(), NOW)).toEqual({ refused: expect.stringMatching(why) });
  });

  test("refuses another time under the same signature, and what is no signature", async () => {
    const signed = await sign(body, NOW);
    const [time, signature] = Object.keys(signed.headers).filter((key) => key.startsWith("x-"));
    const changed = (key = "", value = "") => ({ ...signed, headers: { ...signed.headers, [key]: value } });
    const later = changed(time, String(NOW / 1000 + 1));
    expect(await platform.verify(later, NOW)).toEqual({ refused: "the signature is not of this body" });
    for (const value of ["", "v0=", "v0=zz", "00", "é"])
      expect(await platform.verify(changed(signature, value), NOW)).toEqual({ refused: expect.stringMatching(/^no /) });
    expect(await platform.verify(changed(time, "now"), NOW)).toEqual({ refused: "no timestamp" });
  });

  test("reads commands, buttons and reasons", () => {
    const user = { platform: name, teamId: "T1", userId: "U1", name: "name-U1" };
    expect(platform.read(spoken.command(BY, "drain hv-01"))).toMatchObject({
      kind: "command",
      user,
      channelId: "C1",
      text: "drain hv-01",
    });
    expect(platform.read(spoken.button(BY, "why:pln_1", "m1"))).toMatchObject({
      kind: "button",
      user,
      action: "why:pln_1",
      messageId: "m1",
    });
    expect(platform.read(spoken.reason(BY, "stop", "fire", "m1"))).toMatchObject({
      kind: "reason",
      user,
      channelId: "C1",
      action: "stop",
      reason: "fire",
      messageId: "m1",
    });
  });

  test.each(["", "{}", "[]", "payload=%7B", "payload=%7B%22type%22%3A%22shortcut%22%7D", '{"type":9}', "\u0000"])(
    "reads nothing into %j",
    (text) => {
      expect(platform.read(text).kind).toBe("other");
    },
  );

  test("reads whatever comes without an error", () => {
    // Fields that the platform has, with values that it has not.
    const fields = ["type", "data", "user", "team", "channel", "actions", "view", "message", "token", "toString"];
    const oddObject = fc.dictionary(fc.constantFrom(...fields), fc.jsonValue()).map((value) => JSON.stringify(value));
    const anyBody = fc.oneof(fc.string(), fc.json(), oddObject);
    fc.assert(
      fc.property(anyBody, fc.boolean(), (text, isPayload) => {
        const sent = isPayload ? new URLSearchParams({ payload: text }).toString() : text;
        expect(platform.read(sent)).toHaveProperty("kind");
      }),
      { numRuns: 300 },
    );
  });

  test("answers to where the request says, with what was told", () => {
    const request = inboundOf(platform.read(spoken.command(BY, "status")));
    const call = platform.answer(request, LATER, HI, { audience: "channel", replaces: false });
    expect(call.url).toMatch(/^https:\/\/(hooks\.slack\.com|discord\.com)\//);
    expect(call.body).toContain("Hi");
    expect(call.headers).not.toHaveProperty("authorization");
  });

  test("posts and updates by its bot, or not at all", () => {
    const post = platform.post("C1", HI, "m0");
    expect(post).toMatchObject({ headers: { authorization: expect.stringMatching(/^(Bearer xoxb-1|Bot bot-1)$/) } });
    expect(post?.body).toContain('"m0"');
    expect(platform.update("C1", "m0", HI)?.body).toContain("Hi");
    const without = chatPlatforms({
      slack: { signingSecret: SLACK_SECRET, botToken: undefined, apiUrl: "https://slack.com/api", local: false },
      discord: { publicKey: undefined, botToken: undefined, apiUrl: "https://discord.com/api/v10" },
    })[name];
    expect([without.post("C1", HI, null), without.update("C1", "m0", HI)]).toEqual([null, null]);
  });

  test.each([
    [
      { status: 500, headers: {}, body: "" },
      { ok: false, isFinal: false },
    ],
    [
      { status: 429, headers: { "retry-after": "3" }, body: "{}" },
      { ok: false, isFinal: false, retryAfterMs: 3000 },
    ],
    [
      { status: 404, headers: {}, body: "gone" },
      { ok: false, isFinal: true },
    ],
    [{ error: "cut" }, { ok: false, isFinal: false, error: "cut" }],
    [
      { status: 200, headers: {}, body: '{"ok":true,"ts":"1.2","id":"1.2"}' },
      { ok: true, messageId: "1.2" },
    ],
  ])("takes %j for what it is", (answer, posted) => {
    expect(platform.posted(answer as Parameters<typeof platform.posted>[0])).toMatchObject(posted);
  });
});

describe("slack", () => {
  const { slack } = platforms;
  const signed = documented("slack-signed");
  const headers = {
    "x-slack-request-timestamp": "1531420618",
    "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
  };

  test("verifies the published example, byte for byte", async () => {
    expect(await slack.verify({ headers, body: signed }, 1_531_420_618_000)).toMatchObject({ ok: true });
    expect(await slack.verify({ headers, body: signed }, 1_531_420_919_000)).toMatchObject({ refused: /^old/ });
    expect(slack.read(signed)).toMatchObject({
      kind: "command",
      user: { teamId: "T1DC2JH3J", userId: "U2CERLKJA", name: "roadrunner" },
      text: "",
      answerTo: { responseUrl: "https://hooks.slack.com/commands/T1DC2JH3J/397700885554/96rGlfmibIGlgcZRskXaIFfN" },
    });
  });

  test("answers its own question whether anybody is there", () => {
    expect(slack.read("ssl_check=1&token=x")).toEqual({ kind: "ping" });
  });

  test.each([
    "http://hooks.slack.com/x",
    "https://hooks.slack.com.evil.example/x",
    "https://evil.example/hooks.slack.com",
    "https://user@hooks.slack.com/x",
    "https://127.0.0.1/x",
    "http://169.254.169.254/latest",
    "nonsense",
  ])("sends no answer to %s", (url) => {
    const fields = new URLSearchParams(SLACK.command(BY, "status"));
    fields.set("response_url", url);
    expect(slack.read(fields.toString())).toEqual({ kind: "other", what: expect.stringMatching(/elsewhere/) });
  });

  test("is told what it says with 200", () => {
    const said = (error: string) =>
      slack.posted({ status: 200, headers: {}, body: JSON.stringify({ ok: false, error }) });
    expect(said("channel_not_found")).toMatchObject({ ok: false, isFinal: true });
    expect(said("ratelimited")).toMatchObject({ ok: false, isFinal: false });
    expect(slack.posted({ status: 200, headers: {}, body: "ok" })).toEqual({ ok: true, messageId: null });
  });

  test("opens a window by its bot, and keeps where the answer belongs", () => {
    const request = inboundOf(slack.read(SLACK.button(BY, "reject:x", "m1")));
    const { body, call } = slack.acknowledge(request, { ack: "ask", title: "Reject", action: "reject:x" });
    expect(body).toBeNull();
    expect(call?.url).toBe("https://slack.com/api/views.open");
    expect(JSON.parse(call?.body ?? "")).toMatchObject({
      trigger_id: request.answerTo["triggerId"],
      view: { callback_id: "reject:x", private_metadata: expect.stringContaining('"messageId":"m1"') },
    });
  });
});

describe("discord", () => {
  const { discord } = platforms;

  test("agrees with the official verifier about every signature", async () => {
    const signed = await signDiscord(documented("discord-command"), NOW);
    const { "x-signature-ed25519": signature = "", "x-signature-timestamp": time = "" } = signed.headers;
    for (const body of [signed.body, `${signed.body} `]) {
      const official = await verifyKey(body, signature, time, DISCORD_PUBLIC_KEY);
      expect("ok" in (await discord.verify({ ...signed, body }, NOW))).toBe(official);
    }
    expect(await verifyKey(signed.body, signature, time, DISCORD_PUBLIC_KEY)).toBe(true);
  });

  test("reads the documented command and button, byte for byte", () => {
    expect(discord.read(documented("discord-command"))).toEqual({
      kind: "command",
      user: { platform: "discord", teamId: "290926798626357999", userId: "53908232506183680", name: "Mason" },
      channelId: "645027906669510667",
      answerTo: { applicationId: "", token: "A_UNIQUE_TOKEN" },
      text: 'cardsearch "The Gitrog Monster"',
    });
    expect(discord.read(documented("discord-button"))).toMatchObject({
      kind: "button",
      action: "click_one",
      messageId: "844397162624450620",
      answerTo: { applicationId: "290926444748734465", token: "unique_interaction_token" },
    });
    expect(discord.read(`{"type":${InteractionType.PING}}`)).toEqual({ kind: "ping" });
  });

  test("puts options into the order of the command's arguments", () => {
    const options = [
      { type: 3, name: "time", value: "2h" },
      { type: 3, name: "host", value: "hv-01" },
    ];
    const body = (sub: object) =>
      DISCORD.command(BY, "x").replace(/"options":\[.*\]\}\}/, `"options":[${JSON.stringify(sub)}]}}`);
    expect(discord.read(body({ type: 1, name: "drain", options }))).toMatchObject({ text: "drain hv-01 2h" });
    const reason = [
      { type: 3, name: "reason", value: 'so "it" is' },
      { type: 3, name: "plan", value: "pln_1" },
    ];
    expect(discord.read(body({ type: 1, name: "reject", options: reason }))).toMatchObject({
      text: "reject pln_1 \"so 'it' is\"",
    });
  });

  test.each<[Acknowledgement, number]>([
    [{ ack: "say", message: HI }, InteractionResponseType.CHANNEL_MESSAGE_WITH_SOURCE],
    [LATER, InteractionResponseType.DEFERRED_CHANNEL_MESSAGE_WITH_SOURCE],
    [{ ack: "later", audience: "channel", replaces: true }, InteractionResponseType.DEFERRED_UPDATE_MESSAGE],
    [{ ack: "ask", title: "Why", action: "stop" }, InteractionResponseType.MODAL],
  ])("acknowledges %j in its own words", (ack, type) => {
    const request = inboundOf(discord.read(DISCORD.command(BY, "status")));
    expect(discord.acknowledge(request, ack).body).toMatchObject({ type });
  });

  test("follows up where the place of the answer is taken, and edits it where it is not", () => {
    const request = inboundOf(discord.read(DISCORD.button(BY, "approve:x", "m1")));
    const replaced = { ack: "later", audience: "channel", replaces: true } as const;
    const edited = discord.answer(request, replaced, HI, { audience: "channel", replaces: true });
    const followed = discord.answer(request, replaced, HI, { audience: "asker", replaces: false });
    expect([edited.method, edited.url.endsWith("/messages/@original")]).toEqual(["PATCH", true]);
    expect([followed.method, JSON.parse(followed.body).flags]).toEqual(["POST", 64]);
  });

  test("does not bring a message up to date that only its receiver sees", () => {
    const hidden = DISCORD.button(BY, "why:pln_1", "m1").replace('"flags":0', '"flags":64');
    expect(discord.read(hidden)).toMatchObject({ messageId: null });
  });
});
