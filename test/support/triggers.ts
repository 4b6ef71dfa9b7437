// Triggers of the API tests, and alerts as Alertmanager posts them.
import { exports } from "cloudflare:workers";
import type { NewTrigger, Trigger, TriggerAnswer } from "../../worker/model/triggers/trigger.ts";
import { type Answer, call } from "./api.ts";
import { hotCluster, policyOf } from "./policies.ts";

export type Refused = { type: string; issues?: { path: string }[] };
export type Made = { trigger: Trigger; token: string };

let names = 0;
export const make = (cluster: string, fields: Partial<Record<keyof NewTrigger, unknown>> = {}) =>
  call<Made & Refused>("POST", "/v1/triggers", { body: { cluster, name: `t-${++names}`, ...fields } });

/** A hot cluster, a policy that evacuates a host by event, and a trigger for it. */
export async function world(
  fields: Partial<Record<keyof NewTrigger, unknown>> = {},
  policy: Record<string, unknown> = {},
) {
  const at = await hotCluster();
  const { policyId } = await policyOf(at.cluster, {
    name: "on alert",
    goals: [{ goal: "evacuate" }],
    trigger: { type: "event", events: ["alert"] },
    ...policy,
  });
  const { body } = await make(at.cluster, fields);
  return { ...at, policyId, ...body };
}

export async function post(
  { trigger, token }: Made,
  body: unknown,
  headers: Record<string, string> = { authorization: `Bearer ${token}` },
  query = "",
): Promise<Answer<TriggerAnswer & Refused>> {
  const response = await exports.default.fetch(
    new Request(`https://drover.test/v1/triggers/${trigger.triggerId}/alerts${query}`, {
      method: "POST",
      headers,
      body: typeof body === "string" ? body : JSON.stringify(body),
    }),
  );
  return { status: response.status, headers: response.headers, body: await response.json() };
}

export const alert = (host: string, fields: Record<string, unknown> = {}) => ({
  status: "firing",
  labels: { alertname: "HostFailing", instance: `${host}:9100` },
  annotations: { summary: `${host} has ECC errors` },
  startsAt: "2026-11-27T02:00:00Z",
  endsAt: "0001-01-01T00:00:00Z",
  generatorURL: "",
  fingerprint: `fp-${host}`,
  ...fields,
});
export const notification = (...alerts: unknown[]) => ({ version: "4", status: "firing", receiver: "drover", alerts });
export const outcomes = ({ body }: Answer<TriggerAnswer>) => body.alerts.map(({ outcome }) => outcome);
