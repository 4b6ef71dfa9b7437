// Whether moves still help: what executed plans promised against what the next run found.
import type { Goal, PlanContent } from "../placement/types.ts";
import { EWMA_HALF_LIFE_MS } from "../telemetry/known.ts";
import { HOUR_MS } from "../units.ts";
import type { HelpAlarm } from "./policy.ts";
import type { Indicators } from "./run.ts";

/** Before that much time has passed a cluster looks as it did: loads are averages, within an eighth of a change by then. */
export const SETTLE_MS = 3 * EWMA_HALF_LIFE_MS;

/** A plan that was executed. `found`: the cluster as the first run found it that began `SETTLE_MS` after its end or later. */
export type Executed = {
  planId: string;
  /** In their order. */
  goals: readonly Goal[];
  before: Indicators;
  promised: Indicators;
  found: Indicators;
};

/**
 * What a goal wants, in the order in which it is looked at. Hosts in use come before watts: those are a model's, and depend on
 * whether empty hosts count as switched off.
 */
const WANTED: Record<Goal, readonly string[]> = {
  balance: ["overloadedCores", "imbalance", "hotHosts", "memoryRatioMax"],
  consolidate: ["emptyHosts", "watts"],
  "save-energy": ["emptyHosts", "watts"],
  evacuate: ["toEvacuate"],
  "fault-tolerance": ["brokenRules"],
  locality: ["crossBytesPerSecond"],
};

/** Smaller changes are no promise. Expected overload and imbalance are never quite 0, and change a little with every move. */
const PROMISE_MIN: Partial<Record<string, number>> = { overloadedCores: 0.1, imbalance: 0.001, watts: 1 };
const ROUNDING = 1e-9;

/** The indicator by which a plan is judged: the one asked for, else the first that its goals want and it promised to change. */
function judgedBy({ goals, before, promised }: Omit<Executed, "planId" | "found">, asked?: string): string | null {
  const change = (name: string) => Math.abs((promised[name] ?? NaN) - (before[name] ?? NaN));
  if (asked !== undefined) return change(asked) > ROUNDING ? asked : null;
  const wanted = goals.flatMap((goal) => WANTED[goal]);
  return wanted.find((name) => change(name) > (PROMISE_MIN[name] ?? ROUNDING)) ?? null;
}

export type Gain = { indicator: string; before: number; promised: number; found: number; ratio: number };

export const goalsOf = ({ goal, parameters }: Pick<PlanContent, "goal" | "parameters">): Goal[] => [
  goal,
  ...parameters.next.map((stage) => stage.goal),
];

/**
 * Share of the promised change that was found: 1 as promised, 0 none, below 0 worse than before. Whether lower is better does
 * not matter: the promise has the direction. Null: nothing that the goals want was promised, or it is not known any more.
 */
export function gainOf(plan: Omit<Executed, "planId">, asked?: string): Gain | null {
  const indicator = judgedBy(plan, asked);
  if (indicator === null) return null;
  const [before, promised, found] = [plan.before[indicator], plan.promised[indicator], plan.found[indicator]];
  if (before === undefined || promised === undefined || found === undefined) return null;
  return { indicator, before, promised, found, ratio: (found - before) / (promised - before) };
}

const figure = (value: number): string => String(Number(value.toPrecision(3)));

/** An evacuation is not judged by whether it helps: it is made because it must be. */
function gainsOf(executed: readonly Executed[], { indicator }: HelpAlarm): Gain[] {
  return executed.flatMap((plan) => {
    const goals = plan.goals.filter((goal) => goal !== "evacuate");
    return gainOf({ ...plan, goals }, indicator) ?? [];
  });
}

/**
 * Why moves have stopped helping, with the numbers of the last plan, or null: they help, or it is not known. `executed`
 * newest last; plans that promised nothing measurable do not count for or against.
 */
export function stoppedHelping(executed: readonly Executed[], alarm: HelpAlarm): string | null {
  const gains = gainsOf(executed, alarm);
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
  const gains = gainsOf(executed, alarm).toReversed();
  const kept = gains.findIndex(({ ratio }) => ratio >= alarm.gainRatioMin);
  const short = kept === -1 ? gains.length : kept;
  return Math.max(cooldownMs, Math.min(cooldownMs * 2 ** short, REST_MS_MAX));
}
