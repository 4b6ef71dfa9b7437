// The course of the demo: wait for telemetry, then one plan after the other: ask, show, decide, follow, compare.
import { setTimeout as sleep } from "node:timers/promises";
import type { Goal, PlanParameters } from "../../worker/model/placement/types.ts";
import type { Plan } from "../../worker/model/plan.ts";
import type { MigrationRun } from "../../worker/model/run.ts";
import type { Api, FleetHost } from "./api.ts";
import { CLUSTER } from "./fleet.ts";
import type { Screen } from "./screen.ts";
import { fleetLines, judge, planLines, progressLine, resultLines } from "./views.ts";

const POLL_MS = 400;
const TELEMETRY_MS_MAX = 60_000;
const PLAN_MS_MAX = 300_000;
const ENDED = ["completed", "failed", "cancelled"];

export type Stage = {
  api: Api;
  screen: Screen;
  /** Asks a person, or says yes at once. */
  ask: (question: string) => Promise<boolean>;
  /** Throws when one of the agents has ended by itself. */
  check: () => void;
  signal: AbortSignal;
};

const pause = async ({ signal, check }: Stage): Promise<void> => {
  await sleep(POLL_MS, undefined, { signal });
  check();
};

const curvesOf = (fleet: FleetHost[]): number =>
  fleet.flatMap(({ vmUuids, latest }) => vmUuids.filter((uuid) => latest?.vms[uuid]?.curve !== undefined)).length;

/** Until every host was sampled and every VM has a dirty curve. */
export async function awaitTelemetry(stage: Stage, hosts: number, vms: number): Promise<FleetHost[]> {
  const { api, screen } = stage;
  const until = Date.now() + TELEMETRY_MS_MAX;
  for (;;) {
    const fleet = await api.fleet(CLUSTER);
    const heard = fleet.filter(({ latest }) => latest?.host["cpu_used_cores"] !== undefined).length;
    const curves = curvesOf(fleet);
    screen.live([`telemetry of ${heard} of ${hosts} hosts, dirty curves of ${curves} of ${vms} VMs`]);
    if (heard >= hosts && curves >= vms) {
      screen.settle();
      return fleet;
    }
    if (Date.now() > until)
      throw new Error(
        `after ${TELEMETRY_MS_MAX / 1000} s there is telemetry of ${heard} hosts and ${curves} dirty curves`,
      );
    await pause(stage);
  }
}

export async function showFleet({ api, screen }: Stage): Promise<void> {
  const fleet = await api.fleet(CLUSTER);
  screen.event("fleet", { hosts: fleet });
  screen.lines(fleetLines(fleet));
}

/** The runs of a plan in the order of its moves, once all have ended. */
async function follow(stage: Stage, plan: Plan): Promise<MigrationRun[]> {
  const { api, screen } = stage;
  const until = Date.now() + PLAN_MS_MAX;
  const told = new Map<string, string>();
  const nameWidth = Math.max(...plan.content.moves.map(({ vmName }) => vmName.length));
  for (;;) {
    const runs = (await api.migrations(plan.planId)).toSorted((a, b) => a.moveNumber - b.moveNumber);
    const lines = runs.map((run) => progressLine(run, nameWidth));
    screen.live(lines);
    for (const [index, run] of runs.entries()) {
      const { migrationId, vmName, state, progress, failure } = run;
      const news = `${state} ${progress?.elapsedMs ?? 0}`;
      if (told.get(migrationId) === news) continue;
      screen.event("progress", { migrationId, vmName, state, progress, failure });
      if (told.get(migrationId)?.startsWith(`${state} `) !== true) screen.note(lines[index] ?? "");
      told.set(migrationId, news);
    }
    const { state } = await api.readPlan(plan.planId);
    if (runs.every((run) => ENDED.includes(run.state)) && ["done", "failed", "cancelled"].includes(state)) {
      screen.settle();
      return runs;
    }
    if (Date.now() > until) throw new Error(`plan ${plan.planId} did not end within ${PLAN_MS_MAX / 1000} s`);
    await pause(stage);
  }
}

function compare({ screen }: Stage, plan: Plan, runs: MigrationRun[]): void {
  screen.title(`Predicted against measured: ${plan.content.goal}`);
  screen.lines(resultLines(runs));
  for (const run of runs)
    screen.event("migration", {
      migrationId: run.migrationId,
      planId: run.planId,
      vmName: run.vmName,
      mechanism: run.mechanism,
      state: run.state,
      failure: run.failure,
      compared: judge(run),
    });
}

/** One goal from the question to the comparison. Returns how many migrations did not complete. */
export async function pursue(
  stage: Stage,
  title: string,
  goal: Goal,
  parameters: Partial<PlanParameters>,
): Promise<number> {
  const { api, screen, ask } = stage;
  screen.title(title);
  const plan = await api.plan(CLUSTER, goal, parameters);
  screen.event("plan", { plan });
  screen.lines(planLines(plan));
  const moves = plan.content.moves.length;
  if (moves === 0) return 0;
  screen.lines([""]);
  if (!(await ask(`Approve ${moves === 1 ? "this move" : `these ${moves} moves`}?`))) {
    await api.reject(plan, "said no in the demo");
    screen.event("rejected", { planId: plan.planId });
    screen.lines(["Rejected: nothing was moved."]);
    return 0;
  }
  await api.approve(plan, "approved in the demo");
  screen.event("approved", { planId: plan.planId, contentHash: plan.contentHash });
  screen.lines([`Approved exactly this plan, by its hash ${plan.contentHash.slice(0, 12)}…`, ""]);
  const runs = await follow(stage, plan);
  compare(stage, plan, runs);
  return runs.filter(({ state }) => state !== "completed").length;
}
