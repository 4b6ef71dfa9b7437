import { env, exports } from "cloudflare:workers";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import example from "../../docs/examples/what-if.json";
import { draftPlan, type DraftPlan, type Plan } from "../../worker/model/plan.ts";
import { call, tokenFor, vm } from "../support/api.ts";
import { world } from "../support/run-world.ts";

type Problem = { type: string; advice: string; limitBytes?: number; issues?: { path: string; message: string }[] };
// oxlint-disable-next-line typescript/no-explicit-any -- what is sent is to be wrong in every way
type Body = any;

const what = <T = DraftPlan>(body: unknown, options: { headers?: Record<string, string>; token?: string } = {}) =>
  call<T>("POST", "/v1/plans", { body, ...options });

/** Rows of every table there is. */
async function rows(): Promise<Record<string, number>> {
  const { results } = await env.DB.prepare(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_cf_%'",
  ).all<{ name: string }>();
  const counts: Record<string, number> = {};
  for (const { name } of results)
    counts[name] = (await env.DB.prepare(`SELECT count(*) AS n FROM "${name}"`).first<number>("n")) ?? -1;
  return counts;
}

const changed = (change: (body: Body) => void): Body => {
  const body: Body = structuredClone(example);
  change(body);
  return body;
};

describe("what-if", () => {
  test("of the example in the docs gives a plan, the same every time, and stores nothing", async () => {
    const before = await rows();
    const first = await what(example);
    expect(first.status).toBe(200);
    expect(draftPlan.parse(first.body)).toEqual(first.body);
    const { content } = first.body;
    expect(content).toMatchObject({ cluster: "ci", goal: "evacuate", strategy: "evacuate → sandpiper" });
    expect(content.moves.map(({ vmName, toHostId }) => `${vmName} → ${toHostId}`)).toEqual([
      "database-1 → hv-03",
      "web-1 → hv-02",
    ]);
    expect((await what(example)).body).toEqual(first.body);
    expect(await rows()).toEqual(before);
  });

  test("remembers no Idempotency-Key, and neither does a dry run", async () => {
    const { cluster } = await world();
    const before = await rows();
    const headers = { "idempotency-key": "what-if" };
    for (const body of [example, { ...example, goal: "balance", parameters: {} }])
      expect((await what(body, { headers })).status).toBe(200);
    expect((await what({ cluster, goal: "balance", dryRun: true }, { headers })).status).toBe(200);
    expect(await rows()).toEqual(before);
  });

  test("needs no more than hosts with cores and memory, and takes what it is not told as unknown", async () => {
    const hosts = [
      { hostId: "a", cpu: { cores: 8 }, memoryBytes: 2 ** 35, load: { cpuUsedCores: 1 }, vms: [vm()] },
      { hostId: "b", cpu: { cores: 8 }, memoryBytes: 2 ** 35 },
    ];
    const { status, body } = await what({ goal: "evacuate", parameters: { hostIds: ["a"] }, snapshot: { hosts } });
    expect([status, body.content.moves]).toEqual([200, []]);
    expect(body.content.unknownHosts).toEqual([expect.objectContaining({ hostId: "b" })]);
  });

  test("may come gzipped", async () => {
    const response = await exports.default.fetch(
      new Request("https://drover.test/v1/plans", {
        method: "POST",
        headers: {
          authorization: `Bearer ${env.ADMIN_TOKEN}`,
          "content-type": "application/json",
          "content-encoding": "gzip",
        },
        body: gzipSync(JSON.stringify(example)),
      }),
    );
    expect([response.status, await response.json()]).toEqual([200, (await what(example)).body]);
  });

  test("needs the scope `plan`", async () => {
    expect((await what(example, { token: await tokenFor(["read"]) })).status).toBe(403);
    expect((await what(example, { token: await tokenFor(["plan"]) })).status).toBe(200);
  });

  test("over 16 MiB is a 413 that names the limit, told or not", async () => {
    const body = JSON.stringify({ ...example, pad: "x".repeat(16 * 2 ** 20) });
    const answer = await what<Problem>(body);
    expect([answer.status, answer.body.type, answer.body.limitBytes]).toEqual([
      413,
      "/problems/body-too-large",
      16 * 2 ** 20,
    ]);
  });

  test("and over the 5 MiB of other bodies is none", async () => {
    const labels = { pad: "x".repeat(200) };
    const body = changed(({ snapshot }) => {
      snapshot.hosts[2].vms = Array.from({ length: 2000 }, () => vm({ state: "shutoff", labels }));
      snapshot.hosts[0].labels = labels;
    });
    const padded = `${JSON.stringify(body).slice(0, -1)}${" ".repeat(6 * 2 ** 20)}}`;
    expect((await what(padded)).status).toBe(200);
  });
});

const host = (body: Body, index: number) => body.snapshot.hosts[index];
const apart = (ruleId: string, uuids: string[]) => ({ ruleId, kind: "vm-anti-affinity", vms: { uuids } });
const together = (ruleId: string, uuids: string[]) => ({ ruleId, kind: "vm-affinity", vms: { uuids } });
const [WEB, DB] = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"];
const GHOST = "00000000-0000-4000-8000-00000000dead";

describe("what cannot be is refused where it stands", () => {
  test.each<[what: string, change: (body: Body) => void, path: string, says: string]>([
    ["no hosts", (b) => (b.snapshot.hosts = []), "snapshot.hosts", ""],
    ["neither cluster nor snapshot", (b) => delete b.snapshot, "cluster", "whole snapshot"],
    ["both", (b) => (b.cluster = "prod"), "cluster", "leave it out"],
    ["a snapshot to be stored", (b) => (b.dryRun = false), "dryRun", "never stored"],
    ["an unknown field", (b) => (host(b, 0).color = "red"), "snapshot.hosts.0.color", "unknown field"],
    ["no memory", (b) => delete host(b, 1).memoryBytes, "snapshot.hosts.1.memoryBytes", ""],
    ["a load below 0", (b) => (host(b, 0).load.cpuUsedCores = -1), "snapshot.hosts.0.load.cpuUsedCores", ""],
    ["a uuid that is none", (b) => (host(b, 0).vms[0].uuid = "x"), "snapshot.hosts.0.vms.0.uuid", "UUID"],
    ["a host of another cluster", (b) => (host(b, 1).cluster = "other"), "snapshot.hosts.1.cluster", "other"],
    ["a host twice", (b) => (host(b, 2).hostId = "hv-01"), "snapshot.hosts.2.hostId", "hosts.0 already"],
    [
      "a VM on two hosts",
      (b) => (host(b, 1).vms[0].uuid = host(b, 0).vms[0].uuid),
      "snapshot.hosts.1.vms.0.uuid",
      "runs on hv-01 already",
    ],
    [
      "more memory in use than there is",
      (b) => (host(b, 0).load.memoryUsedBytes = 2 ** 40),
      "snapshot.hosts.0.load.memoryUsedBytes",
      "1024.0 GiB",
    ],
    [
      "a VM bigger than its host",
      (b) => (host(b, 1).vms[0].memoryBytes = 2 ** 40),
      "snapshot.hosts.1.vms.0.memoryBytes",
      "runs on hv-02",
    ],
    ["a percentage for cores", (b) => (host(b, 0).load.cpuUsedCores = 90), "snapshot.hosts.0.load.cpuUsedCores", "90"],
    ["an unknown host to be emptied", (b) => (b.parameters.hostIds = ["ghost"]), "parameters.hostIds.0", "ghost"],
    ["a strategy of another goal", (b) => (b.parameters.strategy = "firefly"), "parameters.strategy", "evacuate"],
    [
      "a strategy of another goal, later",
      (b) => (b.parameters.next[0].strategy = "spread"),
      "parameters.next.0.strategy",
      "balance",
    ],
    [
      "a rule of a VM that is not there",
      (b) => b.snapshot.rules.push(apart("r", [WEB, GHOST])),
      "snapshot.rules.1",
      GHOST,
    ],
    ["a rule twice", (b) => b.snapshot.rules.push(b.snapshot.rules[0]), "snapshot.rules.1.ruleId", "databases-apart"],
    [
      "rules that cannot hold together",
      (b) => b.snapshot.rules.push(apart("a", [WEB, DB]), together("b", [WEB, DB])),
      "snapshot.rules",
      "rule a, rule b",
    ],
  ])("%s", async (_, change, path, says) => {
    const { status, body } = await what<Problem>(changed(change));
    expect([status, body.type]).toEqual([422, "/problems/invalid-request"]);
    expect(body.issues).toContainEqual({ path, message: expect.stringContaining(says) });
  });
});

describe("of a stored cluster", () => {
  test("a dry run answers what the plan would be, and stores nothing", async () => {
    const { cluster, a, plan } = await world();
    const before = await rows();
    const asked = { cluster, goal: "evacuate", parameters: { hostIds: [a.hostId] } };
    const { status, body } = await what({ ...asked, dryRun: true });
    expect(status).toBe(200);
    expect(draftPlan.parse(body)).toEqual(body);
    expect(body.content.moves.map((move) => [move.vm, move.toHostId])).toEqual(
      plan.content.moves.map((move) => [move.vm, move.toHostId]),
    );
    expect(await rows()).toEqual(before);
    expect((await what<Plan>({ ...asked, dryRun: false })).status).toBe(201);
  });

  test("rules that cannot hold together are refused, the fewest of them named", async () => {
    const { cluster, a, guest } = await world();
    const other = vm();
    await a.put([guest, other]);
    const vms = { uuids: [guest.uuid, other.uuid] };
    for (const kind of ["vm-affinity", "vm-anti-affinity"])
      await call("POST", "/v1/rules", { body: { cluster, kind, vms } });
    await call("POST", "/v1/rules", {
      body: { cluster, kind: "host-affinity", vms, hosts: { hostIds: [a.hostId] } },
    });
    const { status, body } = await what<Problem>({ cluster, goal: "balance" });
    expect([status, body.issues?.map(({ path }) => path)]).toEqual([422, ["rules"]]);
    expect(body.issues?.[0]?.message.match(/^rule rul_\w+, rule rul_\w+:/)).not.toBeNull();
  });

  test("a rule that names a VM or host that is gone is told in the plan, and refuses nothing", async () => {
    const { cluster, a, guest } = await world();
    const made = await call<{ ruleId: string }>("POST", "/v1/rules", {
      body: {
        cluster,
        kind: "host-anti-affinity",
        vms: { uuids: [guest.uuid, GHOST] },
        hosts: { hostIds: ["hv-gone"] },
      },
    });
    const { status, body } = await what<Plan>({ cluster, goal: "evacuate", parameters: { hostIds: [a.hostId] } });
    expect(status).toBe(201);
    expect(body.content.moves).toHaveLength(1);
    const told = body.content.seen.filter((sentence) => sentence.includes(made.body.ruleId));
    expect(told.join(" ")).toContain(GHOST);
    expect(told.join(" ")).toContain("hv-gone");
  });
});
