// A plan as people decide on it: what moves, what that costs, what it brings, and why.
import { counted, duration, size } from "../placement/format.ts";
import type { Move } from "../placement/types.ts";
import type { Plan } from "../plan.ts";
import type { Block, Button, Message, Text, Tone } from "./message.ts";
import { hashOnButton } from "./actions.ts";
import { cut } from "./message.ts";
import { inTime, signed, spread, when } from "./words.ts";

/** Who has approved so far, and how many have to. */
export type ApprovalsSeen = {
  needed: number;
  given: readonly string[];
  /** Of whom they have to be; null: of anybody with the scope. */
  from: readonly string[] | null;
};

const WHYS_MAX = 6;
const WHY_LENGTH_MAX = 220;

const TONES: Record<Plan["state"], Tone> = {
  proposed: "asks",
  approved: "running",
  executing: "running",
  done: "good",
  failed: "bad",
  cancelled: "plain",
  rejected: "plain",
  expired: "plain",
  superseded: "plain",
};

const STATES: Record<Plan["state"], string> = {
  proposed: "waits for a decision",
  approved: "approved",
  executing: "is being carried out",
  done: "done",
  failed: "failed",
  cancelled: "cancelled",
  rejected: "rejected",
  expired: "past: nobody decided it in time",
  superseded: "past: its policy stands by it no more",
};

export type PlanSeen = {
  plan: Plan;
  approvals: ApprovalsSeen | null;
  /** When silence approves it; null: it does not. */
  silenceAt: number | null;
  now: number;
  publicUrl: string | null;
};

export function planMessage(seen: PlanSeen): Message {
  const { plan } = seen;
  const { content, state } = plan;
  const moves = content.moves.filter(({ n }) => !plan.skipped.includes(n));
  const title = `${content.goal} ${content.cluster}: ${counted(moves.length, "move")}, ${stateOf(plan)}`;
  return {
    tone: content.moves.length === 0 ? "good" : TONES[state],
    title,
    blocks: [
      { kind: "text", text: [content.summary] },
      ...(moves.length === 0 ? [] : [tableOf(moves), whysOf(moves)]),
      { kind: "facts", facts: factsOf(seen, moves) },
      ...unmoved(plan),
      ...(isOpen(seen) && moves.length > 0 ? [{ kind: "buttons" as const, buttons: buttonsOf(seen) }] : []),
      { kind: "note", text: noteOf(seen) },
    ],
  };
}

const stateOf = ({ state, content }: Plan): string =>
  content.moves.length === 0 ? "nothing to be decided" : STATES[state];

const isOpen = ({ plan, now }: PlanSeen): boolean => plan.state === "proposed" && plan.expiresAt > now;

const tableOf = (moves: readonly Move[]): Block => ({
  kind: "table",
  table: {
    columns: [
      { title: "#", isRight: true },
      { title: "VM" },
      { title: "from → to" },
      { title: "how" },
      { title: "down p50 / p90", isRight: true },
      { title: "takes", isRight: true },
      { title: "gain", isRight: true },
    ],
    rows: moves.map(({ n, vmName, fromHostId, toHostId, mechanism, estimate, gain }) => [
      String(n),
      vmName,
      `${fromHostId} → ${toHostId}`,
      mechanism,
      spread(estimate.downtimeMs),
      duration(estimate.totalMs.p50),
      gain.mandatory ? "must" : signed(gain.net),
    ]),
    more: 0,
  },
});

const whysOf = (moves: readonly Move[]): Block => ({
  kind: "text",
  text: [
    ...moves
      .slice(0, WHYS_MAX)
      .flatMap(({ n, vmName, reasons }, index): Text => [
        `${index === 0 ? "" : "\n"}${n}. `,
        { bold: vmName },
        ` ${cut(reasons[0] ?? "", WHY_LENGTH_MAX)}`,
      ]),
    ...(moves.length > WHYS_MAX ? [`\n… and why of ${moves.length - WHYS_MAX} more`] : []),
  ],
});

function factsOf({ plan, approvals, silenceAt, now }: PlanSeen, moves: readonly Move[]): [string, string][] {
  const { content, skipped, createdBy, decidedBy, reason, expiresAt, state } = plan;
  const { schedule, totals } = content;
  const open = state === "proposed" && moves.length > 0;
  return [
    ["Takes", `${duration(schedule.durationMs.p50)} in ${counted(schedule.waves, "wave")}, ${size(totals.bytesP50)}`],
    ["Asked for by", createdBy],
    ...(skipped.length > 0 ? [["Left out", skipped.join(", ")] as [string, string]] : []),
    ...(open ? [["Void", `${inTime(expiresAt, now)} (${when(expiresAt)})`] as [string, string]] : []),
    ...(open && silenceAt !== null
      ? [["If nobody decides", `approved ${inTime(silenceAt, now)}`] as [string, string]]
      : []),
    ...(open && approvals !== null && (approvals.needed > 1 || approvals.from !== null)
      ? [["Approvals", `${approvals.given.length} of ${approvals.needed}${namesOf(approvals)}`] as [string, string]]
      : []),
    ...(decidedBy === null
      ? []
      : [["Decided by", `${decidedBy}${reason === null ? "" : `: ${reason}`}`] as [string, string]]),
  ];
}

const namesOf = ({ given, from }: ApprovalsSeen): string =>
  `${given.length === 0 ? "" : `: ${given.join(", ")}`}${from === null ? "" : `; of ${from.join(", ")}`}`;

function unmoved({ content }: Plan): Block[] {
  if (content.notMoved.length === 0) return [];
  const lines = content.notMoved.slice(0, 3).map(({ vmName, hostId, rejections }) => {
    const why = cut(rejections[0]?.detail ?? "no reason is known", WHY_LENGTH_MAX);
    return `${vmName} stays on ${hostId}: ${why}`;
  });
  const more = content.notMoved.length - lines.length;
  return [{ kind: "text", text: [[...lines, ...(more > 0 ? [`… and ${more} more stay`] : [])].join("\n")] }];
}

function buttonsOf({ plan: { planId, contentHash }, approvals }: PlanSeen): Button[] {
  const needsOthers = (approvals?.needed ?? 1) > 1;
  const hash = hashOnButton(contentHash);
  return [
    { label: "Approve", tone: "good", action: { do: "approve", planId, hash } },
    { label: "Reject…", tone: "danger", action: { do: "reject", planId, hash } },
    { label: "Why", action: { do: "why", planId } },
    { label: "Refresh", action: { do: "show", planId } },
    ...(needsOthers
      ? [{ label: "Emergency…", tone: "danger" as const, action: { do: "override" as const, planId, hash } }]
      : []),
  ];
}

function noteOf({ plan: { planId, contentHash }, publicUrl }: PlanSeen): Text {
  const content = [" · content ", { code: contentHash.slice(0, 12) }];
  if (publicUrl === null) return [{ code: planId }, ...content];
  return [{ url: `${publicUrl}/v1/plans/${planId}`, label: planId }, ...content];
}

/** Why each move of a plan is made, and what else was weighed; `n` null: of all of them, shorter. */
export function whyMessage({ plan }: Pick<PlanSeen, "plan">, n: number | null): Message {
  const { moves, doNothing } = plan.content;
  const shown = n === null ? moves.slice(0, 8) : moves.filter((move) => move.n === n);
  return {
    tone: "plain",
    title: n === null ? `Why ${plan.content.goal} ${plan.content.cluster}` : `Why move ${n}`,
    blocks: [
      ...shown.map((move): Block => ({ kind: "text", text: whyOf(move, n === null) })),
      { kind: "text", text: [{ bold: "If nothing is done:" }, ` ${doNothing.why}`] },
      { kind: "note", text: [{ code: plan.planId }] },
    ],
  };
}

function whyOf(move: Move, isShort: boolean): Text {
  const { n, vmName, fromHostId, toHostId, mechanism, estimate, gain, reasons, notChosen } = move;
  const kept = isShort ? reasons.slice(0, 1) : reasons;
  const others = isShort
    ? []
    : notChosen.slice(0, 8).map(({ hostId, detail }) => `\n× not ${hostId ?? "others"}: ${detail}`);
  const pays = gain.paybackMs === null ? "" : `, paid back in ${duration(gain.paybackMs)}`;
  const cost = `\nstands still ${spread(estimate.downtimeMs)} (p50 / p90), takes ${duration(estimate.totalMs.p50)}, sends ${size(estimate.transferredBytes.p50)}; gain ${signed(gain.net)}${pays}`;
  return [
    { bold: `${n}. ${vmName}` },
    ` ${fromHostId} → ${toHostId} by ${mechanism}`,
    ...kept.map((reason) => `\n· ${reason}`),
    ...(isShort ? [] : [cost]),
    ...others,
  ];
}
