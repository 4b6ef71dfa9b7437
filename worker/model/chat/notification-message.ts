// What a notification route has gathered, as a message: one event is its own line, many are counted first.
import { duration } from "../placement/format.ts";
import { notification } from "../webhooks/payloads.ts";
import { cut, type Message, sentence, type Tone } from "./message.ts";

/** Lines of one message: with the rest of it they fit every platform. */
const LINES_MAX = 10;
const LINE_LENGTH_MAX = 200;
const TONES: Record<string, Tone> = { info: "plain", warning: "bad", critical: "bad" };

const counted = (byType: Readonly<Record<string, number>>): string =>
  Object.entries(byType)
    .toSorted(([, a], [, b]) => b - a)
    .map(([type, count]) => `${count} ${type}`)
    .join(", ");

export function notificationMessage(data: Record<string, unknown>): Message {
  const { name, severity, common, count, from, to, byType, events, testBy } = notification.parse(data);
  if (testBy !== null) return sentence("plain", `A test of route ${name}`, `sent by ${testBy}.`);
  const tone = TONES[severity] ?? "plain";
  const [only] = events;
  if (count === 1 && only !== undefined) return sentence(tone, only.sentence);
  const where = common["cluster"] === undefined ? "" : `[${common["cluster"]}] `;
  const lines = events.slice(0, LINES_MAX).map(({ sentence: line }) => `· ${cut(line, LINE_LENGTH_MAX)}`);
  const more = count - lines.length;
  return {
    tone,
    title: cut(`${where}${count} events within ${duration(to - from)}: ${counted(byType)}`, 250),
    blocks: [
      { kind: "text", text: [lines.join("\n")] },
      ...(more > 0 ? [{ kind: "note" as const, text: [`… and ${more} more (${severity}, route ${name})`] }] : []),
    ],
  };
}
