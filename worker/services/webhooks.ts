// Webhooks: made, changed, paused, deleted, their secrets rotated. What is sent to them is in webhook-turns.ts.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { type AuditEntry, entryOf, type Principal } from "../model/principal.ts";
import { HEALTHY } from "../model/webhooks/schedule.ts";
import {
  liveSecrets,
  type NewWebhook,
  rotated,
  type Webhook,
  type WebhookChange,
  WEBHOOKS_MAX,
} from "../model/webhooks/webhook.ts";
import { judgeTarget } from "./webhook-targets.ts";

type WebhookRecord = NonNullable<Awaited<ReturnType<Deps["store"]["webhooks"]["byId"]>>>;

/** A webhook as it may be shown: its secrets only by their times. */
export function viewOf({ failures: _, secrets, ...webhook }: WebhookRecord, now: number): Webhook {
  const shown = liveSecrets(secrets, now).toReversed();
  return { ...webhook, secrets: shown.map(({ createdAt, endsAt }) => ({ createdAt, endsAt })) };
}

export async function readWebhook(deps: Deps, webhookId: string): Promise<WebhookRecord> {
  const webhook = await deps.store.webhooks.byId(webhookId);
  if (!webhook) throw new AppError({ code: "not_found", what: "webhook", id: webhookId });
  return webhook;
}

async function assertTarget(deps: Deps, url: string): Promise<void> {
  const verdict = await judgeTarget(deps, url);
  if ("ok" in verdict) return;
  if ("unknown" in verdict) throw new AppError({ code: "busy", detail: verdict.unknown, retryAfterSeconds: 5 });
  throw new AppError({ code: "invalid_request", issues: [{ path: "url", message: verdict.refused }] });
}

/** The secret is in the answer and never shown again. */
export async function createWebhook(
  deps: Deps,
  principal: Principal,
  input: NewWebhook,
): Promise<{ webhook: Webhook; secret: string }> {
  await assertTarget(deps, input.url);
  const { enabled, paused } = await deps.store.webhooks.counts();
  if (enabled + paused >= WEBHOOKS_MAX) {
    const message = `there are ${WEBHOOKS_MAX} webhooks, which is the most there can be: delete one first`;
    throw new AppError({ code: "invalid_request", issues: [{ path: "", message }] });
  }
  const now = deps.now();
  const secret = deps.outgoing.newSecret();
  const record: WebhookRecord = {
    ...input,
    ...HEALTHY,
    webhookId: deps.newId("whk"),
    state: "enabled",
    pausedBecause: null,
    pausedWhy: null,
    pausedAt: null,
    lastDeliveredAt: null,
    secrets: [{ secret, createdAt: now, endsAt: null }],
    version: 1,
    createdBy: principal.id,
    createdAt: now,
    updatedAt: now,
  };
  await deps.store.webhooks.insert(record, entryOf(principal, "webhook.created", record.webhookId, input));
  return { webhook: viewOf(record, now), secret };
}

function assertVersion({ webhookId, version }: WebhookRecord, seen: number | null): void {
  if (seen !== null && seen !== version)
    throw new AppError({ code: "changed_meanwhile", what: "Webhook", id: webhookId, version });
}

/** `record`: as it was read, with what is to be different. */
async function write(deps: Deps, record: WebhookRecord, entry: AuditEntry): Promise<Webhook> {
  const now = deps.now();
  const next = { ...record, version: record.version + 1, updatedAt: now };
  if (await deps.store.webhooks.update(next, entry)) return viewOf(next, now);
  const version = (await deps.store.webhooks.byId(record.webhookId))?.version ?? null;
  throw new AppError({ code: "changed_meanwhile", what: "Webhook", id: record.webhookId, version });
}

/** Fields that are given replace those there are. Another URL begins with a clean record. */
export async function changeWebhook(
  deps: Deps,
  principal: Principal,
  webhookId: string,
  change: WebhookChange,
  version: number | null,
): Promise<Webhook> {
  const webhook = await readWebhook(deps, webhookId);
  assertVersion(webhook, version);
  const { url } = change;
  if (url !== undefined) await assertTarget(deps, url);
  const given = Object.fromEntries(
    Object.entries(change).filter(([, value]) => value !== undefined),
  ) as Partial<NewWebhook>;
  const next = { ...webhook, ...given, ...(url === undefined || url === webhook.url ? {} : HEALTHY) };
  return write(deps, next, entryOf(principal, "webhook.changed", webhookId, change));
}

/** Nothing is sent to it; what happens meanwhile waits for a day. */
export async function pauseWebhook(
  deps: Deps,
  principal: Principal,
  webhookId: string,
  reason: string,
): Promise<Webhook> {
  const webhook = await readWebhook(deps, webhookId);
  if (webhook.state === "paused") return viewOf(webhook, deps.now());
  const paused = {
    ...webhook,
    state: "paused" as const,
    pausedBecause: "asked" as const,
    pausedWhy: reason,
    pausedAt: deps.now(),
  };
  return write(deps, paused, entryOf(principal, "webhook.paused", webhookId, undefined, reason));
}

/** What has waited for less than a day is sent now; what has waited longer can be replayed. */
export async function resumeWebhook(
  deps: Deps,
  principal: Principal,
  webhookId: string,
  reason: string,
): Promise<Webhook> {
  const webhook = await readWebhook(deps, webhookId);
  if (webhook.state === "enabled") return viewOf(webhook, deps.now());
  await assertTarget(deps, webhook.url);
  const enabled = {
    ...webhook,
    ...HEALTHY,
    state: "enabled" as const,
    pausedBecause: null,
    pausedWhy: null,
    pausedAt: null,
  };
  const resumed = await write(deps, enabled, entryOf(principal, "webhook.resumed", webhookId, undefined, reason));
  await deps.queue.deliver([{ kind: "webhook", targetId: webhookId }], 0);
  return resumed;
}

export async function deleteWebhook(
  deps: Deps,
  principal: Principal,
  webhookId: string,
  { version, reason }: { version: number | null; reason: string | undefined },
): Promise<void> {
  const webhook = await readWebhook(deps, webhookId);
  assertVersion(webhook, version);
  const { url, events, clusters } = webhook;
  const entry = entryOf(principal, "webhook.deleted", webhookId, { url, events, clusters }, reason);
  await deps.store.webhooks.remove(webhookId, entry, deps.now());
}

/** The new secret signs at once; what there was signs beside it for the overlap, so that receivers need not change at that moment. */
export async function rotateSecret(
  deps: Deps,
  principal: Principal,
  webhookId: string,
  { overlapMs, reason }: { overlapMs: number; reason?: string | undefined },
): Promise<{ webhook: Webhook; secret: string }> {
  const webhook = await readWebhook(deps, webhookId);
  const secret = deps.outgoing.newSecret();
  const secrets = rotated(webhook.secrets, secret, overlapMs, deps.now());
  const entry = entryOf(principal, "webhook.secret-rotated", webhookId, { overlapMs }, reason);
  return { webhook: await write(deps, { ...webhook, secrets }, entry), secret };
}
