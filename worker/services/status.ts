// How Drover itself is doing.
import type { Deps } from "../env.ts";
import { lastClosedHour } from "../model/telemetry/closing.ts";
import { HOST_FRESH_MS, HOUR_MS } from "../model/units.ts";
import { readCursor } from "./closing.ts";

export type Status = {
  now: number;
  hosts: { known: number; fresh: number };
  telemetry: {
    /** Everything before this time that had come by then is packed and rolled up, ms since 1970. */
    closedUntil: number;
    /** Hours of hosts that are over and are still to be packed, late ones included. */
    hoursToPack: number;
    /** Of them, those that got samples after they were closed. */
    lateHours: number;
  };
  migrations: { active: number };
  policies: {
    /** Not paused. */
    enabled: number;
    /** Of them, those that this version cannot read: they do not run. */
    unreadable: { policyId: string; why: string }[];
  };
  webhooks: {
    enabled: number;
    paused: number;
    /** Deliveries that wait, and since when the oldest does. */
    waiting: number;
    oldestWaitingAt: number | null;
    /** Events whose deliveries are still to be made. */
    eventsWaiting: number;
  };
};

/** `GET /v1/status`. */
export async function readStatus(deps: Deps): Promise<Status> {
  const now = deps.now();
  const cursor = await readCursor(deps);
  const [hosts, open, lateHours, active, policies, webhooks, waiting, eventsWaiting] = await Promise.all([
    deps.store.hosts.counts(now - HOST_FRESH_MS),
    deps.store.chunks.openCount({ fromHour: cursor.hour - 1, toHour: lastClosedHour(now) }),
    deps.store.chunks.lateCount(),
    deps.store.migrations.activeIn(null),
    deps.store.policies.enabled(null),
    deps.store.webhooks.counts(),
    deps.store.deliveries.waiting(),
    deps.store.outbox.waitingCount(),
  ]);
  return {
    now,
    hosts,
    telemetry: { closedUntil: cursor.hour * HOUR_MS, hoursToPack: Math.max(open, lateHours), lateHours },
    migrations: { active: active.length },
    policies: {
      enabled: policies.policies.length + policies.unreadable.length,
      unreadable: policies.unreadable.map(({ policyId, why }) => ({ policyId, why })),
    },
    webhooks: { ...webhooks, waiting: waiting.count, oldestWaitingAt: waiting.oldestAt, eventsWaiting },
  };
}

/** `GET /metrics`, in the text format of Prometheus (version 0.0.4). */
export async function metricsText(deps: Deps): Promise<string> {
  const { hosts, telemetry, migrations, policies, webhooks } = await readStatus(deps);
  const { d1, telemetry: ingested } = deps.counts;
  return [
    metric("drover_hosts", "gauge", "Hosts that have registered.", hosts.known),
    metric("drover_hosts_fresh", "gauge", "Hosts heard within the last minute.", hosts.fresh),
    metric("drover_migrations_active", "gauge", "Migration runs that have not ended.", migrations.active),
    metric(
      "drover_telemetry_closed_until_timestamp_seconds",
      "gauge",
      "Everything before this time is packed and rolled up.",
      telemetry.closedUntil / 1000,
    ),
    metric(
      "drover_telemetry_hours_to_pack",
      "gauge",
      "Closed hours of hosts still to be packed.",
      telemetry.hoursToPack,
    ),
    metric(
      "drover_telemetry_late_hours",
      "gauge",
      "Hours that got samples after they were closed.",
      telemetry.lateHours,
    ),
    metric("drover_policies_unreadable", "gauge", "Policies that cannot be read.", policies.unreadable.length),
    metric("drover_webhooks_paused", "gauge", "Webhooks that are paused.", webhooks.paused),
    metric(
      "drover_deliveries_waiting",
      "gauge",
      "Deliveries to webhooks and chat channels that wait.",
      webhooks.waiting,
    ),
    metric("drover_samples_stored_total", "counter", "Samples stored by this isolate.", ingested.stored),
    metric("drover_samples_refused_total", "counter", "Refusals by this isolate.", ingested.refused),
    metric("drover_d1_queries_total", "counter", "Statements that this isolate sent to D1.", d1.queries),
    metric("drover_d1_rows_read_total", "counter", "Rows that D1 says it read for them.", d1.rowsRead),
    metric("drover_d1_rows_written_total", "counter", "Rows that D1 says it wrote for them.", d1.rowsWritten),
  ].join("");
}

const metric = (name: string, type: "gauge" | "counter", help: string, value: number): string =>
  `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}\n`;
