// The command line, the lock and the log.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockFolder } from "../../scripts/agent/lock.ts";
import { createLog } from "../../scripts/agent/log.ts";
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
  for (const field of ["hostId", "peer.advertiseUrl", "heartbeat", "url"]) expect(stderr).toContain(field);
  expect(stderr + stdout).not.toContain("drv_secret");
});

test("check tells what is wrong with driver and policy, and what is unsafe", () => {
  const file = writeConfig({ url: "http://drover.example" });
  writeFileSync(path.join(folder, "policy.json"), '{ "mode": "everything" }', { mode: 0o666 });
  const { status, stdout } = run("check", "--config", file);
  expect(status).toBe(1);
  expect(stdout).toMatch(/error: .*policy\.json: mode/);
  // The driver's own settings, of which the configuration says none.
  expect(stdout).toMatch(/error: [^]*directory[^]*address/);
  expect(stdout).toContain("use an https address");
});

test("without a verb the help is told and the status is 2", () => {
  expect(run()).toMatchObject({ status: 2 });
  expect(run("--help").stdout).toContain("drover-agent run --config FILE");
  expect(run("--version").stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
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
