// What Drover says of itself: its commands, how to use one, how to link oneself, and what went wrong.
import type { Scope } from "../principal.ts";
import { COMMAND_NAMES, type CommandName, specOf, usageOf } from "./commands.ts";
import { type Message, sentence, type Text } from "./message.ts";
import type { Misread } from "./parse.ts";
import { when } from "./words.ts";

export function helpMessage(topic: CommandName | null): Message {
  if (topic !== null) return usageMessage(topic, null);
  return {
    tone: "plain",
    title: "What Drover can be asked",
    blocks: [
      {
        kind: "text",
        text: COMMAND_NAMES.flatMap((name, index): Text => [
          index === 0 ? "" : "\n",
          { code: usageOf(name) },
          ` ${specOf(name).summary}`,
        ]),
      },
    ],
  };
}

function usageMessage(name: CommandName, why: string | null): Message {
  const { summary, arguments: args } = specOf(name);
  return {
    tone: why === null ? "plain" : "bad",
    title: why ?? name,
    blocks: [
      {
        kind: "text",
        text: [
          { code: usageOf(name) },
          ` ${summary}.`,
          ...args.map(({ name: word, summary: means, choices }) => {
            const known = choices === undefined ? "" : `: ${choices.join(", ")}`;
            return `\n${word.toUpperCase()}: ${means}${known}`;
          }),
        ],
      },
    ],
  };
}

export function misreadMessage(misread: Misread): Message {
  if (misread.misread === "usage") return usageMessage(misread.name, misread.why);
  const { said, near } = misread;
  const title = `There is no command “${said.slice(0, 40)}”`;
  if (near.length === 0) return sentence("bad", title, { code: "help" }, " lists those that there are.");
  return sentence(
    "bad",
    title,
    "Did you mean ",
    ...near.flatMap((name, n) => [n === 0 ? "" : " or ", { code: name }]),
    "?",
  );
}

/** For somebody whom Drover does not know yet. `code`: to be taken to Drover with a token of theirs, and never the other way. */
export function linkMessage(code: string, expiresAt: number, publicUrl: string | null): Message {
  const url = `${publicUrl ?? "$DROVER"}/v1/chat/links`;
  const curl = `curl -s ${url} -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"code":"${code}"}'`;
  return {
    tone: "asks",
    title: "Drover does not know you yet",
    blocks: [
      { kind: "text", text: ["Your code is ", { bold: code }, `, good until ${when(expiresAt)} and only once.`] },
      { kind: "text", text: ["With a token of your own, which you never type here, link yourself:\n", { code: curl }] },
      {
        kind: "text",
        text: [
          "Without one, send the code to an administrator, who links you by ",
          { code: "POST /v1/chat/users" },
          ". From then on you may here what that token, or the administrator, lets you do.",
        ],
      },
    ],
  };
}

export const lacksScopeMessage = (name: string, needs: readonly Scope[], has: readonly Scope[]): Message =>
  sentence(
    "bad",
    `You may not ${name}`,
    `This needs ${needs.join(" and ")}; you have ${has.length === 0 ? "nothing" : has.join(", ")}. Ask an administrator.`,
  );

/** A refusal of Drover, with what to do about it. */
export const refusedMessage = ({
  title,
  detail,
  advice,
}: {
  title: string;
  detail: string;
  advice: string;
}): Message => ({
  tone: "bad",
  title,
  blocks: [
    { kind: "text", text: [detail] },
    { kind: "note", text: [advice] },
  ],
});
