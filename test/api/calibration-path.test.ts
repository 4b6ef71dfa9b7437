// What ended and imported migrations teach, and where it shows: real D1, the whole path from an outcome to the next estimate.
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { makeDeps } from "../../worker/env.ts";
import type { GroupAccuracy } from "../../worker/model/calibration/accuracy.ts";
import type { EstimateAnswer } from "../../worker/model/migration/types.ts";
import type { Plan } from "../../worker/model/plan.ts";
import { GIB, call, eventually, tokenFor } from "../support/api.ts";
import { OUTCOME, read, toPreCopying, world } from "../support/run-world.ts";
import type { World } from "../support/run-world.ts";

type Imported = {
  accepted: number;
  duplicates: number;
  rejectedCount: number;
  rejected: { line: number; reason: string }[];
  groups: GroupAccuracy[];
};
type Problem = { type: string; detail: string; issues?: { path: string; message: string }[] };

const report = async (cluster: string) =>
  (await call<{ groups: GroupAccuracy[] }>("GET", `/v1/calibration?cluster=${cluster}`)).body.groups;

/** Takes the run of this world to its end. */
async function complete(w: World, outcome: Record<string, unknown> = OUTCOME) {
  const { migrationId } = await toPreCopying(w);
  await w.a.report(migrationId, { type: "switched", side: "source", postCopy: false });
  await w.b.report(migrationId, { type: "switched", side: "destination", postCopy: false });
  await w.a.report(migrationId, { type: "completed", outcome });
  await w.b.beat({ [w.guest.uuid]: "running" });
  await w.a.beat({});
  return eventually(
    () => read(migrationId),
    (run) => run.endedAt !== null,
  );
}

const importRows = <T = Imported>(
  cluster: string,
  text: string,
  { type = "text/csv", token, headers }: { type?: string; token?: string; headers?: Record<string, string> } = {},
) =>
  call<T>("POST", `/v1/calibration/imports?cluster=${cluster}`, {
    body: text,
    headers: { "content-type": type, ...headers },
    ...(token === undefined ? {} : { token }),
  });

const VM = {
  memoryBytes: 8 * GIB,
  nonzeroBytes: 2 * GIB,
  vcpus: 4,
  dirtyRateBytesPerSecond: 1_000_000,
};
const LINK = 1_177_000_000;
const said = async (cluster?: string) => {
  const body = {
    vm: VM,
    link: { bytesPerSecond: LINK },
    mechanisms: ["pre-copy"],
    ...(cluster ? { cluster } : {}),
  };
  const { status, body: answer } = await call<EstimateAnswer>("POST", "/v1/estimates", { body });
  expect(status).toBe(200);
  const [estimate] = answer.estimates;
  if (estimate === undefined) throw new Error("one mechanism gives one estimate");
  return estimate;
};

const HEADER =
  "mechanism,converged,at,totalMs,transferredBytes,memoryBytes,nonzeroBytes,vcpus,dirtyRateBytesPerSecond,linkBytesPerSecond";
/** Twenty VMs of which every migration took as long as told. */
const history = (totalMs: number, count = 20) =>
  [
    HEADER,
    ...Array.from({ length: count }, (_, n) =>
      [
        "pre-copy",
        "true",
        1_700_000_000_000 + n,
        totalMs + n,
        "",
        8 * GIB,
        2 * GIB - n * 4096,
        4,
        1_000_000,
        LINK,
      ].join(","),
    ),
  ].join("\r\n");

describe("GET /v1/calibration", () => {
  test("is an empty list where nothing has ended yet", async () => {
    expect(await report("nobody")).toEqual([]);
  });

  test("has a run's prediction beside what was measured, once it is completed", async () => {
    const w = await world();
    const { mechanism } = await complete(w);
    const [group, ...others] = await report(w.cluster);
    expect(others).toEqual([]);
    expect(group).toMatchObject({
      cluster: w.cluster,
      hypervisor: "kvm",
      mechanism,
      samples: 1,
      subjects: 1,
      drifted: null,
    });
    expect(group?.quantities.totalMs?.samples).toBe(1);
    expect(group?.learned?.corrections.totalMs.samples).toBe(1);
    const { body } = await call<{ groups: GroupAccuracy[] }>("GET", "/v1/calibration");
    expect(body.groups.map((each) => each.group)).toContain(group?.group);
  });

  test("leaves out QEMU's own downtime, and a total that it had not set yet", async () => {
    const w = await world();
    await complete(w, { totalMs: 0, transferredBytes: 500_000_000, hypervisorDowntimeMs: 3 });
    const [group] = await report(w.cluster);
    expect(group?.quantities).toMatchObject({
      totalMs: null,
      downtimeMs: null,
      transferredBytes: { samples: 1 },
    });
  });

  test("counts a run that its deadline has cancelled as one that did not converge", async () => {
    const w = await world();
    const { migrationId } = await toPreCopying(w);
    await w.a.report(migrationId, {
      type: "cancelled",
      reason: "deadline",
      detail: "not done in time",
    });
    await eventually(
      () => read(migrationId),
      (run) => run.endedAt !== null,
    );
    const [group] = await report(w.cluster);
    expect(group).toMatchObject({ samples: 1, convergedRatio: 0, quantities: { totalMs: null } });
  });
});

describe("what was learned", () => {
  test("corrects the next plan of that cluster, which keeps it in its snapshot", async () => {
    const w = await world();
    await complete(w);
    const request = {
      body: { cluster: w.cluster, goal: "evacuate", parameters: { hostIds: [w.b.hostId] } },
    };
    await w.a.put([]);
    await w.b.put([w.guest]);
    await w.b.load(2, { [w.guest.uuid]: 0.5 });
    const { status, body } = await call<Plan>("POST", "/v1/plans", request);
    expect(status).toBe(201);
    const [group] = await report(w.cluster);
    expect(await makeDeps(env).store.planInputs.read(body.planId)).toMatchObject({
      snapshot: { calibration: { groups: { [group?.group ?? ""]: { samples: 1 } } } },
    });
  });

  test("corrects estimates of that cluster, and of no other", async () => {
    const before = await said("learned");
    expect(before.calibration).toBeNull();
    const { status, body } = await importRows("learned", history(before.totalMs.p50 * 2));
    expect(status).toBe(200);
    expect(body).toMatchObject({ accepted: 20, duplicates: 0, rejectedCount: 0 });
    const after = await said("learned");
    expect(after.calibration).toMatchObject({
      samples: 20,
      uncorrected: { totalMs: before.totalMs },
    });
    expect(after.totalMs.p50).toBeGreaterThan(1.5 * before.totalMs.p50);
    expect(after.totalMs.p50).toBeLessThan(2.1 * before.totalMs.p50);
    expect((await said("unlearned")).totalMs).toEqual(before.totalMs);
    expect((await said()).totalMs).toEqual(before.totalMs);
  });
});

describe("POST /v1/calibration/imports", () => {
  test("counts the same rows once, however often they are sent", async () => {
    expect((await importRows("again", history(20_000, 5))).body.accepted).toBe(5);
    const { body } = await importRows("again", history(20_000, 6));
    expect([body.accepted, body.duplicates]).toEqual([1, 5]);
    expect((await report("again"))[0]?.samples).toBe(6);
  });

  test.each(["application/x-ndjson", "application/jsonl"])("reads JSON lines sent as %s", async (type) => {
    const row = {
      mechanism: "pre-copy",
      converged: true,
      totalMs: 20_000,
      ...VM,
      linkBytesPerSecond: LINK,
    };
    const cluster = type.slice("application/".length);
    const { status, body } = await importRows(cluster, `${JSON.stringify(row)}\n\n{"mechanism":\n`, { type });
    expect(status).toBe(200);
    expect(body).toMatchObject({ accepted: 1, rejectedCount: 1, rejected: [{ line: 3 }] });
  });

  test("says line and reason of what it cannot use, and takes the rest", async () => {
    const [header = "", first = "", second = ""] = history(20_000, 2).split("\r\n");
    const text = [header, first, second.replace("pre-copy", "teleport"), second.replace(String(8 * GIB), "0")].join(
      "\n",
    );
    const { body } = await importRows("some", text);
    expect(body.accepted).toBe(1);
    expect(body.rejected.map(({ line }) => line)).toEqual([3, 4]);
    expect(body.rejected.every(({ reason }) => reason.length > 0)).toBe(true);
  });

  test("is in the audit log", async () => {
    await importRows("audited", history(20_000, 1));
    const { body } = await call<{ items: { action: string; subject: string; detail: unknown }[] }>("GET", "/v1/audit");
    const entry = body.items.find(({ action, subject }) => action === "calibration.imported" && subject === "audited");
    expect(entry?.detail).toMatchObject({ accepted: 1, rejected: 0 });
  });

  test("with a key that was used for another cluster is refused, not answered for that one", async () => {
    const headers = { "idempotency-key": "import-1" };
    expect((await importRows("key-1", history(20_000, 1), { headers })).status).toBe(200);
    expect((await importRows("key-1", history(20_000, 1), { headers })).status).toBe(200);
    expect((await importRows("key-2", history(20_000, 1), { headers })).status).toBe(409);
    expect(await report("key-2")).toEqual([]);
  });

  test.each<[string, string, string, number, RegExp]>([
    ["a type that is no table", "application/json", "{}", 415, /text\/csv/],
    ["no row", "text/csv", "", 422, /no migration/],
    ["a header alone", "text/csv", HEADER, 422, /no migration/],
    ["columns of another kind", "text/csv", "colour,taste\nred,sweet", 422, /totalMs/],
    ["more than 5 MiB", "text/csv", "x".repeat(5 * 2 ** 20 + 1), 413, /5242880/],
  ])("%s is refused", async (_, type, text, status, says) => {
    const answer = await importRows<Problem>("refused", text, { type });
    expect(answer.status).toBe(status);
    expect(answer.headers.get("content-type")).toContain("application/problem+json");
    expect(answer.body.detail).toMatch(says);
    expect(await report("refused")).toEqual([]);
  });

  test("needs the scope `operate` and a cluster", async () => {
    const token = await tokenFor(["read"]);
    expect((await importRows("mine", history(20_000, 1), { token })).status).toBe(403);
    const { status, body } = await call<Problem>("POST", "/v1/calibration/imports", {
      body: history(20_000, 1),
      headers: { "content-type": "text/csv" },
    });
    expect([status, body.issues?.[0]?.path]).toEqual([422, "cluster"]);
  });
});
