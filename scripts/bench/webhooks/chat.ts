// How long a chat platform waits for its acknowledgement: signed requests, each answered with "later" or at once.
import { createHmac, createPrivateKey, createPublicKey, sign } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDev } from "../../dev/server.ts";
import { sleep } from "../telemetry/send.ts";

/** One request each `everyMs`, whether or not those before it were answered, by Slack and Discord in turns. */
export type ChatPlan = { requests: number; everyMs: number };
/**
 * From the request to its answer, ms, sorted: by platform, and of `GET /healthz`, which does nothing, at the same moments. What
 * the machine does besides is in all of them.
 */
export type ChatResult = Record<"slack" | "discord" | "healthz", number[]>;

const SECRET = "a throw-away secret of this run";
const SEED = Buffer.alloc(32, 9);
const KEY = createPrivateKey({
  key: Buffer.concat([Buffer.from("MC4CAQAwBQYDK2VwBCIEIA==", "base64"), SEED]),
  format: "der",
  type: "pkcs8",
});
const PUBLIC_KEY = createPublicKey(KEY).export({ format: "der", type: "spki" }).subarray(-32).toString("hex");

type Signed = { headers: Record<string, string>; body: string };

function slackRequest(n: number, hookUrl: string): Signed {
  const body = new URLSearchParams({
    team_id: "T1",
    channel_id: "C1",
    user_id: "U1",
    user_name: "bench",
    command: "/drover",
    text: "status",
    response_url: `${hookUrl}/slack/hooks/C1/${n}`,
    trigger_id: String(n),
  }).toString();
  const at = String(Math.floor(Date.now() / 1000));
  const signature = createHmac("sha256", SECRET).update(`v0:${at}:${body}`).digest("hex");
  return { headers: { "x-slack-request-timestamp": at, "x-slack-signature": `v0=${signature}` }, body };
}

function discordRequest(n: number): Signed {
  const user = { id: "U1", username: "bench" };
  const data = { name: "drover", options: [{ type: 1, name: "status" }] };
  const body = JSON.stringify({
    type: 2,
    id: String(n),
    application_id: "1",
    token: `t${n}`,
    channel_id: "C1",
    guild_id: "T1",
    member: { user },
    data,
  });
  const at = String(Math.floor(Date.now() / 1000));
  const signature = sign(null, Buffer.from(`${at}${body}`), KEY).toString("hex");
  return { headers: { "x-signature-timestamp": at, "x-signature-ed25519": signature }, body };
}

/** Takes whatever Drover answers later. */
async function startSink(): Promise<{ url: string; close: () => void }> {
  const server = createServer((request, response) => {
    const answer = request.url?.startsWith("/slack/") === true ? "ok" : '{"id":"1"}';
    request.resume().on("end", () => response.writeHead(200).end(answer));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

/** How long a request waits for its answer, ms. */
async function acknowledged(url: string, signed: Signed | null): Promise<number> {
  const began = performance.now();
  const answer = await fetch(url, signed === null ? {} : { method: "POST", ...signed });
  await answer.arrayBuffer();
  if (answer.status !== 200) throw new Error(`${url}: ${answer.status}`);
  return performance.now() - began;
}

const WARM_UP = 20;

export async function runChat({ requests, everyMs }: ChatPlan): Promise<ChatResult> {
  const sink = await startSink();
  const stateDir = mkdtempSync(join(tmpdir(), "drover-bench-"));
  const dev = await startDev({
    port: 0,
    stateDir,
    isScheduled: false,
    bindings: { SLACK_SIGNING_SECRET: SECRET, DISCORD_PUBLIC_KEY: PUBLIC_KEY, DISCORD_API_URL: `${sink.url}/discord` },
  });
  try {
    // Somebody who may ask: what is asked is then done beside the acknowledgements.
    for (const platform of ["slack", "discord"]) {
      const user = { platform, teamId: "T1", userId: "U1", name: "bench", principalId: "bench", scopes: ["read"] };
      const made = await fetch(`${dev.url}/v1/chat/users`, {
        method: "POST",
        headers: { authorization: `Bearer ${dev.adminToken}`, "content-type": "application/json" },
        body: JSON.stringify(user),
      });
      if (made.status !== 201) throw new Error(`the user was not linked: ${await made.text()}`);
    }
    const sent: Record<keyof ChatResult, Promise<number>[]> = { slack: [], discord: [], healthz: [] };
    for (let n = 0; n < requests + WARM_UP; n++) {
      const platform = n % 2 === 0 ? "slack" : "discord";
      const request = platform === "slack" ? slackRequest(n, sink.url) : discordRequest(n);
      const answered = acknowledged(`${dev.url}/v1/chat/${platform}`, request);
      // The first requests of an isolate compile what they need.
      if (n < WARM_UP) await answered;
      else {
        sent[platform].push(answered);
        sent.healthz.push(acknowledged(`${dev.url}/healthz`, null));
      }
      await sleep(everyMs);
    }
    const sorted = async (all: Promise<number>[]) => (await Promise.all(all)).toSorted((a, b) => a - b);
    return {
      slack: await sorted(sent.slack),
      discord: await sorted(sent.discord),
      healthz: await sorted(sent.healthz),
    };
  } finally {
    await dev.stop();
    sink.close();
    rmSync(stateDir, { recursive: true, force: true });
  }
}
