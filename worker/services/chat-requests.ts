// Requests of chat platforms: verified, taken once, acknowledged at once, and carried out behind.
import { z } from "zod";
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { acknowledgementOf } from "../model/chat/acknowledge.ts";
import { type Action, ACTION_RULES, actionText, hashOnButton, readAction } from "../model/chat/actions.ts";
import { specOf } from "../model/chat/commands.ts";
import { lacksScopeMessage, linkMessage, misreadMessage, refusedMessage } from "../model/chat/help-messages.ts";
import { type Acknowledgement, type Inbound, inbound, type PlatformName } from "../model/chat/inbound.ts";
import { type Message, sentence } from "../model/chat/message.ts";
import { parseCommand } from "../model/chat/parse.ts";
import { whyMessage } from "../model/chat/plan-message.ts";
import type { Principal, Scope } from "../model/principal.ts";
import { DAY_MS, MINUTE_MS, SECOND_MS } from "../model/units.ts";
import { channelOf, claim, follow, type Posted, postToChannel, send } from "./chat-channels.ts";
import { type Asked, approved, perform, planReply, type Reply, runReply } from "./chat-commands.ts";
import type { LiveMessage } from "./chat-views.ts";
import { newCode, principalOf } from "./chat-users.ts";
import { readPlan } from "./plans.ts";
import { describe } from "./policy-runs.ts";

type Platform = Deps["chat"]["platforms"]["slack"];
type RawRequest = Parameters<Platform["verify"]>[0];

/** What a refusal says to people. */
export type Explain = (error: unknown) => { title: string; detail: string; advice: string };

const explainedHere: Explain = (error) => ({
  title: "That did not work",
  detail: describe(error),
  advice: "Ask again; if it persists, see the Worker's log.",
});

// oxlint-disable-next-line no-console -- why stands here and nowhere else
const log = (platform: PlatformName, what: string): void => console.warn(`chat: ${platform}: ${what}`);

/** What is answered at once; null: an empty answer. Refused without a reason where it is forged, old or came before. */
export async function takeRequest(
  deps: Deps,
  name: PlatformName,
  raw: RawRequest,
  explain: Explain,
): Promise<object | null> {
  const platform = deps.chat.platforms[name];
  if (platform.missing !== null)
    throw new AppError({ code: "misconfigured", detail: `${platform.missing} is not set.` });
  const now = deps.now();
  const verdict = await platform.verify(raw, now);
  if ("refused" in verdict) {
    log(name, `refused: ${verdict.refused}`);
    throw new AppError({ code: "unverified" });
  }
  const request = platform.read(raw.body);
  // Whoever only asks whether anybody is there changes nothing: the same again is answered again.
  if (request.kind === "ping") return name === "discord" ? { type: 1 } : null;
  if (request.kind === "other") {
    log(name, `nothing to do for ${request.what}`);
    return null;
  }
  const ack = acknowledgementOf(request, now);
  const id = `${name}:${verdict.key}`;
  if (!(await deps.store.chat.take(id, ack.ack === "later" ? JSON.stringify({ request, ack }) : null, now))) {
    log(name, "refused: it came before");
    throw new AppError({ code: "unverified" });
  }
  if (ack.ack === "later") deps.queue.behind(carryOut(deps, id, { request, ack }, explain));
  const { body, call } = platform.acknowledge(request, ack);
  if (call !== null) deps.queue.behind(ask(deps, platform, request, ack, call));
  else if (ack.ack === "ask" && body === null) deps.queue.behind(sayPlainly(deps, platform, request, ack));
  return body;
}

type Later = Extract<Acknowledgement, { ack: "later" }>;
type Taken = { request: Inbound; ack: Later };

const taken = z.strictObject({
  request: inbound,
  ack: z.strictObject({ ack: z.literal("later"), audience: z.enum(["asker", "channel"]), replaces: z.boolean() }),
});

const ASKER = { audience: "asker", replaces: false } as const;

/** Opens a window; where that fails, the asker is told how to do without. */
async function ask(
  deps: Deps,
  platform: Platform,
  request: Inbound,
  ack: Acknowledgement,
  call: Parameters<typeof send>[2],
) {
  const posted = await send(deps, platform, call);
  if (posted.ok) return;
  log(platform.name, `no window was opened: ${posted.error}`);
  await sayPlainly(deps, platform, request, ack);
}

async function sayPlainly(deps: Deps, platform: Platform, request: Inbound, ack: Acknowledgement): Promise<void> {
  const message = sentence(
    "bad",
    "No window can be opened",
    "Type the command with its reason instead: ",
    { code: "reject PLAN REASON" },
    ", ",
    { code: "cancel MIGRATION REASON" },
    " or ",
    { code: "stop REASON" },
    ". See docs/chatops.md about the bot token.",
  );
  await send(deps, platform, platform.answer(request, ack, message, ASKER));
}

/** Carries a request out, once. */
async function carryOut(deps: Deps, id: string, { request, ack }: Taken, explain: Explain): Promise<void> {
  if ((await deps.store.chat.begin(id, deps.now())) === null) return;
  const reply = await replyTo(deps, request).catch((error: unknown): Reply => ({
    message: refusedMessage(explain(error)),
    isPrivate: true,
  }));
  await deliver(deps, { request, ack }, reply);
  await deps.store.chat.end(id, deps.now());
}

async function replyTo(deps: Deps, request: Inbound): Promise<Reply> {
  const principal = await principalOf(deps, request.user);
  if (principal === null) {
    const { code, expiresAt } = await newCode(deps, request.user);
    return { message: linkMessage(code, expiresAt, deps.outgoing.publicUrl), isPrivate: true };
  }
  const asked = { deps, principal, request };
  if (request.kind === "command") return onCommand(asked, request.text);
  const action = readAction(request.action);
  if (action === null)
    return { message: sentence("bad", "This button is of another Drover, or of an older one"), isPrivate: true };
  return onAction(asked, action, request.kind === "reason" ? request.reason : null);
}

const REASON_LENGTH_MAX = 500;

const lacks = ({ scopes }: Principal, needs: readonly Scope[]): boolean => needs.some((one) => !scopes.includes(one));

async function onCommand(asked: Asked, text: string): Promise<Reply> {
  const parsed = parseCommand(text, asked.deps.now());
  if ("misread" in parsed) return { message: misreadMessage(parsed), isPrivate: true };
  const { command } = parsed;
  const { needs } = specOf(command.name);
  if (lacks(asked.principal, needs))
    return { message: lacksScopeMessage(command.name, needs, asked.principal.scopes), isPrivate: true };
  if (needs.some((one) => one !== "read")) await note(asked, command.name, text);
  return perform(asked, command);
}

/** What changes something is in the audit log as the principal's doing, with the chat user who asked for it. */
async function note({ deps, principal, request }: Asked, what: string, said: string): Promise<void> {
  const { user, channelId } = request;
  const detail = { user, channelId, said: said.slice(0, 500) };
  const subject = /\b(pln|mig)_[0-9a-z]+/.exec(said)?.[0] ?? said.split(/\s+/)[1] ?? "*";
  await deps.store.audit.record({ actor: principal.id, action: `chat.${what}`, subject, detail }, deps.now());
}

async function onAction(asked: Asked, action: Action, reason: string | null): Promise<Reply> {
  const { deps, principal } = asked;
  const { needs, asks } = ACTION_RULES[action.do];
  if (lacks(principal, needs))
    return { message: lacksScopeMessage(action.do, needs, principal.scopes), isPrivate: true };
  if (asks !== null && (reason === null || reason.trim() === ""))
    return { message: sentence("bad", "A reason is needed"), isPrivate: true };
  if (needs.some((one) => one !== "read")) await note(asked, action.do, actionText(action));
  const why = (reason ?? "").trim().slice(0, REASON_LENGTH_MAX);
  switch (action.do) {
    case "show":
      return planReply(deps, await readPlan(deps, action.planId));
    case "why":
      return { message: whyMessage({ plan: await readPlan(deps, action.planId) }, null), isPrivate: true };
    case "watch":
      return runReply(deps, action.migrationId);
    case "cancel":
      return perform(asked, { name: "cancel", migrationId: action.migrationId, reason: why });
    case "stop":
      return perform(asked, { name: "stop", reason: why });
    default:
      return onPlan(asked, action, why);
  }
}

type PlanAction = Extract<Action, { hash: string }>;

/** A button decides what its message has shown, and nothing else. */
async function onPlan(
  { deps, principal, request }: Asked,
  { do: what, planId, hash }: PlanAction,
  reason: string,
): Promise<Reply> {
  const plan = await readPlan(deps, planId);
  const isSame = hashOnButton(plan.contentHash) === hash;
  if (!isSame || plan.state !== "proposed" || plan.expiresAt <= deps.now()) {
    const state = plan.state === "proposed" && isSame ? "expired" : plan.state;
    const detail = isSame ? `It is ${state}; nothing was done.` : "It is not the plan that this button was made for.";
    return { ...(await planReply(deps, plan)), aside: sentence("bad", "This button is of a past plan", detail) };
  }
  const { contentHash } = plan;
  if (what === "reject") return perform({ deps, principal, request }, { name: "reject", planId, reason });
  return approved(deps, principal, planId, {
    contentHash,
    ...(what === "override" ? { override: true, reason } : { reason: `approved in chat by ${request.user.name}` }),
  });
}

/** Brings an answer to where it belongs. */
async function deliver(deps: Deps, { request, ack }: Taken, reply: Reply): Promise<void> {
  const platform = deps.chat.platforms[request.user.platform];
  const posted = await answered(deps, platform, { request, ack }, reply);
  if (!posted.ok) log(platform.name, `an answer did not come through: ${posted.error}`);
  if (reply.aside !== undefined) await aside(deps, platform, { request, ack }, reply.aside);
}

async function aside(deps: Deps, platform: Platform, { request, ack }: Taken, message: Message): Promise<void> {
  // The place of the answer is taken: this comes after it.
  const call = platform.answer(request, { ...ack, replaces: true }, message, ASKER);
  const posted = await send(deps, platform, call);
  if (!posted.ok) log(platform.name, `an answer did not come through: ${posted.error}`);
}

async function answered(deps: Deps, platform: Platform, { request, ack }: Taken, reply: Reply): Promise<Posted> {
  const { message, about, isPrivate = false } = reply;
  const isAlone = ack.audience === "asker" || isPrivate;
  const manner = isAlone ? ASKER : { audience: "channel" as const, replaces: ack.replaces };
  const answer = () => send(deps, platform, platform.answer(request, ack, message, manner));
  const principal = isAlone || about === undefined ? null : await principalOf(deps, request.user);
  return principal === null || about === undefined
    ? answer()
    : answeredLive(deps, platform, { request, principal }, { message, about }, answer);
}

/** An answer that is brought up to date from then on. */
async function answeredLive(
  deps: Deps,
  platform: Platform,
  { request, principal }: Omit<Asked, "deps">,
  { message, about }: LiveMessage,
  answer: () => Promise<Posted>,
): Promise<Posted> {
  const channel = await channelOf(deps, request, principal);
  if (channel === null) return answer();
  // What is told of it at the same moment by a subscription waits for this one.
  const isClaimed = await claim(deps, channel, about.subject);
  const isCommand = request.kind === "command";
  // Slack does not say which message an answer has become; of one that Drover posts by itself it does.
  const own = isCommand && !platform.answersAreMessages ? await postToChannel(deps, channel, message) : null;
  const posted = own?.ok ? own : await answer();
  const messageId = (isCommand ? null : request.messageId) ?? (posted.ok ? posted.messageId : null);
  if (posted.ok && messageId !== null) await follow(deps, channel, about, messageId);
  else if (isClaimed) await deps.store.chatChannels.dropMessage(channel.id, about.subject);
  return posted;
}

/** Begun before, and not ended by then: what carried it out has gone. */
const CUT_OFF_MS = 5 * MINUTE_MS;
/** Waiting for so long, though it was acknowledged: what was to carry it out has gone. */
const LEFT_MS = 30 * SECOND_MS;
const LEFT_AT_ONCE = 50;
const FORGOTTEN_AT_ONCE = 500;

/** What Cron does each minute: carries out what was acknowledged and not begun, and says so where something was cut off. */
export async function sweepChat(deps: Deps): Promise<void> {
  const now = deps.now();
  for (const { id, body, at, hasBegun } of await deps.store.chat.left(now - LEFT_MS, LEFT_AT_ONCE)) {
    const read = taken.safeParse(JSON.parse(body));
    if (!read.success) await deps.store.chat.end(id, now);
    else if (!hasBegun) await carryOut(deps, id, read.data, explainedHere);
    else if (at < now - CUT_OFF_MS) await cutOff(deps, id, read.data);
  }
  await deps.store.chat.forget(now - DAY_MS, now, FORGOTTEN_AT_ONCE);
  await deps.store.chatChannels.forget({ postedBefore: now - 30 * DAY_MS, endedBefore: now - 2 * DAY_MS });
}

async function cutOff(deps: Deps, id: string, one: Taken): Promise<void> {
  await deps.store.chat.end(id, deps.now());
  const message = sentence(
    "bad",
    "This was cut off",
    "It may have been done in part: look before you ask for it again.",
  );
  await deliver(deps, one, { message, isPrivate: true });
}
