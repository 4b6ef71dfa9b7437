// How much longer a running migration takes, from what its source has reported.
import { z } from "zod";
import type { Deps } from "../env.ts";
import { type InFlightForecast, forecastInFlight } from "../model/migration/in-flight.ts";
import type { RunState } from "../model/lifecycle.ts";
import type { MigrationRun, TimelineEntry } from "../model/run.ts";
import { type Progress, progress } from "../model/wire/event.ts";
import { readRun } from "./runs.ts";

const RUNNING: readonly RunState[] = ["prepared", "pre-copying", "switching", "resuming"];
const progressBody = z.looseObject({ progress });
const steeredBody = z.looseObject({ what: z.string(), to: z.number() });

export type ForecastRun = MigrationRun & { forecast: InFlightForecast | null };

/** `GET /v1/migrations/{id}`: the run, and what is to be expected of it; null: it does not run, or has not said a word yet. */
export async function readForecastRun(deps: Deps, migrationId: string): Promise<ForecastRun> {
  const run = await readRun(deps, migrationId);
  if (!RUNNING.includes(run.state) || run.progress === null) return { ...run, forecast: null };
  const timeline = await deps.store.migrations.timeline(migrationId);
  const told = timeline.flatMap(({ type, hostId, body }) => {
    const parsed = type === "progress" && hostId === run.fromHostId ? progressBody.safeParse(body) : null;
    return parsed?.success ? [parsed.data.progress] : [];
  });
  const history = [...told, run.progress].toSorted((a, b) => a.elapsedMs - b.elapsedMs);
  const agoMs = Math.max(0, deps.now() - (run.lastEventAt ?? deps.now()));
  const now = { ...run, parameters: presentParameters(run, timeline) };
  return { ...run, forecast: forecastInFlight(history, now, run.progress.elapsedMs + agoMs) };
}

/** As they were steered to since the start. */
function presentParameters(run: MigrationRun, timeline: readonly TimelineEntry[]): MigrationRun["parameters"] {
  const parameters = { ...run.parameters };
  for (const { type, body } of timeline) {
    const steered = type === "steered" ? steeredBody.safeParse(body) : null;
    if (!steered?.success) continue;
    const { what, to } = steered.data;
    if (what === "downtime-limit") parameters.downtimeLimitMs = to;
    if (what === "max-bandwidth") parameters.maxBandwidthBytesPerSecond = to;
  }
  return parameters;
}

/** Entries in a timeline for each e-fold of time: 2 % apart, some hundred in a day. */
const ENTRIES_PER_E_FOLD = 50;

/** Progress is kept in the timeline where it begins a round or a phase, the thinner the longer it lasts: D1 bills each row. */
export function isWorthKeeping(before: Progress | null, now: Progress): boolean {
  if (before === null || before.phase !== now.phase) return true;
  const slot = ({ elapsedMs }: Progress) => Math.floor(ENTRIES_PER_E_FOLD * Math.log1p(elapsedMs / 1000));
  return before.iteration !== now.iteration && slot(before) !== slot(now);
}
