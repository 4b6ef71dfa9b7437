// From bodies to alerts, and from an alert to the event that it is. What is known of the cluster is an argument.
import { z } from "zod";
import type { PolicyEvent } from "../policy/trigger.ts";
import { operatorId } from "../wire/common.ts";
import { valueAt } from "./pointer.ts";
import type { AlertOutcome, AlertStatus, JsonSource, TriggerDefinition, TriggerSource } from "./trigger.ts";

/** An alert as its sender means it. */
export type Alert = {
  /** What makes two alerts the same, of any length. */
  key: string;
  status: AlertStatus | null;
  /** What may be the host's id, best first; likewise of the VM its UUID or name. */
  hosts: string[];
  vms: string[];
  detail: string | null;
  /** Why nothing can be made of it; null: it can be read. */
  unreadable: string | null;
};

const texts = z.record(z.string(), z.string());

/** Alertmanager's webhook body, version 4; Grafana's has more beside it. */
export const alertmanagerBody = z.object({
  alerts: z
    .array(
      z.object({
        status: z.enum(["firing", "resolved"]),
        labels: texts,
        annotations: texts.default({}),
        fingerprint: z.string().min(1).max(200).optional(),
      }),
    )
    .max(10_000),
  /** Alerts that Alertmanager left out because of `max_alerts`. */
  truncatedAlerts: z.int().min(0).optional(),
});

const isId = (name: string): boolean => operatorId.safeParse(name).success;

/** What a value may mean as a host's id: itself, without a port, and of a full name the first part. */
export function hostNames(value: string): string[] {
  const text = value.trim();
  const bare = text.replace(/:\d{1,5}$/, "");
  const isNumeric = /^[\d.]+$/.test(bare);
  const [short = ""] = isNumeric ? [] : bare.split(".");
  return [...new Set([text, bare, short])].filter(isId);
}

const labelsText = (labels: Readonly<Record<string, string>>): string =>
  JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));

type Read = { alerts: Alert[]; leftOut: number } | { issues: { path: string; message: string }[] };

function readAlertmanager(body: unknown, source: Extract<TriggerSource, { type: "alertmanager" }>): Read {
  const parsed = alertmanagerBody.safeParse(body);
  if (!parsed.success)
    return { issues: parsed.error.issues.slice(0, 20).map(({ path, message }) => ({ path: path.join("."), message })) };
  const { alerts, truncatedAlerts = 0 } = parsed.data;
  const read = alerts.map(({ status, labels, annotations, fingerprint }): Alert => {
    const own = (names: readonly string[]): string[] =>
      names.flatMap((name) => (Object.hasOwn(labels, name) ? [labels[name] ?? ""] : [])).filter((one) => one !== "");
    const said = annotations["summary"] ?? annotations["description"] ?? annotations["message"];
    return {
      key: fingerprint ?? labelsText(labels),
      status,
      hosts: own(source.hostLabels),
      vms: own(source.vmLabels),
      detail: [labels["alertname"], said].filter((one) => one !== undefined && one !== "").join(": ") || null,
      unreadable: null,
    };
  });
  return { alerts: read, leftOut: truncatedAlerts };
}

/** A scalar as text; null: there is none. */
function textAt(alert: unknown, pointer: string | undefined): string | null {
  if (pointer === undefined) return null;
  const value = valueAt(alert, pointer);
  if (typeof value === "string") return value.trim() === "" ? null : value.trim();
  return typeof value === "number" || typeof value === "boolean" ? String(value) : null;
}

function readOne(alert: unknown, source: JsonSource): Alert {
  const host = textAt(alert, source.host);
  const vm = textAt(alert, source.vm);
  const key = textAt(alert, source.key);
  const said = textAt(alert, source.status)?.toLowerCase() ?? null;
  const is = (words: readonly string[]): boolean => words.some((word) => word.toLowerCase() === said);
  const status = source.status === undefined || is(source.firing) ? "firing" : is(source.resolved) ? "resolved" : null;
  const unreadable =
    source.key !== undefined && key === null
      ? `No text, number or boolean at ${source.key}, which is its key.`
      : status === null
        ? `${said === null ? "Nothing" : JSON.stringify(said.slice(0, 100))} at ${source.status}: neither in \`firing\` nor in \`resolved\`.`
        : null;
  return {
    key: key ?? JSON.stringify([host, vm]),
    status,
    hosts: host === null ? [] : [host],
    vms: vm === null ? [] : [vm],
    detail: textAt(alert, source.detail),
    unreadable,
  };
}

function readJson(body: unknown, source: JsonSource): Read {
  if (source.alerts === undefined) return { alerts: [readOne(body, source)], leftOut: 0 };
  const list = valueAt(body, source.alerts);
  if (!Array.isArray(list))
    return { issues: [{ path: source.alerts.slice(1).replaceAll("/", "."), message: `no list at ${source.alerts}` }] };
  return { alerts: list.map((one) => readOne(one, source)), leftOut: 0 };
}

/** The alerts of a body, or why it is none of this source. */
export const readAlerts = (body: unknown, source: TriggerSource): Read =>
  source.type === "alertmanager" ? readAlertmanager(body, source) : readJson(body, source);

export type KnownVm = { uuid: string; name: string; hostId: string | null };
/** Of the cluster's hosts and VMs those that alerts may mean. */
export type Known = { hosts: ReadonlySet<string>; vms: readonly KnownVm[] };

export type Judged = {
  /** `started`, where nothing stands against it. */
  outcome: Extract<AlertOutcome, "started" | "resolved" | "unknown-host" | "unknown-vm" | "unreadable">;
  why: string;
  hostId: string | null;
  vm: string | null;
};

const named = (names: readonly string[]): string => names.map((name) => name.slice(0, 100)).join(", ");

/** The VM that an alert names; `none`: why there is none though it names one. */
function vmOf({ vms }: Alert, known: Known): { vm: KnownVm | null; none: string | null } {
  for (const name of vms) {
    const [vm, ...others] = known.vms.filter((one) => one.uuid === name.toLowerCase() || one.name === name);
    if (vm === undefined) continue;
    if (others.length === 0) return { vm, none: null };
    return { vm: null, none: `${others.length + 1} VMs are named ${name.slice(0, 100)}: give the UUID.` };
  }
  return { vm: null, none: vms.length === 0 ? null : `No VM ${named(vms)} in the cluster.` };
}

/** Which host and VM an alert is about, and whether it becomes an event. */
export function judgeAlert(
  { cluster, event }: Pick<TriggerDefinition, "cluster" | "event">,
  alert: Alert,
  known: Known,
): Judged {
  if (alert.unreadable !== null) return { outcome: "unreadable", why: alert.unreadable, hostId: null, vm: null };
  const { vm, none } = vmOf(alert, known);
  const hostId = alert.hosts.flatMap(hostNames).find((name) => known.hosts.has(name)) ?? vm?.hostId ?? null;
  const about = { hostId, vm: vm?.uuid ?? null };
  if (alert.status === "resolved")
    return { outcome: "resolved", why: "It is over: noted, and nothing is started.", ...about };
  if (hostId !== null) return { outcome: "started", why: none ?? "", ...about };
  if (none !== null) return { outcome: "unknown-vm", why: none, ...about };
  if (vm === null && alert.hosts.length > 0)
    return { outcome: "unknown-host", why: `No host ${named(alert.hosts)} in cluster ${cluster}.`, ...about };
  if (event !== "alert") return { outcome: "unknown-host", why: `It names no host, and ${event} needs one.`, ...about };
  return { outcome: "started", why: "", ...about };
}

/** The event that a firing alert is. `key`: at most 100 characters. */
export const eventOfAlert = (
  { triggerId, cluster, event }: Pick<TriggerDefinition, "cluster" | "event"> & { triggerId: string },
  { detail }: Alert,
  { hostId, vm }: Judged,
  key: string,
): PolicyEvent => ({
  cluster,
  type: event,
  ...(hostId === null ? {} : { hostId }),
  ...(vm === null ? {} : { vm }),
  key: `${triggerId}:${key}`,
  ...(detail === null ? {} : { detail: detail.slice(0, 500) }),
});
