// Chat as people have it, on every platform: real workerd, real D1, and a server that is Slack and Discord.
import { describe, expect, test } from "vitest";
import { actionText } from "../../worker/model/chat/actions.ts";
import type { Plan } from "../../worker/model/plan.ts";
import { call, tokenFor } from "../support/api.ts";
import { ALL, auditOf, callsOf, linked, send, shown, SIGN, SPOKEN, talk } from "../support/chat-talk.ts";
import { runOf, world } from "../support/run-world.ts";

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
