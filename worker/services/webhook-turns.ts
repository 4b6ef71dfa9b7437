// Turns of deliveries: what is due for one webhook is sent in waves, each recorded before the next. At most one turn of a
// webhook is under way; a webhook that hangs holds up its own turn and nobody else's.
import type { Deps } from "../env.ts";
import { bodyOf } from "../model/webhooks/body.ts";
import { nextWave } from "../model/webhooks/order.ts";
import {
  type AttemptOutcome,
  afterWave,
  type Health,
  isDelivered,
  nextAttempt,
  readRetryAfter,
} from "../model/webhooks/schedule.ts";
import { type Attempt, liveSecrets, SOON_MS } from "../model/webhooks/webhook.ts";
import { judgeTarget, type TargetVerdict } from "./webhook-targets.ts";

type WebhookRecord = NonNullable<Awaited<ReturnType<Deps["store"]["webhooks"]["byId"]>>>;
type Due = Awaited<ReturnType<Deps["store"]["deliveries"]["due"]>>[number];
type Sendable = Pick<Due, "deliveryId" | "attempts" | "expiresAt" | "event">;

/** Longer than a wave can take: its time limit, names and D1. */
const LEASE_MS = 60_000;
/** After this another turn goes on, so that a long one cannot be cut off in the middle. */
const TURN_MS = 20_000;
/** With 12 statements each they stay under the 1,000 that D1 allows an invocation. */
const WAVES_MAX = 50;

/** Begins a turn if the webhook is free. What is returned carries it out and may take its time. */
export async function beginTurn(deps: Deps, webhookId: string): Promise<(() => Promise<void>) | null> {
  const now = deps.now();
  const lease = deps.newId("trn");
  const taken = await deps.store.webhooks.take(webhookId, lease, now + LEASE_MS, now);
  return taken === null ? null : () => turn(deps, taken, lease);
}

async function turn(deps: Deps, taken: WebhookRecord, lease: string): Promise<void> {
  const { webhookId } = taken;
  const until = deps.now() + TURN_MS;
  let webhook: WebhookRecord | null = taken;
  let restUntil: number | null = null;
  for (let waves = 0; webhook !== null && waves < WAVES_MAX && deps.now() < until; waves++) {
    const { health, isLast } = await wave(deps, webhook);
    restUntil = health.restUntil;
    if (isLast || (restUntil !== null && restUntil > deps.now())) break;
    webhook = await deps.store.webhooks.held(webhookId, lease);
  }
  // What is due after the release: whoever came with it before found the webhook taken and went away.
  const dueAt = await deps.store.webhooks.release(webhookId, lease);
  if (dueAt === null) return;
  const waitMs = Math.max(dueAt, restUntil ?? 0) - deps.now();
  // What is later is found by Cron.
  if (waitMs < SOON_MS) await deps.queue.deliver([{ kind: "webhook", targetId: webhookId }], Math.max(0, waitMs));
}

/** Sends what is due, at most as many at once as the webhook takes. Last: it was all there was. */
async function wave(deps: Deps, webhook: WebhookRecord): Promise<{ health: Health; isLast: boolean }> {
  const now = deps.now();
  const { webhookId, inFlightMax, failingSince, failures, restUntil } = webhook;
  // One that was down is asked with a single delivery whether it is back.
  const limit = failures > 0 ? 1 : inFlightMax;
  const due = nextWave(await deps.store.deliveries.due(webhookId, now, limit), limit, now);
  if (due.length === 0) return { health: { failingSince, failures, restUntil }, isLast: true };
  const verdict = await judgeTarget(deps, webhook.url);
  const sent = await Promise.all(due.map((delivery) => attemptDelivery(deps, webhook, delivery, verdict)));
  const at = deps.now();
  const outcomes = sent.map(({ outcome }) => outcome);
  const { health, pause } = afterWave({ failingSince, failures, restUntil }, outcomes, at, deps.random());
  const end = {
    health,
    isDelivered: outcomes.some(isDelivered),
    leaseUntil: at + LEASE_MS,
    pause: pause === null ? null : pausedBy(webhook, health, pause),
  };
  await deps.store.deliveries.record(webhookId, sent, end, at);
  // In order, what comes after a delivery is due only once it is through.
  return { health, isLast: due.length < limit && !webhook.ordered };
}

/** One attempt: judged, signed, sent; nothing is written. */
export async function attemptDelivery(
  deps: Deps,
  { url, timeoutMs, secrets }: WebhookRecord,
  { deliveryId, attempts, expiresAt, event }: Sendable,
  verdict: TargetVerdict,
) {
  const at = deps.now();
  const body = bodyOf(event, deps.outgoing.publicUrl);
  const keys = liveSecrets(secrets, at).map(({ secret }) => secret);
  const signed = await deps.outgoing.sign(keys, event.eventId, Math.floor(at / 1000), body);
  const headers = { "content-type": "application/json", "user-agent": "Drover-Webhooks/1", ...signed };
  const answer = "ok" in verdict ? await deps.outgoing.post({ url, headers, body, timeoutMs }) : notSent(verdict);
  const endedAt = deps.now();
  const outcome: AttemptOutcome =
    "error" in answer
      ? { status: null, error: answer.error, retryAfterMs: null }
      : {
          status: answer.status,
          error: errorOf(answer.status),
          retryAfterMs: readRetryAfter(answer.headers["retry-after"] ?? null, endedAt),
        };
  const attempt: Attempt = {
    number: attempts + 1,
    at,
    durationMs: endedAt - at,
    request: { url, headers },
    answer: "error" in answer ? null : answer,
    error: outcome.error,
  };
  const next = nextAttempt({ attempts: attempts + 1, expiresAt }, outcome, endedAt, deps.random());
  return { deliveryId, attempt, next, outcome };
}

const notSent = (verdict: Exclude<TargetVerdict, { ok: true }>) => ({
  error: `not sent: ${"refused" in verdict ? verdict.refused : verdict.unknown}`,
});

function errorOf(status: number): string | null {
  if (isDelivered({ status })) return null;
  if (status >= 300 && status < 400) return `${status}: redirects are not followed; change the URL`;
  return `answered ${status}`;
}

function pausedBy({ webhookId, url }: WebhookRecord, { failingSince }: Health, why: string) {
  const data = { webhookId, url, why, failingSince };
  return {
    because: why.includes("410") ? ("gone" as const) : ("failing" as const),
    why,
    entry: { actor: "drover", action: "webhook.paused", subject: webhookId, reason: why },
    event: { type: "webhook.paused" as const, cluster: null, subject: webhookId, data },
  };
}
