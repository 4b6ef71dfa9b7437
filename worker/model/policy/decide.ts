// What becomes of a plan that a policy made: who may approve it, which of its moves, and why not the others.
import type { Move } from "../placement/types.ts";
import type { BudgetLeft } from "./budget.ts";
import { type FreezeRule, clusterFrozen, frozen } from "./freeze.ts";
import { type Policy, type PolicyMode, isAutomatic } from "./policy.ts";
import type { LeftOut, RunOutcome } from "./run.ts";
import { type MoveSubject, outsideScope } from "./scope.ts";
import { isAboutHost } from "./signals.ts";
import { nextOpening, windowOpen } from "./windows.ts";

export type JudgedMove = Pick<
  Move,
  "n" | "vm" | "vmName" | "fromHostId" | "toHostId" | "mechanism" | "limits" | "parameters"
> & { estimate: { transferredBytes: { p50: number } }; gain: { bundle: number } };

/** Labels by host id and by VM uuid, as they are now. */
export type Labels = {
  hosts: Record<string, Record<string, string> | undefined>;
  vms: Record<string, Record<string, string> | undefined>;
};

/** Whether anything in the move, now or at its deadline, lets the VM's memory be on two hosts. */
export const mayPostCopy = ({ mechanism, limits, parameters }: JudgedMove): boolean =>
  mechanism === "post-copy" ||
  mechanism === "hybrid" ||
  limits.postCopyPermitted ||
  parameters.onDeadline === "post-copy" ||
  parameters.postCopyAfterMs !== null;

const subject = (move: JudgedMove, labels: Labels): MoveSubject => ({
  vm: move.vm,
  fromHostId: move.fromHostId,
  toHostId: move.toHostId,
  vmLabels: labels.vms[move.vm],
  hostLabels: labels.hosts,
});

const iso = (at: number): string => new Date(at).toISOString();

/** For the end of a sentence that begins with what is frozen. */
export const freezeText = ({ freezeId, reason, to }: FreezeRule): string =>
  `frozen by ${freezeId} (${reason})${to === undefined ? "" : ` until ${iso(to)}`}`;

export type Held = { outcome: RunOutcome; why: string };

/** What forbids the policy as a whole at `now`, before any plan is made; null: nothing. */
export function heldBack(
  { windows }: Pick<Policy, "windows">,
  { freezes, budget, now }: { freezes: readonly FreezeRule[]; budget: BudgetLeft; now: number },
): Held | null {
  if (!windowOpen(windows, now)) {
    const opens = nextOpening(windows, now);
    const when = opens === null ? "none of them opens in the next 15 days" : `the next one opens at ${iso(opens)}`;
    return { outcome: "outside-window", why: `Outside its windows; ${when}.` };
  }
  const whole = clusterFrozen(freezes, now);
  if (whole) return { outcome: "frozen", why: `The cluster is ${freezeText(whole)}.` };
  if (budget.moves <= 0) return { outcome: "budget-spent", why: "The moves of its budget are spent." };
  if (budget.bytes <= 0) return { outcome: "budget-spent", why: "The bytes of its budget are spent." };
  return null;
}

export type Circumstances = { freezes: readonly FreezeRule[]; budget: BudgetLeft; labels: Labels; now: number };

/** Moves outside the scope, and what cannot be done without them. They are never made, whoever approves. */
export const outOfScope = (policy: Pick<Policy, "scope">, moves: readonly JudgedMove[], labels: Labels): LeftOut[] =>
  leaveOut(moves, () => (move) => {
    const why = outsideScope(policy.scope, subject(move, labels));
    return why === null ? null : { cause: "scope", why };
  });

/**
 * The moves that the policy may approve without a person, in the order of the plan, and those that it may not. Each is
 * judged by scope, post-copy, freezes and what the budget has left after those before it.
 */
export function permitted(
  policy: Pick<Policy, "scope" | "mode">,
  moves: readonly JudgedMove[],
  { freezes, budget, labels, now }: Circumstances,
): { approve: number[]; leftOut: LeftOut[] } {
  const leftOut = leaveOut(moves, () => judgeIn(policy, { freezes, budget, labels, now }));
  const left = new Set(leftOut.map(({ n }) => n));
  return { approve: moves.map(({ n }) => n).filter((n) => !left.has(n)), leftOut };
}

/** Judges one move after the other, by what the budget has left after those that were kept. */
function judgeIn(
  policy: Pick<Policy, "scope" | "mode">,
  { freezes, budget, labels, now }: Circumstances,
): (move: JudgedMove) => Verdict {
  const kept: JudgedMove[] = [];
  let bytes = 0;
  return (move) => {
    const ends = subject(move, labels);
    const outside = outsideScope(policy.scope, ends);
    if (outside !== null) return { cause: "scope", why: outside };
    if (isAutomatic(policy.mode) && mayPostCopy(move))
      return { cause: "post-copy", why: `${move.mechanism} needs a person's approval` };
    const rule = frozen(freezes, now, ends);
    if (rule) return { cause: "frozen", why: freezeText(rule) };
    const ofVm = kept.filter((other) => other.vm === move.vm).length;
    if (budget.movesOf(move.vm) <= ofVm) return { cause: "budget", why: `${move.vmName} was moved often enough today` };
    const moveBytes = move.estimate.transferredBytes.p50;
    if (budget.moves <= kept.length) return { cause: "budget", why: "the moves of the budget are spent" };
    if (budget.bytes < bytes + moveBytes) return { cause: "budget", why: "the bytes of the budget are spent" };
    bytes += moveBytes;
    kept.push(move);
    return null;
  };
}

/** Null: the move is made. */
type Verdict = Pick<LeftOut, "cause" | "why"> | null;

/**
 * Goes through the moves in order. A plan counts on each move: where one is left out, so is every later one of the same VM
 * (it is not where that move begins), every later one into the host that it was to make room on, and its whole bundle, whose
 * moves only pay together. What a bundle that falls would have spent of the budget is there for others: all are judged anew.
 */
function leaveOut(moves: readonly JudgedMove[], judging: () => (move: JudgedMove) => Verdict): LeftOut[] {
  const ordered = moves.toSorted((a, b) => a.n - b.n);
  /** Bundle → the move for which it falls. */
  const fallen = new Map<number, LeftOut>();
  for (;;) {
    const left = passOver(ordered, judging(), fallen);
    const out = new Map(left.map((one) => [one.n, one]));
    const kept = new Set(ordered.filter(({ n }) => !out.has(n)).map(({ gain }) => gain.bundle));
    const torn = ordered.find(({ n, gain }) => out.has(n) && kept.has(gain.bundle));
    const cause = torn && out.get(torn.n);
    if (torn === undefined || cause === undefined) return left;
    fallen.set(torn.gain.bundle, cause);
  }
}

function passOver(
  ordered: readonly JudgedMove[],
  judge: (move: JudgedMove) => Verdict,
  fallen: ReadonlyMap<number, LeftOut>,
): LeftOut[] {
  const left: LeftOut[] = [];
  const [vms, notFreed] = [new Map<string, number>(), new Map<string, number>()];
  for (const move of ordered) {
    const first = fallen.get(move.gain.bundle);
    const needed = first?.n ?? vms.get(move.vm) ?? notFreed.get(move.toHostId);
    const why = `move ${needed}, on which it depends, is left out`;
    const verdict: Verdict =
      needed === undefined ? judge(move) : first?.n === move.n ? first : { cause: "depends", why };
    if (verdict === null) continue;
    left.push({ n: move.n, cause: verdict.cause, why: verdict.why });
    vms.set(move.vm, move.n);
    notFreed.set(move.fromHostId, move.n);
  }
  return left;
}

export type Decision = Held & { approve: number[]; leftOut: LeftOut[] };

/** `mode`: the one that holds now. Approval by timeout begins as a proposal; `approve` is what it would approve as things are. */
export function whatToDo(
  policy: Pick<Policy, "scope" | "mode" | "approveAfterMs">,
  mode: PolicyMode,
  plan: { moves: readonly JudgedMove[]; summary: string },
  now: Circumstances,
): Decision {
  const outside = outOfScope(policy, plan.moves, now.labels);
  if (plan.moves.length === 0) return { outcome: "nothing-to-do", why: plan.summary, approve: [], leftOut: [] };
  if (outside.length === plan.moves.length)
    return {
      outcome: "nothing-to-do",
      why: `All ${outside.length} moves are outside its scope.`,
      approve: [],
      leftOut: outside,
    };
  const judged = permitted(policy, plan.moves, now);
  const some = `${judged.approve.length} of ${plan.moves.length} moves`;
  if (mode === "shadow")
    return { outcome: "shadowed", why: `Would be ${policy.mode} with ${some}. ${plan.summary}`, ...judged };
  if (mode === "advise") return { outcome: "proposed", why: plan.summary, approve: [], leftOut: outside };
  if (mode === "approve-by-timeout")
    return {
      outcome: "proposed",
      why: `${plan.summary} Approved by silence after ${policy.approveAfterMs} ms.`,
      approve: [],
      leftOut: outside,
    };
  if (judged.approve.length > 0) return { outcome: "approved", why: `Approved ${some}. ${plan.summary}`, ...judged };
  return { ...noneLeft(judged.leftOut), approve: [], leftOut: outside };
}

/** Why there is nothing that the policy may approve by itself: a person still may. */
function noneLeft(left: readonly LeftOut[]): Held {
  const first = left.find(({ cause }) => cause !== "scope" && cause !== "depends");
  const outcome: RunOutcome =
    first?.cause === "frozen" ? "frozen" : first?.cause === "budget" ? "budget-spent" : "proposed";
  return { outcome, why: `No move may be approved without a person: ${first?.why ?? "outside its scope"}.` };
}

export type WaitingPlan = { version: number; createdAt: number; mode: PolicyMode | null };

/**
 * Whether silence approves a proposed plan now. The answer "no" says what stands against it; the plan waits on. `changed`: a
 * person has had a hand in it (left a move out), so that a person must decide.
 */
export function silenceApproves(
  policy: Policy | null,
  plan: WaitingPlan,
  moves: readonly JudgedMove[],
  now: Circumstances,
): { approve: number[]; leftOut: LeftOut[] } | { no: string } {
  if (policy === null) return { no: "its policy was deleted" };
  if (!policy.enabled) return { no: "its policy is paused" };
  if (policy.mode !== "approve-by-timeout" || plan.mode !== "approve-by-timeout")
    return { no: `its policy's mode is ${policy.mode}` };
  if (policy.approveAfterMs === undefined || now.now < plan.createdAt + policy.approveAfterMs)
    return { no: "its time has not come" };
  if (plan.version !== 1) return { no: "it was changed by a person" };
  const held = heldBack(policy, now);
  if (held) return { no: held.why };
  const judged = permitted(policy, moves, now);
  return judged.approve.length > 0 ? judged : { no: noneLeft(judged.leftOut).why };
}

type Aim = { parameters: { hostIds?: string[] | undefined } };

/**
 * Whether a plan that waits gives way to what a run comes to. Where events say which host to empty, one for another host goes on waiting;
 * `hostId`: the host that the run is about.
 */
export function replaces(
  policy: Pick<Policy, "goals">,
  hostId: string | null,
  { parameters: { hostIds } }: Aim,
): boolean {
  if (hostIds === undefined || !isAboutHost(policy)) return true;
  return hostId !== null && hostIds.includes(hostId);
}

/** At least so much of a plan that waits is still wanted: it goes on waiting. */
const WANTED_RATIO = 0.5;

type Wanted = { goal: string; moves: readonly Pick<Move, "vm" | "fromHostId" | "toHostId">[] };

/**
 * Whether a plan that waits stands by what a new run came to: the same goal wants at least half of its moves. Loads change all
 * the time; a plan that gave way to each little change would never be decided, least of all by silence.
 */
export function stillWanted(waiting: Wanted, fresh: Wanted): boolean {
  const key = ({ vm, fromHostId, toHostId }: Wanted["moves"][number]) => [vm, fromHostId, toHostId].join(" ");
  const wanted = new Set(fresh.moves.map(key));
  const kept = waiting.moves.filter((move) => wanted.has(key(move))).length;
  return waiting.goal === fresh.goal && kept >= WANTED_RATIO * waiting.moves.length;
}
