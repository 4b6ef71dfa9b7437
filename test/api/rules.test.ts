import { describe, expect, test } from "vitest";
import { makeDeps } from "../../worker/env.ts";
import { env } from "cloudflare:workers";
import { readSnapshot } from "../../worker/services/snapshots.ts";
import { agentOf, call, tokenFor, vmId } from "../support/api.ts";

type Rule = { ruleId: string; cluster: string; createdAt: number; updatedAt: number; [field: string]: unknown };
type Problem = { type: string; issues: { path: string }[] };

const apart = (cluster: string, more: Record<string, unknown> = {}) => ({
  cluster,
  kind: "vm-anti-affinity",
  vms: { labels: { service: "db" } },
  ...more,
});
const post = (body: unknown, headers = {}) => call<Rule>("POST", "/v1/rules", { body, headers });
const rulesIn = async (cluster: string) => (await readSnapshot(makeDeps(env), cluster)).rules;

let clusters = 0;
const newCluster = (): string => `rules-${++clusters}`;

describe("a placement rule", () => {
  test("is stated, read, replaced and withdrawn, and each is in the next snapshot", async () => {
    const cluster = newCluster();
    const made = await post(apart(cluster));
    const { ruleId } = made.body;
    expect(made).toMatchObject({ status: 201, body: { cluster, domain: "host", hard: true, pricePerHour: 0.05 } });
    expect(ruleId).toMatch(/^rul_[0-9a-f]{32}$/);
    expect((await call("GET", `/v1/rules/${ruleId}`)).body).toEqual(made.body);
    const rule = { kind: "vm-anti-affinity", vms: { labels: { service: "db" } }, domain: "host", hard: true };
    expect(await rulesIn(cluster)).toEqual([{ ...rule, ruleId, pricePerHour: 0.05 }]);
    const vms = { uuids: [vmId()] };
    const body = { kind: "host-affinity", vms, hosts: { hostIds: ["hv-1"] }, hard: false, reason: "licence" };
    const put = await call<Rule>("PUT", `/v1/rules/${ruleId}`, { body });
    expect(put).toMatchObject({ status: 200, body: { ...body, ruleId, cluster, createdAt: made.body.createdAt } });
    expect(await rulesIn(cluster)).toEqual([{ ...body, ruleId, pricePerHour: 0.05 }]);
    expect(await call("DELETE", `/v1/rules/${ruleId}`)).toMatchObject({ status: 200, body: { ruleId } });
    expect(await rulesIn(cluster)).toEqual([]);
    for (const method of ["GET", "DELETE"])
      expect((await call(method, `/v1/rules/${ruleId}`)).body).toMatchObject({ type: "/problems/rule-not-found" });
    expect((await call("PUT", `/v1/rules/${ruleId}`, { body })).status).toBe(404);
    const { body: log } = await call<{ items: { action: string; subject: string }[] }>("GET", "/v1/audit?limit=3");
    expect(log.items.map(({ action, subject }) => [action, subject])).toEqual([
      ["rule.deleted", ruleId],
      ["rule.replaced", ruleId],
      ["rule.created", ruleId],
    ]);
  });

  test("is listed by cluster, page by page in the order of ids, and belongs to no other cluster", async () => {
    const [cluster, other] = [newCluster(), newCluster()];
    const ids: string[] = [];
    for (let made = 0; made < 3; made++) ids.push((await post(apart(cluster))).body.ruleId);
    await post(apart(other));
    type Page = { items: Rule[]; next: string | null };
    const first = (await call<Page>("GET", `/v1/rules?cluster=${cluster}&limit=2`)).body;
    const rest = (await call<Page>("GET", `/v1/rules?cluster=${cluster}&limit=2&after=${first.next}`)).body;
    expect([...first.items, ...rest.items].map(({ ruleId }) => ruleId)).toEqual(ids.toSorted());
    expect(rest.next).toBeNull();
    expect((await rulesIn(cluster))?.map(({ ruleId }) => ruleId)).toEqual(ids.toSorted());
  });

  test("is made once under one Idempotency-Key", async () => {
    const cluster = newCluster();
    const headers = { "idempotency-key": `rule-${cluster}` };
    const [first, again] = [await post(apart(cluster), headers), await post(apart(cluster), headers)];
    expect(again.body).toEqual(first.body);
    expect(await rulesIn(cluster)).toHaveLength(1);
  });

  test.each<[Record<string, unknown>, string]>([
    [{ kind: "vm-repulsion" }, "kind"],
    [{ cluster: "no spaces" }, "cluster"],
    [{ cluster: undefined }, "cluster"],
    [{ vms: {} }, "vms"],
    [{ vms: { uuids: [] } }, "vms.uuids"],
    [{ vms: { uuids: ["x"] } }, "vms.uuids.0"],
    [{ vms: { labels: { "": "x" } } }, "vms.labels."],
    [{ domain: "planet" }, "domain"],
    [{ hosts: { hostIds: ["hv-1"] } }, "hosts"],
    [{ kind: "host-affinity" }, "hosts"],
    [{ pricePerHour: 0 }, "pricePerHour"],
    [{ hard: "yes" }, "hard"],
    [{ ruleId: "mine" }, "ruleId"],
    [{ reason: "x".repeat(501) }, "reason"],
  ])("with %j is refused at %s", async (fields, path) => {
    const { status, body } = await call<Problem>("POST", "/v1/rules", { body: apart("rules-bad", fields) });
    expect([status, body.type]).toEqual([422, "/problems/invalid-request"]);
    expect(body.issues.map((issue) => issue.path)).toContain(path);
  });

  test("stays in its cluster", async () => {
    const { body } = await post(apart(newCluster()));
    const answer = await call<Problem>("PUT", `/v1/rules/${body.ruleId}`, { body: apart("elsewhere") });
    expect([answer.status, answer.body.issues[0]?.path]).toEqual([422, "cluster"]);
  });

  test("is read with `read` and changed with `operate` only", async () => {
    const [reader, operator] = [await tokenFor(["read"]), await tokenFor(["operate"])];
    const cluster = newCluster();
    const body = apart(cluster);
    expect((await call("POST", "/v1/rules", { token: reader, body })).status).toBe(403);
    const made = await call<Rule>("POST", "/v1/rules", { token: operator, body });
    expect(made.status).toBe(201);
    const path = `/v1/rules/${made.body.ruleId}`;
    expect((await call("DELETE", path, { token: reader })).status).toBe(403);
    expect((await call("GET", path, { token: reader })).status).toBe(200);
  });
});

describe("maintenance", () => {
  type Host = { maintenance: { since: number; until?: number; reason: string } | null };
  const shown = async (hostId: string) => (await call<Host>("GET", `/v1/hosts/${hostId}`)).body.maintenance;
  const listed = async (cluster: string) =>
    (await call<{ items: Host[] }>("GET", `/v1/hosts?cluster=${cluster}`)).body.items[0]?.maintenance;
  const inSnapshot = async (cluster: string) => (await readSnapshot(makeDeps(env), cluster)).hosts[0]?.maintenance;

  test("begins, is changed, shown, in the snapshot, and ends", async () => {
    const cluster = newCluster();
    const { hostId } = await agentOf(cluster, `${cluster}-a`, []);
    expect(await shown(hostId)).toBeNull();
    const path = `/v1/hosts/${hostId}/maintenance`;
    const begun = await call<Host>("POST", path, { body: { reason: "new disks" } });
    expect(begun).toMatchObject({ status: 200, body: { hostId, maintenance: { reason: "new disks" } } });
    const { maintenance } = begun.body;
    expect([await shown(hostId), await listed(cluster), await inSnapshot(cluster)]).toEqual([
      maintenance,
      maintenance,
      maintenance,
    ]);
    const until = Date.now() + 3_600_000;
    const changed = await call<Host>("POST", path, { body: { reason: "one more", until } });
    expect(changed.body.maintenance).toEqual({ since: maintenance?.since, until, reason: "one more" });
    for (let turn = 0; turn < 2; turn++)
      expect((await call("DELETE", path)).body).toEqual({ hostId, maintenance: null });
    expect([await shown(hostId), await inSnapshot(cluster)]).toEqual([null, undefined]);
    const { body: log } = await call<{ items: { action: string; reason: string | null }[] }>(
      "GET",
      "/v1/audit?limit=3",
    );
    expect(log.items.map(({ action, reason }) => [action, reason])).toEqual([
      ["host.maintenance-ended", null],
      ["host.maintenance-begun", "one more"],
      ["host.maintenance-begun", "new disks"],
    ]);
  });

  test("is over at its time", async () => {
    const cluster = newCluster();
    const { hostId } = await agentOf(cluster, `${cluster}-a`, []);
    const body = { reason: "short", until: Date.now() + 3_600_000 };
    await call("POST", `/v1/hosts/${hostId}/maintenance`, { body });
    await env.DB.prepare("UPDATE hosts SET maintenance_until = 1 WHERE id = ?").bind(hostId).run();
    expect([await shown(hostId), await listed(cluster), await inSnapshot(cluster)]).toEqual([null, null, undefined]);
  });

  test("is not ended by an inventory", async () => {
    const cluster = newCluster();
    const agent = await agentOf(cluster, `${cluster}-a`, []);
    await call("POST", `/v1/hosts/${agent.hostId}/maintenance`, { body: { reason: "disks" } });
    await agent.put([]);
    expect(await shown(agent.hostId)).toMatchObject({ reason: "disks" });
  });

  test.each<[unknown, string]>([
    [{}, "reason"],
    [{ reason: "" }, "reason"],
    [{ reason: "x", until: 1 }, "until"],
    [{ reason: "x", until: "soon" }, "until"],
    [{ reason: "x", from: 1 }, "from"],
  ])("with %j is refused at %s", async (body, path) => {
    const { hostId } = await agentOf("rules-m", "rules-m-a", []);
    const answer = await call<Problem>("POST", `/v1/hosts/${hostId}/maintenance`, { body });
    expect(answer.status).toBe(422);
    expect(answer.body.issues.map((issue) => issue.path)).toContain(path);
  });

  test("of a host that is not known is a 404, and it needs the scope `operate`", async () => {
    for (const method of ["POST", "DELETE"]) {
      const body = method === "POST" ? { reason: "x" } : undefined;
      expect((await call(method, "/v1/hosts/ghost/maintenance", { body })).status).toBe(404);
      const token = await tokenFor(["read", "plan"]);
      expect((await call(method, "/v1/hosts/ghost/maintenance", { body, token })).status).toBe(403);
    }
  });
});

test.each([
  [{ type: "fan", severity: "failing", since: 1, detail: "x" }, "conditions.0.type"],
  [{ type: "ecc", severity: "mild", since: 1, detail: "x" }, "conditions.0.severity"],
  [{ type: "ecc", severity: "failing", detail: "x" }, "conditions.0.since"],
])("an inventory with the condition %j is refused at %s", async (condition, path) => {
  const agent = await agentOf("rules-c", "rules-c-a", []);
  const { status, body } = await agent.put([], { conditions: [condition] as never });
  expect([status, (body as Problem).issues[0]?.path]).toEqual([422, path]);
});
