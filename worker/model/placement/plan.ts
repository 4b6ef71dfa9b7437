// A decision told: moves with their waves and reasons, what was not moved, what doing nothing would mean.
import { HOUR_MS } from "../units.ts";
import { ruleWarnings } from "./conflicts.ts";
import { efficacyOf } from "./efficacy.ts";
import type { Outcome } from "./engine.ts";
import { mainObstacle, notChosenFor, unknownTail, whyItPays, whyMechanism } from "./explain.ts";
import { seenOf } from "./findings.ts";
import { counted as countOf, deviation, duration, money, percent, ratio } from "./format.ts";
import { migrationCost } from "./gain.ts";
import { restartsOf } from "./restarts.ts";
import { durationOf, type Scheduled } from "./schedule.ts";
import { pressuresOf } from "./pressure.ts";
import { type Rate, stateRate, totalOf } from "./score.ts";
import { thresholdsOf } from "./thresholds.ts";
import type { Chosen } from "./select.ts";
import type { Efficacy, Move, PlanContent, Score } from "./types.ts";
import { copyWorld, hostAt, hostOfVm, place, vmAt, type World } from "./world.ts";

/** The plan that an outcome makes. */
export function planOf(outcome: Outcome): PlanContent {
  const { start, end, counted, stages } = outcome;
  const { parameters } = start;
  const moves = movesOf(outcome);
  const before = efficacyOf(start, counted);
  const after = efficacyOf(end, counted);
  const notMoved = notMovedOf(outcome);
  const [first] = stages;
  const spent = moves.reduce((sum, { estimate }) => sum + migrationCost(estimate, parameters), 0);
  const [now, later] = [start, end].map((world) => stateRate(world, counted, outcome.means)) as [Rate, Rate];
  const told = {
    before,
    after,
    moves,
    notMoved,
    now: scoreOf(now, 0, parameters.horizonMs),
    planned: scoreOf(later, spent, parameters.horizonMs),
  };
  const freed = freedHosts(start, end);
  return {
    cluster: start.snapshot.cluster,
    goal: first?.goal ?? "balance",
    strategy: stages.map(({ strategy }) => strategy).join(" → "),
    parameters,
    seen: [
      ...seenOf(start, first?.findings ?? []),
      ...stages.flatMap(({ answer }) => answer.seen),
      ...warningsOf(start),
    ],
    moves,
    notMoved,
    restarts: restartsOf(end),
    unknownHosts: unknownHostsOf(start),
    before,
    after,
    freedHosts: freed,
    powerOff: parameters.powerOffPermitted
      ? freed.slice(0, Math.max(0, start.hosts.length - parameters.hostsOnMin))
      : [],
    summary: summaryOf(outcome, told),
    doNothing: { ...doNothing(outcome, told), efficacy: before, score: told.now },
    score: told.planned,
    bound: outcome.bound,
    schedule: { waves: outcome.scheduled.waves, durationMs: durationOf(byWave(moves)) },
    cutShort: outcome.cutShort,
    totals: totalsOf(moves),
  };
}

const totalsOf = (moves: readonly Move[]): PlanContent["totals"] => {
  const sum = (of: (move: Move) => number): number => moves.reduce((total, move) => total + of(move), 0);
  return {
    moves: moves.length,
    bytesP50: sum(({ estimate }) => estimate.transferredBytes.p50),
    downtimeMsP90Max: Math.max(0, ...moves.map(({ estimate }) => estimate.downtimeMs?.p90 ?? 0)),
    downtimeMsP50Sum: sum(({ estimate }) => estimate.downtimeMs?.p50 ?? 0),
    totalMsP50: sum(({ estimate }) => estimate.totalMs.p50),
    energyJoulesP50: sum(({ estimate }) => estimate.energyJoules.p50),
  };
};

const byWave = (moves: readonly Move[]) =>
  [...Map.groupBy(moves, ({ wave }) => wave).values()].map((wave) => wave.map(({ estimate }) => estimate));

function scoreOf(rate: Rate, migrations: number, horizonMs: number): Score {
  const hours = horizonMs / HOUR_MS;
  const of = (value: number): number => value * hours;
  return {
    total: of(totalOf(rate)) + migrations,
    overload: of(rate.overload),
    imbalance: of(rate.imbalance),
    energy: of(rate.energy),
    rules: of(rate.rules),
    traffic: of(rate.traffic),
    migrations,
  };
}

function movesOf({ start, scheduled, stages }: Outcome): Move[] {
  const state = copyWorld(start);
  const pressed = pressedHosts(start, stages);
  const members = new Map<number, number>();
  for (const step of scheduled.steps)
    if (!step.parking) members.set(step.gain.bundle, (members.get(step.gain.bundle) ?? 0) + 1);
  return scheduled.steps.map((step, index) => {
    const move = moveOf(state, step, index + 1, members);
    place(state, step.vm, step.to);
    const pressure = pressed.get(step.from);
    const isNamed = pressure === undefined || move.reasons.some((reason) => reason.includes(pressure));
    return isNamed ? move : { ...move, reasons: [...move.reasons, pressure] };
  });
}

/** What the first goal found of hosts that are hot by pressure or swapping: what they use does not say why VMs leave them. */
function pressedHosts(start: World, [first]: Outcome["stages"]): Map<number, string> {
  const { snapshot, parameters } = start;
  const thresholds = thresholdsOf(parameters);
  const isPressed = (host: number): boolean =>
    pressuresOf(hostAt(start, host), snapshot.at, parameters, thresholds).length > 0;
  const hot = first?.findings.filter(({ host, state }) => state === "hot" && isPressed(host)) ?? [];
  return new Map(hot.map(({ host, sentence }) => [host, sentence]));
}

/** A move with the limits that an approval would bind. `state` is what it begins with. */
function moveOf(state: World, step: Scheduled<Chosen>, n: number, members: ReadonlyMap<number, number>): Move {
  const { parameters } = state;
  const chosen = step.parking ? step.for : step;
  const { estimate, parameters: migration } = chosen.cost;
  const { mechanism } = estimate;
  const [vm, to] = [vmAt(state, step.vm), hostAt(state, step.to)];
  const { why } = chosen;
  const parked = `${vm.name} waits on ${to.hostId} until ${hostAt(state, chosen.to).hostId} has room for it: without it no order of the ${members.size} bundles is possible.`;
  return {
    n,
    wave: step.wave,
    vm: vm.uuid,
    vmName: vm.name,
    fromHostId: hostAt(state, step.from).hostId,
    toHostId: to.hostId,
    parking: step.parking,
    mechanism,
    parameters: migration,
    limits: {
      downtimeMsMax: parameters.downtimeSloMs,
      bandwidthBytesPerSecondMax: parameters.bandwidthBytesPerSecondMax ?? migration.maxBandwidthBytesPerSecond,
      postCopyPermitted: mechanism === "post-copy" || mechanism === "hybrid" || migration.onDeadline === "post-copy",
    },
    estimate,
    gain: chosen.gain,
    reasons: [
      why.vm,
      step.parking ? parked : why.there,
      `${why.now} ${whyItPays(chosen.gain, members.get(chosen.gain.bundle) ?? 1)}`,
      ...whyMechanism(chosen.cost, parameters),
    ],
    notChosen: step.parking ? [] : notChosenFor(state, step.vm, step.to),
  };
}

const WARNINGS_MAX = 20;

/** VMs that are in two places, and rules that say nothing of what there is: perhaps somebody trusts in them. */
function warningsOf(world: World): string[] {
  const twice = world.vms.flatMap(({ name, reportedBy }) =>
    reportedBy === undefined ? [] : [`${name} is reported to run on ${reportedBy}: it is left where it is.`],
  );
  const told = ruleWarnings(world).map(({ rules, why }) => `${rules.join(", ")}: ${why}`);
  return [...shortened(twice, "further VM"), ...shortened(told, "further warning")];
}

function shortened(told: readonly string[], noun: string): string[] {
  const rest = told.length - WARNINGS_MAX;
  return rest <= 0 ? [...told] : [...told.slice(0, WARNINGS_MAX), `${countOf(rest, noun)}.`];
}

function notMovedOf({ end, stages, scheduled }: Outcome): PlanContent["notMoved"] {
  const said = new Map<number, PlanContent["notMoved"][number]["rejections"]>();
  const all = stages.flatMap(({ answer, refused }) => [...answer.stuck, ...refused]);
  for (const { vm, rejections } of all) if (!said.has(vm)) said.set(vm, rejections);
  for (const { step, rejection } of scheduled.impossible) said.set(step.vm, [rejection]);
  return [...said]
    .filter(([vm]) => end.hostOf[vm] === end.origin[vm])
    .map(([vm, rejections]) => {
      const { uuid, name } = vmAt(end, vm);
      return { vm: uuid, vmName: name, hostId: hostOfVm(end, vm).hostId, rejections };
    });
}

export const unknownHostsOf = (world: World): PlanContent["unknownHosts"] =>
  world.hosts.flatMap(({ hostId }, host) => {
    const why = world.unknown[host];
    return why === null || why === undefined ? [] : [{ hostId, why: why.detail }];
  });

/** Hosts that had VMs and have none afterwards. */
const freedHosts = (start: World, end: World): string[] =>
  start.hosts.flatMap(({ hostId }, host) =>
    (start.vmsOn[host]?.size ?? 0) > 0 && end.vmsOn[host]?.size === 0 ? [hostId] : [],
  );

type Told = {
  before: Efficacy;
  after: Efficacy;
  moves: Move[];
  notMoved: PlanContent["notMoved"];
  now: Score;
  planned: Score;
};

function summaryOf(outcome: Outcome, { before, after, moves, notMoved, now, planned }: Told): string {
  const { start, stages } = outcome;
  const known = start.unknown.filter((why) => why === null).length;
  const tail = unknownTail(unknownHostsOf(start));
  if (known === 0) return `Nothing to do: the load of 0 of ${countOf(start.hosts.length, "host")} is known${tail}.`;
  const cut = outcome.cutShort ? " The search was cut short by evaluationsMax." : "";
  if (moves.length === 0) {
    const why = stages.map(({ answer }) => answer.idle).join("; ");
    return notMoved.length === 0
      ? `${outcome.cutShort ? "No move" : "Nothing to do"}: ${why}${tail}.${cut}`
      : `No move: ${why}${tail}.${cut} ${mainObstacle(notMoved)}`;
  }
  const targets = new Set(moves.map(({ toHostId }) => toHostId)).size;
  const moved = new Set(moves.map(({ vm }) => vm)).size;
  const durationMs = durationOf(byWave(moves));
  const head = `Moves ${notMoved.length === 0 ? "" : `${moved} of `}${countOf(moved + notMoved.length, "VM")} to ${countOf(targets, "host")} in ${countOf(outcome.scheduled.waves, "wave")}, about ${duration(durationMs.p50)}: ${changesOf(before, after).join(", ")}; costs ${money(planned.total)} over the horizon where doing nothing costs ${money(now.total)}${tail}.`;
  return notMoved.length === 0 ? `${head}${cut}` : `${head}${cut} ${mainObstacle(notMoved)}`;
}

/** Indicators that differ before and after. */
function changesOf(before: Efficacy, after: Efficacy): string[] {
  const changes: [string, number, number, (value: number) => string][] = [
    ["hot hosts", before.hotHosts, after.hotHosts, String],
    ["VMs to be moved off", before.toEvacuate, after.toEvacuate, String],
    ["empty hosts", before.emptyHosts, after.emptyHosts, String],
    ["imbalance", before.imbalance, after.imbalance, deviation],
    ["hottest CPU", before.cpuRatioMax, after.cpuRatioMax, ratio],
    ["watts", before.watts ?? 0, after.watts ?? 0, (value) => String(Math.round(value))],
    ["broken rules", before.brokenRules, after.brokenRules, String],
  ];
  const told = changes.flatMap(([name, was, is, format]) =>
    format(was) === format(is) ? [] : [`${name} ${format(was)} → ${format(is)}`],
  );
  return told.length === 0 ? [`imbalance ${deviation(after.imbalance)}`] : told;
}

function doNothing(
  { start, stages }: Outcome,
  { before, moves, notMoved, now }: Told,
): { acceptable: boolean; why: string } {
  const known = start.unknown.filter((why) => why === null).length;
  if (known === 0)
    return { acceptable: false, why: `no host's load is known (0 of ${start.hosts.length}), so nothing can be said.` };
  const state = `hottest host at ${percent(before.cpuRatioMax)} of its cores, imbalance ${deviation(before.imbalance)}, ${countOf(before.toEvacuate, "VM")} to be moved off, ${countOf(before.brokenRules, "rule")} broken`;
  const cost = `staying as it is costs ${money(now.total)} over the horizon`;
  const idle = stages
    .map(({ answer }) => answer.idle)
    .filter((why) => why !== "")
    .join("; ");
  const acceptable = moves.length === 0 && notMoved.length === 0 && before.hotHosts === 0 && before.toEvacuate === 0;
  return { acceptable, why: `${state}; ${cost}${moves.length === 0 && idle !== "" ? `; ${idle}` : ""}.` };
}
