// How much each type of event matters.
import { z } from "zod";
import type { EventType } from "../webhooks/events.ts";

/** Rising. `info`: for the record; `warning`: somebody should look at it today; `critical`: now. */
export const SEVERITIES = ["info", "warning", "critical"] as const;
export const severity = z.enum(SEVERITIES);
export type Severity = z.output<typeof severity>;

/** A new type does not compile until it is here. */
export const SEVERITY_OF: Record<EventType, Severity> = {
  "host.hot": "warning",
  "host.cooled": "info",
  "host.failing": "critical",
  "host.unreachable": "critical",
  "host.recovered": "info",
  "host.maintenance-begun": "info",
  "host.maintenance-ended": "info",
  "plan.proposed": "warning",
  "plan.approval-given": "info",
  "plan.approved": "info",
  "plan.rejected": "info",
  "plan.cancelled": "info",
  "plan.executing": "info",
  "plan.done": "info",
  "plan.failed": "warning",
  "plan.expired": "warning",
  "plan.superseded": "info",
  "migration.started": "info",
  "migration.paused": "critical",
  "migration.resumed": "info",
  "migration.lost": "critical",
  "migration.found": "info",
  "migration.completed": "info",
  "migration.failed": "warning",
  "migration.cancelled": "info",
  "migration.unreachable": "critical",
  "calibration.drifted": "warning",
  "policy.demoted": "warning",
  "policy.failed": "warning",
  "freeze.created": "info",
  "freeze.changed": "info",
  "freeze.deleted": "info",
  "stop.pressed": "critical",
  "webhook.paused": "warning",
  "webhook.test": "info",
  "notification.raised": "info",
};

/** Of a type that an older version has written and this one does not know, as little as can be. */
export const severityOf = (type: string): Severity =>
  Object.hasOwn(SEVERITY_OF, type) ? SEVERITY_OF[type as EventType] : "info";

export const isAtLeast = (one: Severity, min: Severity): boolean => SEVERITIES.indexOf(one) >= SEVERITIES.indexOf(min);

export const worstOf = (all: readonly Severity[]): Severity =>
  SEVERITIES.findLast((one) => all.includes(one)) ?? "info";
