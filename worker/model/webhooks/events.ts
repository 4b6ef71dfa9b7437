// Every type of event that Drover tells others, with its version and the schema of what it says.
import { z } from "zod";
import { EXAMPLES } from "./examples.ts";
import * as payloads from "./payloads.ts";

type Definition<D extends z.ZodType = z.ZodType> = {
  /** Rises when a field changes its meaning or goes; new fields come without. */
  version: number;
  summary: string;
  data: D;
  example: z.output<D>;
};

const define = <D extends z.ZodType>(summary: string, data: D, example: z.output<D>): Definition<D> => ({
  version: 1,
  summary,
  data,
  example,
});

const run = payloads.migrationPayload;

export const EVENTS = {
  "host.hot": define("A host has become hot; told once until it cools down", payloads.hostHot, EXAMPLES.hostHot),
  "host.cooled": define("A host that was hot is no more", payloads.hostState, EXAMPLES.hostState),
  "host.failing": define("A host reports that its hardware is failing", payloads.hostState, EXAMPLES.hostState),
  "host.unreachable": define("A host is not heard any more", payloads.hostState, EXAMPLES.hostState),
  "host.recovered": define(
    "A host that was failing or unreachable is neither any more",
    payloads.hostState,
    EXAMPLES.hostState,
  ),
  "host.maintenance-begun": define(
    "A host went into maintenance, or its end or reason has changed",
    payloads.hostMaintenance,
    EXAMPLES.hostMaintenance,
  ),
  "host.maintenance-ended": define(
    "Maintenance of a host was ended by hand",
    payloads.hostMaintenance,
    EXAMPLES.hostMaintenance,
  ),
  "plan.proposed": define("A plan waits for a decision", payloads.planProposed, EXAMPLES.planProposed),
  "plan.approval-given": define(
    "Somebody has approved a plan that needs the approval of others too",
    payloads.planApprovalGiven,
    EXAMPLES.planApprovalGiven,
  ),
  "plan.approved": define("A plan was approved, by a person or a policy", payloads.planApproved, EXAMPLES.planApproved),
  "plan.rejected": define("A plan was rejected", payloads.planDecided, EXAMPLES.planDecided),
  "plan.cancelled": define(
    "An approved plan was cancelled, or all of its migrations were",
    payloads.planState,
    EXAMPLES.planState,
  ),
  "plan.executing": define("The first migration of a plan has begun", payloads.planState, EXAMPLES.planState),
  "plan.done": define(
    "All migrations of a plan have ended, and none has failed",
    payloads.planState,
    EXAMPLES.planState,
  ),
  "plan.failed": define(
    "A migration of a plan has failed, and the others have ended",
    payloads.planState,
    EXAMPLES.planState,
  ),
  "plan.expired": define("Nobody has decided a plan in time", payloads.planState, EXAMPLES.planState),
  "plan.superseded": define("A policy stands by a plan no more", payloads.planState, EXAMPLES.planState),
  "migration.started": define("A VM is claimed, and room for it reserved", run, EXAMPLES.migrationStarted),
  "migration.paused": define(
    "A post-copy has lost its link: the VM's memory is on two hosts",
    run,
    EXAMPLES.migrationPaused,
  ),
  "migration.resumed": define("A paused post-copy goes on", run, {
    ...EXAMPLES.migrationPaused,
    state: "resuming",
    before: "paused",
  }),
  "migration.lost": define("Both sides are silent: nobody can say where the VM is", run, EXAMPLES.migrationLost),
  "migration.found": define("A lost migration is in sight again", run, {
    ...EXAMPLES.migrationLost,
    state: "verifying",
    before: "lost",
  }),
  "migration.completed": define(
    "A VM runs at its destination and is gone from its source",
    run,
    EXAMPLES.migrationCompleted,
  ),
  "migration.failed": define("A migration has failed", run, EXAMPLES.migrationFailed),
  "migration.cancelled": define("A migration was cancelled", run, {
    ...EXAMPLES.migrationFailed,
    state: "cancelled",
    failure: { reason: "cancelled", detail: "ops: not today" },
  }),
  "migration.unreachable": define(
    "A VM runs at its destination, and its address does not answer",
    payloads.migrationUnreachable,
    EXAMPLES.migrationUnreachable,
  ),
  "calibration.drifted": define(
    "Predictions of a group have drifted from what is measured",
    payloads.calibrationDrifted,
    EXAMPLES.calibrationDrifted,
  ),
  "policy.demoted": define(
    "The moves of a policy have stopped helping: it only advises from now on",
    payloads.policyAlarm,
    EXAMPLES.policyAlarm,
  ),
  "policy.failed": define("A run of a policy has failed", payloads.policyFailed, EXAMPLES.policyFailed),
  "freeze.created": define("A cluster, or a part of it, is frozen", payloads.freezePayload, EXAMPLES.freezePayload),
  "freeze.changed": define("A freeze was changed", payloads.freezePayload, EXAMPLES.freezePayload),
  "freeze.deleted": define("A freeze was ended by hand", payloads.freezePayload, EXAMPLES.freezePayload),
  "stop.pressed": define("Everything is stopped", payloads.stopPressed, EXAMPLES.stopPressed),
  "webhook.paused": define(
    "A webhook was paused because it does not take what is sent",
    payloads.webhookPaused,
    EXAMPLES.webhookPaused,
  ),
  "notification.raised": define(
    "What a notification route has gathered; sent to the targets of the route alone",
    payloads.notification,
    EXAMPLES.notification,
  ),
  "webhook.test": define(
    "A test that somebody has sent; sent to no other webhook",
    payloads.webhookTest,
    EXAMPLES.webhookTest,
  ),
} as const;

export type EventType = keyof typeof EVENTS;
export const EVENT_TYPES = Object.keys(EVENTS) as EventType[];

/** Types that are sent to targets that were chosen, and to nobody who asks for them. */
export const TO_ONE_TARGET: readonly EventType[] = ["webhook.test", "notification.raised"];

type DataOf<T extends EventType> = z.output<(typeof EVENTS)[T]["data"]>;

/** Something that has happened, as it is written down with the change that it tells of. */
export type EventDraft<T extends EventType = EventType> = {
  [Type in T]: {
    type: Type;
    /** Null: of no cluster in particular. */
    cluster: string | null;
    /** The id of what it is about; events of one subject can be had in their order. */
    subject: string;
    data: DataOf<Type>;
  };
}[T];

/** What is posted: the same head for every type. */
export const envelopeOf = <D extends z.ZodType>(type: string, data: D) =>
  z.strictObject({
    /** Of the event: the same in every attempt and replay, and the header `webhook-id`. */
    id: z.string(),
    type: z.literal(type),
    /** Of the schema of `data`. */
    version: z.int(),
    /** When it happened, ISO 8601. */
    timestamp: z.iso.datetime(),
    cluster: z.string().nullable(),
    subject: z.string(),
    /** Where the whole of what it is about can be read; null: nowhere. */
    link: z.string().nullable(),
    data,
    /** What was left out so that the body stays within 64 KiB; absent: nothing. */
    omitted: z.array(z.string()).optional(),
  });

/** The event as its receivers see it. */
export type StoredEvent = {
  eventId: string;
  sequence: number;
  type: string;
  version: number;
  at: number;
  cluster: string | null;
  subject: string;
  data: Record<string, unknown>;
};
