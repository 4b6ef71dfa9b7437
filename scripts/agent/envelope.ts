// Opens a signed command: Standard Webhooks, asymmetric scheme (`v1a`, Ed25519 over `${id}.${timestamp}.${body}`).
import { createPublicKey, verify, type KeyObject } from "node:crypto";
import { commandEnvelope } from "../../worker/model/wire/command.ts";
import type { Refusal } from "../../worker/model/wire/event.ts";
import { envelopeBody, type EnvelopeBody } from "../../worker/model/wire/question.ts";

/** What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

export function publicKeyOf(text: string): KeyObject {
  const raw = Buffer.from(text.slice("whpk_".length), "base64");
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: "der", type: "spki" });
}

export type Opened =
  | { ok: true; command: EnvelopeBody; signedAtMs: number }
  | { ok: false; reason: Refusal["reason"]; detail: string; commandId?: string };

function isSigned(text: string, signatures: string, keys: readonly KeyObject[]): boolean {
  return signatures
    .split(" ")
    .filter((signature) => signature.startsWith("v1a,"))
    .map((signature) => Buffer.from(signature.slice("v1a,".length), "base64"))
    .some((bytes) => keys.some((key) => verify(null, Buffer.from(text), key, bytes)));
}

function parseBody(body: string): EnvelopeBody | string {
  try {
    const parsed = envelopeBody.safeParse(JSON.parse(body));
    if (parsed.success) return parsed.data;
    return parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ");
  } catch {
    return "the body is not JSON";
  }
}

/** The command in the envelope, if a pinned key signed it, it can be read and it is for this host. Its age is judged elsewhere. */
export function openEnvelope(input: unknown, keys: readonly KeyObject[], hostId: string): Opened {
  const envelope = commandEnvelope.safeParse(input);
  if (!envelope.success) return { ok: false, reason: "unreadable", detail: "not a command envelope" };
  const { id, timestamp, signature, body } = envelope.data;
  if (!isSigned(`${id}.${timestamp}.${body}`, signature, keys)) {
    const detail = "no pinned key made this signature; if Drover's key was replaced, add it to commandPublicKeys";
    return { ok: false, reason: "bad-signature", detail, commandId: id };
  }
  const parsed = parseBody(body);
  if (typeof parsed === "string")
    return { ok: false, reason: "unreadable", detail: parsed.slice(0, 2000), commandId: id };
  if (parsed.id !== id) {
    const detail = `the envelope carries id ${id}, its command ${parsed.id}`;
    return { ok: false, reason: "unreadable", detail, commandId: id };
  }
  if (parsed.hostId !== hostId) {
    const detail = `the command is for host ${parsed.hostId}, this is ${hostId}`;
    return { ok: false, reason: "wrong-host", detail, commandId: id };
  }
  return { ok: true, command: parsed, signedAtMs: timestamp * 1000 };
}
