// A real Alertmanager tells Drover that a host is failing; a policy advises to empty it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Dev, startDev } from "../../scripts/dev/server.ts";
import type { Plan } from "../../worker/model/plan.ts";
import type { PolicyRun } from "../../worker/model/policy/run.ts";
import type { AlertRecord } from "../../worker/model/triggers/trigger.ts";
import { GIB } from "../../worker/model/units.ts";
import { startAlertmanager } from "../support/senders/alertmanager.ts";
import { type Running, whyNoSenders } from "../support/senders/process.ts";
import { until } from "../support/until.ts";

const missing = whyNoSenders(["prometheus-alertmanager"]);
// oxlint-disable-next-line no-console -- what is left out must be seen
if (missing !== null) console.warn(`real alerts are not tested: ${missing}`);

const CLUSTER = "e2e";
const VM = "6f1d2c3b-4a59-4e68-8f77-0a1b2c3d4e5f";
const LIMIT_MS = 30_000;
const running: Running[] = [];
let stateDir = "";
let dev: Dev;

async function call<T>(method: string, path: string, body?: unknown, token = dev.adminToken): Promise<T> {
  const response = await fetch(`${dev.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}

/** A host that has just been heard, with these VMs. */
async function register(hostId: string, uuids: string[]): Promise<void> {
  const made = await call<{ token: string }>("POST", "/v1/tokens", { name: hostId, scopes: ["agent"], hostId });
  const vms = uuids.map((uuid) => ({ uuid, name: "db", state: "running", vcpus: 2, memoryBytes: 2 * GIB }));
  await call(
    "PUT",
    `/v1/hosts/${hostId}`,
    {
      cluster: CLUSTER,
      sequence: 1,
      bootId: "b",
      hypervisor: "kvm",
      driver: { name: "simulated" },
      cpu: { cores: 16 },
      memoryBytes: 64 * GIB,
      migration: { bytesPerSecond: 1.2e9, rttMs: 0.2 },
      vms,
    },
    made.token,
  );
  const series = { cpu_used_cores: [1], memory_nonzero_bytes: [GIB], memory_dirty_bytes_per_second: [1e6] };
  await call(
    "POST",
    "/v1/telemetry",
    {
      host: hostId,
      batch: "b1",
      times: [Date.now()],
      host_series: { cpu_used_cores: [uuids.length + 0.2] },
      vm_series: Object.fromEntries(uuids.map((uuid) => [uuid, series])),
    },
    made.token,
  );
}

beforeAll(async () => {
  if (missing !== null) return;
  stateDir = mkdtempSync(join(tmpdir(), "drover-alerts-"));
  dev = await startDev({ port: 0, stateDir, isScheduled: false });
}, 120_000);

afterAll(async () => {
  await Promise.all(running.map(({ stop }) => stop()));
  await (dev as Dev | undefined)?.stop();
  if (stateDir !== "") rmSync(stateDir, { recursive: true, force: true });
}, 60_000);

describe.skipIf(missing !== null)("Alertmanager", () => {
  test("fires: a policy proposes to empty the host; what is over is noted", async () => {
    await register("hv-01", [VM]);
    await register("hv-02", []);
    const { policyId } = await call<{ policyId: string }>("POST", "/v1/policies", {
      cluster: CLUSTER,
      name: "empty what fails",
      goals: [{ goal: "evacuate" }],
      mode: "advise",
      trigger: { type: "event", events: ["host.failing"] },
      shadowUntil: null,
    });
    const { trigger, token } = await call<{ trigger: { triggerId: string; url: string }; token: string }>(
      "POST",
      "/v1/triggers",
      { cluster: CLUSTER, name: "alertmanager", event: "host.failing" },
    );
    const alertmanager = await startAlertmanager({ url: `${dev.url}${trigger.url}`, token });
    running.push(alertmanager);
    const labels = { alertname: "HostEcc", severity: "critical", instance: "hv-01.example.com:9100" };
    const annotations = { summary: "uncorrected memory errors" };
    await alertmanager.fire(labels, annotations);

    const runs = await until(
      async () => (await call<{ items: PolicyRun[] }>("GET", `/v1/policies/${policyId}/runs`)).items,
      ([run]) => run !== undefined && run.endedAt !== null,
      LIMIT_MS,
    );
    expect(runs).toMatchObject([
      {
        outcome: "proposed",
        mode: "advise",
        trigger: { event: { type: "host.failing", hostId: "hv-01", detail: "HostEcc: uncorrected memory errors" } },
      },
    ]);
    const plan = await call<Plan>("GET", `/v1/plans/${runs[0]?.planId}`);
    expect(plan).toMatchObject({ state: "proposed", policyId, content: { parameters: { hostIds: ["hv-01"] } } });
    expect(plan.content.moves).toMatchObject([{ vm: VM, fromHostId: "hv-01", toHostId: "hv-02" }]);

    await alertmanager.fire(labels, annotations, new Date(Date.now() - 1000));
    const log = await until(
      async () => (await call<{ items: AlertRecord[] }>("GET", `/v1/triggers/${trigger.triggerId}/alerts`)).items,
      (items) => items.length > 1,
      LIMIT_MS,
    );
    expect(log.map(({ outcome, status, hostId }) => [outcome, status, hostId])).toEqual([
      ["resolved", "resolved", "hv-01"],
      ["started", "firing", "hv-01"],
    ]);
    expect(log[0]?.key).toBe(log[1]?.key);
    expect(log[0]?.key).toMatch(/^[0-9a-f]{16}$/);
    expect(alertmanager.log()).not.toMatch(/level=error/);
  });
});
