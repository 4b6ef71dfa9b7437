// The commands of a run, made from what is stored. Their ids follow from the run, so that making one twice is one command.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { COMMAND_TTL_MS } from "../model/next-step.ts";
import type { CommandRecord, MigrationRun } from "../model/run.ts";
import type {
  CancelCommand,
  Command,
  Directive,
  PrepareCommand,
  RecoverCommand,
  StartCommand,
  SteerCommand,
} from "../model/wire/command.ts";

/** How long a prepared destination waits for its source before it kills what it started, ms. */
const LEASE_MS = 180_000;

function record(command: Command): CommandRecord {
  const { id, migrationId, hostId, type, issuedAt, expiresAt } = command;
  return { id, migrationId, hostId, type, issuedAt, expiresAt, body: JSON.stringify(command) };
}

async function migrationHead(deps: Deps, run: MigrationRun, hostId: string, kind: string) {
  const [vm] = await deps.store.hosts.vmsByUuid(run.cluster, [run.vmUuid]);
  if (!vm) throw new AppError({ code: "not_found", what: "vm", id: run.vmUuid });
  return { ...head(deps, run, hostId, kind), vm: vm.inventory, ...moveOf(run) };
}

const moveOf = ({ fromHostId, toHostId, mechanism, parameters, limits }: MigrationRun) => ({
  fromHostId,
  toHostId,
  mechanism,
  parameters,
  limits,
});

function head(deps: Deps, run: MigrationRun, hostId: string, kind: string) {
  if (run.fencingToken === null) throw new Error(`run ${run.migrationId} has no fencing token`);
  const issuedAt = deps.now();
  return {
    id: `${run.migrationId}-${kind}`,
    migrationId: run.migrationId,
    hostId,
    issuedAt,
    expiresAt: issuedAt + COMMAND_TTL_MS,
    fencingToken: run.fencingToken,
  };
}

export async function prepareFor(deps: Deps, run: MigrationRun): Promise<CommandRecord> {
  const command: PrepareCommand = {
    type: "migration.prepare",
    ...(await migrationHead(deps, run, run.toHostId, "prepare")),
    leaseMs: LEASE_MS,
  };
  return record(command);
}

export async function startFor(deps: Deps, run: MigrationRun): Promise<CommandRecord> {
  if (run.destination === null) throw new Error(`run ${run.migrationId} is prepared without a destination`);
  const command: StartCommand = {
    type: "migration.start",
    ...(await migrationHead(deps, run, run.fromHostId, "start")),
    destination: run.destination,
  };
  return record(command);
}

function cancelOf(deps: Deps, run: MigrationRun, hostId: string, kind: string, reason: string): CommandRecord {
  const command: CancelCommand = {
    type: "migration.cancel",
    ...head(deps, run, hostId, kind),
    vmUuid: run.vmUuid,
    reason,
  };
  return record(command);
}

/** To the source: ends the run. `number` rises with every one, for each expires and people may ask again. */
export const cancelFor = (deps: Deps, run: MigrationRun, number: number, reason: string): CommandRecord =>
  cancelOf(deps, run, run.fromHostId, `cancel-source-${number}`, reason);

/** To the destination of a run that has ended: removes what waits there. */
export const clearFor = (deps: Deps, run: MigrationRun, reason: string): CommandRecord =>
  cancelOf(deps, run, run.toHostId, "cancel-destination", reason);

/** To the source. `number` rises with every directive of the run. */
export function steerFor(
  deps: Deps,
  run: MigrationRun,
  number: number,
  { directive, reason }: { directive: Directive; reason: string },
): CommandRecord {
  const command: SteerCommand = {
    type: "migration.steer",
    ...head(deps, run, run.fromHostId, `steer-${number}`),
    vmUuid: run.vmUuid,
    number,
    directive,
    reason,
  };
  return record(command);
}

export function recoverFor(deps: Deps, run: MigrationRun, number: number, reason: string): CommandRecord {
  const command: RecoverCommand = {
    type: "migration.recover",
    ...head(deps, run, run.fromHostId, `recover-${number}`),
    vmUuid: run.vmUuid,
    reason,
  };
  return record(command);
}

/** Commands about a run that is under way: an agent that refuses one has not refused the migration. */
const ASIDE = ["cancel", "steer", "recover"];

export const isAside = (migrationId: string, commandId: string | undefined): boolean =>
  ASIDE.some((kind) => commandId?.startsWith(`${migrationId}-${kind}-`) === true);
