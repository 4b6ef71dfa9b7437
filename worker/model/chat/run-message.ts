// A migration from running to done: one message that is brought up to date.
import { isEnded, isPastNoReturn, type RunState } from "../lifecycle.ts";
import { duration, size } from "../placement/format.ts";
import type { MigrationRun } from "../run.ts";
import type { Block, Message, Tone } from "./message.ts";
import { spread } from "./words.ts";

const STATES: Record<RunState, string> = {
  queued: "waits for its turn",
  claimed: "begins",
  preparing: "prepares its destination",
  prepared: "is prepared",
  "pre-copying": "copies while the VM runs",
  switching: "switches over",
  resuming: "runs at its destination, memory follows",
  paused: "has lost its link: the VM's memory is on two hosts",
  verifying: "is being verified",
  completed: "done",
  failed: "failed",
  cancelled: "cancelled",
  lost: "is lost: nobody can say where the VM runs",
};

function toneOf(state: RunState): Tone {
  if (state === "completed") return "good";
  if (state === "failed" || state === "lost" || state === "paused") return "bad";
  return state === "cancelled" ? "plain" : "running";
}

export function runMessage(run: MigrationRun, now: number): Message {
  const { migrationId, planId, vmName, fromHostId, toHostId, mechanism, state, failure, createdAt, endedAt } = run;
  const mayCancel = !isEnded(state) && !isPastNoReturn(state, run.postCopyActive) && state !== "lost";
  const lasted = duration(Math.max(0, (endedAt ?? now) - createdAt));
  return {
    tone: toneOf(state),
    title: `${vmName}: ${fromHostId} → ${toHostId}, ${STATES[state]}`,
    blocks: [
      {
        kind: "facts",
        facts: [["How", mechanism], [endedAt === null ? "For" : "Lasted", lasted], ...figures(run), ...answers(run)],
      },
      ...(failure === null ? [] : [{ kind: "text" as const, text: [failure.detail] }]),
      ...buttons(run, mayCancel),
      { kind: "note", text: [{ code: migrationId }, " of ", { code: planId }] },
    ],
  };
}

function buttons({ migrationId, state }: MigrationRun, mayCancel: boolean): Block[] {
  if (isEnded(state)) return [];
  const watch = { label: "Refresh", action: { do: "watch" as const, migrationId } };
  const cancel = { label: "Cancel…", tone: "danger" as const, action: { do: "cancel" as const, migrationId } };
  return [{ kind: "buttons", buttons: mayCancel ? [watch, cancel] : [watch] }];
}

/** Measured beside predicted where it has been measured, else predicted and how far it has come. */
/** Whether the VM answers at its addresses after the move; nothing where nobody has looked. */
function answers({ continuity }: MigrationRun): [string, string][] {
  const looked = Object.entries(continuity?.addresses ?? {});
  const silent = looked.filter(([, { answered }]) => !answered).map(([name]) => name);
  if (looked.length === 0) return [];
  return silent.length === 0
    ? [["Answers at", looked.map(([name]) => name).join(", ")]]
    : [["Does not answer at", silent.join(", ")]];
}

function figures({ predicted, measured, progress }: MigrationRun): [string, string][] {
  const expected: [string, string][] = [
    ["Stands still, predicted", spread(predicted.downtimeMs)],
    ["Takes, predicted", spread(predicted.totalMs)],
  ];
  if (measured !== null)
    return [
      ...expected,
      ["Stood still", measured.downtimeMs === undefined ? "not measured" : duration(measured.downtimeMs)],
      ["Took", measured.totalMs === undefined ? "not measured" : duration(measured.totalMs)],
      ...(measured.transferredBytes === undefined
        ? []
        : [["Sent", size(measured.transferredBytes)] as [string, string]]),
    ];
  if (progress === null) return expected;
  return [...expected, ["Left", size(progress.remainingBytes)]];
}
