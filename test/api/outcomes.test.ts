// The ledger of outcomes: every run that has ended, filtered, paged and exported.
import { env, exports } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import { readCsv } from "../../worker/adapters/csv.ts";
import { OUTCOME_COLUMNS, type OutcomeRecord } from "../../worker/model/outcome-record.ts";
import type { MigrationRun } from "../../worker/model/run.ts";
import { call, eventually, tokenFor } from "../support/api.ts";
import { OUTCOME, approve, read, runOf, toPreCopying, world, type World } from "../support/run-world.ts";

type Page = { items: OutcomeRecord[]; next: string | null };

const list = async (query = "") => (await call<Page>("GET", `/v1/outcomes${query}`)).body;
const text = async (query: string, accept: string) => {
  const headers = { authorization: `Bearer ${env.ADMIN_TOKEN}`, accept };
  const response = await exports.default.fetch(new Request(`https://drover.test/v1/outcomes${query}`, { headers }));
  return { headers: response.headers, body: new TextDecoder().decode(await response.arrayBuffer()) };
};

async function complete(w: World): Promise<MigrationRun> {
  const { migrationId } = await toPreCopying(w);
  await w.a.report(migrationId, { type: "switched", side: "source", postCopy: false });
  await w.b.report(migrationId, { type: "switched", side: "destination", postCopy: false });
  await w.a.report(migrationId, { type: "completed", outcome: { ...OUTCOME, rounds: 3, throttleRatioMax: 0.2 } });
  await w.a.beat({});
  await w.b.beat({ [w.guest.uuid]: "running" });
  return eventually(
    () => read(migrationId),
    ({ state }) => state === "completed",
  );
}

/** A run that fails before anything was measured. */
async function fail(w: World): Promise<MigrationRun> {
  const { migrationId } = await toPreCopying(w);
  await w.a.report(migrationId, { type: "failed", reason: "peer-unreachable", detail: "no way", vmState: "running" });
  return read(migrationId);
}

let [done, failed]: [World, World] = [] as never;
let [doneRun, failedRun]: [MigrationRun, MigrationRun] = [] as never;
beforeAll(async () => {
  done = await world();
  doneRun = await complete(done);
  failed = await world();
  failedRun = await fail(failed);
});

describe("the ledger", () => {
  test("has predicted and measured of a run that was completed", async () => {
    const { items } = await list(`?cluster=${done.cluster}`);
    expect(items).toHaveLength(1);
    expect(items[0]).toMatchObject({
      migrationId: doneRun.migrationId,
      vmUuid: done.guest.uuid,
      fromHostId: done.a.hostId,
      toHostId: done.b.hostId,
      hypervisor: "kvm",
      driver: "simulated",
      state: "completed",
      reason: null,
      endedAt: doneRun.endedAt,
      predicted: { totalMs: doneRun.predicted.totalMs, transferredBytes: doneRun.predicted.transferredBytes },
      measured: { ...OUTCOME, rounds: 3, throttleRatioMax: 0.2 },
      learned: true,
    });
  });

  test("has a run of which nothing was measured, with its reason and no figure", async () => {
    const [record] = (await list(`?vm=${failed.guest.uuid}`)).items;
    expect(record).toMatchObject({
      state: "failed",
      reason: "peer-unreachable",
      measured: null,
      learned: false,
      driver: "simulated",
    });
  });

  test("has none that has not ended", async () => {
    const w = await world();
    await toPreCopying(w);
    expect(await list(`?cluster=${w.cluster}`)).toEqual({ items: [], next: null });
  });

  test.each<[string, () => string, () => string[]]>([
    ["its source", () => `host=${done.a.hostId}`, () => [doneRun.migrationId]],
    ["its destination", () => `host=${failed.b.hostId}`, () => [failedRun.migrationId]],
    ["its state", () => `state=failed&cluster=${failed.cluster}`, () => [failedRun.migrationId]],
    ["another state", () => `state=failed&cluster=${done.cluster}`, () => []],
    ["its mechanism", () => `mechanism=${doneRun.mechanism}&vm=${done.guest.uuid}`, () => [doneRun.migrationId]],
    ["the time of its end", () => `from=${doneRun.endedAt}&host=${done.a.hostId}`, () => [doneRun.migrationId]],
    ["a time before", () => `to=${doneRun.endedAt}&host=${done.a.hostId}`, () => []],
  ])("is narrowed by %s", async (_, query, ids) => {
    expect((await list(`?${query()}`)).items.map(({ migrationId }) => migrationId)).toEqual(ids());
  });

  test("comes page by page, the last one to end first, each run once", async () => {
    const seen: OutcomeRecord[] = [];
    for (let next: string | null = ""; next !== null;) {
      const page: Page = await list(`?limit=1${next === "" ? "" : `&after=${next}`}`);
      seen.push(...page.items);
      next = page.next;
    }
    const ends = seen.map(({ endedAt }) => endedAt);
    expect(ends).toEqual(ends.toSorted((a, b) => b - a));
    expect(new Set(seen.map(({ migrationId }) => migrationId)).size).toBe(seen.length);
    expect(seen.length).toBeGreaterThanOrEqual(2);
  });

  test.each(["after=nonsense", "from=x", "mechanism=teleport", "vm=UPPER", "limit=0", "hosts=hv-01"])(
    "%s is refused with its field",
    async (query) => {
      const { status, body } = await call<{ issues: { path: string }[] }>("GET", `/v1/outcomes?${query}`);
      expect(status).toBe(422);
      expect(body.issues[0]?.path).toBe(query.split("=")[0]);
    },
  );

  test("is for those who may read", async () => {
    const token = await tokenFor(["ingest"], { cluster: "c" });
    expect((await call("GET", "/v1/outcomes", { token })).status).toBe(403);
  });
});

describe("an export", () => {
  test("as CSV has every column under its name, empty where nothing is known", async () => {
    const { headers, body } = await text(`?vm=${failed.guest.uuid}`, "text/csv");
    expect(headers.get("content-type")).toContain("text/csv");
    const { records, rejected } = readCsv(body);
    expect([records.length, rejected]).toEqual([1, []]);
    expect(Object.keys(records[0]?.record ?? {})).toEqual(OUTCOME_COLUMNS.map(({ name }) => name));
    expect(records[0]?.record).toMatchObject({
      migrationId: failedRun.migrationId,
      state: "failed",
      reason: "peer-unreachable",
      "predicted.totalMs.p50": String(failedRun.predicted.totalMs.p50),
      "measured.totalMs": "",
      reachable: "",
      learned: "false",
    });
  });

  test("as CSV of nothing is its header", async () => {
    expect(readCsv((await text("?cluster=nowhere", "text/csv")).body).records).toEqual([]);
    expect((await text("?cluster=nowhere", "text/csv")).body).toMatch(/^migrationId,/);
  });

  test("as JSON lines has the records of the list, one a line", async () => {
    const query = `?cluster=${done.cluster}`;
    const { headers, body } = await text(query, "application/x-ndjson");
    expect(headers.get("content-type")).toContain("application/x-ndjson");
    expect(body.endsWith("\n")).toBe(true);
    expect(
      body
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual((await list(query)).items);
  });

  test("of more than a page says where the next one is", async () => {
    const { headers } = await text("?limit=1", "text/csv");
    const next = /^<([^>]+)>; rel="next"$/.exec(headers.get("link") ?? "")?.[1] ?? "";
    expect(next).toContain("limit=1&after=");
    const second = readCsv((await text(next.replace("/v1/outcomes", ""), "text/csv")).body).records;
    expect(second[0]?.record["migrationId"]).toBe((await list()).items[1]?.migrationId);
  });
});

test("what the network did after the move is in the ledger, also when it is told after the end", async () => {
  const { migrationId } = doneRun;
  await done.b.report(migrationId, { type: "announced", how: "sent" });
  const checked = { type: "address-checked", answered: true, elapsedMs: 40, detail: "answered" };
  await done.a.report(migrationId, { ...checked, name: "tcp 192.0.2.7:443" });
  expect((await read(migrationId)).continuity).toEqual({
    announced: "sent",
    addresses: { "tcp 192.0.2.7:443": { answered: true, elapsedMs: 40 } },
  });
  await done.a.report(migrationId, { ...checked, name: "ping 192.0.2.7", answered: false });
  const { body } = await text(`?vm=${done.guest.uuid}`, "text/csv");
  expect(readCsv(body).records[0]?.record).toMatchObject({ announced: "sent", reachable: "false", state: "completed" });
  // The same event twice, and one of a VM that answers, tell nothing more.
  const again = { ...checked, name: "ping 192.0.2.7", answered: false, sequence: 77 };
  await done.a.report(migrationId, again);
  await done.a.report(migrationId, again);
  const told = await env.DB.prepare("SELECT data FROM outbox WHERE type = 'migration.unreachable' AND subject = ?")
    .bind(migrationId)
    .all<{ data: string }>();
  expect(told.results.map(({ data }) => (JSON.parse(data) as { check: string }).check)).toEqual([
    "ping 192.0.2.7",
    "ping 192.0.2.7",
  ]);
});

test("a source that comes back late completes the record of its run", async () => {
  const w = await world();
  const { migrationId } = await toPreCopying(w);
  await w.b.report(migrationId, { type: "switched", side: "destination", postCopy: false });
  await w.a.beat({});
  await w.b.beat({ [w.guest.uuid]: "running" });
  await env.DB.prepare("UPDATE migrations SET state_at = state_at - 60000 WHERE id = ?").bind(migrationId).run();
  await w.a.beat({});
  await w.b.beat({ [w.guest.uuid]: "running" });
  await eventually(
    () => read(migrationId),
    ({ state }) => state === "completed",
  );
  expect((await list(`?vm=${w.guest.uuid}`)).items[0]).toMatchObject({ measured: null, learned: false });
  await w.a.report(migrationId, { type: "completed", outcome: OUTCOME });
  expect((await list(`?vm=${w.guest.uuid}`)).items[0]).toMatchObject({ measured: OUTCOME, learned: true });
});

test("a plan that is cancelled in the queue leaves a record that says so", async () => {
  const w = await world();
  await approve(w.plan);
  const run = await runOf(w.plan);
  await call("POST", `/v1/migrations/${run.migrationId}/cancel`, { body: { reason: "not today" } });
  const { items } = await eventually(
    () => list(`?vm=${w.guest.uuid}`),
    ({ items: found }) => found.length > 0,
  );
  expect(items).toMatchObject([{ state: "cancelled", measured: null }]);
});
