// People steer and recover migrations, and the timeline says who or what moved a run, and why.
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { makeDeps } from "../../worker/env.ts";
import type { MigrationRun, TimelineEntry } from "../../worker/model/run.ts";
import type { Command, CommandEnvelope } from "../../worker/model/wire/command.ts";
import type { SentDirective } from "../../worker/model/wire/steering.ts";
import { advanceRun } from "../../worker/services/runs.ts";
import { agentOf, call, eventually, tokenFor } from "../support/api.ts";
import { OUTCOME, commandFor, read, toPreCopying, world, type World } from "../support/run-world.ts";

type Problem = { type: string; detail: string; limits?: { downtimeMsMax: number } };

const steer = (run: MigrationRun, body: Record<string, unknown>, token?: string) =>
  call<SentDirective & Problem>("POST", `/v1/migrations/${run.migrationId}/steer`, {
    body: { reason: "the window closes", ...body },
    ...(token === undefined ? {} : { token }),
  });
const recover = (run: MigrationRun) =>
  call<SentDirective & Problem>("POST", `/v1/migrations/${run.migrationId}/recover`, {
    body: { reason: "link is back" },
  });
const timeline = async ({ migrationId }: MigrationRun): Promise<TimelineEntry[]> =>
  (await call<{ items: TimelineEntry[] }>("GET", `/v1/migrations/${migrationId}/events`)).body.items;
const ofEdge = async (run: MigrationRun) => (await timeline(run)).filter(({ hostId }) => hostId === "drover:edge");
const entry = async (run: MigrationRun, type: string) => (await ofEdge(run)).find((each) => each.type === type);
/** Lets time pass for one look at the run: the same services, a later clock. */
const lookAfter = ({ migrationId }: MigrationRun, ms: number) =>
  advanceRun({ ...makeDeps(env), now: () => Date.now() + ms }, migrationId);
const PROGRESS = { iteration: 2, remainingBytes: 5, transferredBytes: 7, phase: "pre-copy", elapsedMs: 100 };

async function progress(w: World, run: MigrationRun, more: Record<string, unknown> = {}) {
  const answer = await w.a.report(run.migrationId, { type: "progress", progress: PROGRESS, ...more });
  const { commands } = answer.body as unknown as { commands: CommandEnvelope[] };
  return commands.map(({ body }) => JSON.parse(body) as Command);
}

/** Past the point of no return, with its link lost. */
async function toPaused(w: World): Promise<MigrationRun> {
  const run = await toPreCopying(w);
  await w.a.report(run.migrationId, { type: "switched", side: "source", postCopy: true });
  await w.b.report(run.migrationId, { type: "switched", side: "destination", postCopy: true });
  await w.a.report(run.migrationId, { type: "paused", detail: "connection reset" });
  return read(run.migrationId);
}

describe("steering", () => {
  test("sends absolute values with a rising number, in the answer to progress and to a heartbeat alike", async () => {
    const w = await world();
    const run = await toPreCopying(w);
    const { downtimeMsMax } = run.limits;
    const value = Math.floor(downtimeMsMax);
    const first = await steer(run, { set: "downtime", value });
    expect([first.status, first.body.number]).toEqual([200, 1]);
    expect((await steer(run, { set: "cancel" })).body.number).toBe(2);
    const commands = await progress(w, run);
    expect(commands).toMatchObject([
      {
        type: "migration.steer",
        hostId: w.a.hostId,
        fencingToken: 1,
        number: 1,
        directive: { set: "downtime", downtimeLimitMs: value },
        reason: "the window closes",
      },
      { number: 2, directive: { set: "cancel" } },
    ]);
    expect(await commandFor(w.a, { [w.guest.uuid]: "running" }, "migration.steer")).toEqual(commands[0]);
    expect(await w.b.beat({})).toMatchObject({ body: { commands: [] } });

    const steered = { type: "steered", what: "downtime-limit", from: 300, to: value, by: "command", why: "people" };
    const answer = await w.a.report(run.migrationId, { ...steered, commandId: first.body.commandId });
    expect(answer.body).toMatchObject({ applied: false, state: "pre-copying" });
    expect((await progress(w, run)).map((command) => command.id)).toEqual([`${run.migrationId}-steer-2`]);
    expect((await timeline(run)).find(({ type }) => type === "steered")?.body).toMatchObject(steered);
  });

  test("outside the approved limits is refused with its numbers, and nothing is sent", async () => {
    const w = await world();
    const run = await toPreCopying(w);
    const { downtimeMsMax, bandwidthBytesPerSecondMax } = run.limits;
    const tooLong = await steer(run, { set: "downtime", value: Math.ceil(downtimeMsMax) + 1 });
    expect(tooLong.status).toBe(422);
    expect(tooLong.body).toMatchObject({ type: "/problems/outside-limits", limits: { downtimeMsMax } });
    expect(tooLong.body.detail).toContain(String(downtimeMsMax));
    expect((await steer(run, { set: "bandwidth", value: bandwidthBytesPerSecondMax + 1 })).status).toBe(422);
    expect((await steer(run, { set: "start-post-copy" })).body.detail).toContain("post-copy");
    expect((await steer(run, { set: "downtime" })).status).toBe(422);
    expect((await steer(run, { set: "cancel", value: 1 })).status).toBe(422);
    expect(await progress(w, run)).toEqual([]);
  });

  test("needs the scope to operate, and a run that copies", async () => {
    const w = await world();
    const run = await toPreCopying(w);
    const reader = await tokenFor(["read", "approve"]);
    expect((await steer(run, { set: "cancel" }, reader)).status).toBe(403);
    expect((await recover(run)).body).toMatchObject({ type: "/problems/illegal-state" });
    await w.a.report(run.migrationId, { type: "switched", side: "source", postCopy: false });
    expect((await steer(run, { set: "cancel" })).status).toBe(409);
  });

  test("that the agent refuses does not touch the run", async () => {
    const w = await world();
    const run = await toPreCopying(w);
    const { body } = await steer(run, { set: "bandwidth", value: run.parameters.maxBandwidthBytesPerSecond });
    const refused = { type: "refused", reason: "policy", detail: "over the local policy", commandId: body.commandId };
    expect((await w.a.report(run.migrationId, refused)).body).toMatchObject({ applied: false, state: "pre-copying" });
    expect(await progress(w, run)).toEqual([]);
  });
});

describe("a post-copy that has lost its link", () => {
  test("is paused: all but recovering is refused; it goes on and completes", async () => {
    const w = await world();
    const run = await toPaused(w);
    expect(run.state).toBe("paused");
    expect((await steer(run, { set: "downtime", value: 1 })).body.type).toBe("/problems/point-of-no-return");
    const cancel = await call("POST", `/v1/migrations/${run.migrationId}/cancel`, { body: { reason: "no" } });
    expect(cancel.status).toBe(409);
    const sent = await recover(run);
    expect([sent.status, sent.body.number]).toEqual([200, 1]);
    expect(await progress(w, run, { paused: true })).toMatchObject([
      { type: "migration.recover", hostId: w.a.hostId, reason: "link is back" },
    ]);
    await w.a.report(run.migrationId, { type: "resumed" });
    expect((await read(run.migrationId)).state).toBe("resuming");
    await w.a.report(run.migrationId, { type: "completed", outcome: OUTCOME });
    await w.a.beat({});
    await w.b.beat({ [w.guest.uuid]: "running" });
    await eventually(
      () => read(run.migrationId),
      (now) => now.state === "completed",
    );
  });

  test("is not lost for as long as its source says that it waits, and found again as what it is", async () => {
    const w = await world();
    const run = await toPaused(w);
    await env.DB.prepare("UPDATE migrations SET state_at = state_at - 900000 WHERE id = ?").bind(run.migrationId).run();
    await progress(w, run, { paused: true });
    await lookAfter(run, 30_000);
    expect((await read(run.migrationId)).state).toBe("paused");
    await lookAfter(run, 200_000);
    expect((await read(run.migrationId)).state).toBe("lost");
    expect((await recover(run)).status).toBe(200);
    await progress(w, run, { paused: true });
    expect((await read(run.migrationId)).state).toBe("paused");
    await lookAfter(run, 200_000);
    await progress(w, run, { progress: { ...PROGRESS, phase: "post-copy" } });
    expect((await read(run.migrationId)).state).toBe("resuming");
  });

  test("whose destination's process is gone is lost, and a person says what became of the VM", async () => {
    const w = await world();
    const run = await toPaused(w);
    await w.b.report(run.migrationId, {
      type: "failed",
      reason: "destination-lost",
      detail: "killed",
      vmState: "shutoff",
    });
    expect(await read(run.migrationId)).toMatchObject({ state: "lost", endedAt: null });
    const resolved = await call<MigrationRun>("POST", `/v1/migrations/${run.migrationId}/resolve`, {
      body: { vmRunsAt: "nowhere", reason: "started from its disk later" },
    });
    expect(resolved.body).toMatchObject({ state: "failed", failure: { reason: "resolved" } });
    expect(await entry(run, "resolved-nowhere")).toMatchObject({
      verdict: expect.stringContaining("started from its disk later"),
    });
  });
});

describe("the truth", () => {
  /** The run was lost a while ago; only what hosts say from now on counts. */
  async function toLost(): Promise<{ w: World; run: MigrationRun }> {
    const w = await world();
    const run = await toPreCopying(w);
    await lookAfter(run, 61_000);
    await env.DB.prepare("UPDATE migrations SET state_at = state_at - 130000 WHERE id = ?").bind(run.migrationId).run();
    await env.DB.prepare("UPDATE host_state SET vm_states_at = vm_states_at - 200000").run();
    return { w, run };
  }

  test("silence is explained in the timeline", async () => {
    const { run } = await toLost();
    const [silent, ...others] = await ofEdge(run);
    expect(silent).toMatchObject({
      type: "silent",
      verdict: expect.stringMatching(/^applied: lost\. No event for \d+ s/),
    });
    expect(others).toEqual([]);
  });

  test("a VM on two hosts ends nothing; it is noted once, however often it is seen", async () => {
    const { w, run } = await toLost();
    for (let times = 0; times < 3; times++) {
      await w.a.beat({ [w.guest.uuid]: "running" });
      await w.b.beat({ [w.guest.uuid]: "running" });
      await lookAfter(run, 0);
    }
    expect((await read(run.migrationId)).state).toBe("lost");
    const notes = (await ofEdge(run)).filter(({ type }) => type === "seen-two-hosts");
    expect(notes).toMatchObject([{ verdict: expect.stringMatching(/^noted: .*Stop one of them/) }]);
  });

  test("a VM on neither host ends nothing, and is noted with how it stands on each", async () => {
    const { w, run } = await toLost();
    await w.a.beat({ [w.guest.uuid]: "postmigrate" });
    await w.b.beat({});
    await lookAfter(run, 0);
    expect((await read(run.migrationId)).state).toBe("lost");
    expect(await entry(run, "seen-nowhere")).toMatchObject({
      verdict: expect.stringContaining("source postmigrate, destination without it"),
    });
  });

  test("a VM on a third host ends the run there, with the reason", async () => {
    const { w, run } = await toLost();
    const c = await agentOf(w.cluster, `${w.cluster}-c`, [w.guest]);
    await c.beat({ [w.guest.uuid]: "running" });
    await w.a.put([]);
    await w.a.beat({});
    await w.b.beat({});
    const ended = await eventually(
      async () => (await lookAfter(run, 0), read(run.migrationId)),
      (now) => now.endedAt !== null,
    );
    expect(ended).toMatchObject({ state: "failed", failure: { reason: "seen-elsewhere" } });
    expect(await entry(run, "seen-elsewhere")).toMatchObject({
      verdict: expect.stringContaining(`${w.cluster}-c`),
    });
  });

  test("what both hosts say is explained where it ends the run", async () => {
    const { w, run } = await toLost();
    await w.a.beat({});
    await w.b.beat({ [w.guest.uuid]: "running" });
    await eventually(
      async () => (await lookAfter(run, 0), read(run.migrationId)),
      (now) => now.endedAt !== null,
    );
    expect(await entry(run, "seen-at-destination-only")).toMatchObject({
      verdict: "applied: completed. Both hosts report: the VM runs at the destination only.",
    });
  });

  test.each([-2, 2])(
    "an agent's clock that is %s days off moves no time of the run; what it said is kept",
    async (days) => {
      const w = await world();
      const run = await toPreCopying(w);
      const at = Date.now() + days * 86_400_000;
      await w.a.report(run.migrationId, { type: "switched", side: "source", postCopy: false, at });
      const now = await read(run.migrationId);
      expect(now.state).toBe("switching");
      expect(Math.abs(now.stateAt - Date.now())).toBeLessThan(20_000);
      expect(Math.abs((now.lastEventAt ?? 0) - Date.now())).toBeLessThan(20_000);
      const entry = (await timeline(run)).find(({ type }) => type === "switched");
      expect(entry?.at).toBe(at);
      expect(Math.abs((entry?.receivedAt ?? 0) - Date.now())).toBeLessThan(20_000);
      await lookAfter(run, 40_000);
      expect((await read(run.migrationId)).state).toBe("switching");
    },
  );
});
