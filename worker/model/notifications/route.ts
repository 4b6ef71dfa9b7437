// Notification routes: which events are told to whom, gathered how, and how often.
import { z } from "zod";
import { HOUR_MS, MINUTE_MS, SECOND_MS } from "../units.ts";
import { EVENT_TYPES, TO_ONE_TARGET } from "../webhooks/events.ts";
import { matches, type Subscriber } from "../webhooks/fan-out.ts";
import { eventPattern } from "../webhooks/webhook.ts";
import { operatorId } from "../wire/common.ts";
import { isAtLeast, severity, severityOf } from "./severity.ts";

export const ROUTES_MAX = 100;

export const routeTarget = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("webhook"), webhookId: z.string().min(1).max(64) }),
  /** A channel of `GET /v1/chat/channels`. */
  z.strictObject({ kind: z.literal("chat"), channelId: z.string().min(1).max(64) }),
]);
export type RouteTarget = z.output<typeof routeTarget>;

export const targetIdOf = (target: RouteTarget): string =>
  target.kind === "webhook" ? target.webhookId : target.channelId;

export const groupBy = z.enum(["cluster", "type", "severity", "subject"]);
export type GroupBy = z.output<typeof groupBy>;

const distinct =
  <T>(keyOf: (one: T) => string) =>
  (list: readonly T[], context: z.RefinementCtx): void => {
    const keys = list.map(keyOf);
    const twice = keys.findIndex((key, index) => keys.indexOf(key) !== index);
    if (twice !== -1) context.addIssue({ code: "custom", path: [twice], message: "is given twice" });
  };

const fields = {
  name: z.string().min(1).max(100),
  /** Types, `migration.*` for all of a group, or `*`. */
  events: z.array(eventPattern).min(1).max(64),
  /** Only events that matter this much or more. */
  severityMin: severity,
  /** Null: of all clusters. Events of no cluster come always. */
  clusters: z.array(operatorId).min(1).max(64).nullable(),
  /** Only events about a host or a VM that has all of these labels; null: about anything. */
  labels: z
    .record(z.string().min(1).max(100), z.string().max(200))
    .refine((labels) => Object.keys(labels).length > 0, "name at least one label, or give null")
    .nullable(),
  /** Where messages go, each to all of them. */
  to: z.array(routeTarget).min(1).max(8).superRefine(distinct(targetIdOf)),
  /** Events that agree in all of these become one message. */
  groupBy: z
    .array(groupBy)
    .max(4)
    .superRefine(distinct((one: GroupBy) => one)),
  /** A group gathers for so long before its first message. */
  groupWaitMs: z
    .int()
    .min(0)
    .max(15 * MINUTE_MS),
  /** And for so long after each until the next. */
  groupIntervalMs: z
    .int()
    .min(0)
    .max(6 * HOUR_MS),
  /** So many messages within an hour; what comes after waits, and is told in one. */
  perHourMax: z.int().min(1).max(120),
  enabled: z.boolean(),
};

export const newRoute = z
  .strictObject({
    ...fields,
    events: fields.events.default(["*"]),
    severityMin: fields.severityMin.default("warning"),
    clusters: fields.clusters.default(null),
    labels: fields.labels.default(null),
    groupBy: fields.groupBy.default(["cluster", "severity"]),
    groupWaitMs: fields.groupWaitMs.default(10 * SECOND_MS),
    groupIntervalMs: fields.groupIntervalMs.default(5 * MINUTE_MS),
    perHourMax: fields.perHourMax.default(12),
    enabled: fields.enabled.default(true),
  })
  .meta({ id: "NewNotificationRoute" });
export type NewRoute = z.output<typeof newRoute>;

export const routeChange = z.strictObject(fields).partial().meta({ id: "NotificationRouteChange" });
export type RouteChange = z.output<typeof routeChange>;

/** What is stored as JSON beside the columns for looking it up. */
export const storedRoute = z.strictObject(fields).omit({ name: true, enabled: true });

export const notificationRoute = z
  .strictObject({
    routeId: z.string(),
    ...fields,
    /** Targets that are there no more. Where none is left, what happens waits for a day. */
    missing: z.array(z.string()),
    /** Events that wait to be told. */
    waiting: z.int(),
    lastSentAt: z.int().nullable(),
    sentWithinHour: z.int(),
    version: z.int(),
    createdBy: z.string(),
    createdAt: z.int(),
    updatedAt: z.int(),
  })
  .meta({ id: "NotificationRoute" });
export type NotificationRoute = z.output<typeof notificationRoute>;

/** Which events reach a route; labels are looked at when it gathers. */
export const subscriberOf = ({
  routeId,
  events,
  severityMin,
  clusters,
}: Pick<NotificationRoute, "routeId" | "events" | "severityMin" | "clusters">): Subscriber => ({
  kind: "route",
  targetId: routeId,
  events: EVENT_TYPES.filter(
    (type) =>
      !TO_ONE_TARGET.includes(type) &&
      isAtLeast(severityOf(type), severityMin) &&
      events.some((pattern) => matches(pattern, type)),
  ),
  clusters,
  isOrdered: false,
});
