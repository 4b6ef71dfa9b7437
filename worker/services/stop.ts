// The big red button: nothing is begun any more, and what may be ended is ended.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { freezeHolds } from "../model/policy/freeze.ts";
import type { Principal } from "../model/principal.ts";
import type { StoppedRun } from "../model/run.ts";
import { createFreeze } from "./freezes.ts";
import { cancelPlan } from "./plans.ts";
import { stopRun } from "./stopping.ts";

/** Several writers at a plan at once are settled within this many tries. */
const TRIES_MAX = 5;

export type StopRequest = { cluster?: string | undefined; reason: string; until?: number | undefined };
export type Stopped = {
  freezes: { freezeId: string; cluster: string }[];
  cancelledPlans: string[];
  migrations: StoppedRun[];
};

/**
 * `POST /v1/stop`: first a freeze of each cluster, so that nothing begins meanwhile, then every approved plan, then every run.
 * Pressed again it finishes what was left, under the freeze that is there.
 */
export async function stopEverything(deps: Deps, principal: Principal, request: StopRequest): Promise<Stopped> {
  const { cluster, reason } = request;
  const clusters = await clustersOf(deps, request);
  const entry = { actor: principal.id, action: "stop", subject: cluster ?? "*", reason };
  const data = { cluster: cluster ?? null, reason, by: principal.id };
  await deps.store.audit.record(entry, deps.now(), [
    { type: "stop.pressed", cluster: data.cluster, subject: entry.subject, data },
  ]);
  const freezes = [];
  for (const name of clusters) freezes.push(await frozenBy(deps, principal, name, request));
  const detail = `Everything was stopped by ${principal.name}: ${reason}`;
  const migrations = new Map<string, StoppedRun>();
  const cancelledPlans: string[] = [];
  for (const { planId } of await deps.store.plans.underway(cluster ?? null)) {
    const cancelled = await cancelledPlan(deps, principal, planId, detail);
    if (cancelled === null) continue;
    cancelledPlans.push(planId);
    for (const run of cancelled.migrations) migrations.set(run.migrationId, run);
  }
  for (const { migrationId } of await deps.store.migrations.activeIn(cluster ?? null))
    if (!migrations.has(migrationId))
      migrations.set(migrationId, await stopRun(deps, migrationId, { reason: "stopped", detail }));
  return { freezes, cancelledPlans, migrations: [...migrations.values()] };
}

/** The clusters that are meant; throws where the request would hold nothing. */
async function clustersOf(deps: Deps, { cluster, until }: StopRequest): Promise<Set<string>> {
  const refuse = (path: string, message: string) =>
    new AppError({ code: "invalid_request", issues: [{ path, message }] });
  if (until !== undefined && until <= deps.now()) throw refuse("until", "must lie in the future, or it holds nothing");
  const hosts = await deps.store.telemetry.hostNames(cluster ?? null);
  if (cluster !== undefined && hosts.length === 0) throw refuse("cluster", `no host of ${cluster} is known`);
  return new Set(hosts.map((host) => host.cluster));
}

/** Null: it has ended meanwhile. A plan that moves on at the same time is cancelled as it is then. */
async function cancelledPlan(deps: Deps, principal: Principal, planId: string, reason: string) {
  for (let tries = 1; ; tries++) {
    try {
      return await cancelPlan(deps, principal, planId, reason);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      if (error.fault.code === "illegal_state") return null;
      if (error.fault.code !== "busy" || tries === TRIES_MAX) throw error;
    }
  }
}

/** The freeze that holds all of the cluster until then, or longer. */
async function frozenBy(
  deps: Deps,
  principal: Principal,
  cluster: string,
  { reason, until }: StopRequest,
): Promise<{ freezeId: string; cluster: string }> {
  const now = deps.now();
  const lasts = (to: number | undefined): boolean => to === undefined || (until !== undefined && to >= until);
  const known = (await deps.store.freezes.notOver(cluster, now)).find(
    (rule) => rule.scope === undefined && rule.windows === undefined && freezeHolds(rule, now) && lasts(rule.to),
  );
  const to = until === undefined ? {} : { to: until };
  const { freezeId } = known ?? (await createFreeze(deps, principal, { cluster, from: now, ...to, reason }));
  return { freezeId, cluster };
}
