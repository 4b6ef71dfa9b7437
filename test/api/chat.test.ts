// Chat as people have it, on every platform: real workerd, real D1, and a server that is Slack and Discord.
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { actionText } from "../../worker/model/chat/actions.ts";
import type { Plan } from "../../worker/model/plan.ts";
import { call, tokenFor } from "../support/api.ts";
import { ALL, auditOf, callsOf, linked, send, shown, SIGN, SPOKEN, talk } from "../support/chat-talk.ts";
import { sweepChat, takeRequest } from "../../worker/services/chat-requests.ts";
import { beginChatTurn } from "../../worker/services/chat-turns.ts";
import { signSlack } from "../support/chat-requests.ts";
import { later } from "../support/webhooks.ts";
import { OUTCOME, read, runOf, toPreCopying, world } from "../support/run-world.ts";

const planOf = async (planId: string) => (await call<Plan>("GET", `/v1/plans/${planId}`)).body;
const button = (what: "approve" | "reject" | "override", { planId, contentHash }: Plan): string =>
  actionText({ do: what, planId, hash: contentHash });

describe.each(["slack", "discord"] as const)("%s", (platform) => {
  test("a request that is forged, old or came before is refused without a reason", async () => {
    const who = talk(platform);
    const body = SPOKEN[platform].command(who, "help");
    const signed = await SIGN[platform](body, Date.now());
    expect((await send(platform, signed)).status).toBe(200);
    const refusals = await Promise.all([
      send(platform, signed),
      send(platform, { ...signed, body: `${body}x` }),
      send(platform, await SIGN[platform](body, Date.now() - 600_000)),
      send(platform, { headers: {}, body }),
    ]);
    for (const { status, body: said } of refusals) {
      expect(status).toBe(401);
      expect(said).toEqual(refusals[0]?.body);
    }
    expect(refusals[0]?.body).toMatchObject({ type: "/problems/unverified" });
  });

  test("somebody unknown is told how to link themselves, and then may what their token may", async () => {
    const who = talk(platform);
    await who.say("status");
    const told = await who.saw("does not know you yet");
    const [, code = ""] = /Your code is \*+([A-Z0-9-]{9})/.exec(shown(told)) ?? [];
    const token = await tokenFor(["read"]);
    expect((await call("POST", "/v1/chat/links", { body: { code: "AAAA-2222" }, token })).status).toBe(404);
    const made = await call<{ scopes: string[] }>("POST", "/v1/chat/links", { body: { code }, token });
    expect([made.status, made.body.scopes]).toEqual([201, ["read"]]);
    expect((await call("POST", "/v1/chat/links", { body: { code }, token })).status).toBe(404);
    await who.say("status");
    await who.saw(/hosts? heard|No hosts yet/);
    await who.say("stop because I can");
    await who.saw("You may not stop");
    const { body } = await call<{ items: { id: string; userId: string; tokenId: string }[] }>(
      "GET",
      "/v1/chat/users?limit=1000",
    );
    const tokenId = body.items.find(({ userId }) => userId === who.userId)?.tokenId;
    await call("DELETE", `/v1/tokens/${tokenId}`);
    const before = (await callsOf(who.channelId)).length;
    await who.say("status");
    expect(shown((await who.seen(before + 1)).at(-1) ?? told)).toContain("does not know you yet");
  });

  test("a word that is near a command, and a command with wrong arguments, are answered at once", async () => {
    const who = talk(platform);
    const answered = async (text: string) => JSON.stringify(await who.say(text));
    expect(await answered("stauts")).toContain("Did you mean");
    expect(await answered("estimate only-one")).toContain("estimate VM HOST");
    expect(await answered("teleport x")).toContain("There is no command");
    expect(await callsOf(who.channelId)).toEqual([]);
  });

  test("questions are answered from what is known", async () => {
    const at = await world();
    const who = await linked(talk(platform), `reader-${platform}`, ["read"]);
    const answers: [string, string | RegExp][] = [
      ["status", "hosts heard"],
      [`hosts ${at.cluster}`, at.a.hostId],
      [`host ${at.a.hostId}`, at.guest.name],
      [`vm ${at.guest.name}`, at.guest.uuid],
      [`estimate ${at.guest.name} ${at.b.hostId}`, "down p50 / p90"],
      [`plan ${at.plan.planId}`, "waits for a decision"],
      [`why ${at.plan.planId} 1`, "If nothing is done"],
      [`why-not ${at.guest.name} ${at.b.hostId}`, "Why not"],
      [`host ${at.a.hostId}x`, `Did you mean ${at.a.hostId}`],
      [`why ${at.plan.planId} 99`, /No such move/],
    ];
    for (const [question, answer] of answers) {
      await who.say(question);
      // Discord's escapes, and JSON's.
      const unescaped = (one: string) => one.replaceAll("\\", "");
      await expect
        .poll(async () => (await callsOf(who.channelId)).map((one) => unescaped(shown(one))).join("\n"), {
          timeout: 10_000,
        })
        .toMatch(typeof answer === "string" ? new RegExp(RegExp.escape(answer)) : answer);
    }
    expect((await auditOf(`reader-${platform}`)).length).toBe(0);
  });

  test("a plan is asked for, approved by its button, and its messages go on to the end", async () => {
    const at = await world();
    const ops = await linked(talk(platform), `ops-${platform}`, ALL);
    await ops.say(`plan ${at.plan.planId}`);
    const shownPlan = await ops.saw("waits for a decision");
    const messageId = shownPlan.messageId ?? "";
    expect(shown(shownPlan)).toContain(button("approve", at.plan));
    await ops.press(button("approve", at.plan), messageId);
    await ops.saw(/approved, by|, approved/);
    expect(await planOf(at.plan.planId)).toMatchObject({ decidedBy: `ops-${platform}` });
    expect(await auditOf(`ops-${platform}`)).toMatchObject([
      {
        action: "chat.approve",
        subject: at.plan.planId,
        detail: { user: { platform, userId: ops.userId }, channelId: ops.channelId },
      },
      { action: "plan.approved", subject: at.plan.planId },
    ]);
    await ops.saw(`Approved by ops-${platform}`);
    const again = await linked(talk(platform, { channelId: ops.channelId }), `late-${platform}`, ALL);
    await again.press(button("approve", at.plan), messageId);
    await ops.saw("This button is of a past plan");
    const run = await runOf(at.plan);
    expect(run.state).not.toBe("completed");
  });

  test("a plan is rejected with a reason that is asked for in a window", async () => {
    const at = await world();
    const ops = await linked(talk(platform), `no-${platform}`, ALL);
    await ops.say(`plan ${at.plan.planId}`);
    const { messageId } = await ops.saw("waits for a decision");
    const window = await ops.press(button("reject", at.plan), messageId ?? "");
    // Slack is asked to open it; Discord does by the answer.
    const asked = platform === "slack" ? (await ops.saw('"view"')).body["view"] : (window as { data: object }).data;
    expect(JSON.stringify(asked)).toContain(button("reject", at.plan));
    await ops.explain(button("reject", at.plan), "not before the weekend", messageId);
    await ops.saw(/, rejected/);
    expect(await planOf(at.plan.planId)).toMatchObject({ state: "rejected", reason: "not before the weekend" });
  });

  test("what somebody may not do is said, and not done", async () => {
    const at = await world();
    const who = await linked(talk(platform), `shy-${platform}`, ["read"]);
    await who.press(button("approve", at.plan), "1");
    await who.saw("You may not approve");
    await who.say(`drain ${at.a.hostId}`);
    await who.saw("You may not drain");
    expect(await planOf(at.plan.planId)).toMatchObject({ state: "proposed" });
  });

  test("drain, migrate, advise and subscribe do what they say", async () => {
    const at = await world();
    const ops = await linked(talk(platform), `busy-${platform}`, ALL);
    await ops.say(`advise ${at.cluster} balance`);
    await ops.saw(`balance ${at.cluster}`);
    await ops.say(`migrate ${at.guest.name} ${at.b.hostId} pre-copy`);
    await ops.saw("pre-copy");
    await ops.say(`migrate ${at.guest.name} ${at.a.hostId}`);
    await ops.saw("already");
    await ops.say(`drain ${at.a.hostId} 2h`);
    await ops.saw("is in maintenance until");
    const { body } = await call<{ maintenance: { reason: string } }>("GET", `/v1/hosts/${at.a.hostId}`);
    expect(body.maintenance.reason).toContain("drained in chat by");
    await ops.say("subscribe host.maintenance-ended");
    await ops.saw("This channel is told");
    await call("DELETE", `/v1/hosts/${at.a.hostId}/maintenance`);
    await ops.saw("is out of maintenance");
  });
});

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
