// The one interface between the agent and a hypervisor. Everything above it is the same code on real VMs and simulated ones.
import type { Mechanism } from "../../worker/model/wire/common.ts";
import type { MigrationParameters } from "../../worker/model/wire/command.ts";
import type { Outcome, Progress } from "../../worker/model/wire/event.ts";
import type { HostInventory, VmInventory, VmState } from "../../worker/model/wire/inventory.ts";
import type { PreflightCheck } from "../../worker/model/wire/question.ts";
import type { DirtyCurveReport } from "../../worker/model/wire/telemetry.ts";

/** What the driver knows of its host; the agent adds cluster, sequence, boot id and policy. */
export type DriverInventory = Omit<HostInventory, "cluster" | "sequence" | "bootId" | "policy" | "agentUrl">;

/** One moment's figures by catalogue name. A metric that could not be read is absent. */
export type DriverSample = { host: Record<string, number>; vms: Record<string, Record<string, number>> };

export type MigrationSpec = {
  migrationId: string;
  vm: VmInventory;
  mechanism: Mechanism;
  parameters: MigrationParameters;
};

/** One look at whether this host could take a VM: `reasons` against it, else what was `found`. */
export const lookedAt = (
  check: PreflightCheck["check"],
  reasons: readonly string[],
  found: string,
): PreflightCheck => ({
  check,
  ok: reasons.length === 0,
  detail: (reasons.length === 0 ? found : reasons.join("; ")).slice(0, 2000),
});

/** Why this host cannot take the VM, each with its numbers. None: it can. */
export const objectionsIn = (checks: readonly PreflightCheck[]): string[] =>
  checks.flatMap(({ ok, detail }) => (ok === false ? [detail] : []));

/**
 * Where an outgoing migration stands.
 * - `active`: the VM may still run here (pre-copy) or is being stopped.
 * - `stopped`: this side has stopped for good and sent all that the destination needs to run (`postmigrate`, or post-copy
 *   active with the VM stopped): only in this state may the destination be continued. Under a hypervisor's own handshake it
 *   is told once nothing can bring the VM back here: the destination may run it by then.
 * - `completed`: nothing of the VM is needed here any more.
 * - `paused`: post-copy lost its link.
 * - `failed`, `cancelled`: the VM is still this host's, in `vmState`.
 */
export type OutgoingState =
  | { state: "active"; progress: Progress }
  | { state: "stopped"; postCopy: boolean; stoppedAtMs: number | null; progress: Progress }
  | {
      state: "completed";
      postCopy: boolean;
      /** Null: it stopped while nobody looked. */
      stoppedAtMs: number | null;
      completedAtMs: number;
      progress: Progress;
      counters: OutgoingCounters;
    }
  | { state: "paused"; detail: string; progress: Progress }
  | { state: "failed" | "cancelled"; detail: string; vmState: VmState };

/** Counters of the hypervisor at the end of a migration. */
export type OutgoingCounters = Pick<
  Outcome,
  | "transferredBytes"
  | "transferredPages"
  | "zeroPages"
  | "rounds"
  | "throttleRatioMax"
  | "remoteFaults"
  | "hypervisorDowntimeMs"
>;

/**
 * The incoming side: listening, its VM loaded but not running, running here, or gone. Once a hypervisor with its own handshake
 * receives the VM, it counts as loaded: only the source's hypervisor decides what becomes of it.
 */
export type IncomingState = {
  state: "listening" | "loaded" | "running" | "failed" | "gone";
  detail?: string;
  /** Running, and whether its memory still comes from the source; absent: the driver does not tell. */
  postCopy?: boolean;
};

export type Driver = {
  readonly name: HostInventory["driver"]["name"];
  /**
   * Who decides which side runs. `agents`: the destination waits for `continueIncoming`. `hypervisor`: its own protocol does,
   * `continueIncoming` only verifies that the VM runs, and nothing here can stop or bring back what that protocol has begun.
   */
  readonly handshake: "agents" | "hypervisor";
  /** The clock of this driver in ms: wall time, or simulated time. Durations of an outcome are measured on it. */
  now: () => number;
  inventory: () => Promise<DriverInventory>;
  /** Run states of all VMs on this host, by uuid. */
  vmStates: () => Promise<Record<string, VmState>>;
  sample: () => Promise<DriverSample>;
  /** Measures U(t) of one VM at several windows; null when it cannot be measured now. Never called while the VM migrates. */
  dirtyCurve: (uuid: string) => Promise<DirtyCurveReport | null>;

  /** Destination: could this host run the VM? Every look at it, the good ones too. Changes nothing. */
  preflight: (spec: MigrationSpec) => Promise<PreflightCheck[]>;
  /** Destination: starts the incoming side, its VM not to run before `continueIncoming`. Returns where the source must send. */
  prepareIncoming: (spec: MigrationSpec) => Promise<{ migrationUri: string }>;
  /** Destination: state of the incoming side, also after a restart of the agent. */
  observeIncoming: (uuid: string) => Promise<IncomingState>;
  /**
   * Destination: lets the VM run. Legal only once the source's agent has shown that its side stopped for good. Returns when it
   * resumed; null: it runs, since a moment that nobody saw.
   */
  continueIncoming: (uuid: string) => Promise<{ resumedAtMs: number | null }>;
  /** Destination: tells the network where the VM is now; `by-hypervisor`: that was done when it arrived. */
  announce: (uuid: string) => Promise<"sent" | "by-hypervisor">;
  /** Destination: kills an incoming side that never ran. Resolves when its process is proven dead. */
  abandonIncoming: (uuid: string) => Promise<void>;

  /**
   * Destination of a post-copy whose source has lost it: listens anew, also when this side has not noticed the loss yet. Returns
   * where the source must connect. Repeating it is harmless.
   */
  recoverIncoming: (uuid: string) => Promise<{ migrationUri: string }>;

  /** Source: takes up the migration. Resolves when the hypervisor has accepted it; throws DriverError otherwise, the VM untouched. */
  startOutgoing: (spec: MigrationSpec, migrationUri: string) => Promise<{ startedAtMs: number }>;
  /** Source: resolves with the state as soon as it differs in kind from `since`, or after `timeoutMs` with what it is then. */
  observeOutgoing: (uuid: string, since: OutgoingState["state"] | null, timeoutMs: number) => Promise<OutgoingState>;
  setDowntimeLimit: (uuid: string, downtimeLimitMs: number) => Promise<void>;
  setBandwidth: (uuid: string, bytesPerSecond: number) => Promise<void>;
  startPostCopy: (uuid: string) => Promise<void>;
  /** Stops the guest so that pre-copy can end (`onDeadline: force`). */
  forceSwitchover: (uuid: string) => Promise<void>;
  /** Source: before the point of no return only; the VM goes on running here. */
  cancelOutgoing: (uuid: string) => Promise<void>;
  /** Source of a paused post-copy: connects to where the destination listens anew. Resolves when post-copy goes on. */
  recoverOutgoing: (uuid: string, migrationUri: string) => Promise<void>;
  /** Source: after `completed` and the destination running: ends what is left of the VM here. */
  releaseSource: (uuid: string) => Promise<void>;
  /** Source: lets the VM run here again, legal only when the destination's process is proven dead. */
  continueSource: (uuid: string) => Promise<void>;
  close: () => Promise<void>;
};

/** A refusal or failure of the hypervisor, told to people as it is. */
export class DriverError extends Error {
  readonly reason: string;
  constructor(reason: string, detail: string) {
    super(detail);
    this.reason = reason;
  }
}
