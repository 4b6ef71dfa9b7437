// `npm run dev` as its user has it: one line when it answers, a token once, an end with exit code 0, and a state that stays.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, expect, test } from "vitest";

const state = mkdtempSync(join(tmpdir(), "drover-dev-"));
let child: ChildProcess | null = null;

afterEach(() => {
  child?.kill("SIGKILL");
  if (child?.exitCode === 0) child = null;
});

/** Starts it and reads its lines up to `ready`. */
async function start(
  env: Record<string, string> = {},
): Promise<{ lines: string[]; url: string; errors: () => string }> {
  const started = spawn(process.execPath, ["scripts/dev.ts", "--port", "0", "--state", state], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  child = started;
  let errors = "";
  started.stderr.on("data", (data: Buffer) => (errors += data.toString()));
  const lines: string[] = [];
  for await (const line of createInterface({ input: started.stdout })) {
    lines.push(line);
    const url = /^ready (http:\/\/127\.0\.0\.1:\d+)$/.exec(line)?.[1];
    if (url) return { lines, url, errors: () => errors };
  }
  throw new Error(`it ended: ${lines.join("\n")} ${errors}`);
}

async function end(signal: NodeJS.Signals): Promise<number | null> {
  if (child === null) throw new Error("nothing was started");
  const exited = once(child, "exit") as Promise<[number | null]>;
  child.kill(signal);
  return (await exited)[0];
}

test("starts without noise, answers, and ends with exit code 0; the second start knows what the first was told", async () => {
  const first = await start();
  const token = /^admin token (drv_\S+)$/.exec(first.lines[0] ?? "")?.[1];
  expect(first.lines).toHaveLength(2);
  expect(statSync(join(state, "admin-token")).mode & 0o077).toBe(0);
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const body = JSON.stringify({ name: "kept", scopes: ["read"] });
  expect((await fetch(`${first.url}/v1/tokens`, { method: "POST", headers, body })).status).toBe(201);
  expect(first.errors()).toBe("");
  expect(await end("SIGINT")).toBe(0);
  await expect(fetch(`${first.url}/healthz`)).rejects.toThrow("fetch failed");

  const second = await start();
  expect(second.lines).toHaveLength(1);
  expect(await (await fetch(`${second.url}/v1/tokens`, { headers })).text()).toContain('"kept"');
  expect(await end("SIGTERM")).toBe(0);
  rmSync(state, { recursive: true, force: true });
}, 60_000);

test("a port that is none is refused with exit code 1", async () => {
  child = spawn(process.execPath, ["scripts/dev.ts", "--port", "http"], { stdio: ["ignore", "ignore", "pipe"] });
  const [code] = (await once(child, "exit")) as [number];
  expect(code).toBe(1);
}, 20_000);
