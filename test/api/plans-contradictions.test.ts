// What agents report may contradict itself: the rest of the cluster is planned for all the same.
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import { agentOf, call, GIB, vm } from "../support/api.ts";
import { hotCluster } from "../support/policies.ts";

const balance = (cluster: string) => call<Plan>("POST", "/v1/plans", { body: { cluster, goal: "balance" } });

test("a host that contradicts itself is unknown in the plan, with its figures, and nothing moves to it", async () => {
  const { cluster, cold } = await hotCluster();
  const odd = await agentOf(cluster, `${cluster}-odd`, [vm({ memoryBytes: 80 * GIB })]);
  await odd.load(0.1, {});
  const { status, body } = await balance(cluster);
  expect(status).toBe(201);
  expect(body.content.unknownHosts).toMatchObject([
    { hostId: odd.hostId, why: expect.stringMatching(/80\.0 GiB\) runs on .*-odd, which has 64\.0 GiB/) },
  ]);
  expect(new Set(body.content.moves.map(({ toHostId }) => toHostId))).toEqual(new Set([cold.hostId]));
});

describe("a VM that two hosts say to run", () => {
  /** The first VM of a hot host is in the inventory of a third one too; both say by heartbeat what they run. */
  async function twoHomes() {
    const { cluster, hot, cold, guests } = await hotCluster();
    const [twin, ...others] = guests;
    if (twin === undefined) throw new Error("a host without VMs");
    const third = await agentOf(cluster, `${cluster}-third`, [twin]);
    await third.load(3, {});
    await third.beat({ [twin.uuid]: "running" });
    await hot.beat(Object.fromEntries(guests.map(({ uuid }) => [uuid, "running"])));
    const evacuate = (hostId: string) =>
      call<Plan>("POST", "/v1/plans", { body: { cluster, goal: "evacuate", parameters: { hostIds: [hostId] } } });
    return { cluster, hot, cold, third, twin, others, evacuate };
  }

  test("stays where it is, the plan says so, and the others are moved", async () => {
    const { hot, third, twin, others, evacuate } = await twoHomes();
    const { status, body } = await evacuate(hot.hostId);
    expect(status).toBe(201);
    expect(body.content.seen).toContain(
      `${twin.name} is reported to run on ${third.hostId}, ${hot.hostId}: it is left where it is.`,
    );
    expect(body.content.moves.map(({ vm: uuid }) => uuid).toSorted()).toEqual(
      others.map(({ uuid }) => uuid).toSorted(),
    );
    const stays = await evacuate(third.hostId);
    expect(stays.body.content).toMatchObject({
      moves: [],
      notMoved: [{ vm: twin.uuid, rejections: [{ constraint: "vm-state" }] }],
    });
  });

  test("moves like any other once one of them says it no more", async () => {
    const { hot, third, twin, others, evacuate } = await twoHomes();
    await hot.beat(Object.fromEntries(others.map(({ uuid }) => [uuid, "running"])));
    const { body } = await evacuate(third.hostId);
    expect(body.content.moves.map(({ vm: uuid }) => uuid)).toEqual([twin.uuid]);
  });

  test("moves where what the other said is old, or was said before the VM was moved", async () => {
    for (const [column, table, where] of [
      ["vm_states_at = 1", "host_state", "host_number = (SELECT number FROM hosts WHERE id = ?)"],
      ["last_moved_at = 9000000000000", "vms", "uuid = ?"],
    ] as const) {
      const { hot, third, twin, evacuate } = await twoHomes();
      const of = table === "vms" ? twin.uuid : hot.hostId;
      await env.DB.prepare(`UPDATE ${table} SET ${column} WHERE ${where}`).bind(of).run();
      const { body } = await evacuate(third.hostId);
      expect(body.content.moves.map(({ vm: uuid }) => uuid)).toEqual([twin.uuid]);
    }
  });
});
