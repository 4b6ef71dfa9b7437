import { describe, expect, test } from "vitest";
import { agentOf, call, inventory, tokenFor, vm } from "../support/api.ts";

type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  advice: string;
  issues?: { path: string }[];
};

const TOKEN_ROUTES: [string, string][] = [
  ["GET", "/v1/hosts"],
  ["GET", "/v1/vms"],
  ["GET", "/v1/latest"],
  ["GET", "/v1/series"],
  ["GET", "/v1/status"],
  ["GET", "/metrics"],
  ["GET", "/v1/plans"],
  ["GET", "/v1/migrations"],
  ["GET", "/v1/rules"],
  ["POST", "/v1/rules"],
  ["GET", "/v1/rules/rul_x"],
  ["PUT", "/v1/rules/rul_x"],
  ["DELETE", "/v1/rules/rul_x"],
  ["POST", "/v1/hosts/hv-x/maintenance"],
  ["DELETE", "/v1/hosts/hv-x/maintenance"],
  ["GET", "/v1/tokens"],
  ["GET", "/v1/audit"],
  ["GET", "/v1/calibration"],
  ["POST", "/v1/estimates"],
  ["POST", "/v1/estimates/several"],
  ["POST", "/v1/calibration/imports"],
  ["POST", "/v1/plans"],
  ["POST", "/v1/telemetry"],
  ["PUT", "/v1/hosts/hv-x"],
  ["POST", "/v1/hosts/hv-x/heartbeat"],
  ["GET", "/v1/hosts/hv-x/channel"],
  ["POST", "/v1/hosts/hv-x/checks/chk_x"],
  ["GET", "/v1/outcomes"],
  ["POST", "/v1/moves/preflight"],
  ["GET", "/v1/moves/preflight/pfl_x"],
  ["GET", "/v1/migrations/mig_x/events"],
  ["POST", "/v1/migrations/mig_x/events"],
  ["POST", "/v1/migrations/mig_x/resolve"],
  ["POST", "/v1/plans/pln_x/approve"],
  ["GET", "/v1/plans/pln_x/why-not"],
  ["POST", "/v1/plans/pln_x/replay"],
  ["GET", "/v1/plans/pln_x/approvals"],
  ["GET", "/v1/approval-rules"],
  ["GET", "/v1/approval-rules/c1"],
  ["PUT", "/v1/approval-rules/c1"],
  ["DELETE", "/v1/approval-rules/c1"],
  ["GET", "/v1/chat/users"],
  ["POST", "/v1/chat/users"],
  ["DELETE", "/v1/chat/users/cus_x"],
  ["POST", "/v1/chat/links"],
  ["GET", "/v1/chat/channels"],
  ["DELETE", "/v1/chat/channels/chn_x"],
  ["GET", "/v1/triggers"],
  ["POST", "/v1/triggers"],
  ["GET", "/v1/triggers/trg_x"],
  ["PATCH", "/v1/triggers/trg_x"],
  ["DELETE", "/v1/triggers/trg_x"],
  ["POST", "/v1/triggers/trg_x/rotate-token"],
  ["GET", "/v1/triggers/trg_x/alerts"],
  ["GET", "/v1/routes"],
  ["POST", "/v1/routes"],
  ["GET", "/v1/routes/rte_x"],
  ["PATCH", "/v1/routes/rte_x"],
  ["DELETE", "/v1/routes/rte_x"],
  ["POST", "/v1/routes/rte_x/test"],
  ["GET", "/v1/policies"],
  ["POST", "/v1/policies"],
  ["GET", "/v1/policies/pol_x"],
  ["PATCH", "/v1/policies/pol_x"],
  ["DELETE", "/v1/policies/pol_x"],
  ["POST", "/v1/policies/pol_x/run"],
  ["GET", "/v1/policies/pol_x/runs"],
  ["POST", "/v1/policies/pol_x/pause"],
  ["POST", "/v1/policies/pol_x/resume"],
  ["GET", "/v1/policies/pol_x/scoreboard"],
  ["GET", "/v1/freezes"],
  ["POST", "/v1/freezes"],
  ["GET", "/v1/freezes/frz_x"],
  ["PATCH", "/v1/freezes/frz_x"],
  ["DELETE", "/v1/freezes/frz_x"],
  ["POST", "/v1/events"],
  ["GET", "/v1/webhooks"],
  ["POST", "/v1/webhooks"],
  ["GET", "/v1/webhooks/whk_x"],
  ["PATCH", "/v1/webhooks/whk_x"],
  ["DELETE", "/v1/webhooks/whk_x"],
  ["POST", "/v1/webhooks/whk_x/pause"],
  ["POST", "/v1/webhooks/whk_x/resume"],
  ["POST", "/v1/webhooks/whk_x/rotate-secret"],
  ["POST", "/v1/webhooks/whk_x/test"],
  ["POST", "/v1/webhooks/whk_x/replay"],
  ["GET", "/v1/webhooks/whk_x/deliveries"],
  ["GET", "/v1/webhooks/whk_x/deliveries/dlv_x"],
];

describe("every route behind a token", () => {
  test.each(TOKEN_ROUTES)("%s %s answers 401 without one, and says how to send it", async (method, path) => {
    const { status, headers, body } = await call<Problem>(method, path, { token: null });
    expect(status).toBe(401);
    expect(headers.get("content-type")).toContain("application/problem+json");
    expect(headers.get("www-authenticate")).toBe("Bearer");
    expect(body).toMatchObject({ type: "/problems/unauthorized", advice: expect.stringContaining("Bearer drv_") });
  });

  test.each(TOKEN_ROUTES)("%s %s answers 401 to an unknown token", async (method, path) => {
    expect((await call(method, path, { token: "drv_nobody" })).status).toBe(401);
  });

  test.each(TOKEN_ROUTES.filter(([, path]) => path !== "/v1/telemetry"))(
    "%s %s answers 403 to a token with another scope, and names the scopes",
    async (method, path) => {
      const token = await tokenFor(["ingest"], { cluster: "c-other" });
      const { status, body } = await call<Problem & { anyOf: string[] }>(method, path, { token });
      expect(status).toBe(403);
      expect(body.anyOf.length).toBeGreaterThan(0);
    },
  );
});

describe("bad input", () => {
  test("a body that is not JSON is a 400 problem", async () => {
    const { status, body } = await call<Problem>("POST", "/v1/plans", { body: "{" });
    expect([status, body.type]).toEqual([400, "/problems/malformed-body"]);
  });

  test("a body without a content type is a 415 problem", async () => {
    const { status, body } = await call<Problem>("POST", "/v1/plans", {
      body: "{}",
      headers: { "content-type": "text/plain" },
    });
    expect([status, body.type]).toEqual([415, "/problems/unsupported-media-type"]);
  });

  test("unknown fields are refused with their path", async () => {
    const host = { ...inventory("c1", []), cpu: { cores: 4, sockets: 2 }, color: "red" };
    const { status, body } = await call<Problem>("PUT", "/v1/hosts/hv-bad", { body: host });
    expect(status).toBe(422);
    expect(body.issues?.map((issue) => issue.path)).toEqual(expect.arrayContaining(["color", "cpu.sockets"]));
  });

  test.each([
    [{ memoryBytes: 0 }, "memoryBytes"],
    [{ memoryBytes: -1 }, "memoryBytes"],
    [{ cpu: { cores: 0 } }, "cpu.cores"],
    [{ hypervisor: "bhyve" }, "hypervisor"],
    [{ sequence: 1.5 }, "sequence"],
    [{ vms: [{ uuid: "NOT-A-UUID", name: "x", state: "running", vcpus: 1, memoryBytes: 1 }] }, "vms.0.uuid"],
  ])("impossible value %j is refused at %s", async (fields, path) => {
    const { status, body } = await call<Problem>("PUT", "/v1/hosts/hv-bad", {
      body: { ...inventory("c1", []), ...fields },
    });
    expect(status).toBe(422);
    expect(body.issues?.map((issue) => issue.path)).toContain(path);
  });

  test("a VM twice in one inventory is refused where it stands", async () => {
    const twin = vm();
    const { status, body } = await call<Problem>("PUT", "/v1/hosts/hv-bad", { body: inventory("c1", [twin, twin]) });
    expect(status).toBe(422);
    expect(body.issues?.[0]?.path).toBe("vms.1.uuid");
  });

  test("a body over 5 MiB is a 413 problem", async () => {
    const { status, body } = await call<Problem>("POST", "/v1/rules", {
      body: JSON.stringify({ pad: "x".repeat(5 * 2 ** 20) }),
    });
    expect([status, body.type]).toEqual([413, "/problems/body-too-large"]);
  });

  test("an unknown path is a 404 problem", async () => {
    const { status, body } = await call<Problem>("GET", "/v2/hosts");
    expect([status, body.type]).toEqual([404, "/problems/no-such-path"]);
  });

  test.each(["/v1/hosts?limit=0", "/v1/hosts?limit=x", "/v1/hosts?colour=red", "/v1/hosts/..%2f"])(
    "%s is refused",
    async (path) => {
      expect((await call("GET", path)).status).toBe(422);
    },
  );
});

test("the OpenAPI document has every route, its scopes and its problems", async () => {
  const { status, body } = await call<{
    openapi: string;
    paths: Record<string, Record<string, { security?: unknown[]; responses: Record<string, unknown> }>>;
    components: { schemas: Record<string, unknown> };
  }>("GET", "/openapi.json", { token: null });
  expect(status).toBe(200);
  expect(body.openapi).toBe("3.1.0");
  for (const [method, path] of TOKEN_ROUTES) {
    const template = path
      .replace("hv-x", "{hostId}")
      .replace("mig_x", "{migrationId}")
      .replace("chk_x", "{checkId}")
      .replace("pfl_x", "{preflightId}")
      .replace("pln_x", "{planId}")
      .replace("rul_x", "{ruleId}")
      .replace("pol_x", "{policyId}")
      .replace("frz_x", "{freezeId}")
      .replace("trg_x", "{triggerId}")
      .replace("rte_x", "{routeId}")
      .replace("whk_x", "{webhookId}")
      .replace("dlv_x", "{deliveryId}")
      .replace(/(?<=approval-rules\/)c1/, "{cluster}")
      .replace(/cus_x|chn_x/, "{id}");
    const operation = body.paths[template]?.[method.toLowerCase()];
    expect(operation, `${method} ${template}`).toBeDefined();
    expect(operation?.security).toHaveLength(1);
    expect(Object.keys(operation?.responses ?? {})).toContain("4XX");
  }
  expect(Object.keys(body.components.schemas)).toEqual(
    expect.arrayContaining(["HostInventory", "EstimateAnswer", "Plan", "Snapshot", "WhyNot", "Migration", "Problem"]),
  );
});

describe("tokens", () => {
  test("are shown once and stored as a hash", async () => {
    const made = await call<{ id: string; token: string }>("POST", "/v1/tokens", {
      body: { name: "reader", scopes: ["read"] },
    });
    expect(made.status).toBe(201);
    expect(made.body.token).toMatch(/^drv_[A-Za-z0-9_-]{43}$/);
    const list = await call("GET", "/v1/tokens");
    expect(JSON.stringify(list.body)).not.toContain(made.body.token);
    expect(JSON.stringify(list.body)).toContain(made.body.id);
  });

  test("a revoked token that was never used is refused", async () => {
    const { body } = await call<{ id: string; token: string }>("POST", "/v1/tokens", {
      body: { name: "gone", scopes: ["read"] },
    });
    expect((await call("DELETE", `/v1/tokens/${body.id}`)).status).toBe(200);
    expect((await call("GET", "/v1/hosts", { token: body.token })).status).toBe(401);
    expect((await call("DELETE", `/v1/tokens/${body.id}`)).status).toBe(404);
  });

  test("an expired token is refused", async () => {
    const { body } = await call<{ token: string }>("POST", "/v1/tokens", {
      body: { name: "old", scopes: ["read"], expiresAt: 1 },
    });
    expect((await call("GET", "/v1/hosts", { token: body.token })).status).toBe(401);
  });

  test("`agent` without a host is refused at its field", async () => {
    const { status, body } = await call<Problem>("POST", "/v1/tokens", { body: { name: "a", scopes: ["agent"] } });
    expect([status, body.issues?.[0]?.path]).toEqual([422, "hostId"]);
  });

  test("an agent's token acts for its own host only and reads nothing", async () => {
    const agent = await agentOf("c-own", "hv-own", []);
    expect((await call("PUT", "/v1/hosts/hv-other", { token: agent.token, body: inventory("c-own", []) })).status).toBe(
      403,
    );
    expect((await call("GET", "/v1/hosts", { token: agent.token })).status).toBe(403);
  });

  test("the same Idempotency-Key is answered the same; another request under it is a conflict", async () => {
    const headers = { "idempotency-key": "make-one-token" };
    const body = { name: "once", scopes: ["read"] };
    const first = await call("POST", "/v1/tokens", { body, headers });
    const again = await call("POST", "/v1/tokens", { body, headers });
    expect(again.body).toEqual(first.body);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect((await call("POST", "/v1/tokens", { body: { ...body, name: "two" }, headers })).status).toBe(409);
  });
});

test("every change is in the audit log with who, what and why", async () => {
  const made = await call<{ id: string }>("POST", "/v1/tokens", { body: { name: "audited", scopes: ["read"] } });
  await call("DELETE", `/v1/tokens/${made.body.id}`);
  const { body } = await call<{ items: { action: string; subject: string; actor: string }[] }>(
    "GET",
    "/v1/audit?limit=2",
  );
  expect(body.items.map(({ action, subject, actor }) => ({ action, subject, actor }))).toEqual([
    { action: "token.revoked", subject: made.body.id, actor: "admin" },
    { action: "token.created", subject: made.body.id, actor: "admin" },
  ]);
});
