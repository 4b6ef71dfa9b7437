// Questions that move nothing: preflight and probe, through real agents.
import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { versionsCheck } from "../../scripts/agent/preflight.ts";
import type { CheckAnswer, PreflightQuestion, ProbeQuestion } from "../../worker/model/wire/question.ts";
import { VM, createBench, prepareCommand, startCommand, vmInventory, type Bench, type Host } from "./builders.ts";

let bench: Bench;
beforeEach(async () => void (bench = await createBench()));
afterEach(() => bench.close());

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 8000, interval: 5 });
const answers = (id: string): CheckAnswer[] =>
  bench.edge.to("POST", new RegExp(`/checks/${id}$`)).map(({ body }) => body as CheckAnswer);
const checksOf = (id: string) => {
  const [answer] = answers(id);
  return answer?.type === "move.preflight" ? Object.fromEntries(answer.checks.map((each) => [each.check, each])) : {};
};

function preflightQuestion(changes: Partial<PreflightQuestion> = {}): PreflightQuestion {
  const { migrationId: _, fencingToken: __, leaseMs: ___, type: ____, ...move } = prepareCommand({ id: "pfl-1" });
  return { type: "move.preflight", ...move, source: { hypervisor: "kvm", driver: "simulated" }, ...changes };
}
const probeQuestion = (changes: Partial<ProbeQuestion>): ProbeQuestion => ({
  type: "link.probe",
  id: "prb-1",
  hostId: "hv-a",
  issuedAt: Date.now(),
  expiresAt: Date.now() + 60_000,
  toHostId: "hv-b",
  peerUrl: "http://127.0.0.1:9",
  bytesMax: 8 * 2 ** 20,
  durationMsMax: 1000,
  ...changes,
});
const asked = (hostId: string, question: PreflightQuestion | ProbeQuestion) =>
  bench.edge.commands.set(hostId, [bench.signer.seal(JSON.stringify(question), { id: question.id })]);

describe("a preflight", () => {
  test("answers with every look, and touches nothing", async () => {
    const host = bench.host("hv-b");
    asked("hv-b", preflightQuestion());
    const { peerUrl } = await host.start();
    await eventually(() => expect(answers("pfl-1").length).toBeGreaterThan(1));
    expect(answers("pfl-1")[0]).toMatchObject({ type: "move.preflight", peerUrl });
    expect(checksOf("pfl-1")).toMatchObject({
      policy: { ok: true },
      place: { ok: true },
      versions: { ok: null },
      memory: { ok: true },
    });
    expect(host.script.calls).toEqual([]);
    // Delivered again with every heartbeat: said again, and looked at once.
    expect(new Set(answers("pfl-1").map((each) => JSON.stringify(each))).size).toBe(1);
    expect(bench.edge.events("pfl-1")).toEqual([]);
  });

  test("says what its own agent would refuse", async () => {
    const host = bench.host("hv-b", [vmInventory()]);
    writeFileSync(host.policyFile, JSON.stringify({ mode: "out" }), { mode: 0o600 });
    asked("hv-b", preflightQuestion());
    await host.start();
    await eventually(() => expect(answers("pfl-1").length).toBeGreaterThan(0));
    expect(checksOf("pfl-1")).toMatchObject({
      policy: { ok: false, detail: expect.stringContaining("mode is out; in is needed") },
      place: { ok: false, detail: expect.stringContaining("is on this host already") },
    });
    writeFileSync(host.stopFile, "");
    asked("hv-b", preflightQuestion({ id: "pfl-2" }));
    await eventually(() => expect(checksOf("pfl-2")["policy"]?.detail).toContain("STOP file"));
  });

  test("of a hypervisor that does not answer says that", async () => {
    const host = bench.host("hv-b");
    host.script.driver.preflight = async () => {
      throw new Error("the monitor is gone");
    };
    asked("hv-b", preflightQuestion());
    await host.start();
    await eventually(() => expect(answers("pfl-1").length).toBeGreaterThan(0));
    expect(checksOf("pfl-1")).toEqual({
      hypervisor: { check: "hypervisor", ok: false, detail: "the hypervisor does not answer: the monitor is gone" },
    });
  });

  test("that comes too late is refused, and one that was not signed is not answered", async () => {
    const host = bench.host("hv-b");
    asked("hv-b", preflightQuestion({ expiresAt: Date.now() - 1000 }));
    await host.start();
    await eventually(() => expect(answers("pfl-1")[0]).toMatchObject({ type: "refused", reason: "expired" }));
    const sealed = bench.signer.seal(JSON.stringify(preflightQuestion({ id: "pfl-9" })), { id: "pfl-9" });
    bench.edge.commands.set("hv-b", [{ ...sealed, body: `${sealed.body} ` }]);
    await eventually(() =>
      expect(bench.edge.to("POST", /refusals$/)[0]?.body).toMatchObject({ reason: "bad-signature" }),
    );
    expect(answers("pfl-9")).toEqual([]);
  });

  test.each([
    [{ hypervisorVersion: "QEMU 7.2.1" }, "QEMU 7.2.9", true],
    [{ hypervisorVersion: "QEMU 7.2.1" }, "QEMU 10.1.0", true],
    [{ hypervisorVersion: "QEMU 10.0.0" }, "QEMU 9.2.0", null],
    [{}, "QEMU 9.2.0", null],
    [{ driver: "libvirt" as const }, "QEMU 9.2.0", false],
    [{ hypervisor: "xen" as const }, "QEMU 9.2.0", false],
  ])("compares versions: %j at the source, %s here: %s", (source, hypervisorVersion, ok) => {
    const here = { hypervisor: "kvm" as const, hypervisorVersion, driver: { name: "qmp" as const }, cpu: { cores: 1 } };
    expect(versionsCheck({ source: { hypervisor: "kvm", driver: "qmp", ...source } }, here).ok).toBe(ok);
  });
});

describe("a probe of the link", () => {
  async function pair(): Promise<{ source: Host; peerUrl: string; destination: Host }> {
    const destination = bench.host("hv-b");
    const { peerUrl } = await destination.start();
    return { source: bench.host("hv-a", [vmInventory()]), peerUrl, destination };
  }
  const linkOf = (id = "prb-1") => {
    const [answer] = answers(id);
    return answer?.type === "link.probe" ? answer.link : null;
  };

  test("tells rate, round trip and loss, and keeps to its bytes", async () => {
    const { source, peerUrl } = await pair();
    asked("hv-a", probeQuestion({ peerUrl }));
    await source.start();
    await eventually(() => expect(linkOf()).not.toBeNull());
    const link = linkOf();
    expect(link?.bytes).toBe(8 * 2 ** 20);
    expect(link?.bytesPerSecond).toBeCloseTo(((link?.bytes ?? 0) * 1000) / (link?.durationMs ?? 1), 0);
    expect(link?.rttMs).toBeGreaterThan(0);
    expect(link?.lossRatio).toBeGreaterThanOrEqual(0);
    expect(link?.lossRatio).toBeLessThan(1);
  });

  test("keeps to its time, and to the bandwidth that the local policy lets a migration have", async () => {
    const { source, peerUrl } = await pair();
    const bandwidthBytesPerSecondMax = 4 * 2 ** 20;
    writeFileSync(source.policyFile, JSON.stringify({ mode: "in-out", bandwidthBytesPerSecondMax }), { mode: 0o600 });
    asked("hv-a", probeQuestion({ peerUrl, bytesMax: 2 ** 28, durationMsMax: 500 }));
    await source.start();
    await eventually(() => expect(linkOf()).not.toBeNull());
    expect(linkOf()?.bytes).toBeLessThan(bandwidthBytesPerSecondMax);
  });

  test.each<[string, (w: Awaited<ReturnType<typeof pair>>) => void, RegExp]>([
    ["the source's STOP file", ({ source }) => writeFileSync(source.stopFile, ""), /STOP file of this host/],
    [
      "the destination's STOP file",
      ({ destination }) => writeFileSync(destination.stopFile, ""),
      /STOP file of the destination/,
    ],
    ["a source that lets nothing out", ({ source }) => writeFileSync(source.policyFile, "{}"), /lets no VM out/],
    [
      "a destination that lets nothing in",
      ({ destination }) => writeFileSync(destination.policyFile, "{}"),
      /lets no VM in/,
    ],
  ])("is not made against %s", async (_, forbid, why) => {
    const w = await pair();
    forbid(w);
    asked("hv-a", probeQuestion({ peerUrl: w.peerUrl }));
    await w.source.start();
    await eventually(() => expect(answers("prb-1")[0]).toMatchObject({ type: "refused" }));
    expect(JSON.stringify(answers("prb-1")[0])).toMatch(why);
  });

  test("is not made with somebody who does not have the cluster's secret, nor with nobody", async () => {
    const { source } = await pair();
    const stranger = bench.host("hv-c", [], { peerSecret: "the secret of another one" });
    const { peerUrl } = await stranger.start();
    asked("hv-a", probeQuestion({ peerUrl }));
    await source.start();
    await eventually(() => expect(answers("prb-1")[0]).toMatchObject({ type: "refused" }));
    expect(linkOf()).toBeNull();
    asked("hv-a", probeQuestion({ id: "prb-2" }));
    await eventually(() => expect(answers("prb-2")[0]).toMatchObject({ type: "refused", reason: "unreachable" }));
  });

  test("is not made beside a migration", async () => {
    const { source, peerUrl } = await pair();
    const destination = { migrationUri: "tcp:127.0.0.1:4444", peerUrl };
    bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand())]);
    await eventually(() => expect(bench.edge.events("m1").map(({ type }) => type)).toContain("prepared"));
    bench.edge.commands.set("hv-a", [bench.signer.seal(startCommand({ destination }))]);
    await source.start();
    await eventually(() => expect(source.script.calls).toContain(`startOutgoing ${VM}`));
    asked("hv-a", probeQuestion({ peerUrl }));
    await eventually(() => expect(answers("prb-1")[0]).toMatchObject({ type: "refused", reason: "busy" }));
  });
});
