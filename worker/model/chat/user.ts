// Who chat users are to Drover, as the API shows and takes it.
import { z } from "zod";
import { scope, type Scope } from "../principal.ts";
import { MINUTE_MS } from "../units.ts";
import { chatUser } from "./inbound.ts";

/** A code by which somebody links themselves is good for so long, ms. */
export const CODE_VALID_MS = 15 * MINUTE_MS;

/** What may be done from chat: telemetry and agents speak otherwise. */
export const chatScope = scope.exclude(["ingest", "agent"]);
const scopes = z.array(chatScope).min(1);

const principalId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}$/, "1 to 63 letters, digits, dots, dashes, underscores, @ or +");

export const linkedUser = z
  .strictObject({
    id: z.string(),
    ...chatUser.shape,
    /** Stands in the audit log for what they do. */
    principalId: z.string(),
    scopes: z.array(scope).readonly(),
    /** The token that they have linked themselves with: they may never do more than it may; null: an administrator has. */
    tokenId: z.string().nullable(),
    createdBy: z.string(),
    createdAt: z.int(),
  })
  .meta({ id: "ChatUser" });
export type LinkedUser = z.infer<typeof linkedUser>;

const code = z
  .string()
  .trim()
  .toUpperCase()
  .regex(/^[0-9A-Z]{4}-[0-9A-Z]{4}$/, "a code as Drover has shown it in the chat, ABCD-2345");

const identity = chatUser.omit({ name: true });

/** An administrator says who somebody is: by the code that they were shown, or by the platform's ids. */
export const newChatUser = z
  .union([
    z.strictObject({ code, principalId, scopes }),
    z.strictObject({ ...identity.shape, name: z.string().min(1).max(100), principalId, scopes }),
  ])
  .meta({ id: "NewChatUser" });
export type NewChatUser = z.output<typeof newChatUser>;

/** Somebody links themselves to the token that the request comes with. */
export const linkRequest = z
  .strictObject({
    code,
    /** Less than the token may; absent: all of it. */
    scopes: scopes.optional(),
  })
  .meta({ id: "ChatLink" });
export type LinkRequest = z.output<typeof linkRequest>;

/** Letters and digits that nobody takes for another. */
const LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/** `ABCD-2345` of eight random bytes. */
export function codeOf(bytes: Uint8Array): string {
  const letters = Array.from(bytes.slice(0, 8), (byte) => LETTERS[byte % LETTERS.length] ?? "A").join("");
  return `${letters.slice(0, 4)}-${letters.slice(4)}`;
}

/** What somebody may do: as they were linked, and no more than their token may now. */
export const scopesNow = (linked: readonly Scope[], token: readonly Scope[] | null): Scope[] =>
  linked.filter((one) => token === null || token.includes(one));
