// Every command, whichever way it came: opened, judged, recorded, then done. From the ledger's view to its record nothing
// is awaited, so that the same command by two ways at once starts once.
import type { KeyObject } from "node:crypto";
import type { Command } from "../../worker/model/wire/command.ts";
import type { Refusal } from "../../worker/model/wire/event.ts";
import type { EnvelopeBody, Question } from "../../worker/model/wire/question.ts";
import type { Api } from "./api.ts";
import type { Destination } from "./destination.ts";
import { openEnvelope } from "./envelope.ts";
import { isMove, judgeCommand, vmOf, type JudgeContext, type Judgement } from "./judge.ts";
import type { Ledger } from "./ledger.ts";
import { messageOf } from "./log.ts";
import { localState, type Parts } from "./parts.ts";
import { isStopped } from "./policy.ts";
import type { Questions } from "./questions.ts";
import { steeringSoFar, type SourceRun } from "./runs.ts";
import type { Source } from "./source.ts";

/** More reports of refused strangers at once than this are only logged. */
const REPORTS_MAX = 4;

export type Handled = { verdict: "take" | "repeat" } | { verdict: "refuse"; reason: string; detail: string };

export type CommandParts = Parts & {
  api: Api;
  ledger: Ledger;
  keys: readonly KeyObject[];
  source: Source;
  destination: Destination;
  questions: Questions;
};

/** Takes a command envelope from anywhere. Resolves when it was recorded; what it starts goes on by itself. */
export function createCommands(parts: CommandParts): (envelope: unknown) => Promise<Handled> {
  let reports = 0;
  const report = (refusal: Refusal): void => {
    parts.log("warn", "a command was refused", refusal);
    if (reports >= REPORTS_MAX) return;
    reports++;
    parts.life.spawn("refusal", () => parts.api.refusal(refusal).finally(() => reports--));
  };
  return async (envelope) => {
    const opened = openEnvelope(envelope, parts.keys, parts.settings.hostId);
    if (!opened.ok) {
      const { reason, detail, commandId } = opened;
      report({ at: parts.now(), reason, detail, ...(commandId === undefined ? {} : { commandId }) });
      return { verdict: "refuse", reason, detail };
    }
    const { command } = opened;
    if (isQuestion(command)) return parts.questions.take(command, opened.signedAtMs);
    let localVm: JudgeContext["localVm"];
    try {
      localVm = await findVm(parts, command);
    } catch (error) {
      // Not recorded: the command may come again once the hypervisor answers.
      const detail = `the hypervisor does not answer: ${messageOf(error)}`;
      parts.log("error", "a command cannot be judged", { commandId: command.id, detail });
      return { verdict: "refuse", reason: "driver", detail };
    }
    const judgement = judgeAndRecord(parts, command, opened.signedAtMs, localVm);
    act(parts, command, judgement, report);
    return judgement;
  };
}

const isQuestion = (body: EnvelopeBody): body is Question =>
  body.type === "move.preflight" || body.type === "link.probe";

async function findVm({ driver }: Parts, command: Command): Promise<JudgeContext["localVm"]> {
  if (!isMove(command)) return null;
  const { vms } = await driver.inventory();
  const vm = vms.find(({ uuid }) => uuid === command.vm.uuid);
  return vm ? { uuid: vm.uuid, name: vm.name } : null;
}

function judgeAndRecord(
  { settings, ledger, runs, source, destination, now, policy }: CommandParts,
  command: Command,
  signedAtMs: number,
  localVm: JudgeContext["localVm"],
): Judgement {
  const run = runs.get(command.migrationId);
  const judgement = judgeCommand(command, {
    hostId: settings.hostId,
    nowMs: now(),
    signedAtMs,
    ledger: ledger.state(),
    stopped: isStopped(settings.stopFile),
    policy: policy(),
    localVm,
    busyWith: runs.busyWith(vmOf(command), command.migrationId),
    source: run?.side === "source" ? { command: run.command, directive: steeringSoFar(run).directive } : null,
  });
  if (judgement.verdict === "repeat") return judgement;
  const taken = judgement.verdict === "take";
  // The run is written first: one without its command in the ledger never began and is thrown away by the next start.
  if (taken && command.type === "migration.prepare") destination.take(command);
  if (taken && command.type === "migration.start") source.take(command);
  ledger.record(command, taken, now());
  if (taken && command.type === "migration.steer" && run?.side === "source")
    runs.update<SourceRun>(run, { steering: { ...steeringSoFar(run), directive: command.number } });
  return judgement;
}

function act(parts: CommandParts, command: Command, judgement: Judgement, report: (refusal: Refusal) => void): void {
  const { id, migrationId } = command;
  if (judgement.verdict === "repeat") {
    parts.outbox.repeat(migrationId, id);
    return;
  }
  if (judgement.verdict === "refuse") {
    const { reason, detail } = judgement;
    if (reason === "wrong-host")
      return report({ commandId: id, at: parts.now(), reason, detail: detail.slice(0, 2000) });
    return refuse(parts, command, reason, detail);
  }
  parts.log("info", "a command was taken", { type: command.type, commandId: id, migrationId });
  const run = parts.runs.get(migrationId);
  if (command.type === "migration.cancel") return parts.life.spawn("cancel", () => cancel(parts, command));
  if (command.type === "migration.steer" || command.type === "migration.recover")
    return parts.life.spawn("directive", () => direct(parts, command));
  if (run?.side === "source") parts.source.go(run);
  if (run?.side === "destination") parts.destination.go(run);
}

function refuse({ outbox, log }: Parts, command: Command, reason: string, detail: string): void {
  const { id, migrationId, fencingToken } = command;
  log("warn", "a command was refused", { commandId: id, migrationId, reason, detail });
  outbox.add(migrationId, { type: "refused", commandId: id, fencingToken, reason, detail: detail.slice(0, 2000) });
}

async function direct(
  parts: CommandParts,
  command: Extract<Command, { type: "migration.steer" | "migration.recover" }>,
): Promise<void> {
  const run = parts.runs.get(command.migrationId);
  if (run?.side !== "source") return;
  const { source } = parts;
  try {
    const done = command.type === "migration.steer" ? source.steer(run, command) : source.recover(run, command);
    const problem = await done;
    if (problem !== null) refuse(parts, command, problem.reason, problem.detail);
  } catch (error) {
    refuse(parts, command, "driver", messageOf(error));
  }
}

async function cancel(parts: CommandParts, command: Extract<Command, { type: "migration.cancel" }>): Promise<void> {
  const { id, migrationId, fencingToken, vmUuid } = command;
  const run = parts.runs.get(migrationId);
  if (run === null) {
    const vmState = await localState(parts, vmUuid);
    const detail = "nothing of this migration was begun here, and nothing will be";
    const answer = { type: "cancelled", commandId: id, fencingToken, reason: "not-begun", detail } as const;
    return parts.outbox.add(migrationId, { ...answer, ...(vmState === undefined ? {} : { vmState }) });
  }
  try {
    const side = run.side === "source" ? parts.source.cancel(run, command) : parts.destination.cancel(run, command);
    const problem = await side;
    if (problem !== null) refuse(parts, command, "point-of-no-return", problem);
  } catch (error) {
    refuse(parts, command, "driver", messageOf(error));
  }
}
