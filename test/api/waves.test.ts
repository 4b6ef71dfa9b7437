// A plan of three waves, in which a VM is moved twice to make room, made through the API by three hosts.
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import type { MigrationRun } from "../../worker/model/run.ts";
import type { VmInventory } from "../../worker/model/wire/inventory.ts";
import { type Agent, agentOf, call, eventually, GIB, vm } from "../support/api.ts";
import { approve, commandFor, OUTCOME, PEER, read } from "../support/run-world.ts";

type Host = { agent: Agent; vms: Map<string, { it: VmInventory; cores: number }> };

async function hostOf(hostId: string, vms: [VmInventory, number][]): Promise<Host> {
  const host = {
    agent: await agentOf(
      "waves",
      hostId,
      vms.map(([it]) => it),
    ),
    vms: new Map(vms.map(([it, cores]) => [it.uuid, { it, cores }])),
  };
  await report(host);
  return host;
}

/** Inventory, heartbeat and load as they are now. */
async function report({ agent, vms }: Host): Promise<void> {
  const all = [...vms.values()];
  await agent.put(all.map(({ it }) => it));
  await agent.beat(Object.fromEntries(all.map(({ it }) => [it.uuid, "running"])));
  const ofVm = (cores: number) => ({
    cpu_used_cores: [cores],
    memory_used_bytes: [GIB],
    memory_nonzero_bytes: [GIB / 2],
    memory_dirty_bytes_per_second: [1e6],
  });
  await call("POST", "/v1/telemetry", {
    token: agent.token,
    body: {
      host: agent.hostId,
      batch: crypto.randomUUID(),
      times: [Date.now()],
      host_series: { cpu_used_cores: [all.reduce((sum, { cores }) => sum + cores, 0)] },
      vm_series: Object.fromEntries(all.map(({ it, cores }) => [it.uuid, ofVm(cores)])),
    },
  });
}

const runsOf = async ({ planId }: Plan): Promise<MigrationRun[]> =>
  (await call<{ items: MigrationRun[] }>("GET", `/v1/migrations?planId=${planId}`)).body.items;

const statesOf = async (plan: Plan): Promise<string[]> =>
  (await runsOf(plan)).map(({ moveNumber, state }) => `${moveNumber} ${state}`);

/** Takes a run from prepare to completed, as the two agents would. */
async function migrate(run: MigrationRun, source: Host, destination: Host): Promise<void> {
  const { migrationId, vmUuid } = run;
  const seen = (host: Host) => Object.fromEntries([...host.vms.keys()].map((uuid) => [uuid, "running"]));
  const prepare = await commandFor(destination.agent, seen(destination), "migration.prepare");
  const fencing = { fencingToken: prepare.fencingToken };
  await destination.agent.report(migrationId, { type: "prepared", commandId: prepare.id, ...PEER, ...fencing });
  const start = await commandFor(source.agent, seen(source), "migration.start");
  await source.agent.report(migrationId, { type: "accepted", commandId: start.id, ...fencing });
  await source.agent.report(migrationId, { type: "switched", side: "source", postCopy: false, ...fencing });
  await destination.agent.report(migrationId, { type: "switched", side: "destination", postCopy: false, ...fencing });
  await source.agent.report(migrationId, { type: "completed", outcome: OUTCOME, ...fencing });
  const moved = source.vms.get(vmUuid);
  if (moved === undefined) throw new Error("the VM is not at its source");
  source.vms.delete(vmUuid);
  destination.vms.set(vmUuid, moved);
  await report(destination);
  await report(source);
  await eventually(
    () => read(migrationId),
    ({ state }) => state === "completed",
  );
}

test("a parked VM makes room, the other comes, and it is taken on: wave by wave, each run made in its time", async () => {
  const big = (name: string): VmInventory => vm({ name, vcpus: 16, memoryBytes: 49 * GIB, pinned: true });
  const small = (name: string): VmInventory => vm({ name, vcpus: 8, memoryBytes: 8 * GIB });
  const [x, y] = [small("x"), small("y")];
  const a = await hostOf("waves-1", [
    [x, 6],
    [big("full1"), 8],
  ]);
  const b = await hostOf("waves-2", [
    [y, 0.5],
    [big("full2"), 2],
  ]);
  const c = await hostOf("waves-3", [[{ ...small("full3"), vcpus: 16, pinned: true }, 12.5]]);
  const { body: plan } = await call<Plan>("POST", "/v1/plans", { body: { cluster: "waves", goal: "balance" } });
  expect(plan.content.summary).toContain("3 waves");
  expect(plan.content.moves.map((move) => [move.vmName, move.toHostId, move.wave])).toEqual([
    ["y", "waves-3", 1],
    ["x", "waves-2", 2],
    ["y", "waves-1", 3],
  ]);
  expect((await approve(plan)).status).toBe(200);
  const [first] = (await runsOf(plan)) as [MigrationRun];
  expect(await runsOf(plan)).toHaveLength(2);

  await migrate(first, b, c);
  const second = (await runsOf(plan)).find(({ moveNumber }) => moveNumber === 2) as MigrationRun;
  expect(await statesOf(plan)).toContain("3 queued");
  await migrate(second, a, b);
  const third = (await runsOf(plan)).find(({ moveNumber }) => moveNumber === 3) as MigrationRun;
  await migrate(third, c, a);

  expect(await statesOf(plan)).toEqual(["1 completed", "2 completed", "3 completed"]);
  const ended = await eventually(
    () => call<Plan>("GET", `/v1/plans/${plan.planId}`),
    ({ body }) => body.state === "done",
  );
  expect(ended.body.state).toBe("done");
  const left = await env.DB.prepare("SELECT count(*) AS n FROM reservations").first();
  expect(left).toEqual({ n: 0 });
});
