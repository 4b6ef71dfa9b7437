// A plan of two moves, one after the other, taken to its end by an edge that may be cut off at any call of D1, and by two
// agents that do a command once and send an event until it is answered.
import { env } from "cloudflare:workers";
import { createApp } from "../../worker/app.ts";
import { type Deps, makeDeps } from "../../worker/env.ts";
import type { Plan } from "../../worker/model/plan.ts";
import type { Command } from "../../worker/model/wire/command.ts";
import type { VmInventory } from "../../worker/model/wire/inventory.ts";
import { replanAfter } from "../../worker/services/replan.ts";
import { advanceRun } from "../../worker/services/runs.ts";
import { keepRuns } from "../../worker/services/schedule.ts";
import { type Agent, agentOf, call, vm } from "./api.ts";
import { keepTables } from "./closing.ts";
import { OUTCOME, PEER } from "./run-world.ts";
import { type Tap, tappedD1 } from "./tapped-d1.ts";

const TABLES = [
  "plans",
  "migrations",
  "migration_events",
  "reservations",
  "outcomes",
  "commands",
  "vms",
  "placements",
].concat(["hosts", "host_state", "audit", "calibrations"]);

/** What becomes of the first move at its source. */
export type Fate = "completes" | "fails" | "is refused";

export type Scene = {
  a: Agent;
  b: Agent;
  guests: VmInventory[];
  plan: Plan;
  startAt: number;
  restore: () => Promise<void>;
};

/** Host A with two VMs, host B empty, and a plan that evacuates A one by one. */
export async function scene(cluster: string): Promise<Scene> {
  const guests = [vm(), vm()];
  const a = await agentOf(cluster, `${cluster}-a`, guests);
  const b = await agentOf(cluster, `${cluster}-b`, []);
  await a.load(2, Object.fromEntries(guests.map(({ uuid }) => [uuid, 0.5])));
  await b.load(1, {});
  const parameters = { hostIds: [a.hostId], concurrencyPerHost: 1 };
  const { body: plan } = await call<Plan>("POST", "/v1/plans", { body: { cluster, goal: "evacuate", parameters } });
  const startAt = Date.now();
  return { a, b, guests, plan, startAt, restore: await keepTables(TABLES) };
}

type Sent = { path: string; token: string; body: Record<string, unknown> };

/** What an agent has on its disk, and what its hypervisor does. */
function agentState({ hostId, token }: Agent, vms: Record<string, string>) {
  const done = new Set<string>();
  const outbox: Sent[] = [];
  let sequence = 1000;
  const tell = (command: Command, at: number, event: Record<string, unknown>) => {
    const head = { hostId, bootId: "boot-1", sequence: ++sequence, at, fencingToken: command.fencingToken };
    outbox.push({ path: `/v1/migrations/${command.migrationId}/events`, token, body: { ...head, ...event } });
  };
  return { hostId, token, vms, done, outbox, tell };
}
type AgentState = ReturnType<typeof agentState>;

function act(
  command: Command,
  at: number,
  fate: Fate,
  { source, destination }: Record<"source" | "destination", AgentState>,
) {
  const commandId = command.id;
  switch (command.type) {
    case "migration.prepare":
      return destination.tell(command, at, { type: "prepared", commandId, ...PEER });
    case "migration.start": {
      if (fate === "is refused")
        return source.tell(command, at, { type: "refused", commandId, reason: "policy", detail: "observe" });
      source.tell(command, at, { type: "accepted", commandId });
      if (fate === "fails")
        return source.tell(command, at, { type: "failed", reason: "hypervisor", detail: "reset", vmState: "running" });
      source.tell(command, at, { type: "switched", side: "source", postCopy: false });
      destination.tell(command, at, { type: "switched", side: "destination", postCopy: false });
      source.tell(command, at, { type: "completed", outcome: OUTCOME });
      delete source.vms[command.vm.uuid];
      destination.vms[command.vm.uuid] = "running";
      return;
    }
    case "migration.cancel":
      return destination.tell(command, at, { type: "cancelled", commandId, reason: "command", detail: "cleared" });
    default:
      throw new Error(`nobody sends ${command.type} here`);
  }
}

/** The edge from one death to the next: what it remembers goes with it. */
function edge(tap: Tap, now: () => number, instances: Set<string>) {
  const runs: Deps["runs"] = {
    start: async (id) => void instances.add(id),
    ensure: async (id) => void instances.add(id),
    notify: async () => undefined,
  };
  const deps: Deps = { ...makeDeps({ ...env, DB: tappedD1(env.DB, tap) }), now, runs };
  return { deps, app: createApp(() => deps) };
}

class Died extends Error {}

/** Turns until the plan has ended and nobody has anything left to say. */
export async function play({ a, b, guests, plan, startAt }: Scene, fate: Fate, tap: Tap): Promise<void> {
  let now = startAt;
  const instances = new Set<string>();
  let alive = edge(tap, () => now, instances);
  const unharmed: Tap = (send) => send();
  const running = Object.fromEntries(guests.map(({ uuid }) => [uuid, "running"]));
  const agents = { source: agentState(a, running), destination: agentState(b, {}) };

  /** Does something that the edge's death may cut off; false: it did. */
  const survives = async (what: () => Promise<unknown>): Promise<boolean> => {
    try {
      await what();
      return true;
    } catch (error) {
      if (!(error instanceof Died) && !String((error as Error).cause ?? error).includes("D1_ERROR")) throw error;
      alive = edge(unharmed, () => now, instances);
      return false;
    }
  };
  const post = async ({ path, token, body }: Sent): Promise<unknown> => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const response = await alive.app.request(path, { method: "POST", headers, body: JSON.stringify(body) }, env);
    if (response.status >= 500) throw new Died(await response.text());
    return response.json();
  };
  const beat = async (agent: AgentState): Promise<void> => {
    const body = { bootId: "boot-1", at: now, vms: agent.vms };
    const answer = await post({ path: `/v1/hosts/${agent.hostId}/heartbeat`, token: agent.token, body });
    for (const envelope of (answer as { commands: { id: string; body: string }[] }).commands) {
      if (agent.done.has(envelope.id)) continue;
      agent.done.add(envelope.id);
      act(JSON.parse(envelope.body) as Command, now, fate, agents);
    }
  };
  const flush = async (agent: AgentState): Promise<void> => {
    for (let [next] = agent.outbox; next !== undefined; [next] = agent.outbox) {
      const sent = next;
      if (!(await survives(() => post(sent)))) return;
      agent.outbox.shift();
    }
  };

  const approval = { contentHash: plan.contentHash, reason: "test" };
  const approve = () =>
    post({ path: `/v1/plans/${plan.planId}/approve`, token: String(env.ADMIN_TOKEN), body: approval });
  while (!(await survives(approve)));
  for (let turn = 0, over = 0; turn < 40; turn++) {
    now += 1000;
    for (const agent of [agents.source, agents.destination]) {
      await survives(() => beat(agent));
      await flush(agent);
    }
    for (const id of instances)
      await survives(async () => {
        if (!(await advanceRun(alive.deps, id)).ended) return;
        await replanAfter(alive.deps, id);
        instances.delete(id);
      });
    await survives(() => keepRuns(alive.deps));
    over = (await isOver(plan)) ? over + 1 : 0;
    // After the end the destination is cleared, and says so.
    if (over === 3) return;
  }
  throw new Error("the plan never ended");
}

async function isOver({ planId }: Plan): Promise<boolean> {
  const { body } = await call<Plan>("GET", `/v1/plans/${planId}`);
  return body.endedAt !== null;
}

const rows = async (sql: string, ...values: unknown[]): Promise<string[]> =>
  (
    await env.DB.prepare(sql)
      .bind(...values)
      .all()
  ).results
    .map((row) => JSON.stringify(row))
    .toSorted();

/** All that may not differ however often the edge died, without times and ids that are drawn. */
export async function content({ plan, guests, a, b }: Scene): Promise<Record<string, string[]>> {
  const runs = await rows(
    "SELECT move_number, state, fencing_token, measured, json_extract(failure, '$.reason') AS reason, ended_at IS NULL AS open FROM migrations WHERE plan_id = ?",
    plan.planId,
  );
  return {
    plan: await rows("SELECT state, ended_at IS NULL AS open FROM plans WHERE id = ?", plan.planId),
    runs,
    commands: await rows(
      "SELECT m.move_number, c.type, c.host_id, c.state = 'pending' AS pending FROM commands c JOIN migrations m ON m.id = c.migration_id WHERE m.plan_id = ?",
      plan.planId,
    ),
    events: await rows(
      "SELECT m.move_number, e.type, e.host_id FROM migration_events e JOIN migrations m ON m.id = e.migration_id WHERE m.plan_id = ?",
      plan.planId,
    ),
    outcomes: await rows(
      "SELECT m.move_number, o.state, o.measured, o.lesson IS NULL AS unlearned FROM outcomes o JOIN migrations m ON m.id = o.migration_id WHERE m.plan_id = ?",
      plan.planId,
    ),
    reservations: await rows("SELECT host_id FROM reservations WHERE host_id IN (?, ?)", a.hostId, b.hostId),
    places: await rows(
      "SELECT uuid, host_id, fencing_token FROM vms WHERE uuid IN (?, ?)",
      ...guests.map(({ uuid }) => uuid),
    ),
  };
}
