// The body that is posted: one canonical text an event, of at most 64 KiB.
import type { StoredEvent } from "./events.ts";

export const BODY_BYTES_MAX = 64 * 1024;

const utf8 = new TextEncoder();
const bytesOf = (text: string): number => utf8.encode(text).length;

const PATHS: [type: RegExp, path: (subject: string) => string][] = [
  [/^plan\./, (id) => `/v1/plans/${id}`],
  [/^migration\./, (id) => `/v1/migrations/${id}`],
  [/^policy\./, (id) => `/v1/policies/${id}`],
  [/^freeze\.(created|changed)/, (id) => `/v1/freezes/${id}`],
  [/^notification\./, (id) => `/v1/routes/${id}`],
  [/^webhook\./, (id) => `/v1/webhooks/${id}`],
];

/** Where what an event is about is read; `publicUrl` null: without scheme and host. */
export function linkOf(
  { type, subject, cluster }: Pick<StoredEvent, "type" | "subject" | "cluster">,
  publicUrl: string | null,
): string | null {
  if (type.startsWith("host.")) return at(`/v1/hosts?cluster=${cluster ?? ""}`, publicUrl);
  if (type === "calibration.drifted") return at(`/v1/calibration?cluster=${cluster ?? ""}`, publicUrl);
  const path = PATHS.find(([pattern]) => pattern.test(type))?.[1](subject);
  return path === undefined ? null : at(path, publicUrl);
}

const at = (path: string, publicUrl: string | null): string => `${publicUrl ?? ""}${path}`;

/**
 * The text that is signed and sent; the same event gives the same text. Where it would be over `BODY_BYTES_MAX`, lists and
 * then texts of `data` give way, the longest first, and `omitted` names them: the whole is at `link`.
 */
export function bodyOf(event: StoredEvent, publicUrl: string | null): string {
  const { eventId: id, type, version, at: happenedAt, cluster, subject } = event;
  const head = {
    id,
    type,
    version,
    timestamp: new Date(happenedAt).toISOString(),
    cluster,
    subject,
    link: linkOf(event, publicUrl),
  };
  let data = event.data;
  const omitted: string[] = [];
  for (;;) {
    const text = JSON.stringify({ ...head, data, ...(omitted.length > 0 ? { omitted } : {}) });
    if (bytesOf(text) <= BODY_BYTES_MAX) return text;
    const longest = longestOf(data, omitted);
    if (longest === null) return JSON.stringify({ ...head, data: {}, omitted: ["data"] });
    data = { ...data, [longest]: emptied(data[longest]) };
    omitted.push(longest);
  }
}

const emptied = (value: unknown): unknown => (Array.isArray(value) ? [] : typeof value === "string" ? "" : null);

function longestOf(data: Record<string, unknown>, omitted: readonly string[]): string | null {
  const lengths = Object.entries(data)
    .filter(([key]) => !omitted.includes(key))
    .map(([key, value]) => ({ key, length: JSON.stringify(value)?.length ?? 0, isList: Array.isArray(value) }))
    .filter(({ length }) => length > 100);
  const [longest] = lengths.toSorted((a, b) => Number(b.isList) - Number(a.isList) || b.length - a.length);
  return longest?.key ?? null;
}
