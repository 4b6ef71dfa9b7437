// No body, however odd, is answered with a 500, and no refused one has an effect.
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { expect, test } from "vitest";
import whatIf from "../../docs/examples/what-if.json";
import { agentOf, call, inventory, vm } from "../support/api.ts";

const ROUTES: [method: string, path: string, good: unknown][] = [
  ["PUT", "/v1/hosts/fz-1", inventory("fuzz", [vm()])],
  ["PATCH", "/v1/hosts/fz-1", { agentUrl: null }],
  ["POST", "/v1/hosts/fz-1/heartbeat", { bootId: "b", at: 1, vms: {} }],
  ["POST", "/v1/hosts/fz-1/refusals", { at: 1, reason: "expired", detail: "x" }],
  [
    "POST",
    "/v1/telemetry",
    {
      host: "fz-1",
      batch: "b1",
      times: [Date.now()],
      host_series: { cpu_used_cores: [1] },
      vm_series: { "00000000-0000-4000-8000-000000000abc": { cpu_used_cores: [1] } },
      vm_dirty_curves: {
        "00000000-0000-4000-8000-000000000abc": { at: 1, method: "page-sampling", points: [[1000, 5]] },
      },
    },
  ],
  [
    "POST",
    "/v1/estimates",
    {
      vm: { memoryBytes: 1e9, vcpus: 2, dirtyCurve: [{ windowMs: 1000, bytes: 1e6 }] },
      link: { bytesPerSecond: 1e9 },
      parameters: { deadlineMs: 90_000 },
    },
  ],
  ["POST", "/v1/plans", { cluster: "fuzz", goal: "balance", parameters: { hotRatio: 0.5 } }],
  ["POST", "/v1/plans", { cluster: "fuzz", goal: "balance", dryRun: true }],
  ["POST", "/v1/plans", whatIf],
  ["POST", "/v1/plans", { goal: "balance", snapshot: whatIf.snapshot }],
  ["POST", "/v1/plans/pln_x/replay", {}],
  [
    "POST",
    "/v1/policies",
    {
      cluster: "fuzz",
      name: "p",
      scope: { vms: { labels: { a: "b" } }, hosts: { exceptHostIds: ["fz-1"] } },
      goals: [{ goal: "balance", parameters: { hotRatio: 0.5 } }],
      mode: "advise",
      trigger: { type: "cron", expression: "0 * * * *", timeZone: "Europe/Berlin" },
      windows: [{ timeZone: "UTC", days: ["mon"], from: "22:00", to: "06:00" }],
      budgets: { movesMaxPerDay: 1 },
      alarm: { plans: 2, gainRatioMin: 0.1 },
      shadowUntil: null,
    },
  ],
  ["PATCH", "/v1/policies/pol_x", { trigger: { type: "interval", everyMs: 60_000 }, windows: [] }],
  ["POST", "/v1/policies/pol_x/run", { dryRun: true }],
  [
    "POST",
    "/v1/freezes",
    {
      cluster: "fuzz",
      from: 1,
      to: 2,
      windows: [{ timeZone: "UTC", days: ["mon"], from: "22:00", to: "06:00" }],
      scope: { hostIds: ["fz-1"], labels: { a: "b" } },
      reason: "x",
    },
  ],
  ["POST", "/v1/events", { cluster: "fuzz", type: "host.hot", hostId: "fz-1", key: "k" }],
  [
    "POST",
    "/v1/triggers",
    {
      cluster: "fuzz",
      name: "t",
      source: { type: "json", alerts: "/a", host: "/h", firing: ["x"], resolved: ["y"] },
      event: "alert",
      policyId: null,
      dedupeMs: 1,
    },
  ],
  [
    "POST",
    "/v1/routes",
    {
      name: "r",
      events: ["host.*"],
      severityMin: "info",
      clusters: ["fuzz"],
      labels: { rack: "r1" },
      to: [{ kind: "webhook", webhookId: "whk_x" }],
      groupBy: ["cluster"],
      groupWaitMs: 1,
    },
  ],
  ["PATCH", "/v1/triggers/trg_x", { source: { type: "alertmanager", hostLabels: ["a"], vmLabels: [] } }],
  ["POST", "/v1/plans/pln_x/approve", { contentHash: "0".repeat(64) }],
  ["POST", "/v1/plans/pln_x/reject", { reason: "x" }],
  ["POST", "/v1/migrations/mig_x/resolve", { vmRunsAt: "source", reason: "x" }],
  ["POST", "/v1/tokens", { name: "t", scopes: ["read"] }],
];

const odd = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(
    null,
    -1,
    0,
    1e308,
    -0,
    0.1,
    "",
    "\u0000",
    "__proto__",
    [],
    {},
    [null],
    { __proto__x: 1 },
    "x".repeat(5000),
    2 ** 60,
  ),
);

/** The same value with one place in it replaced, removed or added to. */
function mutate(value: unknown, path: number[], replacement: unknown): unknown {
  const [index, ...rest] = path;
  if (index === undefined || value === null || typeof value !== "object") return replacement;
  const keys = Object.keys(value);
  const key = keys[index % Math.max(1, keys.length + 1)] ?? "surplus";
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>;
  copy[key] = mutate(copy[key], rest, replacement);
  return copy;
}

test.each([
  "/v1/hosts/%FF",
  "/v1/hosts/%00",
  "/v1/hosts/a%2Fb",
  "/v1/hosts?after=%FF",
  "/v1/vms?uuid=x",
  "/v1/plans/%F0%9F%90%84",
  "/v1/plans?after=';--",
  "/v1/plans/pln_x/why-not?vm=%00&host=%FF",
  "/v1/plans/pln_x/why-not?vm=x&vm=y&host=hv-1",
  "/v1/plans/%F0%9F%90%84/why-not?vm=__proto__&host=constructor",
  "/v1/migrations?active=maybe",
  "/v1/series?host=fz-1&metric=*&from=NaN",
  "/v1/series?host=fz-1&metric=*&from=9e99",
  "/v1/series?host=fz-1&metric=%5B",
  "/v1/audit?after=-1",
  "/%",
])("GET %s is answered, not broken by", async (path) => {
  const { status, body } = await call("GET", path);
  expect(status).toBeLessThan(500);
  expect(typeof (status === 200 ? "" : body["type"])).toBe("string");
});

test.each(ROUTES)("%s %s", async (method, path, good) => {
  const agent = await agentOf("fuzz", "fz-1", []);
  const token = path.includes("heartbeat") || path.includes("refusals") ? agent.token : env.ADMIN_TOKEN;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(8), { maxLength: 4 }), odd, async (where, replacement) => {
      const { status, body } = await call(method, path, {
        token,
        body: JSON.stringify(mutate(good, where, replacement)) ?? "null",
      });
      if (status >= 500) throw new Error(`${status}: ${JSON.stringify(body)}`);
      expect(status >= 400 ? typeof body["type"] : "string").toBe("string");
    }),
    { seed: 11, numRuns: 60 },
  );
});
