// The receiver in docs/webhooks.md is run as it stands there.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, test } from "vitest";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
const code = /```js\n([\s\S]*?)```/.exec(readFileSync("docs/webhooks.md", "utf8"))?.[1] ?? "";
const child = spawn(process.execPath, ["--input-type=module", "--eval", code], {
  env: { ...process.env, DROVER_WEBHOOK_SECRET: SECRET, PORT: "0" },
  stdio: ["ignore", "pipe", "inherit"],
});
const lines: string[] = [];
let url = "";

beforeAll(
  () =>
    new Promise<void>((resolve) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        lines.push(line);
        const port = /^listening on (\d+)$/.exec(line)?.[1];
        if (port === undefined) return;
        url = `http://127.0.0.1:${port}/`;
        resolve();
      });
    }),
);
afterAll(() => {
  child.kill();
});

const body = JSON.stringify({ id: "evt_1", type: "plan.proposed", subject: "pln_1", data: { why: "größer" } });

function send(fields: { id?: string; at?: Date; secret?: string; text?: string } = {}): Promise<Response> {
  const { id = "evt_1", at = new Date(), secret = SECRET, text = body } = fields;
  const headers = {
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
    "webhook-signature": `v1,AAAA ${new Webhook(secret).sign(id, at, body)}`,
  };
  return fetch(url, { method: "POST", headers, body: text });
}

test("has twenty lines", () => {
  expect(code.trim().split("\n")).toHaveLength(20);
});

test("takes what is signed, each event once", async () => {
  expect([(await send()).status, (await send()).status]).toEqual([204, 204]);
  await expect.poll(() => lines.filter((line) => line === "plan.proposed pln_1")).toHaveLength(1);
});

test.each([
  ["another secret's", { secret: `whsec_${Buffer.alloc(32, 8).toString("base64")}` }],
  ["another body's", { text: `${body} ` }],
  ["six minutes old", { at: new Date(Date.now() - 360_000) }],
  ["from the future", { at: new Date(Date.now() + 360_000) }],
])("refuses a signature that is %s", async (_, fields) => {
  expect((await send(fields)).status).toBe(401);
});

test("refuses a request without a signature", async () => {
  expect((await fetch(url, { method: "POST", body })).status).toBe(401);
});
