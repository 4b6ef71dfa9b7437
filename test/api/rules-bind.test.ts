import { describe, expect, test } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import { call } from "../support/api.ts";
import { world } from "../support/run-world.ts";

const evacuated = async (cluster: string, hostId: string): Promise<Plan["content"]> => {
  const body = { cluster, goal: "evacuate", parameters: { hostIds: [hostId] } };
  return (await call<Plan>("POST", "/v1/plans", { body })).body.content;
};

describe("what must hold binds every plan", () => {
  test("a hard rule forbids the move, and lets it pass once it is withdrawn", async () => {
    const { cluster, a, b, guest } = await world();
    const vms = { uuids: [guest.uuid] };
    const rule = { cluster, kind: "host-anti-affinity", vms, hosts: { hostIds: [b.hostId] } };
    const { body } = await call<{ ruleId: string }>("POST", "/v1/rules", { body: rule });
    const held = await evacuated(cluster, a.hostId);
    expect(held.moves).toEqual([]);
    expect(held.notMoved[0]?.rejections).toContainEqual(
      expect.objectContaining({ hostId: b.hostId, constraint: "host-affinity" }),
    );
    await call("DELETE", `/v1/rules/${body.ruleId}`);
    expect((await evacuated(cluster, a.hostId)).moves).toHaveLength(1);
  });

  test("nothing is moved to a host in maintenance until it has ended", async () => {
    const { cluster, a, b } = await world();
    const path = `/v1/hosts/${b.hostId}/maintenance`;
    expect((await call("POST", path, { body: { reason: "new memory" } })).status).toBeLessThan(300);
    const held = await evacuated(cluster, a.hostId);
    expect(held.moves).toEqual([]);
    expect(held.notMoved[0]?.rejections).toContainEqual(
      expect.objectContaining({ hostId: b.hostId, constraint: "host-maintenance" }),
    );
    await call("DELETE", path);
    expect((await evacuated(cluster, a.hostId)).moves).toHaveLength(1);
  });
});
