// What a policy would have done in a time, against what was done.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { type Scoreboard, movedByOthers, scoreOf } from "../model/policy/scoreboard.ts";
import { DAY_MS } from "../model/units.ts";
import { readRecord } from "./policies.ts";

const PLANS_MAX = 200;
const RUNS_MAX = 5000;
const DEFAULT_DAYS = 7;

export async function readScoreboard(
  deps: Deps,
  policyId: string,
  input: { from?: number | undefined; to?: number | undefined; horizonMs: number },
): Promise<Scoreboard> {
  const { cluster } = await readRecord(deps, policyId);
  const now = deps.now();
  const to = input.to ?? now;
  const from = input.from ?? to - DEFAULT_DAYS * DAY_MS;
  if (to <= from)
    throw new AppError({ code: "invalid_request", issues: [{ path: "to", message: "must be after from" }] });
  const until = to + input.horizonMs;
  const { policyPlans, policyRuns } = deps.store;
  const [shadows, runs, migrations, arrivals] = await Promise.all([
    policyPlans.shadowsIn(policyId, from, to, PLANS_MAX + 1),
    policyRuns.measured(policyId, from, until, RUNS_MAX),
    policyPlans.migrationsIn(cluster, from, until),
    policyPlans.arrivalsIn(cluster, from, until),
  ]);
  return scoreOf({
    policyId,
    from,
    to,
    now,
    horizonMs: input.horizonMs,
    shadows: shadows.slice(0, PLANS_MAX),
    runs,
    real: [...migrations, ...movedByOthers(arrivals, migrations)].toSorted((a, b) => a.at - b.at),
    truncated: shadows.length > PLANS_MAX,
  });
}
