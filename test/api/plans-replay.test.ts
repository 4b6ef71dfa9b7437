import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { Plan, Replay } from "../../worker/model/plan.ts";
import { replay as replaySchema } from "../../worker/model/plan.ts";
import { pack, readText } from "../../worker/store/packed-text.ts";
import { agentOf, call, vm } from "../support/api.ts";
import { world } from "../support/run-world.ts";

const replay = (plan: Plan) => call<Replay>("POST", `/v1/plans/${plan.planId}/replay`);

let clusters = 0;

/** Four hosts of 16 cores: one to be emptied, a hot one, two with little to do; telemetry of all. */
async function busyCluster() {
  const cluster = `replay-${++clusters}`;
  const layout: [count: number, cores: number][] = [
    [2, 1],
    [5, 2.8],
    [1, 0.4],
    [0, 0],
  ];
  const agents = [];
  for (const [index, [count, cores]] of layout.entries()) {
    const vms = Array.from({ length: count }, () => vm({ vcpus: 4 }));
    const agent = await agentOf(cluster, `${cluster}-${index}`, vms, { power: { idleWatts: 100, peakWatts: 250 } });
    await agent.load(count * cores + 0.2, Object.fromEntries(vms.map(({ uuid }) => [uuid, cores])));
    agents.push(agent);
  }
  return { cluster, agents };
}

const planFor = async (body: Record<string, unknown>): Promise<Plan> => {
  const made = await call<Plan>("POST", "/v1/plans", { body });
  expect([made.status, made.body]).toEqual([201, made.body]);
  return made.body;
};

describe("a plan, made once more from what it was made from", () => {
  test("comes out the same, byte for byte, for every goal", async () => {
    const { cluster, agents } = await busyCluster();
    const [first] = agents;
    for (const [goal, parameters] of [
      ["balance", {}],
      ["balance", { strategy: "local-search" }],
      ["balance", { strategy: "workload-prediction" }],
      ["consolidate", { horizonMs: 86_400_000 }],
      ["consolidate", { strategy: "firefly" }],
      ["evacuate", { hostIds: [first?.hostId] }],
      ["fault-tolerance", { hostFailuresTolerated: 1 }],
      ["locality", {}],
    ] as const) {
      const plan = await planFor({ cluster, goal, parameters });
      const { status, body } = await replay(plan);
      expect(status).toBe(200);
      expect(replaySchema.parse(body)).toEqual(body);
      expect(body).toMatchObject({
        same: true,
        contentHash: plan.contentHash,
        replayedHash: plan.contentHash,
        differences: [],
      });
      expect(body.content).toBeUndefined();
    }
  });

  test("of several goals, each from the state that the ones before have made, comes out the same too", async () => {
    const { cluster, agents } = await busyCluster();
    const plan = await planFor({
      cluster,
      goal: "evacuate",
      parameters: { hostIds: [agents[0]?.hostId], next: [{ goal: "balance" }, { goal: "consolidate" }] },
    });
    expect(plan.content.strategy).toBe("evacuate → sandpiper → mbfd");
    const off = plan.content.moves.filter(({ fromHostId }) => fromHostId === agents[0]?.hostId);
    const hot = plan.content.moves.filter(({ fromHostId }) => fromHostId === agents[1]?.hostId);
    expect([off.length, hot.length > 0]).toEqual([2, true]);
    // Nothing is put on the host that was emptied, and no VM is moved by two goals.
    expect(plan.content.moves.map(({ toHostId }) => toHostId)).not.toContain(agents[0]?.hostId);
    expect(new Set(plan.content.moves.map((move) => move.vm)).size).toBe(plan.content.moves.length);
    expect(plan.content.after).toMatchObject({ toEvacuate: 0, hotHosts: 0 });
    expect((await replay(plan)).body.same).toBe(true);
  });

  test("does not change with the cluster, and stores nothing", async () => {
    const { a, b, guest, plan } = await world();
    await a.put([]);
    await b.put([guest]);
    expect((await replay(plan)).body.same).toBe(true);
    expect((await call<Plan>("GET", `/v1/plans/${plan.planId}`)).body).toEqual(plan);
  });

  test("says where a plan that was changed in the database differs", async () => {
    const { plan, a, b } = await world();
    const row = await env.DB.prepare("SELECT content FROM plans WHERE id = ?")
      .bind(plan.planId)
      .first<{ content: string }>();
    const content = readText(row?.content ?? "").replaceAll(`"toHostId":"${b.hostId}"`, `"toHostId":"${a.hostId}"`);
    await env.DB.prepare("UPDATE plans SET content = ?, content_hash = 'x' WHERE id = ?")
      .bind(content, plan.planId)
      .run();
    const { body } = await replay(plan);
    expect(body).toMatchObject({ same: false, contentHash: "x", replayedHash: plan.contentHash });
    expect(body.differences).toEqual([{ path: "moves.0.toHostId", stored: a.hostId, replayed: b.hostId }]);
    expect(body.content).toEqual(plan.content);
    expect(body.verdict).toContain("Do not trust this plan");
  });

  test("says when another engine made it", async () => {
    const { plan } = await world();
    await env.DB.prepare("UPDATE plan_inputs SET packed = ? WHERE plan_id = ? AND part = 0")
      .bind(pack(JSON.stringify({ engineVersion: "placement 0" })), plan.planId)
      .run();
    const { body } = await replay(plan);
    expect(body).toMatchObject({ same: true, engineVersion: "placement 0" });
    expect(body.verdict).toContain("made by engine placement 0");
  });

  test("of an unknown plan is a 404", async () => {
    expect((await call("POST", "/v1/plans/pln_x/replay")).status).toBe(404);
  });
});
