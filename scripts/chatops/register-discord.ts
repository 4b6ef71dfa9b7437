// Tells Discord which commands there are: to be run once, and again when a new version has others.
import { parseArgs } from "node:util";
import { discordCommands } from "../../worker/adapters/chat/discord-commands.ts";

const HELP = `usage: DISCORD_BOT_TOKEN=… node scripts/chatops/register-discord.ts --application ID [options]

  --application ID   the application's id: General Information in the developer portal
  --guild ID         only in this server, where it takes effect at once; everywhere unless given
  --name NAME        what the command is called (drover)
  --dry-run          print what would be sent
  --help             this text`;

const { values } = parseArgs({
  options: {
    application: { type: "string" },
    guild: { type: "string" },
    name: { type: "string", default: "drover" },
    "dry-run": { type: "boolean" },
    help: { type: "boolean" },
  },
});
const fail = (message: string): never => {
  console.error(`${message}\n\n${HELP}`);
  process.exit(2);
};

if (values.help) {
  console.error(HELP);
  process.exit(0);
}
const commands = discordCommands(values.name);
if (values["dry-run"]) {
  console.log(JSON.stringify(commands, null, 2));
  process.exit(0);
}
const application = values.application ?? fail("--application is missing");
const token = process.env["DISCORD_BOT_TOKEN"] ?? fail("DISCORD_BOT_TOKEN is not set");
const api = process.env["DISCORD_API_URL"] ?? "https://discord.com/api/v10";
const where = values.guild === undefined ? "" : `/guilds/${values.guild}`;
const answer = await fetch(`${api}/applications/${application}${where}/commands`, {
  method: "PUT",
  headers: { authorization: `Bot ${token}`, "content-type": "application/json" },
  body: JSON.stringify(commands),
});
if (!answer.ok) {
  console.error(`Discord answered ${answer.status}: ${await answer.text()}`);
  process.exit(1);
}
console.log(`/${values.name} is registered with ${commands[0]?.options.length ?? 0} subcommands.`);
