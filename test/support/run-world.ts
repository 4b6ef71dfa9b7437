// Two hosts that speak as their agents would, a VM between them, and a run taken along its way.
import { expect } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import type { MigrationRun } from "../../worker/model/run.ts";
import type { Command } from "../../worker/model/wire/command.ts";
import type { VmInventory } from "../../worker/model/wire/inventory.ts";
import { type Agent, agentOf, call, eventually, vm } from "./api.ts";

export const PEER = { migrationUri: "tcp:127.0.0.1:4444", peerUrl: "http://127.0.0.1:4445" };
export const OUTCOME = {
  preparationMs: 900,
  downtimeMs: 30,
  resumeMs: 10,
  totalMs: 940,
  transferredBytes: 500_000_000,
};

let worlds = 0;
export type World = { cluster: string; a: Agent; b: Agent; guest: VmInventory; plan: Plan };

/** Host A with one VM, host B empty, both with telemetry, and a plan that evacuates A. */
export async function world(parameters: Record<string, unknown> = {}): Promise<World> {
  const cluster = `run-${++worlds}`;
  const guest = vm();
  const a = await agentOf(cluster, `${cluster}-a`, [guest]);
  const b = await agentOf(cluster, `${cluster}-b`, []);
  await a.load(2, { [guest.uuid]: 0.5 });
  await b.load(1, {});
  const made = await call<Plan>("POST", "/v1/plans", {
    body: { cluster, goal: "evacuate", parameters: { hostIds: [a.hostId], ...parameters } },
  });
  expect(made.status).toBe(201);
  return { cluster, a, b, guest, plan: made.body };
}

export const approve = (plan: Plan, contentHash = plan.contentHash) =>
  call<Plan>("POST", `/v1/plans/${plan.planId}/approve`, { body: { contentHash, reason: "test" } });
export const read = async (migrationId: string) =>
  (await call<MigrationRun>("GET", `/v1/migrations/${migrationId}`)).body;
export const runOf = async (plan: Plan): Promise<MigrationRun> => {
  const { body } = await call<{ items: MigrationRun[] }>("GET", `/v1/migrations?planId=${plan.planId}`);
  const [run] = body.items;
  if (!run) throw new Error("the plan has no run");
  return run;
};

/** The next command for this agent, asked for by heartbeats as an agent does. */
export async function commandFor(
  agent: Agent,
  states: Record<string, string>,
  type: Command["type"],
): Promise<Command> {
  const beat = await eventually(
    () => agent.beat(states),
    ({ body }) => body.commands.some((envelope) => (JSON.parse(envelope.body) as Command).type === type),
  );
  const commands = beat.body.commands.map((envelope) => JSON.parse(envelope.body) as Command);
  const found = commands.find((command) => command.type === type);
  if (!found) throw new Error(`no ${type}`);
  return found;
}

/** Takes a run as far as the source having accepted it. */
export async function toPreCopying({ a, b, guest, plan }: World): Promise<MigrationRun> {
  expect((await approve(plan)).status).toBe(200);
  const run = await runOf(plan);
  const prepare = await commandFor(b, {}, "migration.prepare");
  expect(prepare).toMatchObject({ hostId: b.hostId, fencingToken: 1, migrationId: run.migrationId });
  await b.report(run.migrationId, { type: "prepared", commandId: prepare.id, ...PEER });
  const start = await commandFor(a, { [guest.uuid]: "running" }, "migration.start");
  expect(start).toMatchObject({ hostId: a.hostId, destination: PEER, fencingToken: 1 });
  await a.report(run.migrationId, { type: "accepted", commandId: start.id });
  return read(run.migrationId);
}
