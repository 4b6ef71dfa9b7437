// A plan approved and run, by two hosts that speak as their agents would: real D1, real Workflows.
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { makeDeps } from "../../worker/env.ts";
import type { Plan } from "../../worker/model/plan.ts";
import type { MigrationRun } from "../../worker/model/run.ts";
import { advanceRun } from "../../worker/services/runs.ts";
import { GIB, agentOf, call, eventually, inventory, vm } from "../support/api.ts";
import { approve, commandFor, OUTCOME, read, runOf, toPreCopying, world } from "../support/run-world.ts";

describe("a run", () => {
  test("goes from claim to completed, and stores what it cost", async () => {
    const w = await world();
    const { a, b, guest, plan } = w;
    const run = await toPreCopying(w);
    expect(run.state).toBe("pre-copying");
    const reserved = await env.DB.prepare("SELECT host_id, memory_bytes FROM reservations WHERE migration_id = ?")
      .bind(run.migrationId)
      .first();
    expect(reserved).toEqual({ host_id: b.hostId, memory_bytes: guest.memoryBytes });
    await a.report(run.migrationId, {
      type: "progress",
      progress: { iteration: 1, remainingBytes: 5, transferredBytes: 7, phase: "pre-copy", elapsedMs: 100 },
    });
    expect((await read(run.migrationId)).progress).toMatchObject({ remainingBytes: 5 });
    await a.report(run.migrationId, { type: "switched", side: "source", postCopy: false });
    await b.report(run.migrationId, { type: "switched", side: "destination", postCopy: false });
    const sent = await a.report(run.migrationId, { type: "completed", outcome: OUTCOME });
    expect(sent.body.state).toBe("verifying");
    await b.beat({ [guest.uuid]: "running" });
    await a.beat({});
    const ended = await eventually(
      () => read(run.migrationId),
      (now) => now.endedAt !== null,
    );
    expect(ended).toMatchObject({ state: "completed", measured: OUTCOME, failure: null });
    expect((await call<Plan>("GET", `/v1/plans/${plan.planId}`)).body.state).toBe("done");
    expect(
      await env.DB.prepare("SELECT count(*) AS n FROM reservations WHERE migration_id = ?")
        .bind(run.migrationId)
        .first(),
    ).toEqual({ n: 0 });
    expect(
      await env.DB.prepare("SELECT mechanism, state FROM outcomes WHERE migration_id = ?")
        .bind(run.migrationId)
        .first(),
    ).toMatchObject({
      state: "completed",
    });
    expect(
      (await call<{ items: { hostId: string }[] }>("GET", `/v1/vms?uuid=${guest.uuid}`)).body.items[0]?.hostId,
    ).toBe(b.hostId);
  });

  test("keeps every event in its timeline; a repeated one is answered as a duplicate and moves nothing", async () => {
    const w = await world();
    const run = await toPreCopying(w);
    const event = { type: "switched", side: "source", postCopy: false, sequence: 50 };
    expect((await w.a.report(run.migrationId, event)).body).toMatchObject({
      duplicate: false,
      applied: true,
      state: "switching",
    });
    expect((await w.a.report(run.migrationId, event)).body).toMatchObject({ duplicate: true, applied: false });
    const { body } = await call<{ items: { type: string }[] }>("GET", `/v1/migrations/${run.migrationId}/events`);
    expect(body.items.map((entry) => entry.type)).toEqual(["prepared", "accepted", "switched"]);
  });

  test("is unknown to hosts that have no part in it, and refuses another fencing token", async () => {
    const w = await world();
    const run = await toPreCopying(w);
    const stranger = await agentOf(w.cluster, `${w.cluster}-z`, []);
    expect((await stranger.report(run.migrationId, { type: "accepted" })).status).toBe(404);
    const stale = await w.a.report(run.migrationId, {
      type: "switched",
      side: "source",
      postCopy: false,
      fencingToken: 9,
    });
    expect(stale.status).toBe(409);
    expect((await read(run.migrationId)).state).toBe("pre-copying");
  });

  test("whose VM is no longer where it was is superseded before anything is sent", async () => {
    const { a, guest, plan } = await world();
    await a.put([{ ...guest, state: "shutoff" }]);
    await approve(plan);
    const run = await eventually(
      () => runOf(plan),
      (now) => now.endedAt !== null,
    );
    expect(run).toMatchObject({ state: "failed", failure: { reason: "vm-not-there" }, fencingToken: null });
    expect((await call<Plan>("GET", `/v1/plans/${plan.planId}`)).body.state).toBe("failed");
  });

  test("with a host that was not heard for 30 s is superseded", async () => {
    const { b, plan } = await world();
    await env.DB.prepare(
      "UPDATE host_state SET heard_at = heard_at - 40000 WHERE host_number = (SELECT number FROM hosts WHERE id = ?)",
    )
      .bind(b.hostId)
      .run();
    await approve(plan);
    const run = await eventually(
      () => runOf(plan),
      (now) => now.endedAt !== null,
    );
    expect(run.failure?.reason).toBe("host-not-heard");
  });

  test("never takes more memory than the destination has, however many are claimed at once", async () => {
    const big = { memoryBytes: 20 * GIB };
    const [one, two] = [vm(big), vm(big)];
    const a = await agentOf("tight", "tight-a", [one]);
    const b = await agentOf("tight", "tight-b", [two]);
    const target = await agentOf("tight", "tight-t", [], { memoryBytes: 40 * GIB });
    await a.load(2, { [one.uuid]: 0.5 });
    await b.load(2, { [two.uuid]: 0.5 });
    await target.load(1, {});
    const planFor = async (hostId: string, other: string) => {
      const parameters = { hostIds: [hostId], cooldownMs: 0 };
      await call("PUT", `/v1/hosts/${other}`, {
        body: inventory("tight", other === "tight-a" ? [one] : [two], { policy: { in: false, out: true } }),
      });
      return (await call<Plan>("POST", "/v1/plans", { body: { cluster: "tight", goal: "evacuate", parameters } })).body;
    };
    const plans = [await planFor("tight-a", "tight-b"), await planFor("tight-b", "tight-a")];
    expect(plans.map((plan) => plan.content.moves.map((move) => move.toHostId))).toEqual([["tight-t"], ["tight-t"]]);
    await Promise.all(plans.map((plan) => approve(plan)));
    const runs = await eventually(
      () => Promise.all(plans.map(runOf)),
      (now) => now.every((run) => run.state !== "queued" && run.state !== "claimed"),
    );
    expect(runs.map((run) => run.state).toSorted()).toEqual(["failed", "preparing"]);
    expect(runs.find((run) => run.state === "failed")?.failure?.reason).toBe("memory");
    expect(
      await env.DB.prepare("SELECT sum(memory_bytes) AS sum FROM reservations WHERE host_id = 'tight-t'").first(),
    ).toEqual({ sum: 20 * GIB });
  });

  test("that the destination refuses fails with its reason, and frees the claim", async () => {
    const { b, plan } = await world();
    await approve(plan);
    const prepare = await commandFor(b, {}, "migration.prepare");
    const run = await runOf(plan);
    await b.report(run.migrationId, {
      type: "refused",
      commandId: prepare.id,
      reason: "policy",
      detail: "the local policy is observe",
    });
    expect(await read(run.migrationId)).toMatchObject({
      state: "failed",
      failure: { reason: "policy", hostId: b.hostId },
    });
    expect(await env.DB.prepare("SELECT count(*) AS n FROM reservations").first()).toMatchObject({
      n: expect.any(Number),
    });
    expect(
      await env.DB.prepare("SELECT count(*) AS n FROM reservations WHERE migration_id = ?")
        .bind(run.migrationId)
        .first(),
    ).toEqual({ n: 0 });
  });

  test("that the source reports failed with the VM running there fails; the destination is told to clear up", async () => {
    const w = await world();
    const run = await toPreCopying(w);
    await w.a.report(run.migrationId, {
      type: "failed",
      reason: "hypervisor",
      detail: "connection reset",
      vmState: "running",
    });
    expect(await read(run.migrationId)).toMatchObject({ state: "failed" });
    expect(await commandFor(w.b, {}, "migration.cancel")).toMatchObject({ hostId: w.b.hostId, vmUuid: w.guest.uuid });
  });

  test("whose source reports a failure and does not know the VM is lost, not failed", async () => {
    const w = await world();
    const run = await toPreCopying(w);
    await w.a.report(run.migrationId, { type: "failed", reason: "hypervisor", detail: "process gone" });
    expect(await read(run.migrationId)).toMatchObject({ state: "lost", endedAt: null });
  });

  test("is cancelled at once before it has begun, by command while it copies, never after post-copy began", async () => {
    const w = await world();
    const run = await toPreCopying(w);
    const cancel = (id: string) =>
      call<MigrationRun>("POST", `/v1/migrations/${id}/cancel`, { body: { reason: "changed my mind" } });
    expect((await cancel(run.migrationId)).body.state).toBe("pre-copying");
    expect(await commandFor(w.a, { [w.guest.uuid]: "running" }, "migration.cancel")).toMatchObject({
      reason: expect.stringContaining("changed my mind"),
    });
    await w.a.report(run.migrationId, {
      type: "cancelled",
      reason: "cancelled",
      detail: "on request",
      vmState: "running",
    });
    expect((await read(run.migrationId)).state).toBe("cancelled");

    const other = await world();
    const second = await toPreCopying(other);
    await other.b.report(second.migrationId, { type: "switched", side: "destination", postCopy: true });
    const refused = await cancel(second.migrationId);
    expect([refused.status, (refused.body as unknown as { type: string }).type]).toEqual([
      409,
      "/problems/point-of-no-return",
    ]);
  });
});

describe("silence", () => {
  /** Lets time pass for one look at the run: the same services, a later clock. */
  const lookAfter = (migrationId: string, ms: number) =>
    advanceRun({ ...makeDeps(env), now: () => Date.now() + ms }, migrationId);

  test("of a source that copies makes the run lost: claim and reservation stay, a person may resolve it with a reason", async () => {
    const w = await world();
    const run = await toPreCopying(w);
    await lookAfter(run.migrationId, 61_000);
    expect(await read(run.migrationId)).toMatchObject({ state: "lost", endedAt: null });
    expect(
      await env.DB.prepare("SELECT count(*) AS n FROM reservations WHERE migration_id = ?")
        .bind(run.migrationId)
        .first(),
    ).toEqual({ n: 1 });
    const again = await call("POST", "/v1/plans", {
      body: { cluster: w.cluster, goal: "evacuate", parameters: { hostIds: [w.a.hostId] } },
    });
    expect((again.body as unknown as Plan).content.moves).toEqual([]);
    const resolved = await call<MigrationRun>("POST", `/v1/migrations/${run.migrationId}/resolve`, {
      body: { vmRunsAt: "source", reason: "looked at the console" },
    });
    expect(resolved.body).toMatchObject({ state: "failed", failure: { reason: "resolved" } });
    expect(
      (
        await call("POST", `/v1/migrations/${run.migrationId}/resolve`, {
          body: { vmRunsAt: "source", reason: "again" },
        })
      ).status,
    ).toBe(409);
  });

  test("is not ended by an agent that will not cancel any more", async () => {
    const w = await world();
    const run = await toPreCopying(w);
    await lookAfter(run.migrationId, 61_000);
    const commandId = `${run.migrationId}-cancel-source-1`;
    const late = await w.a.report(run.migrationId, {
      type: "refused",
      commandId,
      reason: "point-of-no-return",
      detail: "it is gone",
    });
    expect(late.body).toMatchObject({ applied: false, state: "lost" });
  });

  test("ends when both hosts say where the VM runs", async () => {
    const w = await world();
    const run = await toPreCopying(w);
    await lookAfter(run.migrationId, 61_000);
    await env.DB.prepare("UPDATE migrations SET state_at = state_at - 70000 WHERE id = ?").bind(run.migrationId).run();
    await w.b.beat({ [w.guest.uuid]: "running" });
    expect((await read(run.migrationId)).state).toBe("lost");
    await w.a.beat({});
    await w.b.beat({ [w.guest.uuid]: "running" });
    const ended = await eventually(
      () => read(run.migrationId),
      (now) => now.endedAt !== null,
    );
    expect(ended.state).toBe("completed");
    await w.a.report(run.migrationId, { type: "completed", outcome: OUTCOME });
    expect((await read(run.migrationId)).measured).toEqual(OUTCOME);
  });

  test("ends as failed when both say it never left", async () => {
    const w = await world();
    const run = await toPreCopying(w);
    await lookAfter(run.migrationId, 61_000);
    await env.DB.prepare("UPDATE migrations SET state_at = state_at - 70000 WHERE id = ?").bind(run.migrationId).run();
    await w.a.beat({ [w.guest.uuid]: "running" });
    await w.b.beat({});
    expect(
      await eventually(
        () => read(run.migrationId),
        (now) => now.endedAt !== null,
      ),
    ).toMatchObject({ state: "failed" });
  });

  test("of a destination that was asked to prepare fails the run: nothing has touched the VM", async () => {
    const w = await world();
    await approve(w.plan);
    const run = await eventually(
      () => runOf(w.plan),
      (now) => now.state === "preparing",
    );
    await lookAfter(run.migrationId, 61_000);
    expect((await read(run.migrationId)).state).toBe("failed");
  });

  test("never lets an expired command be delivered", async () => {
    const w = await world();
    await approve(w.plan);
    await commandFor(w.b, {}, "migration.prepare");
    await env.DB.prepare("UPDATE commands SET expires_at = 1 WHERE host_id = ?").bind(w.b.hostId).run();
    expect((await w.b.beat({})).body.commands).toEqual([]);
  });
});
