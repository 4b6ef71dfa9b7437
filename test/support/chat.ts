// Messages that show everything, for renderers and goldens.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { eventMessage } from "../../worker/model/chat/event-lines.ts";
import {
  estimateMessage,
  fleetMessage,
  hostMessage,
  hostsMessage,
  vmMessage,
  whyNotMessage,
} from "../../worker/model/chat/fleet-messages.ts";
import {
  helpMessage,
  lacksScopeMessage,
  linkMessage,
  misreadMessage,
  refusedMessage,
} from "../../worker/model/chat/help-messages.ts";
import type { Message } from "../../worker/model/chat/message.ts";
import { parseCommand } from "../../worker/model/chat/parse.ts";
import { planMessage, whyMessage } from "../../worker/model/chat/plan-message.ts";
import { runMessage } from "../../worker/model/chat/run-message.ts";
import { estimateMigration } from "../../worker/model/migration/index.ts";
import { estimateInput } from "../../worker/model/migration/types.ts";
import { buildPlan, whyNot } from "../../worker/model/placement/index.ts";
import type { MigrationRun } from "../../worker/model/run.ts";
import { GIB, MIB } from "../../worker/model/units.ts";
import { planContent } from "../../worker/model/placement/types.ts";
import type { Plan } from "../../worker/model/plan.ts";
import { AT, parametersOf, uuidOf, world } from "./world.ts";

const content = planContent.parse(
  JSON.parse(readFileSync(join(import.meta.dirname, "../golden/plans/worked-evacuate.json"), "utf8")),
);

/** A plan as it is stored, that waits for a decision. */
export const PLAN: Plan = {
  planId: "pln_01939f0c8a4d7c4e8f00000000000001",
  state: "proposed",
  version: 1,
  contentHash: "9f2c4e1b8a7d6c5f4e3d2c1b0a9f8e7d6c5b4a3f2e1d0c9b8a7f6e5d4c3b2a1f",
  inputHash: "0".repeat(64),
  content,
  skipped: [],
  createdBy: "alice",
  createdAt: AT,
  expiresAt: AT + 86_400_000,
  decidedBy: null,
  decidedAt: null,
  reason: null,
  endedAt: null,
  policyId: null,
  mode: null,
  onFailure: null,
  replans: null,
};

const snapshot = world({
  hosts: { "hv-01": {}, "hv-02": { silentMs: 90_000 }, "hv-03": { maintenance: { since: AT, reason: "firmware" } } },
  vms: {
    web: { on: "hv-01" },
    "db <!channel>": { on: "hv-01", pinned: true },
    cache: { on: "hv-03", cpuUsedCores: null },
  },
});
const [host] = snapshot.hosts;
const [vm] = host?.vms ?? [];
if (host === undefined || vm === undefined) throw new Error("the world is empty");

const [move] = content.moves;
if (move === undefined) throw new Error("the plan is empty");

/** A run of the plan's first move, in the middle of it. */
const RUN: MigrationRun = {
  migrationId: "mig_01939f0c8a4d7c4e8f00000000000002",
  cluster: "test",
  planId: PLAN.planId,
  moveNumber: move.n,
  vmUuid: move.vm,
  vmName: move.vmName,
  fromHostId: move.fromHostId,
  toHostId: move.toHostId,
  mechanism: move.mechanism,
  state: "pre-copying",
  version: 4,
  fencingToken: 1,
  parameters: move.parameters,
  limits: move.limits,
  predicted: move.estimate,
  destination: null,
  progress: { iteration: 2, remainingBytes: 2 ** 30, transferredBytes: 2 ** 31, phase: "pre-copy", elapsedMs: 3000 },
  measured: null,
  failure: null,
  continuity: null,
  postCopyActive: false,
  createdAt: AT - 4000,
  stateAt: AT - 3000,
  lastEventAt: AT,
  endedAt: null,
};
const DONE: MigrationRun = {
  ...RUN,
  state: "completed",
  endedAt: AT,
  measured: { preparationMs: 3500, downtimeMs: 31, totalMs: 3540, transferredBytes: 2 ** 31 },
  continuity: { announced: "sent", addresses: { "tcp 192.0.2.7:443": { answered: false, elapsedMs: 2000 } } },
};
const failure = { reason: "destination-failed", detail: "The destination's QEMU ended.", hostId: "hv-03" };

const parameters = parametersOf();
const answer = whyNot(snapshot, buildPlan(snapshot, "balance", parameters), uuidOf("db <!channel>"), "hv-02");
if (answer === null) throw new Error("the world has no such host");
const estimate = estimateMigration(
  estimateInput.parse({
    vm: {
      memoryBytes: 8 * GIB,
      nonzeroBytes: 2 * GIB,
      vcpus: 4,
      dirtyRateBytesPerSecond: 40 * MIB,
      dirtyRateWindowMs: 1000,
    },
    link: { bytesPerSecond: 1_177_000_000 },
    downtimeSloMs: 1000,
  }),
  null,
);

const misread = parseCommand("aprove x", AT);

/** One of each kind of message. */
export const MESSAGES: Record<string, Message> = {
  plan: planMessage({
    plan: PLAN,
    approvals: { needed: 2, given: ["bob"], from: ["bob", "carol"] },
    silenceAt: AT + 600_000,
    now: AT,
    publicUrl: "https://drover.example",
  }),
  "plan-past": planMessage({
    plan: { ...PLAN, state: "superseded" },
    approvals: null,
    silenceAt: null,
    now: AT,
    publicUrl: null,
  }),
  why: whyMessage({ plan: PLAN }, 1),
  "run-going": runMessage(RUN, AT),
  "run-done": runMessage(DONE, AT),
  "run-failed": runMessage({ ...RUN, state: "failed", endedAt: AT, failure }, AT),
  estimate: estimateMessage("web", "hv-02", estimate),
  "why-not": whyNotMessage(answer),
  lacking: lacksScopeMessage("approve", ["approve"], ["read"]),
  fleet: fleetMessage({
    hosts: { known: 3, fresh: 2 },
    activeMigrations: [
      {
        migrationId: "mig_01939f0c8a4d7c4e8f00000000000002",
        vmName: "web",
        fromHostId: "hv-01",
        toHostId: "hv-02",
        state: "pre-copying",
      },
    ],
    waitingPlans: [{ planId: PLAN.planId, cluster: "prod", goal: "balance", expiresAt: AT }],
    policies: { enabled: 1, unreadable: [] },
    webhooks: { paused: 0, waiting: 4 },
  }),
  hosts: hostsMessage(snapshot.hosts, AT),
  host: hostMessage(host, AT),
  vm: vmMessage(vm, host, AT),
  help: helpMessage(null),
  usage: helpMessage("drain"),
  link: linkMessage("ABCD-2345", AT, "https://drover.example"),
  refused: refusedMessage({ title: "Frozen", detail: "prod is *frozen* by <ops>.", advice: "Wait." }),
  unknown: "misread" in misread ? misreadMessage(misread) : helpMessage(null),
  event: eventMessage({
    type: "migration.failed",
    cluster: "prod",
    subject: "mig_1",
    data: {
      vmName: "web",
      fromHostId: "hv-01",
      toHostId: "hv-02",
      failure: { detail: "The destination's QEMU ended." },
    },
  }),
};
