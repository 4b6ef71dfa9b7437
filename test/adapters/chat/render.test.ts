// Renderers: goldens of what a platform gets, and its limits held by any message.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { discordMessage, discordModal } from "../../../worker/adapters/chat/discord-render.ts";
import { slackMessage, slackModal } from "../../../worker/adapters/chat/slack-render.ts";
import { actionText, readAction, type Action } from "../../../worker/model/chat/actions.ts";
import { type Block, cut, type Inline, type Message, tableText } from "../../../worker/model/chat/message.ts";
import { MESSAGES } from "../../support/chat.ts";

const RENDERERS = { slack: slackMessage, discord: discordMessage };

function expectOnRecord(name: string, rendered: object): void {
  const file = join(import.meta.dirname, `../../golden/chat/${name}.json`);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, `${JSON.stringify(rendered, null, 2)}\n`);
  expect(rendered).toEqual(JSON.parse(readFileSync(file, "utf8")));
}

describe.each(Object.entries(RENDERERS))("%s", (platform, render) => {
  test("has every kind of message on record", () => {
    const all = Object.entries(MESSAGES).map(([name, message]) => [name, render(message)]);
    expectOnRecord(platform, Object.fromEntries(all) as object);
  });
});

const anyText = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: fc.constantFrom("<", "&", "`", "*", "_", "😀", "\n"), maxLength: 400 }),
);
const longText = fc.tuple(anyText, fc.integer({ min: 1, max: 200 })).map(([text, times]) => text.repeat(times));
/** Drover's own words: never empty. */
const anyLabel = longText.filter((label) => label !== "");
const anyInline: fc.Arbitrary<Inline> = fc.oneof(
  longText,
  anyText.map((bold) => ({ bold })),
  anyText.map((code) => ({ code })),
  anyText.map((label) => ({ url: "https://drover.example/x", label })),
);
const HASH = "0123456789abcdef0123456789abcdef01234567";
const PLAN_ID = `pln_${"0".repeat(32)}`;
const anyAction: fc.Arbitrary<Action> = fc.constantFrom<Action>(
  { do: "approve", planId: PLAN_ID, hash: HASH },
  { do: "override", planId: PLAN_ID, hash: HASH },
  { do: "why", planId: PLAN_ID },
  { do: "cancel", migrationId: `mig_${"0".repeat(32)}` },
  { do: "stop" },
);
const anyBlock: fc.Arbitrary<Block> = fc.oneof(
  fc.record({ kind: fc.constant("text" as const), text: fc.array(anyInline, { maxLength: 6 }) }),
  fc.record({ kind: fc.constant("note" as const), text: fc.array(anyInline, { maxLength: 3 }) }),
  fc.record({ kind: fc.constant("facts" as const), facts: fc.array(fc.tuple(anyLabel, longText), { maxLength: 30 }) }),
  fc.record({
    kind: fc.constant("table" as const),
    table: fc.record({
      columns: fc.constant([{ title: "a" }, { title: "b", isRight: true }]),
      rows: fc.array(fc.tuple(anyText, anyText), { maxLength: 200 }),
      more: fc.nat(9),
    }),
  }),
  fc.record({
    kind: fc.constant("buttons" as const),
    buttons: fc.array(fc.record({ label: anyLabel, action: anyAction }), {
      maxLength: 30,
    }),
  }),
);
const anyMessage: fc.Arbitrary<Message> = fc.record({
  tone: fc.constantFrom("plain", "asks", "running", "good", "bad"),
  title: anyLabel,
  blocks: fc.array(anyBlock, { maxLength: 70 }),
});

/** What each platform takes, as its reference has it. */
const text = (max: number) => z.string().min(1).max(max);
const plainText = (max: number) =>
  z.strictObject({ type: z.literal("plain_text"), text: text(max), emoji: z.boolean() });
const mrkdwn = (max: number) => z.strictObject({ type: z.literal("mrkdwn"), text: text(max) });
const slackButton = z.strictObject({
  type: z.literal("button"),
  text: plainText(75),
  action_id: text(255),
  value: text(2000),
  style: z.enum(["primary", "danger"]).optional(),
});
const SLACK = z.strictObject({
  text: text(3000),
  blocks: z
    .array(
      z.union([
        z.strictObject({ type: z.literal("header"), text: plainText(150) }),
        z.strictObject({ type: z.literal("section"), text: mrkdwn(3000) }),
        z.strictObject({ type: z.literal("section"), fields: z.array(mrkdwn(2000)).min(1).max(10) }),
        z.strictObject({ type: z.literal("context"), elements: z.array(mrkdwn(2000)).min(1).max(10) }),
        z.strictObject({ type: z.literal("actions"), elements: z.array(slackButton).min(1).max(25) }),
      ]),
    )
    .min(1)
    .max(50),
});

const field = z.strictObject({ name: text(256), value: text(1024), inline: z.boolean() });
const embed = z
  .strictObject({
    title: text(256),
    description: text(4096).optional(),
    color: z.int(),
    fields: z.array(field).max(25),
  })
  .refine(({ title, description = "", fields }) => {
    const lengths = fields.map(({ name, value }) => name.length + value.length);
    return title.length + description.length + lengths.reduce((sum, length) => sum + length, 0) <= 6000;
  });
const discordButton = z.strictObject({
  type: z.literal(2),
  style: z.union([z.literal(2), z.literal(3), z.literal(4)]),
  label: text(80),
  custom_id: text(100),
});
const DISCORD = z.strictObject({
  embeds: z.array(embed).length(1),
  components: z.array(z.strictObject({ type: z.literal(1), components: z.array(discordButton).min(1).max(5) })).max(5),
  allowed_mentions: z.strictObject({ parse: z.array(z.never()) }),
});

/** A text that Slack makes mentions of, everywhere in a message. */
const marked = (message: z.infer<typeof SLACK>): string =>
  JSON.stringify(message).replaceAll(/\{"type":"plain_text","text":"(\\.|[^"\\])*"/g, "");

describe("whatever is told", () => {
  test("Slack's limits hold, and nobody is mentioned", () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        expect(marked(SLACK.parse(slackMessage(message)))).not.toMatch(/<[!@#]/);
      }),
      { numRuns: 60 },
    );
  });

  test("Discord's limits hold, and nobody is mentioned", () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        expect(DISCORD.parse(discordMessage(message)).allowed_mentions).toEqual({ parse: [] });
      }),
      { numRuns: 60 },
    );
  });

  test("a button means after its way what it meant before", () => {
    fc.assert(
      fc.property(anyAction, (action) => {
        expect(readAction(actionText(action))).toEqual(action);
      }),
    );
    const others = ["", "approve", "approve:pln_1:zz", "why:mig_1", "stop:now"];
    for (const text of others) expect(readAction(text)).toBeNull();
  });

  test("windows stay within their limits", () => {
    const action = actionText({ do: "override", planId: PLAN_ID, hash: HASH });
    expect(discordModal("x".repeat(100), action)).toMatchObject({ title: `${"x".repeat(44)}…`, custom_id: action });
    expect(slackModal("x".repeat(100), action, "kept")).toMatchObject({ title: { text: `${"x".repeat(23)}…` } });
  });
});

test("a table drops rows until it fits, and counts them", () => {
  const rows = Array.from({ length: 9 }, (_, n) => [`vm-${n}`, String(n)]);
  const table = { columns: [{ title: "VM" }, { title: "n", isRight: true }], rows, more: 2 };
  expect(tableText(table, 50)).toBe("VM    n\nvm-0  0\nvm-1  1\nvm-2  2\n… and 8 more");
  expect(tableText({ ...table, more: 0 }, 1000).split("\n")).toHaveLength(10);
});

test("what is cut ends with an ellipsis, and no character is halved", () => {
  expect(cut("abcdef", 4)).toBe("abc…");
  expect(cut("ab😀cd", 4)).toBe("ab…");
  expect(cut("abc", 3)).toBe("abc");
});
