// Messages as Slack's Block Kit, within its limits (docs.slack.dev/reference/block-kit/blocks).
import { actionText } from "../../model/chat/actions.ts";
import { type Block, cut, type Inline, type Message, plain, tableText } from "../../model/chat/message.ts";
import { fitted, SYMBOLS } from "./render.ts";

const BLOCKS_MAX = 50;
const HEADER_LENGTH_MAX = 150;
const SECTION_LENGTH_MAX = 3000;
const FIELDS_MAX = 10;
const FIELD_LENGTH_MAX = 2000;
const FACT_LENGTH_MAX = 200;
const BUTTON_LENGTH_MAX = 75;
const TEXT_LENGTH_MAX = 3000;

export type SlackMessage = { text: string; blocks: object[] };

/** Slack reads `<!channel>` and `<@U…>` as mentions: nothing of what is told may be one. */
const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function spell(piece: Inline): string {
  if (typeof piece === "string") return escaped(piece);
  if ("bold" in piece) return `*${escaped(piece.bold)}*`;
  if ("code" in piece) return `\`${escaped(piece.code.replaceAll("`", "ʼ"))}\``;
  return `<${encodeURI(piece.url)}|${escaped(piece.label)}>`;
}

const mrkdwn = (text: string) => ({ type: "mrkdwn", text });
const plainText = (text: string, max: number) => ({ type: "plain_text", text: cut(text, max), emoji: true });

/** An empty section is refused. */
const section = (text: string): object[] => (text === "" ? [] : [{ type: "section", text: mrkdwn(text) }]);

function blocksOf(block: Block): object[] {
  switch (block.kind) {
    case "text":
      return section(fitted(block.text, SECTION_LENGTH_MAX, spell));
    case "table": {
      // Escaping may make it longer: rows give way until it fits.
      for (let max = SECTION_LENGTH_MAX - 8; max > 0; max = Math.floor(max * 0.8)) {
        const text = `\`\`\`\n${escaped(tableText(block.table, max))}\n\`\`\``;
        if (text.length <= SECTION_LENGTH_MAX) return section(text);
      }
      return [];
    }
    case "facts":
      return chunksOf(block.facts, FIELDS_MAX).map((facts) => ({
        type: "section",
        fields: facts.map(([label, value]) =>
          mrkdwn(fitted([{ bold: cut(label, FACT_LENGTH_MAX) }, "\n", value], FIELD_LENGTH_MAX, spell)),
        ),
      }));
    case "note": {
      const text = fitted(block.text, FIELD_LENGTH_MAX, spell);
      return text === "" ? [] : [{ type: "context", elements: [mrkdwn(text)] }];
    }
    case "buttons":
      return chunksOf(block.buttons, 5).map((buttons) => ({
        type: "actions",
        elements: buttons.map(({ label, action, tone }) => ({
          type: "button",
          text: plainText(label, BUTTON_LENGTH_MAX),
          action_id: action.do,
          value: actionText(action),
          ...(tone === undefined ? {} : { style: tone === "good" ? "primary" : "danger" }),
        })),
      }));
  }
}

const chunksOf = <T>(items: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, n) => items.slice(n * size, (n + 1) * size));

export function slackMessage({ tone, title, blocks }: Message): SlackMessage {
  const header = { type: "header", text: plainText(`${SYMBOLS[tone]} ${title}`, HEADER_LENGTH_MAX) };
  const first = blocks.find((block) => block.kind === "text");
  const joint = /[.?!]$/.test(title) ? " " : ": ";
  const text = escaped(first === undefined ? title : `${title}${joint}${plain(first.text)}`);
  return { text: cut(text, TEXT_LENGTH_MAX), blocks: [header, ...blocks.flatMap(blocksOf)].slice(0, BLOCKS_MAX) };
}

const TITLE_LENGTH_MAX = 24;

/** A window that asks for a reason; `kept` comes back with it. */
export const slackModal = (title: string, action: string, kept: string): object => ({
  type: "modal",
  callback_id: action,
  private_metadata: kept,
  title: plainText(title, TITLE_LENGTH_MAX),
  submit: plainText("Go ahead", TITLE_LENGTH_MAX),
  close: plainText("Back", TITLE_LENGTH_MAX),
  blocks: [
    {
      type: "input",
      block_id: "reason",
      label: plainText("Why? It stands in the audit log.", 2000),
      element: { type: "plain_text_input", action_id: "reason", multiline: true, min_length: 1, max_length: 500 },
    },
  ],
});
