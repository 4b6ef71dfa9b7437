// The timeline as server-sent events: as it grows, from where one has been, and to the end of the run.
import { env, exports } from "cloudflare:workers";
import { expect, test } from "vitest";
import { makeDeps } from "../../worker/env.ts";
import type { MigrationRun, TimelineEntry } from "../../worker/model/run.ts";
import { type LiveMessage, watchRun } from "../../worker/services/live-timeline.ts";
import { call } from "../support/api.ts";
import { read, toPreCopying, world, type World } from "../support/run-world.ts";

const open = (migrationId: string, headers: Record<string, string> = {}) =>
  exports.default.fetch(
    new Request(`https://drover.test/v1/migrations/${migrationId}/events`, {
      headers: { authorization: `Bearer ${env.ADMIN_TOKEN}`, accept: "text/event-stream", ...headers },
    }),
  );

type Told = { id?: string; event?: string; data?: string };

/** The events of a stream's text; comments are left out. */
const parse = (stream: string): Told[] =>
  stream.split("\n\n").flatMap((block) => {
    const fields = block.split("\n").flatMap((line) => {
      const [, name, value] = /^(id|event|data): (.*)$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, value]];
    });
    return fields.length === 0 ? [] : [Object.fromEntries(fields) as Told];
  });

/** Reads until `enough` says so, then hangs up. */
async function readUntil(response: Response, enough: (told: Told[]) => boolean): Promise<Told[]> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  for (;;) {
    const piece = await reader?.read();
    seen += piece?.value ?? "";
    const told = parse(seen.slice(0, seen.lastIndexOf("\n\n") + 2));
    if (enough(told) || piece?.done !== false) {
      await reader?.cancel();
      return told;
    }
  }
}

const timeline = async (migrationId: string, query = "") =>
  (await call<{ items: TimelineEntry[] }>("GET", `/v1/migrations/${migrationId}/events${query}`)).body.items;

const failed = { type: "failed", reason: "hypervisor", detail: "no way", vmState: "running" };
const fail = (w: World, { migrationId }: MigrationRun) => w.a.report(migrationId, failed);
/** The end was so long ago that nothing more is to be expected. */
const settle = ({ migrationId }: MigrationRun) =>
  env.DB.prepare("UPDATE migrations SET ended_at = ended_at - 60000 WHERE id = ?").bind(migrationId).run();

test("entries are told by their numbers, with how the run stands; of a run that has ended to the end, and no further", async () => {
  const w = await world();
  const run = await toPreCopying(w);
  await fail(w, run);
  await settle(run);
  const response = await open(run.migrationId);
  expect(response.headers.get("content-type")).toContain("text/event-stream");
  const told = parse(await response.text());
  const entries = told.filter(({ event }) => event === "entry");
  expect(entries.map(({ data }) => JSON.parse(data ?? "") as unknown)).toEqual(await timeline(run.migrationId));
  expect(entries.map(({ id }) => Number(id))).toEqual(entries.map((_, index) => index + 1));
  expect(JSON.parse(told.at(-1)?.data ?? "")).toMatchObject({ state: "failed" });
  expect(told.at(-1)?.event).toBe("end");
  expect(told.filter(({ event }) => event === "run")).toHaveLength(1);
});

test("what happens while one watches is told, and a later watcher goes on after what he has seen", async () => {
  const w = await world();
  const run = await toPreCopying(w);
  const watching = readUntil(await open(run.migrationId), (told) =>
    told.some(({ data }) => data?.includes('"address-checked"') === true),
  );
  const checked = { type: "address-checked", name: "ping 192.0.2.7", answered: true, elapsedMs: 3, detail: "answered" };
  await w.a.report(run.migrationId, checked);
  const last = (await watching).findLast(({ event }) => event === "entry");
  expect(JSON.parse(last?.data ?? "")).toMatchObject({ type: "address-checked", body: { name: "ping 192.0.2.7" } });

  await fail(w, run);
  await settle(run);
  const rest = parse(await (await open(run.migrationId, { "last-event-id": last?.id ?? "" })).text());
  expect(rest.filter(({ event }) => event === "entry").map(({ data }) => JSON.parse(data ?? "").type)).toEqual([
    "failed",
  ]);
  const end = rest.findLast(({ event }) => event === "entry")?.id ?? "";
  expect((await open(run.migrationId, { "last-event-id": end })).status).toBe(204);
  expect((await timeline(run.migrationId, `?after=${last?.id}`)).map(({ type }) => type)).toEqual(["failed"]);
});

test("a number that is none is refused, and so is a run that there is not", async () => {
  const run = await toPreCopying(await world());
  expect((await open(run.migrationId, { "last-event-id": "abc" })).status).toBe(422);
  expect((await call("GET", `/v1/migrations/${run.migrationId}/events?after=-1`)).status).toBe(422);
  expect((await open("mig_none")).status).toBe(404);
});

test("one stream asks D1 a bounded number of times, says that it lives, and ends when nobody watches", async () => {
  const run = await toPreCopying(await world());
  const deps = makeDeps(env);
  let [clock, looks] = [Date.now(), 0];
  const timed = {
    ...deps,
    now: () => clock,
    sleep: async (ms: number) => void (clock += ms),
    store: {
      ...deps.store,
      migrations: {
        ...deps.store.migrations,
        look: (...asked: Parameters<typeof deps.store.migrations.look>) => {
          looks += 1;
          return deps.store.migrations.look(...asked);
        },
      },
    },
  };
  const told: LiveMessage["event"][] = [];
  for await (const { event } of watchRun(timed, run.migrationId, 0, () => false)) told.push(event);
  expect(looks).toBeLessThanOrEqual(240);
  expect(told.filter((event) => event === "alive").length).toBeGreaterThan(5);
  expect(told).not.toContain("end");
  looks = 0;
  for await (const _ of watchRun(timed, run.migrationId, 0, () => looks > 1)) expect(looks).toBeLessThan(3);
  expect((await read(run.migrationId)).state).toBe("pre-copying");
});
