// What QEMU needs to encrypt a migration: its x509 folder, looked at before anything is started.
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import path from "node:path";
import type { PreflightCheck } from "../../../worker/model/wire/question.ts";
import { lookedAt } from "../driver.ts";
import { messageOf } from "../log.ts";
import type { QmpSettings } from "./config.ts";

const FILES = ["ca-cert.pem", "server-cert.pem", "server-key.pem"];

/** Why this certificate does not do for that address at that time. */
export function certificateReasons(certificate: X509Certificate, address: string, nowMs: number): string[] {
  const { validFrom, validTo } = certificate;
  const reasons: string[] = [];
  if (nowMs < Date.parse(validFrom)) reasons.push(`the server's certificate is valid from ${validFrom} on`);
  if (nowMs > Date.parse(validTo)) reasons.push(`the server's certificate was valid until ${validTo}: renew it`);
  const bare = address.replace(/^\[|\]$/g, "");
  const names = isIP(bare) === 0 ? certificate.checkHost(bare) : certificate.checkIP(bare);
  if (names === undefined)
    reasons.push(
      `the server's certificate does not name ${bare}, at which this host listens; it names ${certificate.subjectAltName ?? certificate.subject}`,
    );
  return reasons;
}

/** Whether this host could take an encrypted migration. */
export async function tlsCheck(
  { tlsDirectory, address }: Pick<QmpSettings, "tlsDirectory" | "address">,
  nowMs: number,
): Promise<PreflightCheck> {
  if (tlsDirectory === undefined)
    return lookedAt("tls", [], `memory crosses unencrypted, as this host's settings permit at ${address}`);
  const reasons: string[] = [];
  for (const name of FILES) {
    const file = path.join(tlsDirectory, name);
    try {
      const content = await readFile(file);
      if (name === "server-cert.pem") reasons.push(...certificateReasons(new X509Certificate(content), address, nowMs));
    } catch (error) {
      reasons.push(`${file} cannot be read: ${messageOf(error)}`);
    }
  }
  return lookedAt("tls", reasons, `the certificate in ${tlsDirectory} is valid and names ${address}`);
}
