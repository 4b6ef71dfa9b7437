// What the renderers of all platforms share.
import type { Inline, Text, Tone } from "../../model/chat/message.ts";
import { cut } from "../../model/chat/message.ts";

export const SYMBOLS: Record<Tone, string> = { plain: "⚪", asks: "🟡", running: "🔵", good: "🟢", bad: "🔴" };

/** As many pieces as fit into `max` characters when they are spelled out; the last one is cut. */
export function fitted(text: Text, max: number, spell: (piece: Inline) => string): string {
  let spelled = "";
  for (const piece of text) {
    const next = spell(piece);
    if (spelled.length + next.length <= max) {
      spelled += next;
      continue;
    }
    // Escaping makes text longer; what is cut before is spelled whole.
    if (typeof piece === "string") spelled += cutToFit(piece, max - spelled.length, spell);
    break;
  }
  return spelled;
}

function cutToFit(piece: string, room: number, spell: (piece: Inline) => string): string {
  for (let length = Math.min(piece.length, room); length > 0; length -= Math.max(1, Math.floor(length / 10))) {
    const spelled = spell(cut(piece, length));
    if (spelled.length <= room) return spelled;
  }
  return "";
}
