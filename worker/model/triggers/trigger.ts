// Inbound triggers: alerts of others that start policies. What is said of one, and what its alerts come to.
import { z } from "zod";
import { eventType } from "../policy/trigger.ts";
import { DAY_MS, HOUR_MS } from "../units.ts";
import { operatorId } from "../wire/common.ts";
import { jsonPointer } from "./pointer.ts";

export const TRIGGERS_MAX = 100;
/** The largest body that is taken. */
export const ALERT_BODY_BYTES_MAX = 256 * 1024;
/** Alerts of one body that are looked at. */
export const ALERTS_MAX = 100;
/** What alerts have come to is kept this long, ms. */
export const ALERTS_KEPT_MS = 30 * DAY_MS;

const labelName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_.:/-]{0,99}$/, "the name of a label");
const labelNames = z.array(labelName).max(16);
const word = z.string().min(1).max(100);

/** What Alertmanager and Grafana post. The first label that names something known counts. */
const alertmanagerSource = z.strictObject({
  type: z.literal("alertmanager"),
  /** Labels that may name the host; a port, and what follows the first dot of a name, may stand behind it. */
  hostLabels: labelNames.default(["host", "hostname", "instance"]),
  /** Labels that may name the VM, by its UUID or its name. */
  vmLabels: labelNames.default(["uuid", "vm"]),
});

/** Any JSON, and where in it stands what. */
const jsonSource = z.strictObject({
  type: z.literal("json"),
  /** The list of alerts, from which the other pointers go on; absent: the body is one alert. */
  alerts: jsonPointer.optional(),
  host: jsonPointer.optional(),
  /** The VM's UUID or name. */
  vm: jsonPointer.optional(),
  /** What makes two alerts the same; absent: host and VM do. */
  key: jsonPointer.optional(),
  /** Absent: every alert fires. */
  status: jsonPointer.optional(),
  /** A sentence for people. */
  detail: jsonPointer.optional(),
  /** Values at `status` of an alert that fires, and of one that is over; letters of either case. */
  firing: z
    .array(word)
    .min(1)
    .max(32)
    .default(["firing", "alerting", "problem", "triggered", "critical", "down", "true", "1"]),
  resolved: z.array(word).max(32).default(["resolved", "ok", "recovered", "recovery", "closed", "up", "false", "0"]),
});
export type JsonSource = z.output<typeof jsonSource>;

export const triggerSource = z
  .discriminatedUnion("type", [alertmanagerSource, jsonSource])
  .superRefine((source, context) => {
    if (source.type !== "json") return;
    const lower = source.resolved.map((one) => one.toLowerCase());
    const both = source.firing.findIndex((one) => lower.includes(one.toLowerCase()));
    if (both !== -1) context.addIssue({ code: "custom", path: ["firing", both], message: "stands in `resolved` too" });
  })
  .meta({ id: "TriggerSource" });
export type TriggerSource = z.output<typeof triggerSource>;

const fields = {
  name: z.string().min(1).max(100),
  source: triggerSource,
  /** The event that an alert becomes: policies that wait for it start. */
  event: eventType,
  /** This policy starts, and no other, whatever it waits for; null: those that wait for `event`. */
  policyId: z.string().min(1).max(64).nullable(),
  /** An alert whose key has started something less than this ago is the same one. */
  dedupeMs: z
    .int()
    .min(0)
    .max(7 * DAY_MS),
  /** So many alerts start something within an hour; those beyond start nothing. */
  startsPerHourMax: z.int().min(1).max(1000),
  enabled: z.boolean(),
};

const definition = z.strictObject({ ...fields, cluster: operatorId });
export type TriggerDefinition = z.output<typeof definition>;

/** What is stored of a definition beside the columns for looking it up. */
export const storedTrigger = definition.pick({
  source: true,
  event: true,
  policyId: true,
  dedupeMs: true,
  startsPerHourMax: true,
});

type Checked = { event?: string | undefined; source?: TriggerSource | undefined };

/** `host.…` events are about a host, which the mapping has to find. */
const findsHost = ({ event = "alert", source }: Checked, context: z.RefinementCtx): void => {
  const isBlind =
    source !== undefined &&
    (source.type === "json"
      ? source.host === undefined && source.vm === undefined
      : source.hostLabels.length === 0 && source.vmLabels.length === 0);
  if (event !== "alert" && isBlind)
    context.addIssue({
      code: "custom",
      path: ["source"],
      message: `${event} needs to know where the host or the VM stands`,
    });
};

export const newTrigger = z
  .strictObject({
    ...fields,
    cluster: operatorId,
    source: fields.source.default(() => triggerSource.parse({ type: "alertmanager" })),
    event: fields.event.default("alert"),
    policyId: fields.policyId.default(null),
    dedupeMs: fields.dedupeMs.default(HOUR_MS),
    startsPerHourMax: fields.startsPerHourMax.default(20),
    enabled: fields.enabled.default(true),
  })
  .superRefine(findsHost)
  .meta({ id: "NewTrigger" });
export type NewTrigger = z.output<typeof newTrigger>;

export const triggerChange = z.strictObject(fields).partial().meta({ id: "TriggerChange" });
export type TriggerChange = z.output<typeof triggerChange>;

/** A definition with a change in it, judged as a whole. */
export const changedTrigger = definition.superRefine(findsHost);

export const trigger = z
  .strictObject({
    triggerId: z.string(),
    ...fields,
    cluster: operatorId,
    /** Where alerts are posted, with the token as a bearer or as `?token=`. */
    url: z.string(),
    version: z.int(),
    createdBy: z.string(),
    createdAt: z.int(),
    updatedAt: z.int(),
    /** When an alert came last whose token was right; null: none yet. */
    lastAlertAt: z.int().nullable(),
  })
  .meta({ id: "Trigger" });
export type Trigger = z.output<typeof trigger>;

export const alertStatus = z.enum(["firing", "resolved"]);
export type AlertStatus = z.output<typeof alertStatus>;

/**
 * `started`: its event was noted for the policies; `nobody-waits`: no policy waits for it; `duplicate`: it came before within
 * `dedupeMs`; `rate-limited`: too many have started something this hour; `resolved`: noted; `unknown-host`, `unknown-vm`: not
 * known in the cluster; `unreadable`: the mapping finds nothing it can use.
 */
export const alertOutcome = z.enum([
  "started",
  "nobody-waits",
  "duplicate",
  "rate-limited",
  "resolved",
  "unknown-host",
  "unknown-vm",
  "unreadable",
]);
export type AlertOutcome = z.output<typeof alertOutcome>;

const alertFields = {
  key: z.string(),
  /** Null: unreadable. */
  status: alertStatus.nullable(),
  hostId: z.string().nullable(),
  vm: z.string().nullable(),
  outcome: alertOutcome,
  why: z.string(),
};

export const triggerAnswer = z
  .strictObject({
    triggerId: z.string(),
    started: z.int(),
    startsPerHourMax: z.int(),
    alerts: z.array(
      z.strictObject({
        ...alertFields,
        /** Runs that were noted: `GET /v1/policies/{policyId}/runs` says what came of them. */
        runs: z.array(z.strictObject({ policyId: z.string(), runId: z.string() })),
      }),
    ),
    /** Alerts that were not looked at: over 100 in the body, or truncated by their sender. */
    leftOut: z.int(),
  })
  .meta({ id: "TriggerAnswer" });
export type TriggerAnswer = z.output<typeof triggerAnswer>;

export const alertRecord = z
  .strictObject({
    alertId: z.string(),
    ...alertFields,
    /** When it came first, and last; how often with this outcome. */
    at: z.int(),
    seenAt: z.int(),
    times: z.int(),
  })
  .meta({ id: "TriggerAlert" });
export type AlertRecord = z.output<typeof alertRecord>;
