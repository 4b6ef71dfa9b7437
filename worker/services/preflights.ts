// A destination's own preflight without a move: asked of its agent, which has the last word on what comes to its host.
import { z } from "zod";
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { driverDefaults } from "../model/migration/parameters.ts";
import { COMMAND_TTL_MS } from "../model/next-step.ts";
import { DAY_MS, MINUTE_MS, MIB } from "../model/units.ts";
import { type MigrationParameters, migrationParameters } from "../model/wire/command.ts";
import { mechanism, operatorId, vmUuid } from "../model/wire/common.ts";
import type { HostFacts, VmInventory } from "../model/wire/inventory.ts";
import {
  type CheckAnswer,
  type PreflightQuestion,
  type ProbeQuestion,
  type Question,
  measuredLink,
  preflightCheck,
  preflightQuestion,
} from "../model/wire/question.ts";
import { dispatch } from "./commands.ts";

/** How long an answer is kept. */
export const CHECK_KEPT_MS = 7 * DAY_MS;
/** The first look for an answer, and the longest time between two, ms. */
const LOOK_MS_MIN = 150;
const LOOK_MS_MAX = 1000;
/** What a probe may send and how long it may last, whichever is over first. */
const PROBE = { bytesMax: 128 * MIB, durationMsMax: 2000 };
const PREFIX = "pfl";

export const preflightBody = z
  .strictObject({
    vmId: vmUuid,
    toHostId: operatorId,
    mechanism: mechanism.default("pre-copy"),
    /** The driver's defaults for what is left out. */
    parameters: migrationParameters.partial().default({}),
    /** Measure the link from the VM's host as well: at most 128 MiB, at most two seconds. */
    probe: z.boolean().default(false),
    /** How long to wait for the agent. */
    waitMs: z.int().min(1000).max(20_000).default(10_000),
  })
  .meta({ id: "PreflightRequest" });
export type PreflightBody = z.output<typeof preflightBody>;

export const preflightView = z
  .strictObject({
    preflightId: z.string(),
    /** `expired`: the agent did not answer in time. */
    state: z.enum(["waiting", "answered", "refused", "expired"]),
    vmUuid,
    vmName: z.string(),
    fromHostId: operatorId,
    toHostId: operatorId,
    mechanism,
    askedAt: z.int(),
    answeredAt: z.int().nullable(),
    /** Whether nothing stands against the move at the destination; null: not answered. */
    ok: z.boolean().nullable(),
    checks: z.array(preflightCheck),
    /** Why it was not answered, or the link not measured; null: nothing to be said. */
    problem: z.string().nullable(),
    /** The link from source to destination as it was measured last; null: never. */
    link: measuredLink.nullable(),
  })
  .meta({ id: "Preflight" });
export type PreflightView = z.infer<typeof preflightView>;

type Check = NonNullable<Awaited<ReturnType<Deps["store"]["checks"]["byId"]>>>;
type Host = { hostId: string; cluster: string; inventory: HostFacts };
type Sides = { vm: VmInventory; from: Host; to: Host };

async function sidesOf(deps: Deps, { vmId, toHostId }: PreflightBody): Promise<Sides> {
  const { hosts } = deps.store;
  const [place] = await hosts.vms({ cluster: null, hostId: null, uuid: vmId, after: null, limit: 1 });
  if (!place?.hostId) throw new AppError({ code: "not_found", what: "vm", id: vmId });
  const [from, to] = await Promise.all([hosts.byId(place.hostId), hosts.byId(toHostId)]);
  if (!from) throw new AppError({ code: "not_found", what: "host", id: place.hostId });
  if (!to) throw new AppError({ code: "not_found", what: "host", id: toHostId });
  const refuse = (message: string) =>
    new AppError({ code: "invalid_request", issues: [{ path: "toHostId", message }] });
  if (to.hostId === from.hostId) throw refuse(`the VM is on ${toHostId} already: name another host`);
  if (to.cluster !== from.cluster) throw refuse(`is of cluster ${to.cluster}, the VM of ${from.cluster}`);
  return { vm: place.inventory, from, to };
}

function parametersOf(given: PreflightBody["parameters"], { inventory }: Host): MigrationParameters {
  const defaults = driverDefaults(inventory.driver.name);
  const maxBandwidthBytesPerSecond =
    defaults.maxBandwidthBytesPerSecond ?? inventory.migration?.bytesPerSecond ?? 128 * MIB;
  return migrationParameters.parse({ deadlineMs: 1.5 * MINUTE_MS, ...defaults, maxBandwidthBytesPerSecond, ...given });
}

function preflightFor(deps: Deps, { vm, from, to }: Sides, body: PreflightBody): PreflightQuestion {
  const parameters = parametersOf(body.parameters, from);
  const issuedAt = deps.now();
  const { hypervisor, hypervisorVersion, driver, cpu } = from.inventory;
  return {
    type: "move.preflight",
    id: deps.newId(PREFIX),
    hostId: to.hostId,
    issuedAt,
    expiresAt: issuedAt + COMMAND_TTL_MS,
    vm,
    fromHostId: from.hostId,
    toHostId: to.hostId,
    mechanism: body.mechanism,
    parameters,
    // Nothing was approved: only what the host itself permits bounds them.
    limits: {
      downtimeMsMax: parameters.downtimeLimitMs,
      bandwidthBytesPerSecondMax: parameters.maxBandwidthBytesPerSecond,
      postCopyPermitted: true,
    },
    source: {
      hypervisor,
      ...(hypervisorVersion === undefined ? {} : { hypervisorVersion }),
      driver: driver.name,
      ...(cpu.model === undefined ? {} : { cpuModel: cpu.model }),
    },
  };
}

/** Asks by every way that is open, and waits. Null: no answer in that time; it may still come. */
async function ask(deps: Deps, question: Question, cluster: string, waitMs: number): Promise<CheckAnswer | null> {
  const { id, hostId, type, issuedAt, expiresAt } = question;
  const command = { id, migrationId: id, hostId, type, issuedAt, expiresAt, body: JSON.stringify(question) };
  await deps.store.checks.ask({ id, cluster, hostId, type, createdAt: issuedAt }, command);
  const [answer] = await Promise.all([awaitAnswer(deps, id, issuedAt + waitMs), dispatch(deps, command)]);
  return answer;
}

async function awaitAnswer(deps: Deps, id: string, until: number): Promise<CheckAnswer | null> {
  for (let lookMs = LOOK_MS_MIN; ; lookMs = Math.min(lookMs * 1.5, LOOK_MS_MAX)) {
    const found = await deps.store.checks.byId(id);
    if (found?.answer) return found.answer;
    const leftMs = until - deps.now();
    if (leftMs <= 0) return null;
    await deps.sleep(Math.min(lookMs, leftMs));
  }
}

/** `POST /v1/moves/preflight`. What the agent says of it is the answer; that it says nothing is a 504. */
export async function askPreflight(deps: Deps, body: PreflightBody): Promise<PreflightView> {
  const sides = await sidesOf(deps, body);
  const question = preflightFor(deps, sides, body);
  const { cluster, hostId } = sides.to;
  const answer = await ask(deps, question, cluster, body.waitMs);
  if (answer === null) {
    const heardAt = (await deps.store.hosts.byId(hostId))?.heardAt ?? null;
    throw new AppError({ code: "agent_silent", hostId, preflightId: question.id, waitedMs: body.waitMs, heardAt });
  }
  if (answer.type === "refused")
    throw new AppError({ code: "agent_refused", hostId, reason: answer.reason, detail: answer.detail });
  const problem =
    body.probe && answer.type === "move.preflight" ? await probe(deps, sides, answer.peerUrl, body.waitMs) : null;
  return { ...(await readPreflight(deps, question.id)), problem };
}

/** Null: measured; else why not. */
async function probe(deps: Deps, { from, to }: Sides, peerUrl: string, waitMs: number): Promise<string | null> {
  const issuedAt = deps.now();
  const question: ProbeQuestion = {
    type: "link.probe",
    id: deps.newId("prb"),
    hostId: from.hostId,
    issuedAt,
    expiresAt: issuedAt + COMMAND_TTL_MS,
    toHostId: to.hostId,
    peerUrl,
    ...PROBE,
  };
  const answer = await ask(deps, question, from.cluster, waitMs);
  if (answer === null) return `the link was not measured: the agent of ${from.hostId} did not answer in ${waitMs} ms`;
  return answer.type === "refused" ? `the link was not measured: ${answer.detail}` : null;
}

/** `GET /v1/moves/preflight/{id}`: also one whose answer came too late for whoever asked. */
export async function readPreflight(deps: Deps, id: string): Promise<PreflightView> {
  const [check, command] = await Promise.all([deps.store.checks.byId(id), deps.store.commands.byId(id)]);
  const question = command === null ? null : preflightQuestion.safeParse(JSON.parse(command.body));
  if (check === null || !question?.success) throw new AppError({ code: "not_found", what: "preflight", id });
  const { vm, fromHostId, toHostId, mechanism: how, expiresAt } = question.data;
  const link = await deps.store.checks.link({ cluster: check.cluster, fromHostId, toHostId });
  return {
    preflightId: id,
    state: stateOf(check, expiresAt, deps.now()),
    vmUuid: vm.uuid,
    vmName: vm.name,
    fromHostId,
    toHostId,
    mechanism: how,
    askedAt: check.createdAt,
    answeredAt: check.answeredAt,
    ...saidOf(check.answer),
    link,
  };
}

function stateOf({ answer }: Check, expiresAt: number, now: number): PreflightView["state"] {
  if (answer === null) return now > expiresAt ? "expired" : "waiting";
  return answer.type === "refused" ? "refused" : "answered";
}

function saidOf(answer: CheckAnswer | null): Pick<PreflightView, "ok" | "checks" | "problem"> {
  if (answer?.type === "refused") return { ok: null, checks: [], problem: answer.detail };
  if (answer?.type !== "move.preflight") return { ok: null, checks: [], problem: null };
  return { ok: answer.checks.every(({ ok }) => ok !== false), checks: answer.checks, problem: null };
}

/** `POST /v1/hosts/{hostId}/checks/{checkId}`: what an agent answers. False: it was answered before. */
export async function takeAnswer(
  deps: Deps,
  hostId: string,
  id: string,
  answer: CheckAnswer,
): Promise<{ duplicate: boolean }> {
  const check = await deps.store.checks.byId(id);
  // Who was not asked cannot tell a question from none.
  if (check?.hostId !== hostId) throw new AppError({ code: "not_found", what: "check", id });
  if (answer.type !== "refused" && answer.type !== check.type)
    throw new AppError({
      code: "invalid_request",
      issues: [{ path: "type", message: `this is a ${check.type}: answer it as such, or as refused` }],
    });
  const isFirst = await deps.store.checks.answer(id, answer, deps.now());
  if (isFirst && answer.type === "link.probe") await keepLink(deps, check, answer.link);
  return { duplicate: !isFirst };
}

/** From now on estimates between these hosts go by it. */
async function keepLink(deps: Deps, { id, cluster, hostId }: Check, link: z.infer<typeof measuredLink>): Promise<void> {
  const command = await deps.store.commands.byId(id);
  const { toHostId } = z.looseObject({ toHostId: operatorId }).parse(JSON.parse(command?.body ?? "{}"));
  // An agent's clock may be off; what was measured was measured just now.
  await deps.store.checks.setLink({ cluster, fromHostId: hostId, toHostId }, { ...link, at: deps.now() });
}
