// What starts a policy: a cron expression, an interval or an event; and whether it is due.
import { z } from "zod";
import { DAY_MS, MINUTE_MS } from "../units.ts";
import { operatorId, vmUuid } from "../wire/common.ts";
import { cronExpression, cronProblem, lastTime, nextTime } from "./cron.ts";
import { timeZone } from "./time-zone.ts";

export const eventType = z.enum(["host.hot", "host.failing", "host.silent", "host.maintenance", "alert"]);

const cronTrigger = z
  .strictObject({ type: z.literal("cron"), expression: cronExpression, timeZone: timeZone.default("UTC") })
  .superRefine((trigger, context) => {
    const message = cronProblem(trigger.expression, trigger.timeZone);
    if (message !== null) context.addIssue({ code: "custom", path: ["expression"], message });
  });

const intervalTrigger = z.strictObject({
  type: z.literal("interval"),
  /** Cron looks once a minute: nothing runs more often. */
  everyMs: z
    .int()
    .min(MINUTE_MS)
    .max(366 * DAY_MS),
});

const eventTrigger = z
  .strictObject({
    type: z.literal("event"),
    events: z.array(eventType).min(1).max(16),
    /** An event with a key that came less than this ago starts nothing. */
    gapMs: z
      .int()
      .min(0)
      .max(7 * DAY_MS)
      .default(5 * MINUTE_MS),
  })
  .superRefine(({ events }, context) => {
    const twice = events.findIndex((event, index) => events.indexOf(event) !== index);
    if (twice !== -1)
      context.addIssue({ code: "custom", path: ["events", twice], message: `${events[twice]} is given twice` });
  });

export const trigger = z
  .discriminatedUnion("type", [cronTrigger, intervalTrigger, eventTrigger])
  .meta({ id: "PolicyTrigger" });
export type Trigger = z.output<typeof trigger>;

/** Something that happened in a cluster and that policies may wait for. */
export const policyEvent = z
  .strictObject({
    cluster: operatorId,
    type: eventType,
    /** The host it is about; `host.…` needs it. An `evacuate` goal without `hostIds` empties this host. */
    hostId: operatorId.optional(),
    vm: vmUuid.optional(),
    /** Events with the same key are the same one; absent: type, host and VM make it. */
    key: z.string().min(1).max(200).optional(),
    detail: z.string().max(500).optional(),
  })
  .superRefine(({ type, hostId }, context) => {
    if (type !== "alert" && hostId === undefined)
      context.addIssue({ code: "custom", path: ["hostId"], message: `${type} needs the host it is about` });
  })
  .meta({ id: "PolicyEvent" });
export type PolicyEvent = z.infer<typeof policyEvent>;

export const eventKey = ({ type, hostId, vm, key }: PolicyEvent): string =>
  key ?? [type, hostId, vm].filter((part) => part !== undefined).join(" ");

/** VMs are in danger where they are: they wait neither for a plan of the policy that is under way, nor for its cooldown. */
export const isUrgent = ({ type }: PolicyEvent): boolean =>
  type === "host.failing" || type === "host.silent" || type === "host.maintenance";

/** A time of a cron expression that was missed by more than this, ms, is left out: the night's work is not done at noon. */
export const CRON_LATE_MS_MAX = 15 * MINUTE_MS;

export type Schedule = {
  trigger: Trigger;
  enabled: boolean;
  minIntervalMs: number;
  /** When its trigger was set, or it was resumed: times before do not count. */
  activatedAt: number;
};

export type LastRun = { dueAt: number | null; startedAt: number | null };

/**
 * The time for which a run is due at `now` and has not been made, or null. One time is due once: ask with it as
 * `lastRun.dueAt` and it is not due again. Events are never due by time.
 */
export function policyDue(schedule: Schedule, lastRun: LastRun, now: number): number | null {
  if (!schedule.enabled || now < earliestAt(schedule, lastRun)) return null;
  const { trigger: by, activatedAt } = schedule;
  if (by.type === "event") return null;
  if (by.type === "cron") {
    const after = Math.max(activatedAt, lastRun.dueAt ?? 0, now - CRON_LATE_MS_MAX - 1);
    return lastTime(by.expression, by.timeZone, after, now);
  }
  if (now < activatedAt) return null;
  const dueAt = activatedAt + Math.floor((now - activatedAt) / by.everyMs) * by.everyMs;
  return lastRun.dueAt !== null && dueAt <= lastRun.dueAt ? null : dueAt;
}

/** Cron looks once a minute, sometimes a little early: what is due every minute would else run every other one. */
const CRON_EARLY_MS = MINUTE_MS / 2;

/** Before this no run starts by itself: `minIntervalMs` after the last began, to within Cron's half minute. */
export const earliestAt = ({ minIntervalMs }: Pick<Schedule, "minIntervalMs">, { startedAt }: LastRun): number =>
  startedAt === null ? 0 : startedAt + Math.max(0, minIntervalMs - CRON_EARLY_MS);

/** The next time after `now` for which it is due; null: paused, or only by events. */
export function nextDueAt({ trigger: by, enabled, activatedAt }: Schedule, now: number): number | null {
  if (!enabled || by.type === "event") return null;
  if (by.type === "cron") return nextTime(by.expression, by.timeZone, Math.max(now, activatedAt));
  return activatedAt + Math.max(0, Math.floor((now - activatedAt) / by.everyMs) + 1) * by.everyMs;
}
