// What chat commands do: the same use cases as behind the API, as the person whom the chat user is to Drover.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { type LiveMessage, planView, runView } from "./chat-views.ts";
import { subscribe } from "./chat-channels.ts";
import { findHost, findVm, hostFacts, oneCluster, snapshotsOf, vmFacts } from "./chat-finds.ts";
import type { Inbound } from "../model/chat/inbound.ts";
import {
  estimateMessage,
  fleetMessage,
  hostMessage,
  hostsMessage,
  vmMessage,
  whyNotMessage,
} from "../model/chat/fleet-messages.ts";
import { helpMessage } from "../model/chat/help-messages.ts";
import { type Message, sentence } from "../model/chat/message.ts";
import type { Command } from "../model/chat/parse.ts";
import { whyMessage } from "../model/chat/plan-message.ts";
import { when } from "../model/chat/words.ts";
import { estimateBody } from "../model/migration/types.ts";
import { whyNot } from "../model/placement/index.ts";
import { planParameters } from "../model/placement/types.ts";
import type { Plan } from "../model/plan.ts";
import type { Principal } from "../model/principal.ts";
import { estimate } from "./estimates.ts";
import { beginMaintenance } from "./hosts.ts";
import { approvePlan } from "./plan-approvals.ts";
import { createPlan, draftPlan, readPlan, readPlanSnapshot, rejectPlan, storePlan } from "./plans.ts";
import { readRun } from "./runs.ts";
import { readStatus } from "./status.ts";
import { stopEverything } from "./stop.ts";
import { cancelRun } from "./stopping.ts";

/** `about`: the message is brought up to date as that goes on. `isPrivate`: only who has asked sees it. `aside`: this too, to them. */
export type Reply = { message: Message; about?: LiveMessage["about"]; isPrivate?: boolean; aside?: Message };

/** Who asks, where. */
export type Asked = { deps: Deps; principal: Principal; request: Inbound };

type Of<N extends Command["name"]> = Extract<Command, { name: N }>;
type Performers = { [N in Command["name"]]: (asked: Asked, command: Of<N>) => Promise<Reply> };

export const perform = (asked: Asked, command: Command): Promise<Reply> =>
  (PERFORMERS[command.name] as (asked: Asked, command: Command) => Promise<Reply>)(asked, command);

const LISTED_MAX = 50;

const PERFORMERS: Performers = {
  status: async ({ deps }) => {
    const [status, activeMigrations, newest] = await Promise.all([
      readStatus(deps),
      deps.store.migrations.list({ planId: null, cluster: null, active: true, after: null, limit: LISTED_MAX }),
      deps.store.plans.list(null, null, LISTED_MAX),
    ]);
    const now = deps.now();
    const waitingPlans = newest.filter(({ state, expiresAt }) => state === "proposed" && expiresAt > now);
    return { message: fleetMessage({ ...status, activeMigrations, waitingPlans }) };
  },
  hosts: async ({ deps }, { cluster }) => {
    const hosts = (await snapshotsOf(deps, cluster)).flatMap((snapshot) => snapshot.hosts);
    return { message: hostsMessage(hosts, deps.now()) };
  },
  host: async ({ deps }, { host }) => ({ message: hostMessage(await hostFacts(deps, host), deps.now()) }),
  vm: async ({ deps }, { vm }) => {
    const found = await vmFacts(deps, vm);
    return { message: vmMessage(found.vm, found.host, deps.now()) };
  },
  estimate: async ({ deps }, { vm, host }) => {
    const found = await findVm(deps, vm);
    const to = await findHost(deps, host);
    const answer = await estimate(deps, estimateBody.parse({ vmId: found.uuid, toHostId: to.hostId }));
    return { message: estimateMessage(found.name, host, answer) };
  },
  advise: async ({ deps, principal }, { cluster, goal }) => {
    const input = {
      cluster: await oneCluster(deps, cluster),
      goal: goal ?? "balance",
      parameters: planParameters.parse({}),
    };
    return planReply(deps, await createPlan(deps, principal, input));
  },
  plan: async ({ deps }, { planId }) => planReply(deps, await planOrNewest(deps, planId)),
  why: async ({ deps }, { planId, move }) => {
    const plan = await planOrNewest(deps, planId);
    if (!plan.content.moves.some(({ n }) => n === move))
      throw new AppError({ code: "not_found", what: "move", id: `${plan.planId}/${move}` });
    return { message: whyMessage({ plan }, move) };
  },
  "why-not": async ({ deps }, { vm, host }) => {
    const found = await findVm(deps, vm);
    const { hostId, cluster } = await findHost(deps, host);
    const snapshot = await readPlanSnapshot(deps, cluster);
    const { content } = await draftPlan(deps, snapshot, {
      cluster,
      goal: "balance",
      parameters: planParameters.parse({}),
    });
    const answer = whyNot(snapshot, content, found.uuid, hostId);
    if (answer === null) throw new AppError({ code: "not_found", what: "vm", id: `${found.name} in ${cluster}` });
    return { message: whyNotMessage(answer) };
  },
  approve: async ({ deps, principal, request }, { planId, moves }) => {
    const { contentHash } = await readPlan(deps, planId);
    const reason = `approved in chat by ${request.user.name}`;
    return approved(deps, principal, planId, { contentHash, reason, ...(moves === null ? {} : { moves }) });
  },
  reject: async ({ deps, principal }, { planId, reason }) =>
    planReply(deps, await rejectPlan(deps, principal, planId, reason)),
  override: async ({ deps, principal }, { planId, reason }) => {
    const { contentHash } = await readPlan(deps, planId);
    return approved(deps, principal, planId, { contentHash, reason, override: true });
  },
  drain: (asked, command) => drain(asked, command),
  migrate: (asked, command) => migrate(asked, command),
  cancel: async ({ deps, principal, request }, { migrationId, reason }) =>
    runView(deps, await cancelRun(deps, principal, migrationId, reason ?? `cancelled in chat by ${request.user.name}`)),
  stop: async ({ deps, principal, request }, { reason }) => {
    const why = reason ?? `stopped in chat by ${request.user.name}`;
    return { message: stoppedMessage(await stopEverything(deps, principal, { reason: why })) };
  },
  subscribe: async ({ deps, principal, request }, { events }) => {
    const wanted = await subscribe(deps, principal, request, events);
    if (wanted.length === 0) return { message: sentence("plain", "This channel is told nothing any more") };
    return { message: sentence("good", "This channel is told", wanted.join(", ")) };
  },
  help: async (_asked, { topic }) => ({ message: helpMessage(topic) }),
};

export const planReply = async (deps: Deps, plan: Plan): Promise<Reply> => planView(deps, plan);

async function planOrNewest(deps: Deps, planId: string | null): Promise<Plan> {
  if (planId !== null) return readPlan(deps, planId);
  const [newest] = await deps.store.plans.list(null, null, 1);
  if (newest === undefined) throw new AppError({ code: "not_found", what: "plan", id: "last" });
  return readPlan(deps, newest.planId);
}

/** Approves, and tells the asker where others have to as well. */
export async function approved(
  deps: Deps,
  principal: Principal,
  planId: string,
  input: Parameters<typeof approvePlan>[3],
): Promise<Reply> {
  const plan = await approvePlan(deps, principal, planId, input);
  const reply = await planReply(deps, plan);
  if (plan.state !== "proposed") return reply;
  return {
    ...reply,
    aside: sentence("asks", "Your approval counts", "Others have to approve too before anything moves."),
  };
}

async function drain({ deps, principal, request }: Asked, { host, until }: Of<"drain">): Promise<Reply> {
  const { cluster } = await findHost(deps, host);
  const parameters = planParameters.parse({ hostIds: [host] });
  // What cannot be planned is refused before the host is in maintenance.
  const draft = await draftPlan(deps, await readPlanSnapshot(deps, cluster), { cluster, goal: "evacuate", parameters });
  const reason = `drained in chat by ${request.user.name}`;
  await beginMaintenance(deps, principal, host, { reason, ...(until === null ? {} : { until }) });
  const reply = await planReply(deps, await storePlan(deps, draft, principal.id, null));
  const ends = until === null ? "until it is ended" : `until ${when(until)}`;
  return { ...reply, aside: sentence("running", `${host} is in maintenance ${ends}`) };
}

/** A plan for one VM: its host is emptied of it alone, and only that destination takes part. */
async function migrate({ deps, principal }: Asked, { vm, host, mechanism }: Of<"migrate">): Promise<Reply> {
  const { uuid, name, cluster, hostId: from } = await findVm(deps, vm);
  const to = await findHost(deps, host);
  if (from === null) throw new AppError({ code: "not_found", what: "vm", id: `${name} on any host` });
  if (from === to.hostId) return { message: sentence("plain", `${name} runs on ${host} already`), isPrivate: true };
  if (cluster !== to.cluster)
    return {
      message: sentence("bad", `${host} is in another cluster`, `${name} runs in ${cluster}.`),
      isPrivate: true,
    };
  const parameters = planParameters.parse({
    hostIds: [from],
    scope: { vms: { uuids: [uuid] }, hosts: { hostIds: [from, to.hostId] } },
    ...(mechanism === null ? {} : { mechanisms: [mechanism] }),
  });
  const draft = await draftPlan(deps, await readPlanSnapshot(deps, cluster), { cluster, goal: "evacuate", parameters });
  if (draft.content.moves.length > 0) return planReply(deps, await storePlan(deps, draft, principal.id, null));
  const stays = draft.content.notMoved.find((one) => one.vm === uuid);
  const why = stays?.rejections.map(({ detail }) => `× ${detail}`).join("\n") ?? draft.content.summary;
  return { message: sentence("bad", `${name} cannot be moved to ${host}`, why), isPrivate: true };
}

function stoppedMessage({ freezes, cancelledPlans, migrations }: Awaited<ReturnType<typeof stopEverything>>): Message {
  const goesOn = migrations.filter(({ effect }) => effect === "runs-on");
  return {
    tone: "bad",
    title: "Everything is stopped",
    blocks: [
      {
        kind: "facts",
        facts: [
          ["Frozen", freezes.map(({ cluster }) => cluster).join(", ") || "nothing: no cluster is known"],
          ["Plans cancelled", String(cancelledPlans.length)],
          ["Migrations ended or asked to", String(migrations.length - goesOn.length)],
          ["Migrations that go on", String(goesOn.length)],
        ],
      },
      ...goesOn.slice(0, 10).map(({ detail }) => ({ kind: "text" as const, text: [detail] })),
      {
        kind: "note",
        text: ["Nothing begins before the freezes are ended: ", { code: "DELETE /v1/freezes/{freezeId}" }],
      },
    ],
  };
}

/** A migration as it is now, for its button. */
export const runReply = async (deps: Deps, migrationId: string): Promise<Reply> =>
  runView(deps, await readRun(deps, migrationId));
