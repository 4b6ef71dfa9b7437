// Webhooks and what was sent to them, as the API shows them.
import { z } from "zod";
import { DAY_MS, MINUTE_MS } from "../units.ts";
import { operatorId, timestampMs } from "../wire/common.ts";
import { EVENT_TYPES } from "./events.ts";
import { matches } from "./fan-out.ts";

/** Worker invocations have six connections: one of them is left for D1 and names. */
export const IN_FLIGHT_MAX = 5;
export const WEBHOOKS_MAX = 200;
export const SECRETS_MAX = 3;
export const OVERLAP_MS_MAX = 7 * DAY_MS;
/** Deliveries, attempts and events are kept this long, ms. */
export const KEPT_MS = 30 * DAY_MS;
/** An answer is kept up to this length. */
export const ANSWER_LENGTH_MAX = 2048;

const isKnown = (pattern: string): boolean => EVENT_TYPES.some((type) => matches(pattern, type));

export const eventPattern = z
  .string()
  .max(64)
  .refine(isKnown, { error: `an event type, a group such as migration.*, or *: ${EVENT_TYPES.join(", ")}` });

const fields = {
  url: z.string().min(1).max(2048),
  description: z.string().max(200),
  /** Event types, `migration.*` for all of a group, or `*`. */
  events: z.array(eventPattern).min(1).max(64),
  /** Absent or null: of all clusters. Events that are of no cluster come always. */
  clusters: z.array(operatorId).min(1).max(64).nullable(),
  /** Events of one subject (a plan, a migration, a host …) come in their order; one that fails holds up those after it. */
  ordered: z.boolean(),
  /** Requests at once. */
  inFlightMax: z.int().min(1).max(IN_FLIGHT_MAX),
  /** An answer that takes longer counts as none. */
  timeoutMs: z.int().min(500).max(15_000),
};

export const newWebhook = z
  .strictObject({
    url: fields.url,
    description: fields.description.default(""),
    events: fields.events.default(["*"]),
    clusters: fields.clusters.default(null),
    ordered: fields.ordered.default(false),
    inFlightMax: fields.inFlightMax.default(IN_FLIGHT_MAX),
    timeoutMs: fields.timeoutMs.default(10_000),
  })
  .meta({ id: "NewWebhook" });
export type NewWebhook = z.infer<typeof newWebhook>;

export const webhookChange = z.strictObject(fields).partial().meta({ id: "WebhookChange" });
export type WebhookChange = z.infer<typeof webhookChange>;

export const pausedBecause = z.enum(["asked", "gone", "failing"]);

export const webhook = z
  .strictObject({
    webhookId: z.string(),
    ...fields,
    state: z.enum(["enabled", "paused"]),
    /** `asked`: by hand; `gone`: it answered 410; `failing`: nothing was delivered for three days. */
    pausedBecause: pausedBecause.nullable(),
    pausedWhy: z.string().nullable(),
    pausedAt: z.int().nullable(),
    /** Since when nothing has been delivered though something was tried; null: what was tried last came through. */
    failingSince: z.int().nullable(),
    lastDeliveredAt: z.int().nullable(),
    /** Nothing is tried before. */
    restUntil: z.int().nullable(),
    /** Secrets that sign, oldest first: when they were made, and when those that were rotated end. */
    secrets: z.array(z.strictObject({ createdAt: z.int(), endsAt: z.int().nullable() })),
    version: z.int(),
    createdBy: z.string(),
    createdAt: z.int(),
    updatedAt: z.int(),
  })
  .meta({ id: "Webhook" });
export type Webhook = z.infer<typeof webhook>;

/** A secret as it is stored, `whsec_` and base64. */
export const storedSecret = z.strictObject({ secret: z.string(), createdAt: z.int(), endsAt: z.int().nullable() });
export type StoredSecret = z.infer<typeof storedSecret>;

/** Those that sign at `now`, the newest first. */
export const liveSecrets = (secrets: readonly StoredSecret[], now: number): StoredSecret[] =>
  secrets.filter(({ endsAt }) => endsAt === null || endsAt > now).toReversed();

/** The secrets after a rotation; those that there are end `overlapMs` from now, or before where they do already. */
export function rotated(
  secrets: readonly StoredSecret[],
  secret: string,
  overlapMs: number,
  now: number,
): StoredSecret[] {
  const ending = liveSecrets(secrets, now)
    .toReversed()
    .map((one) => ({ ...one, endsAt: Math.min(one.endsAt ?? Infinity, now + overlapMs) }))
    .filter(({ endsAt }) => endsAt > now);
  return [...ending.slice(-(SECRETS_MAX - 1)), { secret, createdAt: now, endsAt: null }];
}

export const rotation = z
  .strictObject({
    /** So long what there was signs too. */
    overlapMs: z.int().min(0).max(OVERLAP_MS_MAX).default(DAY_MS),
    reason: z.string().min(1).max(500).optional(),
  })
  .meta({ id: "WebhookRotation" });

export const attempt = z
  .strictObject({
    number: z.int(),
    at: z.int(),
    durationMs: z.number(),
    request: z.strictObject({ url: z.string(), headers: z.record(z.string(), z.string()) }),
    /** Null: there was none. The body is cut at 2,048 characters. */
    answer: z.strictObject({ status: z.int(), headers: z.record(z.string(), z.string()), body: z.string() }).nullable(),
    /** Why there was no answer, or why it does not count; null: it does. */
    error: z.string().nullable(),
  })
  .meta({ id: "WebhookAttempt" });
export type Attempt = z.infer<typeof attempt>;

export const deliveryState = z.enum(["pending", "delivered", "failed"]);
export type DeliveryStateName = z.infer<typeof deliveryState>;

export const delivery = z
  .strictObject({
    deliveryId: z.string(),
    webhookId: z.string(),
    eventId: z.string(),
    type: z.string(),
    subject: z.string(),
    /** `event`, `test` or `replay`. */
    origin: z.enum(["event", "test", "replay"]),
    state: deliveryState,
    attempts: z.int(),
    /** Null: none will be made. */
    nextAttemptAt: z.int().nullable(),
    happenedAt: z.int(),
    createdAt: z.int(),
    endedAt: z.int().nullable(),
    /** Why it was given up; null: it was not. */
    why: z.string().nullable(),
    /** The newest attempt; null: none was made. */
    last: attempt.nullable(),
  })
  .meta({ id: "WebhookDelivery" });
export type Delivery = z.infer<typeof delivery>;

export const deliveryInFull = delivery
  .extend({
    /** What is posted, byte for byte. */
    body: z.string(),
    history: z.array(attempt),
  })
  .meta({ id: "WebhookDeliveryInFull" });

export const replayRequest = z
  .union([
    z.strictObject({ deliveryId: z.string().min(1).max(64) }),
    z
      .strictObject({
        from: timestampMs,
        to: timestampMs,
        /** `undelivered`: without what has come through, in whatever attempt or replay. */
        only: z.enum(["undelivered", "all"]).default("undelivered"),
      })
      .refine(({ from, to }) => to > from, { path: ["to"], message: "must be after from" }),
  ])
  .meta({ id: "WebhookReplay" });
export type ReplayRequest = z.infer<typeof replayRequest>;

/** Between a retry that is soon and Cron's minute. */
export const SOON_MS = MINUTE_MS;
