// What goes on in channels by itself, what was cut off, and several who approve; on real workerd and D1.
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { makeDeps } from "../../worker/env.ts";
import { actionText } from "../../worker/model/chat/actions.ts";
import type { Plan } from "../../worker/model/plan.ts";
import { sweepChat, takeRequest } from "../../worker/services/chat-requests.ts";
import { beginChatTurn } from "../../worker/services/chat-turns.ts";
import { call } from "../support/api.ts";
import { signSlack } from "../support/chat-requests.ts";
import { ALL, callsOf, linked, send, shown, SIGN, SPOKEN, talk } from "../support/chat-talk.ts";
import { OUTCOME, read, toPreCopying, world } from "../support/run-world.ts";
import { later, STILL } from "../support/webhooks.ts";

const planOf = async (planId: string) => (await call<Plan>("GET", `/v1/plans/${planId}`)).body;
const button = (what: "approve" | "reject" | "override", { planId, contentHash }: Plan): string =>
  actionText({ do: what, planId, hash: contentHash });

test("a migration's message goes from running to done", async () => {
  const at = await world();
  const ops = await linked(talk("slack"), "watcher", ALL);
  await ops.say(`plan ${at.plan.planId}`);
  const plan = await ops.saw("waits for a decision");
  const { migrationId } = await toPreCopying(at);
  const started = await ops.saw(migrationId);
  expect(started.body).toMatchObject({ thread_ts: plan.messageId });
  await at.a.report(migrationId, { type: "completed", outcome: OUTCOME });
  await at.a.put([]);
  await at.b.put([at.guest]);
  await at.a.beat({});
  await at.b.beat({ [at.guest.uuid]: "running" });
  await expect.poll(async () => (await read(migrationId)).state, { timeout: 10_000 }).toBe("completed");
  const done = await ops.saw(/, done.*Stood still/);
  expect(done).toMatchObject({ path: "/slack/api/chat.update", messageId: started.messageId });
  await ops.saw("evacuate run-");
  await ops.saw(/1 move, done/);
});

test("a platform that is busy is asked again, and one that is gone is said to be", async () => {
  const at = await world();
  const freeze = (reason: string) =>
    call("POST", "/v1/freezes", { body: { cluster: at.cluster, from: Date.now(), reason } });
  const inChannel = (kind: string) => talk("slack", { channelId: `${kind}${crypto.randomUUID().slice(0, 6)}` });
  const channels = async () =>
    (
      await call<{ items: { id: string; channelId: string; trouble: string | null }[] }>(
        "GET",
        "/v1/chat/channels?limit=1000",
      )
    ).body.items;
  const busy = await linked(inChannel("busy"), "patient", ALL);
  await busy.say("subscribe freeze.created");
  await busy.saw("This channel is told");
  await freeze("the first");
  const toldOf = async (who: typeof busy, reason: string) =>
    (await callsOf(who.channelId)).filter((one) => shown(one).includes(`Frozen by admin: ${reason}`));
  await expect.poll(() => toldOf(busy, "the first"), { timeout: 10_000 }).toHaveLength(1);
  const id = (await channels()).find(({ channelId }) => channelId === busy.channelId)?.id ?? "";
  await expect
    .poll(
      async () => (await (await beginChatTurn(later(60_000), id))?.()) ?? (await toldOf(busy, "the first")).length,
      { timeout: 10_000 },
    )
    .toBe(2);
  expect((await toldOf(busy, "the first")).map(({ messageId }) => messageId !== null)).toEqual([false, true]);
  const gone = await linked(inChannel("gone"), "patient", ALL);
  await gone.say("subscribe freeze.created");
  await gone.saw("This channel is told");
  await freeze("the second");
  await expect
    .poll(async () => (await channels()).find(({ channelId }) => channelId === gone.channelId)?.trouble, {
      timeout: 10_000,
    })
    .toContain("channel_not_found");
});

test("a ping is answered, and what is not Drover's is taken without a word", async () => {
  const ping = await SIGN.discord('{"type":1}', Date.now());
  expect(await send("discord", ping)).toEqual({ status: 200, body: { type: 1 } });
  expect(await send("slack", await SIGN.slack("ssl_check=1", Date.now()))).toEqual({ status: 200, body: null });
  expect(await send("slack", await SIGN.slack("payload=%7B%7D", Date.now()))).toEqual({ status: 200, body: null });
});

test("what was acknowledged is done by Cron where it was lost, and said where it was cut off", async () => {
  const at = await world();
  const who = await linked(talk("slack"), "unlucky", ALL);
  const lost = later(0, { queue: { ...later(0).queue, behind: (work) => void work.catch(() => undefined) } });
  const neverBegun = {
    ...lost,
    store: { ...lost.store, chat: { ...lost.store.chat, begin: () => Promise.resolve(null) } },
  };
  const explain = () => ({ title: "", detail: "", advice: "" });
  const say = async (deps: typeof lost, text: string) =>
    takeRequest(deps, "slack", await signSlack(SPOKEN.slack.command(who, text), Date.now()), explain);
  await say(neverBegun, `host ${at.a.hostId}`);
  await sweepChat(later(0));
  expect(await callsOf(who.channelId)).toEqual([]);
  await sweepChat(later(40_000));
  await who.saw(at.guest.name);
  // Begun, and then the isolate is gone.
  await say(neverBegun, `vm ${at.guest.name}`);
  const [waiting] = await lost.store.chat.left(Date.now() + 1, 50);
  await lost.store.chat.begin(waiting?.id ?? "", Date.now());
  await sweepChat(later(40_000));
  expect((await callsOf(who.channelId)).map(shown).join()).not.toContain("cut off");
  await sweepChat(later(400_000));
  await who.saw("This was cut off");
  const count = (await callsOf(who.channelId)).length;
  await sweepChat(later(800_000));
  expect((await callsOf(who.channelId)).length).toBe(count);
});

test("without a bot token a window cannot be opened, and without a key nothing is taken", async () => {
  const at = await world();
  const who = await linked(talk("slack"), "plain", ALL);
  const without = (name: string) => makeDeps({ ...STILL, [name]: undefined });
  const explain = () => ({ title: "", detail: "", advice: "" });
  const pressed = async () => signSlack(SPOKEN.slack.button(who, button("reject", at.plan), "1"), Date.now());
  await takeRequest(without("SLACK_BOT_TOKEN"), "slack", await pressed(), explain);
  await who.saw("No window can be opened");
  await expect(takeRequest(without("SLACK_SIGNING_SECRET"), "slack", await pressed(), explain)).rejects.toMatchObject({
    fault: { code: "misconfigured", detail: "SLACK_SIGNING_SECRET is not set." },
  });
});

test("a channel is told of what stands in it, and of nothing else", async () => {
  const [at, other] = [await world(), await world()];
  const who = await linked(talk("slack"), "narrow", ALL);
  await who.say(`plan ${at.plan.planId}`);
  await who.saw("waits for a decision");
  await call("POST", `/v1/plans/${other.plan.planId}/reject`, { body: { reason: "the other" } });
  await call("POST", `/v1/plans/${at.plan.planId}/reject`, { body: { reason: "this one" } });
  await who.saw("Rejected by admin: this one");
  const { results } = await env.DB.prepare(
    "SELECT o.subject FROM deliveries d JOIN outbox o ON o.sequence = d.sequence JOIN chat_channels c ON c.id = d.target_id WHERE c.channel_id = ?",
  )
    .bind(who.channelId)
    .all<{ subject: string }>();
  expect(new Set(results.map(({ subject }) => subject))).toEqual(new Set([at.plan.planId]));
});

test("several approve in chat, an emergency goes without, and each step is in the thread", async () => {
  const at = await world();
  await call("PUT", `/v1/approval-rules/${at.cluster}`, { body: { needed: 2, selfPermitted: false } });
  const bob = await linked(talk("discord"), "bob", ALL);
  const ann = await linked(talk("discord", { channelId: bob.channelId }), "ann", ALL);
  await bob.say(`migrate ${at.guest.name} ${at.b.hostId}`);
  const asked = await bob.saw("waits for a decision");
  const messageId = asked.messageId ?? "";
  const [, planId = ""] = /(pln_[0-9a-f]+)/.exec(shown(asked)) ?? [];
  const plan = await planOf(planId);
  await bob.press(button("approve", plan), messageId);
  await bob.saw("who has asked for it may not approve it");
  await ann.press(button("approve", plan), messageId);
  await bob.saw("ann approves");
  await bob.saw("1 of 2: ann");
  expect((await planOf(planId)).state).toBe("proposed");
  await bob.explain(button("override", plan), "fire in rack 3", messageId);
  await bob.saw("Approved in an emergency by bob: fire in rack 3");
  expect(await planOf(planId)).toMatchObject({ decidedBy: "bob", reason: "fire in rack 3" });
});

test("requests are remembered by their signatures alone once they are done", async () => {
  const who = await linked(talk("slack"), "forgotten", ["read"]);
  await who.say("status");
  await who.seen(1);
  await expect
    .poll(
      async () =>
        (
          await env.DB.prepare("SELECT count(*) AS n FROM chat_requests WHERE body LIKE ?")
            .bind(`%${who.userId}%`)
            .first<{ n: number }>()
        )?.n,
      { timeout: 5000 },
    )
    .toBe(0);
});

test("a button that was made for another content of the plan decides nothing", async () => {
  const at = await world();
  const ops = await linked(talk("slack"), "careful", ALL);
  const other = { ...at.plan, contentHash: "0".repeat(64) };
  await ops.press(button("approve", other), "1");
  await ops.saw("not the plan that this button was made for");
  expect(await planOf(at.plan.planId)).toMatchObject({ state: "proposed", decidedBy: null });
});

test("a migration is cancelled, and in the end everything stopped", async () => {
  const at = await world();
  const ops = await linked(talk("discord"), "firm", ALL);
  const { migrationId } = await toPreCopying(at);
  await ops.say(`cancel ${migrationId} wrong_host`);
  await ops.saw(migrationId);
  const { commands } = (await at.a.beat({ [at.guest.uuid]: "running" })).body;
  expect(commands.map(({ body }) => (JSON.parse(body) as { type: string }).type)).toContain("migration.cancel");
  expect(JSON.stringify(await ops.say("stop"))).toContain("Stop everything");
  await ops.explain("stop", "smoke in the cellar", null);
  await ops.saw("Everything is stopped");
  const { body } = await call<{ items: { cluster: string; reason: string }[] }>(
    "GET",
    `/v1/freezes?cluster=${at.cluster}`,
  );
  expect(body.items).toMatchObject([{ cluster: at.cluster, reason: "smoke in the cellar" }]);
});
