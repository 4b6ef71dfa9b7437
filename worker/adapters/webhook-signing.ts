// Signs what is sent to webhooks: HMAC-SHA256, Standard Webhooks scheme `v1`.

const PREFIX = "whsec_";

/** `whsec_` and the base64 of 32 random bytes. */
export const newWebhookSecret = (): string => `${PREFIX}${crypto.getRandomValues(new Uint8Array(32)).toBase64()}`;

/** The headers of one attempt; one signature for each secret that is given, in their order. */
export async function webhookHeaders(
  secrets: readonly string[],
  id: string,
  timestampSeconds: number,
  body: string,
): Promise<Record<string, string>> {
  const content = `${id}.${timestampSeconds}.${body}`;
  const signatures = await Promise.all(secrets.map((secret) => signatureOf(secret, content)));
  return {
    "webhook-id": id,
    "webhook-timestamp": String(timestampSeconds),
    "webhook-signature": signatures.join(" "),
  };
}

async function signatureOf(secret: string, content: string): Promise<string> {
  if (!secret.startsWith(PREFIX)) throw new Error("a webhook's secret must start with whsec_");
  const bytes = Uint8Array.fromBase64(secret.slice(PREFIX.length));
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return `v1,${new Uint8Array(await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(content))).toBase64()}`;
}
