// The commands as Discord lists them: one, with a subcommand for each, made from the same table that the parser reads
// (docs.discord.com/developers/interactions/application-commands).
import { type Argument, COMMAND_NAMES, specOf } from "../../model/chat/commands.ts";
import { cut } from "../../model/chat/message.ts";

const DESCRIPTION_LENGTH_MAX = 100;
const STRING = 3;
const SUBCOMMAND = 1;
const CHAT_INPUT = 1;

const optionOf = ({ name, summary, isRequired, choices }: Argument) => ({
  type: STRING,
  name,
  description: cut(summary, DESCRIPTION_LENGTH_MAX),
  required: isRequired,
  ...(choices === undefined ? {} : { choices: choices.map((value) => ({ name: value, value })) }),
});

/** The body of `PUT /applications/{id}/commands`. */
export const discordCommands = (name = "drover") => [
  {
    name,
    type: CHAT_INPUT,
    description: "Plans, migrations and hosts",
    options: COMMAND_NAMES.map((command) => ({
      type: SUBCOMMAND,
      name: command,
      description: cut(specOf(command).summary, DESCRIPTION_LENGTH_MAX),
      options: specOf(command).arguments.map(optionOf),
    })),
  },
];
