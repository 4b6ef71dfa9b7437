import { describe, expect, test } from "vitest";
import type { GroupAccuracy } from "../../worker/model/calibration/accuracy.ts";
import type { EstimateAnswer } from "../../worker/model/migration/types.ts";
import type { ImportAnswer } from "../../worker/services/calibration.ts";
import { call, eventually } from "../support/api.ts";
import { OUTCOME, toPreCopying, world } from "../support/run-world.ts";

type Report = { groups: GroupAccuracy[] };
type Problem = { type: string; detail: string };

const report = async (cluster: string) => (await call<Report>("GET", `/v1/calibration?cluster=${cluster}`)).body.groups;

const csv = (rows: string[]) => `${HEADER}\n${rows.join("\n")}\n`;
const HEADER =
  "mechanism,totalMs,downtimeMs,transferredBytes,memoryBytes,nonzeroBytes,vcpus,cpuUsedCores,dirtyRateBytesPerSecond,linkBytesPerSecond,maxBandwidthBytesPerSecond,accelerator";
/** A VM of 4 GiB, 2 of them not zero, that took twice the time that 100 MB/s needs. */
const slow = (nonzeroGib: number) => {
  const bytes = Math.round(nonzeroGib * 2 ** 30);
  return `pre-copy,${bytes / 5e4},40,${bytes},${4 * 2 ** 30},${bytes},2,0.5,1000000,1200000000,100000000,kvm`;
};
const imported = (cluster: string, body: string, type = "text/csv", headers: Record<string, string> = {}) =>
  call<ImportAnswer & Problem>("POST", `/v1/calibration/imports?cluster=${cluster}`, {
    body,
    headers: { "content-type": type, ...headers },
  });

const ESTIMATE = {
  vm: { memoryBytes: 4 * 2 ** 30, nonzeroBytes: 2 ** 31, vcpus: 2, cpuUsedCores: 0.5, dirtyRateBytesPerSecond: 1e6 },
  link: { bytesPerSecond: 1.2e9 },
  accelerator: "kvm",
  parameters: { maxBandwidthBytesPerSecond: 1e8 },
  mechanisms: ["pre-copy"],
};
const totalOf = async (cluster?: string) => {
  const { body } = await call<EstimateAnswer>("POST", "/v1/estimates", { body: { ...ESTIMATE, cluster } });
  return body.estimates[0];
};

test("without outcomes there are no groups, and nothing is corrected", async () => {
  expect(await report("calm")).toEqual([]);
  expect((await totalOf("calm"))?.calibration).toBeNull();
});

test("a run that has ended is learned from: what was said, what was measured, and the next estimate knows", async () => {
  const there = await world();
  const { a, b, guest } = there;
  const { migrationId } = await toPreCopying(there);
  await a.report(migrationId, { type: "switched", side: "source", postCopy: false });
  await b.report(migrationId, { type: "switched", side: "destination", postCopy: false });
  await a.report(migrationId, { type: "completed", outcome: OUTCOME });
  await b.beat({ [guest.uuid]: "running" });
  await a.beat({});
  const [group] = await eventually(
    () => report(there.cluster),
    (groups) => groups.length > 0,
  );
  expect(group).toMatchObject({ cluster: there.cluster, samples: 1, subjects: 1, convergedRatio: 1, drifted: null });
  expect(group?.quantities.totalMs).toMatchObject({ samples: 1 });
  expect(group?.learned?.corrections.totalMs?.samples).toBe(1);
  const { body } = await call<EstimateAnswer>("POST", "/v1/estimates", {
    body: { vmId: guest.uuid, toHostId: a.hostId, mechanisms: [group?.mechanism] },
  });
  expect(body.estimates[0]?.calibration).toMatchObject({ group: group?.group, samples: 1 });
});

describe("an import", () => {
  test("teaches: twice the time in every one of ten migrations raises the next estimate, for that cluster only", async () => {
    const before = await totalOf();
    const rows = Array.from({ length: 10 }, (_, index) => slow(1 + index / 10));
    const { status, body } = await imported("import-1", csv(rows));
    expect([status, body.accepted, body.rejectedCount]).toEqual([200, 10, 0]);
    expect(body.groups[0]).toMatchObject({ cluster: "import-1", mechanism: "pre-copy", samples: 10 });
    const after = await totalOf("import-1");
    expect((after?.totalMs.p50 ?? 0) / (before?.totalMs.p50 ?? 1)).toBeGreaterThan(1.4);
    expect(after?.calibration?.uncorrected.totalMs).toEqual(before?.totalMs);
    expect(await totalOf("import-2")).toEqual(before);
  });

  test("of the same rows counts once", async () => {
    await imported("import-3", csv([slow(1), slow(2)]));
    const { body } = await imported("import-3", csv([slow(2), slow(1), slow(3)]));
    expect([body.accepted, body.duplicates]).toEqual([1, 2]);
    expect((await report("import-3"))[0]?.samples).toBe(3);
  });

  test("takes JSON lines, and says of every line that it cannot use why", async () => {
    const good = { mechanism: "post-copy", totalMs: 900, transferredBytes: 1e9, memoryBytes: 2e9, nonzeroBytes: 1e9 };
    const lines = [good, { ...good, memoryBytes: 0 }, { ...good, nonzeroBytes: 3e9 }, { ...good, mechanism: "magic" }];
    const text = [...lines.map((line) => JSON.stringify(line)), "{"].join("\n");
    const { body } = await imported("import-4", text, "application/x-ndjson");
    expect([body.accepted, body.rejectedCount]).toEqual([1, 4]);
    expect(body.rejected.map(({ line }) => line)).toEqual([2, 3, 4, 5]);
    expect(body.rejected[1]?.reason).toMatch(/nonzeroBytes/);
  });

  test("with the same Idempotency-Key is answered the same", async () => {
    const key = { "idempotency-key": "import-once" };
    const first = await imported("import-5", csv([slow(1)]), "text/csv", key);
    expect((await imported("import-5", csv([slow(1)]), "text/csv", key)).body).toEqual(first.body);
  });

  test.each([
    ["another type", "{}", "application/json", 415],
    ["nothing", "", "text/csv", 422],
    ["columns that mean nothing here", "a,b\n1,2\n", "text/csv", 422],
    ["only rows that cannot be used", csv([slow(1).replace("pre-copy", "magic")]), "text/csv", 422],
  ])("of %s is refused with what to do", async (_, body, type, status) => {
    const answer = await imported("import-6", body, type);
    expect(answer.status).toBe(status);
    expect(answer.body.detail.length).toBeGreaterThan(10);
    expect(await report("import-6")).toEqual([]);
  });

  test("names the columns that it understands when it understands none", async () => {
    const { body } = await imported("import-7", "a,b\n1,2\n");
    expect(body.detail).toMatch(/mechanism/);
    expect(body.detail).toMatch(/technique/);
  });
});
