import { describe, expect, test } from "vitest";
import type { EstimateAnswer } from "../../worker/model/migration/types.ts";
import { GIB, agentOf, call, vm } from "../support/api.ts";

type Problem = { type: string; issues: { path: string; message: string }[] };
const WHOLE = {
  hypervisor: "kvm",
  driver: "qmp",
  vm: {
    memoryBytes: 8_589_934_592,
    nonzeroBytes: 2_147_483_648,
    pageSizeBytes: 4096,
    vcpus: 4,
    cpuUsedCores: 1.5,
    dirtyCurve: [
      { windowMs: 1000, bytes: 41_943_040 },
      { windowMs: 5000, bytes: 125_829_120 },
    ],
    dirtyRateBytesPerSecond: 20_971_520,
    dirtyRateWindowMs: 1000,
    compressionRatio: 2.1,
    disks: [],
  },
  link: { bytesPerSecond: 1_177_000_000, rttMs: 0.2, concurrentMigrations: 0 },
  parameters: {
    maxBandwidthBytesPerSecond: 134_217_728,
    downtimeLimitMs: 300,
    autoConverge: false,
    xbzrle: false,
    multifdChannels: 0,
    compression: "none",
    postCopyPreempt: false,
    preCopyRounds: 1,
    postCopyAfterMs: null,
    deadlineMs: 90_000,
    onDeadline: "cancel",
  },
  mechanisms: ["pre-copy", "post-copy", "hybrid", "stop-and-copy"],
};
const estimate = (body: unknown) => call<EstimateAnswer>("POST", "/v1/estimates", { body });

describe("POST /v1/estimates", () => {
  test("answers every mechanism asked for, from the body alone, the same each time", async () => {
    const first = await estimate(WHOLE);
    expect(first.status).toBe(200);
    expect(first.body.estimates.map((each) => each.mechanism)).toEqual(WHOLE.mechanisms);
    expect(first.body.recommended?.reasons.length).toBeGreaterThan(0);
    expect((await estimate(WHOLE)).body).toEqual(first.body);
  });

  test("lists what it had to assume, and knows less then", async () => {
    const known = (await estimate(WHOLE)).body;
    const unknown = (await estimate({ vm: { memoryBytes: WHOLE.vm.memoryBytes } })).body;
    expect(unknown.assumptions.length).toBeGreaterThan(known.assumptions.length);
    const width = (answer: EstimateAnswer) => {
      const total = answer.estimates[0]?.totalMs ?? { p10: 1, p90: 1 };
      return total.p90 / total.p10;
    };
    expect(width(unknown)).toBeGreaterThan(width(known));
  });

  test.each([
    [{ ...WHOLE, link: { bytesPerSecond: 0 } }, "link.bytesPerSecond"],
    [{ ...WHOLE, link: { bytesPerSecond: -5 } }, "link.bytesPerSecond"],
    [{ ...WHOLE, vm: { ...WHOLE.vm, memoryBytes: 0 } }, "vm.memoryBytes"],
    [{ ...WHOLE, vm: { ...WHOLE.vm, nonzeroBytes: 9_000_000_000 } }, "vm.nonzeroBytes"],
    [
      {
        ...WHOLE,
        vm: {
          ...WHOLE.vm,
          dirtyCurve: [
            { windowMs: 1000, bytes: 5000 },
            { windowMs: 2000, bytes: 4000 },
          ],
        },
      },
      "vm.dirtyCurve.1.bytes",
    ],
    [{ ...WHOLE, speed: 1 }, "speed"],
    [{ mechanisms: ["teleport"], vm: { memoryBytes: 1 } }, "mechanisms.0"],
    [{}, "vm.memoryBytes"],
    [{ vmId: "00000000-0000-4000-8000-00000000ffff" }, "toHostId"],
  ])("refuses impossible input with the field (case %#)", async (body, path) => {
    const { status, body: problem } = await call<Problem>("POST", "/v1/estimates", { body });
    expect(status).toBe(422);
    expect(problem.issues.map((issue) => issue.path)).toContain(path);
  });

  test("fills in from telemetry what the body leaves out", async () => {
    const guest = vm({ memoryBytes: 4 * GIB });
    const a = await agentOf("c-est", "est-a", [guest]);
    const b = await agentOf("c-est", "est-b", []);
    await a.load(1, { [guest.uuid]: 0.5 });
    await b.load(1, {});
    const { status, body } = await estimate({ vmId: guest.uuid, toHostId: "est-b", mechanisms: ["stop-and-copy"] });
    expect(status).toBe(200);
    // Half a GiB is not zero, as telemetry said, not the four that the VM may use.
    expect(body.estimates[0]?.transferredBytes.p50).toBeGreaterThan(GIB / 2);
    expect(body.estimates[0]?.transferredBytes.p50).toBeLessThan(GIB);
    const told = await estimate({
      vmId: guest.uuid,
      toHostId: "est-b",
      mechanisms: ["stop-and-copy"],
      vm: { nonzeroBytes: 2 * GIB },
    });
    expect(told.body.estimates[0]?.transferredBytes.p50).toBeGreaterThan(2 * GIB);
  });

  test("of an unknown VM or host is a 404", async () => {
    const guest = vm();
    await agentOf("c-est", "est-c", [guest]);
    const ghost = await call<Problem>("POST", "/v1/estimates", {
      body: { vmId: "00000000-0000-4000-8000-00000000ffff", toHostId: "est-c" },
    });
    expect([ghost.status, ghost.body.type]).toEqual([404, "/problems/vm-not-found"]);
    const nowhere = await call<Problem>("POST", "/v1/estimates", { body: { vmId: guest.uuid, toHostId: "nowhere" } });
    expect([nowhere.status, nowhere.body.type]).toEqual([404, "/problems/host-not-found"]);
  });
});
