// Signs commands to agents: Ed25519, Standard Webhooks scheme `v1a`. The private key is a secret of the Worker and never in
// the database, so that what the database holds cannot forge a command.
import type { CommandEnvelope } from "../model/wire/command.ts";

export type CommandSigner = {
  /** `whpk_` and the base64 of the 32-byte public key: what agents pin. */
  publicKey: string;
  sign: (id: string, timestampSeconds: number, body: string) => Promise<CommandEnvelope>;
};

/** DER of a PKCS #8 Ed25519 private key up to the 32-byte seed (RFC 8410). */
const PKCS8_HEAD = Uint8Array.fromBase64("MC4CAQAwBQYDK2VwBCIEIA==");

/** `secret` is `whsk_` and the base64 of a 32-byte seed (a 64-byte seed-and-public key is taken too). */
export async function createCommandSigner(secret: string): Promise<CommandSigner> {
  if (!secret.startsWith("whsk_")) throw new Error("COMMAND_SIGNING_KEY must start with whsk_");
  const seed = Uint8Array.fromBase64(secret.slice(5)).subarray(0, 32);
  if (seed.length !== 32) throw new Error("COMMAND_SIGNING_KEY must hold a 32-byte seed");
  const der = new Uint8Array(PKCS8_HEAD.length + 32);
  der.set(PKCS8_HEAD);
  der.set(seed, PKCS8_HEAD.length);
  const key = await crypto.subtle.importKey("pkcs8", der, { name: "Ed25519" }, true, ["sign"]);
  const jwk = (await crypto.subtle.exportKey("jwk", key)) as JsonWebKey;
  const publicKey = Uint8Array.fromBase64(jwk.x ?? "", { alphabet: "base64url" }).toBase64();
  return {
    publicKey: `whpk_${publicKey}`,
    sign: async (id, timestamp, body) => {
      const content = new TextEncoder().encode(`${id}.${timestamp}.${body}`);
      const signature = new Uint8Array(await crypto.subtle.sign("Ed25519", key, content));
      return { id, timestamp, signature: `v1a,${signature.toBase64()}`, body };
    },
  };
}
