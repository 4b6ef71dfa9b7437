import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { WhyNot } from "../../worker/model/placement/index.ts";
import { whyNotAnswer } from "../../worker/model/placement/why-not-types.ts";
import type { Plan } from "../../worker/model/plan.ts";
import { agentOf, call, GIB, vm } from "../support/api.ts";
import { world } from "../support/run-world.ts";

type Problem = { type: string; detail: string; advice: string; issues?: { path: string; message: string }[] };

const ask = <Body = WhyNot>(plan: Plan, vmNamed: string, host: string) =>
  call<Body>("GET", `/v1/plans/${plan.planId}/why-not?vm=${encodeURIComponent(vmNamed)}&host=${host}`);

/** A plan that empties host A of one VM: B has room for it, C has not, and D is in maintenance. */
async function fourHosts() {
  const { cluster, a, b, guest } = await world();
  const c = await agentOf(cluster, `${cluster}-c`, [], { memoryBytes: GIB });
  const d = await agentOf(cluster, `${cluster}-d`, []);
  await Promise.all([c.load(1, {}), d.load(1, {})]);
  await call("POST", `/v1/hosts/${d.hostId}/maintenance`, { body: { reason: "new memory" } });
  const made = await call<Plan>("POST", "/v1/plans", {
    body: { cluster, goal: "evacuate", parameters: { hostIds: [a.hostId] } },
  });
  expect(made.status).toBe(201);
  return { cluster, a, b, c, d, guest, plan: made.body };
}

describe("why not", () => {
  test("names the blocking constraints with numbers and the smallest change, by uuid or by name", async () => {
    const { c, guest, plan } = await fourHosts();
    const { status, body } = await ask(plan, guest.uuid, c.hostId);
    expect(status).toBe(200);
    expect(whyNotAnswer.parse(body)).toEqual(body);
    expect(body.blocking).toContainEqual(
      expect.objectContaining({ constraint: "memory", required: 2 * GIB, unit: "bytes" }),
    );
    expect(body.answer).toContain("2.0 GiB");
    expect(body.unblock).toContainEqual(expect.objectContaining({ constraint: "memory", kind: "add" }));
    expect((await ask(plan, guest.name, c.hostId)).body).toEqual(body);
  });

  test("of a move left out for its bytes names the limit at which it is made", async () => {
    const { cluster, a, b, guest } = await fourHosts();
    const parameters = { hostIds: [a.hostId], movedBytesMax: 1 };
    const { body: plan } = await call<Plan>("POST", "/v1/plans", { body: { cluster, goal: "evacuate", parameters } });
    const { body } = await ask(plan, guest.uuid, b.hostId);
    expect(whyNotAnswer.parse(body)).toEqual(body);
    expect(body.blocking).toMatchObject([{ constraint: "moves-max", available: 1, unit: "bytes" }]);
    const [raised] = body.unblock.flatMap((change) => (change.kind === "parameters" ? [change.set] : []));
    expect(raised?.movedBytesMax).toBe(body.blocking[0]?.required);
    const { body: again } = await call<Plan>("POST", "/v1/plans", {
      body: { cluster, goal: "evacuate", parameters: { ...parameters, ...raised } },
    });
    expect(again.content.moves.map(({ vm: moved }) => moved)).toEqual([guest.uuid]);
  });

  test("of a host in maintenance says to end it; of the host that was chosen, that the plan does it", async () => {
    const { b, d, guest, plan } = await fourHosts();
    const held = (await ask(plan, guest.uuid, d.hostId)).body;
    expect(held.unblock).toContainEqual(expect.objectContaining({ kind: "end-maintenance", hostId: d.hostId }));
    const done = (await ask(plan, guest.uuid, b.hostId)).body;
    expect(done.blocking).toEqual([]);
    expect(done.answer).toContain(`does move ${guest.name} to ${b.hostId}`);
  });

  test("is answered from what the plan was made from, whatever has become of the cluster", async () => {
    const { a, b, c, guest, plan } = await fourHosts();
    const before = (await ask(plan, guest.uuid, c.hostId)).body;
    await a.put([]);
    await b.put([guest]);
    await c.put([], { memoryBytes: 64 * GIB });
    expect((await ask(plan, guest.uuid, c.hostId)).body).toEqual(before);
  });

  test.each([
    ["vm", "00000000-0000-4000-8000-00000000dead", "hv-any", "/problems/vm-not-in-snapshot"],
    ["vm", "no-such-name", "hv-any", "/problems/vm-not-in-snapshot"],
    ["host", "", "hv-any", "/problems/host-not-in-snapshot"],
  ])("of a %s that the cluster did not have is a 404 that says what to do", async (_, named, host, type) => {
    const { plan, guest } = await world();
    const { status, body } = await ask<Problem>(plan, named === "" ? guest.uuid : named, host);
    expect([status, body.type]).toEqual([404, type]);
    expect(body.advice).toContain("POST /v1/plans");
  });

  test("of a name that two VMs have asks for the uuid", async () => {
    const { cluster, a, b } = await world();
    const twins = [vm({ name: "twin" }), vm({ name: "twin" })];
    await a.put(twins);
    const { body: plan } = await call<Plan>("POST", "/v1/plans", { body: { cluster, goal: "balance" } });
    const { status, body } = await ask<Problem>(plan, "twin", b.hostId);
    expect([status, body.issues?.[0]?.path]).toEqual([422, "vm"]);
    for (const { uuid } of twins) expect(body.issues?.[0]?.message).toContain(uuid);
  });

  test.each([
    ["?host=hv-01", "vm"],
    ["?vm=x", "host"],
    ["?vm=x&host=..", "host"],
    ["?vm=x&host=hv-01&at=1", "at"],
  ])("%s is refused at its parameter", async (query, path) => {
    const { status, body } = await call<Problem>("GET", `/v1/plans/pln_x/why-not${query}`);
    expect([status, body.issues?.[0]?.path]).toEqual([422, path]);
  });

  test("of a plan that is not there is a 404", async () => {
    const { status, body } = await call<Problem>("GET", "/v1/plans/pln_x/why-not?vm=x&host=hv-01");
    expect([status, body.type]).toEqual([404, "/problems/plan-not-found"]);
  });

  test.each([
    ["is gone", "DELETE FROM plan_inputs WHERE plan_id = ?"],
    ["cannot be read", "UPDATE plan_inputs SET packed = 'H4sI' WHERE plan_id = ?"],
  ])("of a plan whose input %s is a 410 that says to ask for a new one", async (_, statement) => {
    const { plan, guest, b } = await world();
    await env.DB.prepare(statement).bind(plan.planId).run();
    for (const { status, body } of [
      await ask<Problem>(plan, guest.uuid, b.hostId),
      await call<Problem>("POST", `/v1/plans/${plan.planId}/replay`),
    ]) {
      expect([status, body.type]).toEqual([410, "/problems/snapshot-gone"]);
      expect(body.advice).toContain("POST /v1/plans");
    }
  });
});
