// What is given to the platforms before anything comes from them.
import { execFile, execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { z } from "zod";
import { discordCommands } from "../../../worker/adapters/chat/discord-commands.ts";
import { COMMAND_NAMES } from "../../../worker/model/chat/commands.ts";

/** Discord's own limits: application command and option objects. */
const name = z.string().regex(/^[-_a-z0-9]{1,32}$/);
const description = z.string().min(1).max(100);
const choice = z.strictObject({ name: z.string().min(1).max(100), value: z.string().min(1).max(100) });
const option = z.strictObject({
  type: z.literal(3),
  name,
  description,
  required: z.boolean(),
  choices: z.array(choice).min(1).max(25).optional(),
});
/** Required options stand before the others. */
const isOrdered = (options: z.infer<typeof option>[]): boolean =>
  options.every(({ required }, n) => !required || options.slice(0, n).every((before) => before.required));
const command = z.strictObject({
  name,
  type: z.literal(1),
  description,
  options: z
    .array(
      z.strictObject({ type: z.literal(1), name, description, options: z.array(option).max(25).refine(isOrdered) }),
    )
    .max(25),
});

test("Discord gets every command, within its limits", () => {
  const [registered] = z.array(command).length(1).parse(discordCommands());
  expect(registered?.options.map((sub) => sub.name)).toEqual(COMMAND_NAMES);
  expect(JSON.stringify(registered).length).toBeLessThanOrEqual(8000);
});

test("the script prints what it would send", () => {
  const args = ["scripts/chatops/register-discord.ts", "--dry-run", "--name", "vm"];
  const printed = execFileSync(process.execPath, args, { encoding: "utf8" });
  expect(JSON.parse(printed)).toEqual(discordCommands("vm"));
});

test("the script tells Discord, by its bot, and says what Discord answers", async () => {
  const seen: { method?: string; url?: string; authorization?: string; body: string }[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (part: Buffer) => (body += part.toString()));
    request.on("end", () => {
      const { method, url, headers } = request;
      seen.push({ method, url, authorization: headers.authorization, body } as (typeof seen)[number]);
      response.writeHead(url?.includes("/guilds/") === true ? 403 : 200).end('{"message":"Missing Access"}');
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const env = { ...process.env, DISCORD_BOT_TOKEN: "b", DISCORD_API_URL: api };
  const ran = (...more: string[]) =>
    promisify(execFile)(process.execPath, ["scripts/chatops/register-discord.ts", "--application", "7", ...more], {
      env,
    });
  expect((await ran()).stdout).toContain(`registered with ${COMMAND_NAMES.length} subcommands`);
  await expect(ran("--guild", "9")).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining("Missing Access"),
  });
  server.close();
  expect(seen.map(({ method, url, authorization }) => [method, url, authorization])).toEqual([
    ["PUT", "/applications/7/commands", "Bot b"],
    ["PUT", "/applications/7/guilds/9/commands", "Bot b"],
  ]);
  expect(JSON.parse(seen[0]?.body ?? "")).toEqual(discordCommands());
});

test("the Slack manifest sends commands and buttons to the same place", () => {
  const manifest = readFileSync("scripts/chatops/slack-manifest.yaml", "utf8");
  expect(manifest.match(/https:\/\/drover\.example\.com\/v1\/chat\/slack/g)).toHaveLength(2);
  for (const scope of ["commands", "chat:write", "chat:write.public"]) expect(manifest).toContain(`- ${scope}\n`);
});
