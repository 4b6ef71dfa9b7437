// A destination's preflight without a move: asked of its agent, answered once, waited for within bounds.
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { PreflightView } from "../../worker/services/preflights.ts";
import type { CommandEnvelope } from "../../worker/model/wire/command.ts";
import type { PreflightQuestion, Question } from "../../worker/model/wire/question.ts";
import { type Agent, agentOf, call, eventually, tokenFor, vm } from "../support/api.ts";
import { runSchedule } from "../../worker/services/schedule.ts";
import { makeDeps } from "../../worker/env.ts";

type Problem = { type: string; detail: string; advice: string; preflightId?: string; issues?: { path: string }[] };

let clusters = 0;
async function pair() {
  const cluster = `pre-${++clusters}`;
  const guest = vm({ cpuMode: "host" });
  const cpu = { cores: 16, model: "Xeon of the source" };
  const a = await agentOf(cluster, `${cluster}-a`, [guest], { cpu, hypervisorVersion: "QEMU 8.2.0" });
  const b = await agentOf(cluster, `${cluster}-b`, []);
  return { cluster, guest, a, b };
}

const ask = (body: Record<string, unknown>, token?: string) =>
  call<PreflightView & Problem>("POST", "/v1/moves/preflight", { body, ...(token === undefined ? {} : { token }) });

/** What the agent is asked, once it is. */
async function questionFor<T extends Question["type"]>(agent: Agent, type: T): Promise<Extract<Question, { type: T }>> {
  const find = (commands: readonly Pick<CommandEnvelope, "body">[]) =>
    commands.map(({ body }) => JSON.parse(body) as Question).find((each) => each.type === type);
  const beat = await eventually(
    () => agent.beat({}),
    ({ body }) => find(body.commands) !== undefined,
  );
  return find(beat.body.commands) as Extract<Question, { type: T }>;
}

const answer = (agent: Agent, id: string, body: Record<string, unknown>) =>
  call<{ duplicate: boolean } & Problem>("POST", `/v1/hosts/${agent.hostId}/checks/${id}`, {
    token: agent.token,
    body,
  });

const CHECKS = [
  { check: "memory", ok: true, detail: "2 GiB are needed, 40 GiB are available" },
  { check: "cpu", ok: null, detail: "another CPU" },
  { check: "network", ok: false, detail: "network br7 is not on this host; it has br0" },
];
const answered = (checks: unknown[] = CHECKS) => ({
  type: "move.preflight",
  at: Date.now(),
  checks,
  peerUrl: "http://127.0.0.1:7701",
});

describe("a preflight", () => {
  test("is what the destination's agent says, check by check", async () => {
    const { guest, a, b } = await pair();
    const asking = ask({ vmId: guest.uuid, toHostId: b.hostId, parameters: { downtimeLimitMs: 120 } });
    const question: PreflightQuestion = await questionFor(b, "move.preflight");
    expect(question).toMatchObject({
      hostId: b.hostId,
      fromHostId: a.hostId,
      toHostId: b.hostId,
      vm: { uuid: guest.uuid },
      mechanism: "pre-copy",
      parameters: { downtimeLimitMs: 120, onDeadline: "cancel" },
      source: { driver: "simulated", hypervisorVersion: "QEMU 8.2.0", cpuModel: "Xeon of the source" },
    });
    expect((await answer(b, question.id, answered())).body).toEqual({ duplicate: false });
    const { status, body } = await asking;
    expect(status).toBe(200);
    expect(body).toMatchObject({ state: "answered", ok: false, checks: CHECKS, problem: null, link: null });
    expect((await call("GET", `/v1/moves/preflight/${body.preflightId}`)).body).toEqual(body);
    expect((await b.beat({})).body.commands).toEqual([]);
  });

  test("with doubts alone is ok", async () => {
    const { guest, b } = await pair();
    const asking = ask({ vmId: guest.uuid, toHostId: b.hostId });
    const { id } = await questionFor(b, "move.preflight");
    await answer(b, id, answered(CHECKS.slice(0, 2)));
    expect((await asking).body.ok).toBe(true);
  });

  test("is answered once: what comes after changes nothing", async () => {
    const { guest, b } = await pair();
    const asking = ask({ vmId: guest.uuid, toHostId: b.hostId });
    const { id } = await questionFor(b, "move.preflight");
    await answer(b, id, answered());
    await asking;
    expect((await answer(b, id, answered([{ check: "memory", ok: true, detail: "now there is" }]))).body).toEqual({
      duplicate: true,
    });
    expect((await call<PreflightView>("GET", `/v1/moves/preflight/${id}`)).body.checks).toEqual(CHECKS);
  });

  test("that nobody answers is a 504 that says who is silent, and its late answer can be read", async () => {
    const { guest, b } = await pair();
    const { status, body } = await ask({ vmId: guest.uuid, toHostId: b.hostId, waitMs: 1000 });
    expect([status, body.type]).toEqual([504, "/problems/agent-silent"]);
    expect(body.detail).toContain(b.hostId);
    const id = body.preflightId ?? "";
    expect(body.advice).toContain(id);
    const waiting = await call<PreflightView>("GET", `/v1/moves/preflight/${id}`);
    expect(waiting.body).toMatchObject({ state: "waiting", ok: null, checks: [] });
    await answer(b, id, answered());
    expect((await call<PreflightView>("GET", `/v1/moves/preflight/${id}`)).body).toMatchObject({ state: "answered" });
  });

  test("that an agent refuses says why, also one that does not know the question", async () => {
    const { guest, b } = await pair();
    const asking = ask({ vmId: guest.uuid, toHostId: b.hostId });
    const { id } = await questionFor(b, "move.preflight");
    const refusal = { commandId: id, at: Date.now(), reason: "unreadable", detail: "type: invalid" };
    await call("POST", `/v1/hosts/${b.hostId}/refusals`, { token: b.token, body: refusal });
    const { status, body } = await asking;
    expect([status, body.type]).toEqual([502, "/problems/agent-refused"]);
    expect(body.advice).toContain("install the agent");
  });

  test("with the same Idempotency-Key is asked once", async () => {
    const { guest, b } = await pair();
    const send = () =>
      call<PreflightView>("POST", "/v1/moves/preflight", {
        body: { vmId: guest.uuid, toHostId: b.hostId },
        headers: { "idempotency-key": `once-${b.hostId}` },
      });
    const asking = send();
    await answer(b, (await questionFor(b, "move.preflight")).id, answered());
    const first = await asking;
    expect((await send()).body).toEqual(first.body);
    expect((await b.beat({})).body.commands).toEqual([]);
  });

  test("is asked only of hosts that there are, of the VM's own cluster, and where it is not", async () => {
    const { guest, a } = await pair();
    const other = await pair();
    const wrong = async (toHostId: string) => (await ask({ vmId: guest.uuid, toHostId })).body;
    expect(await wrong("hv-none")).toMatchObject({ type: "/problems/host-not-found" });
    expect(await wrong(a.hostId)).toMatchObject({ issues: [{ path: "toHostId" }] });
    expect(await wrong(other.b.hostId)).toMatchObject({ issues: [{ path: "toHostId" }] });
    const nobody = { vmId: "00000000-0000-4000-8000-ffffffffffff", toHostId: a.hostId };
    expect((await ask(nobody)).body.type).toBe("/problems/vm-not-found");
    expect((await ask({ ...nobody, waitMs: 60_000 })).body.issues?.[0]?.path).toBe("waitMs");
    expect((await ask(nobody, await tokenFor(["read"]))).status).toBe(403);
    expect((await call("GET", "/v1/moves/preflight/pfl_none")).status).toBe(404);
  });

  test("is nobody's to answer but the agent's that was asked", async () => {
    const { guest, a, b } = await pair();
    const asking = ask({ vmId: guest.uuid, toHostId: b.hostId, waitMs: 1500 });
    const { id } = await questionFor(b, "move.preflight");
    expect((await answer(a, id, answered())).status).toBe(404);
    const probed = { type: "link.probe", link: { at: 1, bytesPerSecond: 1, bytes: 1, durationMs: 1, rttMs: 1 } };
    expect((await answer(b, id, probed)).status).toBe(422);
    expect((await asking).status).toBe(504);
  });

  test("is forgotten after a week, with what asked it", async () => {
    const { guest, b } = await pair();
    const { body } = await ask({ vmId: guest.uuid, toHostId: b.hostId, waitMs: 1000 });
    const id = body.preflightId ?? "";
    await env.DB.prepare("UPDATE checks SET created_at = created_at - 8 * 86400000 WHERE id = ?").bind(id).run();
    await runSchedule(makeDeps(env));
    expect((await call("GET", `/v1/moves/preflight/${id}`)).status).toBe(404);
    const left = await env.DB.prepare("SELECT count(*) AS n FROM commands WHERE id = ?")
      .bind(id)
      .first<{ n: number }>();
    expect(left?.n).toBe(0);
  });
});

describe("a probe of the link", () => {
  const link = { at: 5, bytesPerSecond: 4e8, bytes: 2e8, durationMs: 500, rttMs: 0.7, lossRatio: 0.01 };
  const probed = async (w: Awaited<ReturnType<typeof pair>>, said: Record<string, unknown>) => {
    const asking = ask({ vmId: w.guest.uuid, toHostId: w.b.hostId, probe: true });
    await answer(w.b, (await questionFor(w.b, "move.preflight")).id, answered());
    const question = await questionFor(w.a, "link.probe");
    expect(question).toMatchObject({ toHostId: w.b.hostId, peerUrl: "http://127.0.0.1:7701" });
    expect(question.bytesMax).toBeLessThanOrEqual(2 ** 28);
    await answer(w.a, question.id, said);
    return (await asking).body;
  };

  test("is asked of the source, and estimates between these hosts go by it from then on", async () => {
    const w = await pair();
    const estimate = async () =>
      (
        await call<{ estimates: { totalMs: { p50: number } }[] }>("POST", "/v1/estimates", {
          body: {
            vmId: w.guest.uuid,
            toHostId: w.b.hostId,
            mechanisms: ["stop-and-copy"],
            parameters: { maxBandwidthBytesPerSecond: 1e9 },
          },
        })
      ).body.estimates[0]?.totalMs.p50 ?? 0;
    await w.a.load(2, { [w.guest.uuid]: 0.5 });
    const before = await estimate();
    const view = await probed(w, { type: "link.probe", link });
    expect(view).toMatchObject({ ok: false, problem: null, link: { ...link, at: expect.any(Number) } });
    expect(Math.abs((view.link?.at ?? 0) - Date.now())).toBeLessThan(60_000);
    // 0.4 in place of 1 GB/s.
    expect((await estimate()) / before).toBeGreaterThan(1.5);
  });

  test("that the source does not make leaves the preflight as it is, and says why", async () => {
    const w = await pair();
    const view = await probed(w, { type: "refused", reason: "busy", detail: "migration m1 uses the link" });
    expect(view).toMatchObject({ state: "answered", checks: CHECKS, link: null });
    expect(view.problem).toContain("migration m1 uses the link");
  });
});
