// Whether moves still help: what executed plans promised against what the next run found.
import { EWMA_HALF_LIFE_MS } from "../telemetry/known.ts";
import { HOUR_MS } from "../units.ts";
import type { HelpAlarm } from "./policy.ts";
import type { Indicators } from "./run.ts";

/** Before that much time has passed a cluster looks as it did: loads are averages, within an eighth of a change by then. */
export const SETTLE_MS = 3 * EWMA_HALF_LIFE_MS;

/** A plan that was executed. `found`: the cluster as the first run found it that began `SETTLE_MS` after its end or later. */
export type Executed = { planId: string; before: Indicators; promised: Indicators; found: Indicators };

/** In which order indicators are looked at: what the goal is about before what follows from it. */
const FIRST = ["toEvacuate", "brokenRules", "hotHosts", "cpuImbalance", "cpuRatioMax", "emptyHosts"];

const rank = (name: string): number => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);

/** Smaller differences are rounding. */
const PROMISE_MIN = 1e-9;

/** The indicator by which a plan is judged: the one asked for, else the first that the plan promised to change. */
function judgedBy({ before, promised }: Omit<Executed, "planId" | "found">, asked: string | undefined): string | null {
  const changes = (name: string) => Math.abs((promised[name] ?? NaN) - (before[name] ?? NaN)) > PROMISE_MIN;
  if (asked !== undefined) return changes(asked) ? asked : null;
  const names = Object.keys(before).filter(changes);
  return names.toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))[0] ?? null;
}

export type Gain = { indicator: string; before: number; promised: number; found: number; ratio: number };

/**
 * Share of the promised change that was found: 1 as promised, 0 none, below 0 worse than before. Whether lower is better does
 * not matter: the promise has the direction. Null: nothing was promised, or the indicator is not known any more.
 */
export function gainOf(plan: Omit<Executed, "planId">, asked?: string): Gain | null {
  const indicator = judgedBy(plan, asked);
  if (indicator === null) return null;
  const [before, promised, found] = [plan.before[indicator], plan.promised[indicator], plan.found[indicator]];
  if (before === undefined || promised === undefined || found === undefined) return null;
  return { indicator, before, promised, found, ratio: (found - before) / (promised - before) };
}

const figure = (value: number): string => String(Number(value.toPrecision(3)));

/**
 * Why moves have stopped helping, with the numbers of the last plan, or null: they help, or it is not known. `executed`
 * newest last; plans that promised nothing measurable do not count for or against.
 */
export function stoppedHelping(executed: readonly Executed[], alarm: HelpAlarm): string | null {
  const gains = executed.flatMap((plan) => gainOf(plan, alarm.indicator) ?? []);
  const last = gains.slice(-alarm.plans);
  const newest = last.at(-1);
  if (newest === undefined || last.length < alarm.plans) return null;
  if (last.some(({ ratio }) => ratio >= alarm.gainRatioMin)) return null;
  const { indicator, before, promised, found } = newest;
  return `The last ${last.length} executed plans each reached less than ${figure(alarm.gainRatioMin)} of what they promised; the newest promised ${indicator} ${figure(before)} → ${figure(promised)}, and it was ${figure(found)}.`;
}

/** A longer `cooldownMs` stays as it is. */
const REST_MS_MAX = 8 * HOUR_MS;

/**
 * How long a policy rests after its last executed plan, ms: `cooldownMs`, doubled for each of the newest plans in a row that
 * fell short of its promise, up to 8 h. `executed` newest last.
 */
export function restMs(cooldownMs: number, executed: readonly Executed[], alarm: HelpAlarm): number {
  const gains = executed.flatMap((plan) => gainOf(plan, alarm.indicator) ?? []).toReversed();
  const kept = gains.findIndex(({ ratio }) => ratio >= alarm.gainRatioMin);
  const short = kept === -1 ? gains.length : kept;
  return Math.max(cooldownMs, Math.min(cooldownMs * 2 ** short, REST_MS_MAX));
}
