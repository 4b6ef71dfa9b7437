// Messages as Discord's embeds and components, within its limits (docs.discord.com: message, component and modal objects).
import { actionText } from "../../model/chat/actions.ts";
import { type Block, cut, type Inline, type Message, tableText, type Tone } from "../../model/chat/message.ts";
import { fitted, SYMBOLS } from "./render.ts";

const TITLE_LENGTH_MAX = 256;
/** Of 4,096, so that title, fields and all stay within the 6,000 of a message. */
const DESCRIPTION_LENGTH_MAX = 3600;
const FIELDS_MAX = 12;
const FIELD_NAME_LENGTH_MAX = 64;
const FIELD_VALUE_LENGTH_MAX = 110;
const ROWS_MAX = 5;
const BUTTONS_IN_ROW = 5;
const BUTTON_LENGTH_MAX = 80;
const MODAL_TITLE_LENGTH_MAX = 45;

export const EPHEMERAL = 64;
const COLOURS: Record<Tone, number> = {
  plain: 0x95a5a6,
  asks: 0xf1c40f,
  running: 0x3498db,
  good: 0x2ecc71,
  bad: 0xe74c3c,
};
const BUTTON_STYLES = { good: 3, danger: 4 };

/** Hyphens and hashes mean something at the beginning of a line only. */
const escaped = (text: string): string =>
  text.replaceAll(/[\\*_~|>`[\]<]|^[ \t]*[-#]/gm, (mark) => `\\${mark.trimStart()}`);

function spell(piece: Inline): string {
  if (typeof piece === "string") return escaped(piece);
  if ("bold" in piece) return `**${escaped(piece.bold)}**`;
  if ("code" in piece) return `\`${piece.code.replaceAll("`", "ʼ")}\``;
  return `[${escaped(piece.label)}](${encodeURI(piece.url)})`;
}

/** One part of the description, in at most `room` characters; null: it is not told there. */
function partOf(block: Block, room: number): string | null {
  if (block.kind === "table") return room < 60 ? null : `\`\`\`\n${tableText(block.table, room - 8)}\n\`\`\``;
  if (block.kind !== "text" && block.kind !== "note") return null;
  const text = fitted(block.text, room, spell);
  return text === "" ? null : text;
}

function descriptionOf(blocks: readonly Block[]): string {
  let text = "";
  for (const block of blocks) {
    const part = partOf(block, DESCRIPTION_LENGTH_MAX - text.length - 1);
    if (part !== null) text += `${text === "" ? "" : "\n"}${part}`;
  }
  return text;
}

function rowsOf(blocks: readonly Block[]): object[] {
  const buttons = blocks.flatMap((block) => (block.kind === "buttons" ? block.buttons : []));
  const rows = Array.from({ length: Math.ceil(buttons.length / BUTTONS_IN_ROW) }, (_, n) => ({
    type: 1,
    components: buttons.slice(n * BUTTONS_IN_ROW, (n + 1) * BUTTONS_IN_ROW).map(({ label, action, tone }) => ({
      type: 2,
      style: tone === undefined ? 2 : BUTTON_STYLES[tone],
      label: cut(label, BUTTON_LENGTH_MAX),
      custom_id: actionText(action),
    })),
  }));
  return rows.slice(0, ROWS_MAX);
}

export type DiscordMessage = {
  embeds: { title: string; description?: string; color: number; fields: object[] }[];
  components: object[];
  allowed_mentions: { parse: [] };
};

export function discordMessage({ tone, title, blocks }: Message): DiscordMessage {
  const description = descriptionOf(blocks);
  const facts = blocks.flatMap((block) => (block.kind === "facts" ? block.facts : []));
  return {
    embeds: [
      {
        title: cut(`${SYMBOLS[tone]} ${title}`, TITLE_LENGTH_MAX),
        color: COLOURS[tone],
        ...(description === "" ? {} : { description }),
        fields: facts.slice(0, FIELDS_MAX).map(([label, value]) => ({
          name: cut(label, FIELD_NAME_LENGTH_MAX),
          value: fitted([value === "" ? "–" : value], FIELD_VALUE_LENGTH_MAX, spell),
          inline: true,
        })),
      },
    ],
    components: rowsOf(blocks),
    // Names of VMs and reasons come from anywhere: whatever they say, nobody is called.
    allowed_mentions: { parse: [] },
  };
}

/** A window that asks for a reason. */
export const discordModal = (title: string, action: string): object => ({
  title: cut(title, MODAL_TITLE_LENGTH_MAX),
  custom_id: action,
  components: [
    {
      type: 1,
      components: [
        {
          type: 4,
          custom_id: "reason",
          label: "Why? It stands in the audit log.",
          style: 2,
          min_length: 1,
          max_length: 500,
          required: true,
        },
      ],
    },
  ],
});
