// Whether this agent takes a command. Pure: what is known comes in, the decision goes out. The order of the rules is the
// order in which they protect: first what was already answered, then age, fencing, and what the operator permits.
import { MINUTE_MS } from "../../worker/model/units.ts";
import { objectionTo } from "../../worker/model/migration/directives.ts";
import type { Command, PrepareCommand, StartCommand, SteerCommand } from "../../worker/model/wire/command.ts";
import { inWindows, listsVm, permitsIn, permitsOut, type LocalPolicy, type PolicyState } from "./policy.ts";

/** A delivery signed longer ago, or further in the future, is void. */
export const SIGNATURE_AGE_MS_MAX = 5 * MINUTE_MS;

/** What the agent remembers of commands, by id, and of fencing tokens, by VM. */
export type LedgerState = {
  commands: Record<
    string,
    { type: Command["type"]; migrationId: string; vmUuid: string; fencingToken: number; at: number; taken: boolean }
  >;
  vms: Record<string, { token: number; taken: Partial<Record<Command["type"], string>> }>;
};

export type JudgeContext = {
  hostId: string;
  nowMs: number;
  signedAtMs: number;
  ledger: LedgerState;
  /** The STOP file exists. */
  stopped: boolean;
  policy: PolicyState;
  /** The VM as the driver sees it on this host now; null: it is not here. */
  localVm: { uuid: string; name: string } | null;
  /** Another migration of the same VM that has not ended here. */
  busyWith: string | null;
  /** The migration that the command is about, where this host is its source, and the number of its newest directive. */
  source: { command: StartCommand; directive: number } | null;
};

export type Judgement =
  | { verdict: "take" }
  /** Seen before: answered the same, nothing starts again. */
  | { verdict: "repeat" }
  | { verdict: "refuse"; reason: string; detail: string };

type Objection = { reason: string; detail: string } | null;
type MoveCommand = PrepareCommand | StartCommand;

export function vmOf(command: Command): string {
  return isMove(command) ? command.vm.uuid : command.vmUuid;
}

/** A command that begins something; the others are about what has begun. */
export function isMove(command: Command): command is MoveCommand {
  return command.type === "migration.prepare" || command.type === "migration.start";
}

/** Whether a command, or a question, came in time. */
export function age(
  command: { expiresAt: number },
  { nowMs, signedAtMs }: Pick<JudgeContext, "nowMs" | "signedAtMs">,
): Objection {
  if (Math.abs(nowMs - signedAtMs) > SIGNATURE_AGE_MS_MAX)
    return {
      reason: "expired",
      detail: `signed ${nowMs - signedAtMs} ms ago; at most ${SIGNATURE_AGE_MS_MAX} ms are allowed`,
    };
  if (nowMs > command.expiresAt)
    return { reason: "expired", detail: `expired ${nowMs - command.expiresAt} ms ago by this host's clock` };
  return null;
}

function fencing(command: Command, { ledger }: JudgeContext): Objection {
  const seen = ledger.vms[vmOf(command)];
  if (seen === undefined || command.fencingToken > seen.token) return null;
  if (command.fencingToken < seen.token)
    return { reason: "stale-token", detail: `token ${command.fencingToken}; ${seen.token} was seen for this VM` };
  const other = seen.taken[command.type];
  // Of these a migration has as many as people want.
  const isRepeatable = command.type === "migration.steer" || command.type === "migration.recover";
  if (other === undefined || isRepeatable) return null;
  return { reason: "stale-token", detail: `token ${command.fencingToken} was used by ${command.type} ${other}` };
}

/** Whether the VM is where the command takes it to be. */
export function place(
  command: MoveCommand,
  { hostId, localVm, busyWith }: Pick<JudgeContext, "hostId" | "localVm" | "busyWith">,
): Objection {
  const incoming = command.type === "migration.prepare";
  const role = incoming ? command.toHostId : command.fromHostId;
  if (role !== hostId || command.fromHostId === command.toHostId) {
    const detail = `${command.type} from ${command.fromHostId} to ${command.toHostId} is not for host ${hostId}`;
    return { reason: "wrong-host", detail };
  }
  if (busyWith !== null) return { reason: "busy", detail: `migration ${busyWith} of this VM has not ended here` };
  if (incoming && localVm !== null) return { reason: "vm-here", detail: `VM ${localVm.name} is on this host already` };
  if (!incoming && localVm === null) return { reason: "vm-not-here", detail: "the VM is not on this host" };
  return null;
}

function withdrawn(command: MoveCommand, { ledger }: JudgeContext): Objection {
  const cancelled = Object.values(ledger.commands).some(
    (seen) => seen.type === "migration.cancel" && seen.taken && seen.migrationId === command.migrationId,
  );
  return cancelled ? { reason: "cancelled", detail: "this migration was cancelled before" } : null;
}

/** Whether the operator of this host permits it. */
export function permission(
  command: MoveCommand,
  { policy, stopped, localVm, nowMs }: Pick<JudgeContext, "policy" | "stopped" | "localVm" | "nowMs">,
): Objection {
  if (stopped)
    return {
      reason: "stopped",
      detail: "the STOP file of this host refuses everything new; remove it to permit moves",
    };
  if (policy.kind === "unreadable")
    return { reason: "policy", detail: `the local policy cannot be read: ${policy.detail}` };
  const incoming = command.type === "migration.prepare";
  if (!(incoming ? permitsIn(policy) : permitsOut(policy))) {
    const detail = `the local policy's mode is ${policy.policy.mode}; ${incoming ? "in" : "out"} is needed`;
    return { reason: "policy", detail };
  }
  // A VM's name is believed where the VM is, else it is the edge's word.
  const vm = localVm ?? command.vm;
  if (!listsVm(policy.policy.vms, vm))
    return { reason: "policy", detail: `the local policy's list of VMs does not name ${vm.name} (${vm.uuid})` };
  if (!inWindows(policy.policy.windows, nowMs))
    return { reason: "policy", detail: `${new Date(nowMs).toISOString()} is outside the local policy's windows` };
  return ceilings(command, policy.policy) ?? postCopy(command, policy.policy);
}

function ceilings({ parameters, limits, mechanism }: MoveCommand, policy: LocalPolicy): Objection {
  const bounds = [
    ["max-bandwidth", parameters.maxBandwidthBytesPerSecond, limits.bandwidthBytesPerSecondMax, "the approval"],
    ["max-bandwidth", parameters.maxBandwidthBytesPerSecond, policy.bandwidthBytesPerSecondMax, "the local policy"],
    ["downtime-limit", parameters.downtimeLimitMs, limits.downtimeMsMax, "the approval"],
    ["downtime-limit", parameters.downtimeLimitMs, policy.downtimeMsMax, "the local policy"],
  ] as const;
  for (const [name, value, most, whose] of bounds)
    if (most !== undefined && value > most)
      return { reason: "policy", detail: `${name} ${value} is over ${most} of ${whose}` };
  // Neither of these bounds the blackout, so no ceiling can be promised.
  const unbounded =
    mechanism === "stop-and-copy" ? mechanism : parameters.onDeadline === "force" ? "on-deadline force" : null;
  if (policy.downtimeMsMax === undefined || unbounded === null) return null;
  return {
    reason: "policy",
    detail: `${unbounded} cannot be held to the local policy's ${policy.downtimeMsMax} ms of downtime`,
  };
}

/** Whether the command could ever enter post-copy. */
function wantsPostCopy({ mechanism, parameters }: MoveCommand): boolean {
  if (mechanism === "post-copy" || mechanism === "hybrid") return true;
  return parameters.postCopyAfterMs !== null || parameters.onDeadline === "post-copy";
}

function postCopy(command: MoveCommand, policy: LocalPolicy): Objection {
  if (!wantsPostCopy(command)) return null;
  if (!command.limits.postCopyPermitted) return { reason: "policy", detail: "the approval does not permit post-copy" };
  if (!policy.postCopy) return { reason: "policy", detail: "the local policy does not permit post-copy" };
  return null;
}

/** Within what was approved, as the command to start said it, and within what this host permits now. */
function directed(command: SteerCommand, { source, stopped, policy }: JudgeContext): Objection {
  if (source === null) return { reason: "no-run", detail: "this host is not the source of that migration" };
  const { fencingToken, mechanism, parameters, limits } = source.command;
  if (command.fencingToken !== fencingToken)
    return { reason: "stale-token", detail: `token ${command.fencingToken}; the migration has ${fencingToken}` };
  if (command.number <= source.directive)
    return {
      reason: "superseded",
      detail: `directive ${command.number} comes after ${source.directive}, which counts`,
    };
  const { directive } = command;
  if (directive.set === "cancel") return null;
  if (stopped) return { reason: "stopped", detail: "the STOP file of this host refuses all but a cancel" };
  const beyond = objectionTo(directive, { mechanism, parameters, limits }, "the approval");
  if (beyond !== null) return { reason: "limits", detail: beyond };
  if (policy.kind === "unreadable")
    return { reason: "policy", detail: `the local policy cannot be read: ${policy.detail}` };
  const {
    downtimeMsMax = Infinity,
    bandwidthBytesPerSecondMax = Infinity,
    postCopy: postCopyPermitted,
  } = policy.policy;
  const local = { downtimeMsMax, bandwidthBytesPerSecondMax, postCopyPermitted };
  const detail = objectionTo(directive, { mechanism, parameters, limits: local }, "the local policy");
  return detail === null ? null : { reason: "policy", detail };
}

function purpose(command: Command, context: JudgeContext): Objection {
  switch (command.type) {
    // A cancel leaves the VM where it is, and a recovery where it has to go: nothing local has to permit them.
    case "migration.cancel":
      return null;
    case "migration.recover":
      return context.source === null
        ? { reason: "no-run", detail: "this host is not the source of that migration" }
        : null;
    case "migration.steer":
      return directed(command, context);
    case "migration.prepare":
    case "migration.start":
      return withdrawn(command, context) ?? permission(command, context) ?? place(command, context);
  }
}

/** The agent's last word on a command whose signature was found good. */
export function judgeCommand(command: Command, context: JudgeContext): Judgement {
  if (context.ledger.commands[command.id] !== undefined) return { verdict: "repeat" };
  const objection = age(command, context) ?? fencing(command, context) ?? purpose(command, context);
  return objection === null ? { verdict: "take" } : { verdict: "refuse", ...objection };
}

/** How long a command is remembered after it was judged; far beyond any delivery of it. */
const REMEMBER_MS = 7 * 24 * 60 * MINUTE_MS;

/** The ledger after a judgement: an id once judged stays judged, and a VM's token only rises. */
export function recordCommand(ledger: LedgerState, command: Command, taken: boolean, nowMs: number): LedgerState {
  const vmUuid = vmOf(command);
  const { type, migrationId, fencingToken, id } = command;
  const remembered = Object.entries(ledger.commands).filter(([, seen]) => nowMs - seen.at < REMEMBER_MS);
  const before = ledger.vms[vmUuid];
  const vm = before !== undefined && before.token >= fencingToken ? before : { token: fencingToken, taken: {} };
  return {
    commands: {
      ...Object.fromEntries(remembered),
      [id]: { type, migrationId, vmUuid, fencingToken, at: nowMs, taken },
    },
    vms: { ...ledger.vms, [vmUuid]: taken ? { token: vm.token, taken: { ...vm.taken, [type]: id } } : vm },
  };
}
