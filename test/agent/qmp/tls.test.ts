// Whether a host could take an encrypted migration, from the folder that QEMU takes its certificates from.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tlsCheck } from "../../../scripts/agent/qmp/tls.ts";
import { missingTools } from "../../../scripts/lab/build-guest.ts";

const DAY_MS = 86_400_000;

test("memory that crosses unencrypted is said to", async () => {
  const { ok, detail } = await tlsCheck({ tlsDirectory: undefined, address: "127.0.0.1" }, Date.now());
  expect([ok, detail]).toEqual([true, expect.stringContaining("unencrypted")]);
});

describe.skipIf(missingTools(["openssl"]).length > 0)("a folder", () => {
  let tlsDirectory: string;
  beforeAll(() => {
    tlsDirectory = mkdtempSync(path.join(tmpdir(), "drover-tls-"));
    const made = [
      "-keyout",
      "server-key.pem",
      "-out",
      "server-cert.pem",
      "-days",
      "2",
      "-subj",
      "/CN=hv-01.example.com",
    ];
    const names = ["-addext", "subjectAltName=DNS:hv-01.example.com,IP:10.0.0.11"];
    execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", ...made, ...names], {
      cwd: tlsDirectory,
      stdio: "pipe",
    });
    writeFileSync(path.join(tlsDirectory, "ca-cert.pem"), "");
  });
  afterAll(() => rmSync(tlsDirectory, { recursive: true }));

  test.each([
    ["hv-01.example.com", 0, /is valid and names/],
    ["10.0.0.11", 0, /is valid and names/],
    ["hv-02.example.com", 0, /does not name hv-02\.example\.com/],
    ["10.0.0.12", 0, /does not name 10\.0\.0\.12/],
    ["10.0.0.11", 3 * DAY_MS, /was valid until .*: renew it/],
    ["10.0.0.11", -DAY_MS, /is valid from/],
  ])("whose certificate is used at %s, %d ms from now: %s", async (address, laterMs, why) => {
    const { ok, detail } = await tlsCheck({ tlsDirectory, address }, Date.now() + laterMs);
    expect(detail).toMatch(why);
    expect(ok).toBe(detail.includes("is valid and names"));
  });

  test("that lacks a file says which", async () => {
    unlinkSync(path.join(tlsDirectory, "server-key.pem"));
    const { ok, detail } = await tlsCheck({ tlsDirectory, address: "10.0.0.11" }, Date.now());
    expect([ok, detail]).toEqual([false, expect.stringMatching(/server-key\.pem cannot be read/)]);
  });
});
