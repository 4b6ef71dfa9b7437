// The command line, the lock and the log.
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { configWarnings, readConfig } from "../../scripts/agent/config.ts";
import { lockFolder } from "../../scripts/agent/lock.ts";
import { createLog } from "../../scripts/agent/log.ts";
import { isStopped, readPolicy } from "../../scripts/agent/policy.ts";
import { createSigner } from "../support/edge.ts";

let folder: string;
beforeEach(() => void (folder = mkdtempSync(path.join(tmpdir(), "drover-main-"))));
afterEach(() => rmSync(folder, { recursive: true }));

function writeConfig(changes: object): string {
  const file = path.join(folder, "agent.json");
  const config = {
    url: "https://drover.example",
    token: "drv_secret",
    hostId: "hv-a",
    cluster: "lab",
    stateDir: folder,
    commandPublicKeys: [createSigner().publicKey],
    peerSecret: "the secret of this cluster",
    peer: { listenHost: "127.0.0.1" },
    driver: { name: "libvirt" },
    policyFile: path.join(folder, "policy.json"),
    ...changes,
  };
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}
function run(...args: string[]) {
  const env = { PATH: process.env["PATH"] };
  return spawnSync(process.execPath, ["scripts/agent/main.ts", ...args], { encoding: "utf8", env });
}

test("check names every wrong field at once, and never prints a secret", () => {
  const peer = { listenHost: "0.0.0.0" };
  const file = writeConfig({ hostId: "-", peer, heartbeat: 5, url: "ftp://drover" });
  const { status, stderr, stdout } = run("check", "--config", file);
  expect(status).toBe(1);
  expect(stdout).toMatch(/^fail {2}configuration: .*\n$/);
  for (const field of ["hostId", "peer.advertiseUrl", "heartbeat", "url"]) expect(stdout).toContain(field);
  expect(stderr + stdout).not.toContain("drv_secret");
});

test("check tells what is wrong with driver and policy, and what is unsafe", () => {
  const file = writeConfig({ url: "http://127.0.0.2:9" });
  writeFileSync(path.join(folder, "policy.json"), '{ "mode": "everything" }', { mode: 0o666 });
  const { status, stdout } = run("check", "--config", file);
  expect(status).toBe(1);
  expect(stdout).toMatch(/^fail {2}local policy: .*policy\.json: mode/m);
  // The driver's own settings, of which the configuration says none.
  expect(stdout).toMatch(/^fail {2}driver libvirt: .*directory.*address/m);
  expect(stdout).toContain("use an https address");
  expect(stdout).toMatch(/^fail {2}Drover: .*does not answer/m);
});

test.each([["run"], ["once"], ["install"]])(
  "%s with a wrong configuration ends with 2, as trying again changes nothing",
  (verb) => {
    const { status, stderr } = run(verb, "--config", writeConfig({ hostId: "-" }));
    expect(status).toBe(2);
    expect(stderr).toMatch(/^drover-agent: the configuration is wrong: hostId/);
  },
);

test("the environment wins over the file, where it is set; what means nothing is told", () => {
  const file = writeConfig({ log: { format: "text" } });
  const env = { DROVER_URL: "https://other", DROVER_TOKEN: "", DROVER_LOG_LEVEL: "warn", DROVER_TOKN: "x" };
  const settings = readConfig(file, env);
  expect(settings).toMatchObject({
    url: "https://other",
    token: "drv_secret",
    log: { level: "warn", format: "text" },
  });
  expect(configWarnings(file, settings, env)).toEqual([expect.stringMatching(/^DROVER_TOKN means nothing/)]);
  expect(() => readConfig(file, { DROVER_LOG_LEVEL: "loud" })).toThrow(/log\.level/);
});

test("a copy that systemd made is not told to be private", () => {
  const file = writeConfig({});
  chmodSync(file, 0o440);
  const settings = readConfig(file, {});
  expect(configWarnings(file, settings, {})).toEqual([expect.stringMatching(/chmod 600/)]);
  expect(configWarnings(file, settings, { CREDENTIALS_DIRECTORY: folder })).toEqual([]);
});

test.each([
  ["of a process that is gone", () => `${spawnSync("true").pid} boot 1`],
  ["whose number another process has now", () => `${process.ppid} another-boot 1`],
  ["that is no lock", () => "garbage"],
])("a lock %s is taken over", (_name, content) => {
  writeFileSync(path.join(folder, "agent.lock"), content());
  const lock = lockFolder(folder);
  expect(() => lockFolder(folder)).toThrow(/another agent/);
  lock.release();
  lockFolder(folder).release();
});

test("a secret never reaches a line of the log", () => {
  const lines: string[] = [];
  const log = createLog((line) => lines.push(line), ["drv_secret", 'with "quotes"']);
  log("warn", "odd", { error: "drv_secret was refused", nested: { a: 'with "quotes"' } });
  expect(lines.join()).not.toMatch(/drv_secret|quotes/);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: "warn", error: "[secret] was refused" });
});

test("the log is text where that is wanted, a line a message, from its level up", () => {
  const lines: string[] = [];
  const log = createLog((line) => lines.push(line), ['with "quotes"'], { level: "warn", format: "text" });
  log("info", "too small");
  log("warn", "a command was refused", {
    reason: "expired",
    detail: 'one\ntwo with "quotes"',
    count: 3,
    none: undefined,
  });
  expect(lines.map((line) => line.replace(/^\S+Z /, ""))).toEqual([
    String.raw`warn  a command was refused reason=expired detail="one\ntwo [secret]" count=3`,
  ]);
});

test("a STOP file in a folder that cannot be looked into counts as one that is there", () => {
  expect(isStopped(path.join(folder, "STOP"))).toBe(false);
  expect(isStopped(path.join(folder, "x".repeat(300)))).toBe(true);
  expect(readPolicy(path.join(folder, "x".repeat(300)))).toMatchObject({ kind: "unreadable" });
});
