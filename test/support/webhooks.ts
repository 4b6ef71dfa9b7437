// A webhook at the receiver, and what the receiver got.
import { env } from "cloudflare:workers";
import { inject } from "vitest";
import { type Bindings, type Deps, makeDeps } from "../../worker/env.ts";
import type { Delivery, NewWebhook, Webhook } from "../../worker/model/webhooks/webhook.ts";
import { fanOutWaiting } from "../../worker/services/outbox.ts";
import { beginTurn } from "../../worker/services/webhook-turns.ts";
import { call, eventually } from "./api.ts";
import type { Box } from "./receiver.ts";

export const RECEIVER = inject("receiverUrl");

let boxes = 0;
export type Hook = { webhookId: string; secret: string; box: string };

/** A webhook whose requests go to a box of its own, where they are treated in the way `how` says. */
export async function hook(how: string, fields: Partial<NewWebhook> = {}): Promise<Hook> {
  const box = `box-${++boxes}-${crypto.randomUUID().slice(0, 8)}`;
  const made = await call<{ webhook: Webhook; secret: string }>("POST", "/v1/webhooks", {
    body: { url: `${RECEIVER}/${box}/${how}`, timeoutMs: 500, ...fields },
  });
  if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  return { webhookId: made.body.webhook.webhookId, secret: made.body.secret, box };
}

export const boxOf = async ({ box }: Pick<Hook, "box">): Promise<Box> =>
  (await (await fetch(`${RECEIVER}/_box/${box}`)).json()) as Box;

/** Bodies that have come, in their order. */
export const bodiesOf = async (at: Pick<Hook, "box">) =>
  (await boxOf(at)).taken.map(
    ({ body }) => JSON.parse(body) as { type: string; id: string; subject: string; data: Record<string, unknown> },
  );

/** Waits for so many requests; what the queue does is not for the test to begin. */
export const received = (at: Hook, count: number) =>
  eventually(
    () => bodiesOf(at),
    (all) => all.length >= count,
  );

export const deliveriesOf = async ({ webhookId }: Hook, query = ""): Promise<Delivery[]> =>
  (await call<{ items: Delivery[] }>("GET", `/v1/webhooks/${webhookId}/deliveries${query}`)).body.items;
export const read = async ({ webhookId }: Hook): Promise<Webhook> =>
  (await call<Webhook>("GET", `/v1/webhooks/${webhookId}`)).body;

/** With a queue that loses everything. */
export const STILL = {
  ...(env as unknown as Bindings),
  OUTBOX: { send: () => Promise.resolve(), sendBatch: () => Promise.resolve() } as unknown as Bindings["OUTBOX"],
};

/** Drover `ms` later, whose queue asks for nothing by itself. */
export const later = (ms: number, changes: Partial<Deps> = {}): Deps => {
  return { ...makeDeps(STILL), now: () => Date.now() + ms, random: () => 0.5, ...changes };
};

/** One turn of a webhook, from its beginning to its end. */
export async function turn(deps: Deps, { webhookId }: Hook): Promise<boolean> {
  await fanOutWaiting(deps);
  const begun = await beginTurn(deps, webhookId);
  await begun?.();
  return begun !== null;
}
