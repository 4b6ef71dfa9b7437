// Whether Drover can be reached, takes this token for this host, and agrees on the time and the keys.
import { z } from "zod";
import type { Settings } from "../../config.ts";
import { messageOf } from "../../log.ts";
import { request } from "../../request.ts";
import { fail, ok, warn, type Finding } from "./finding.ts";

const REQUEST_MS_MAX = 10_000;
/** The agent warns from here on by itself, and commands, good for 60 s, look expired or too fresh. */
const SKEW_MS_BAD = 20_000;
const SKEW_MS_ODD = 2000;
const UPGRADE_REQUIRED = 426;

const health = z.object({ status: z.literal("ok"), now: z.number() });
const keys = z.object({ commandPublicKeys: z.array(z.string()) });
const problem = z.object({ title: z.string(), detail: z.string(), advice: z.string() }).partial();

type Answer = { status: number; body: unknown };

async function get(settings: Settings, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  const { status, text } = await request(`${settings.url.replace(/\/+$/, "")}${path}`, {
    headers,
    timeoutMs: REQUEST_MS_MAX,
  });
  try {
    return { status, body: JSON.parse(text) };
  } catch {
    return { status, body: text.slice(0, 100) };
  }
}

export function skewFinding(skewMs: number): Finding {
  const [about, ms] = ["clock", Math.round(Math.abs(skewMs))];
  const remedy = "synchronise this host's clock (chrony, systemd-timesyncd)";
  const says = `${ms} ms ${skewMs < 0 ? "behind" : "ahead of"} Drover's`;
  if (ms > SKEW_MS_BAD) return fail(about, `${says}: commands expire early or late`, remedy);
  return ms > SKEW_MS_ODD ? warn(about, says, remedy) : ok(about, says);
}

async function reachFindings(settings: Settings): Promise<{ findings: Finding[]; isReached: boolean }> {
  const [about, { url }] = ["Drover", settings];
  try {
    const askedAt = Date.now();
    const { status, body } = await get(settings, "/healthz");
    const answeredAt = Date.now();
    const said = health.safeParse(body);
    if (!said.success) {
      const wrong = fail(about, `${url} answers ${status}, and not as Drover does`, "set url to where Drover is");
      return { findings: [wrong], isReached: false };
    }
    const middle = (askedAt + answeredAt) / 2;
    const reached = ok(about, `${url} answers in ${answeredAt - askedAt} ms`);
    return { findings: [reached, skewFinding(middle - said.data.now)], isReached: true };
  } catch (error) {
    const remedy = "check url, DNS, certificates and that connections out are let through; samples wait meanwhile";
    return { findings: [fail(about, `${url} does not answer: ${messageOf(error)}`, remedy)], isReached: false };
  }
}

/** Asks for the host's channel without wanting it: all that is checked before it would be opened is the token. */
async function tokenFinding(settings: Settings): Promise<Finding> {
  const { hostId, token } = settings;
  const path = `/v1/hosts/${encodeURIComponent(hostId)}/channel`;
  const { status, body } = await get(settings, path, { authorization: `Bearer ${token}` });
  if (status === UPGRADE_REQUIRED) return ok("token", `acts for ${hostId}`);
  const { title = "no reason", detail = "", advice } = problem.safeParse(body).data ?? {};
  const made = `make one: POST /v1/tokens {"name": "${hostId}", "scopes": ["agent"], "hostId": "${hostId}"}`;
  return fail("token", `Drover answers ${status} ${title}: ${detail}`, status === 401 ? made : (advice ?? made));
}

async function keyFinding(settings: Settings): Promise<Finding> {
  const { body } = await get(settings, "/v1/keys");
  const said = keys.safeParse(body);
  if (!said.success) return warn("command keys", "Drover does not tell its keys", "compare them by hand");
  const { commandPublicKeys: pinned } = settings;
  return said.data.commandPublicKeys.some((key) => pinned.includes(key))
    ? ok("command keys", "the key that signs now is pinned")
    : fail(
        "command keys",
        "none of Drover's keys is in commandPublicKeys: every command is refused",
        "find out why it changed; if it was meant to, pin the key of GET /v1/keys",
      );
}

export async function edgeFindings(settings: Settings): Promise<Finding[]> {
  const { findings, isReached } = await reachFindings(settings);
  if (!isReached) return findings;
  for (const [about, ask] of [
    ["token", tokenFinding],
    ["command keys", keyFinding],
  ] as const)
    findings.push(
      await ask(settings).catch((error: unknown) => warn(about, `not known: ${messageOf(error)}`, "try again")),
    );
  return findings;
}
