// What was sent to a webhook: shown, tried by hand, sent once more.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import type { Principal } from "../model/principal.ts";
import { bodyOf } from "../model/webhooks/body.ts";
import { TO_ONE_TARGET } from "../model/webhooks/events.ts";
import { wants } from "../model/webhooks/fan-out.ts";
import { DELIVER_WITHIN_MS } from "../model/webhooks/schedule.ts";
import type { ReplayRequest } from "../model/webhooks/webhook.ts";
import { attemptDelivery } from "./webhook-turns.ts";
import { judgeTarget } from "./webhook-targets.ts";
import { readWebhook } from "./webhooks.ts";

/** Events looked at in one go, and the most that one replay looks at. */
const PAGE = 500;
const REPLAY_EVENTS_MAX = 10_000;

async function readDelivery(deps: Deps, webhookId: string, deliveryId: string) {
  const found = await deps.store.deliveries.byId(webhookId, deliveryId);
  if (!found) throw new AppError({ code: "not_found", what: "delivery", id: deliveryId });
  return found;
}

export async function showDelivery(deps: Deps, webhookId: string, deliveryId: string) {
  const { delivery, event, history } = await readDelivery(deps, webhookId, deliveryId);
  return { ...delivery, history, body: bodyOf(event, deps.outgoing.publicUrl) };
}

/** Sends a `webhook.test` now, once, also to a webhook that is paused, and answers what came of it. */
export async function sendTest(deps: Deps, principal: Principal, webhookId: string) {
  const webhook = await readWebhook(deps, webhookId);
  const now = deps.now();
  const deliveryId = deps.newId("dlv");
  const row = {
    id: deliveryId,
    kind: "webhook",
    targetId: webhookId,
    round: deps.newId("tst"),
    subject: null,
  } as const;
  const data = { webhookId, by: principal.id };
  await deps.store.deliveries.insertTest(
    { type: "webhook.test", cluster: null, subject: webhookId, data },
    { ...row, at: now, expiresAt: now + DELIVER_WITHIN_MS },
    now,
  );
  const { event } = await readDelivery(deps, webhookId, deliveryId);
  const verdict = await judgeTarget(deps, webhook.url);
  const sent = await attemptDelivery(deps, webhook, { deliveryId, attempts: 0, expiresAt: now, event }, verdict);
  const why = sent.attempt.error ?? "";
  const next = sent.next.state === "delivered" ? sent.next : { state: "failed" as const, why };
  await deps.store.deliveries.recordOne({ ...sent, next }, deps.now());
  return showDelivery(deps, webhookId, deliveryId);
}

export type Replayed = { replayId: string; deliveries: number; next: number | null };

/**
 * Delivers events once more, with their ids: one of a delivery, or those of a range of time that the webhook wants as it is
 * now. `next`: the range was too much for one go; where to go on from.
 */
export async function replay(
  deps: Deps,
  principal: Principal,
  webhookId: string,
  request: ReplayRequest,
): Promise<Replayed> {
  const webhook = await readWebhook(deps, webhookId);
  const replayId = deps.newId("rpl");
  const { sequences, next } =
    "deliveryId" in request
      ? await ofDelivery(deps, webhookId, request.deliveryId)
      : await ofRange(deps, webhookId, request);
  const at = deps.now();
  const rows = sequences.map(({ sequence, subject }) => ({
    id: deps.newId("dlv"),
    kind: "webhook" as const,
    targetId: webhookId,
    round: replayId,
    sequence,
    subject: webhook.ordered ? subject : null,
    at,
    expiresAt: at + DELIVER_WITHIN_MS,
  }));
  for (let start = 0; start < rows.length; start += PAGE)
    await deps.store.deliveries.insert(rows.slice(start, start + PAGE));
  const detail = { ...request, deliveries: rows.length };
  await deps.store.audit.record({ actor: principal.id, action: "webhook.replayed", subject: webhookId, detail }, at);
  await deps.queue.deliver([{ kind: "webhook", targetId: webhookId }], 0);
  return { replayId, deliveries: rows.length, next };
}

type Chosen = { sequences: { sequence: number; subject: string }[]; next: number | null };

async function ofDelivery(deps: Deps, webhookId: string, deliveryId: string): Promise<Chosen> {
  const { event } = await readDelivery(deps, webhookId, deliveryId);
  return { sequences: [event], next: null };
}

const isToOneTarget = (type: string): boolean => TO_ONE_TARGET.some((one) => one === type);

async function ofRange(
  deps: Deps,
  webhookId: string,
  { from, to, only }: Exclude<ReplayRequest, { deliveryId: string }>,
): Promise<Chosen> {
  const subscriber = (await deps.store.webhooks.subscribers()).find(({ targetId }) => targetId === webhookId);
  const sequences: Chosen["sequences"] = [];
  let after = 0;
  for (let looked = 0; looked < REPLAY_EVENTS_MAX; looked += PAGE) {
    const page = await deps.store.outbox.between(from, to, after, PAGE);
    const [first] = page;
    const last = page.at(-1);
    if (first === undefined || last === undefined || subscriber === undefined) return { sequences, next: null };
    const settled =
      only === "all" ? null : await deps.store.deliveries.settled(webhookId, first.sequence, last.sequence);
    sequences.push(
      ...page.filter(
        (event) => !isToOneTarget(event.type) && wants(subscriber, event) && settled?.has(event.sequence) !== true,
      ),
    );
    if (page.length < PAGE) return { sequences, next: null };
    after = last.sequence;
  }
  const [left] = await deps.store.outbox.between(from, to, after, 1);
  return { sequences, next: left?.at ?? null };
}
