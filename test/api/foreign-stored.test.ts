import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { Deps } from "../../worker/env.ts";
import { inventory, vm as vmOf, vmId } from "../support/api.ts";
import { type Sent, sent, storedOf, type Way, write, writeAll } from "../support/remote-write.ts";
import { failing, tappedD1 } from "../support/tapped-d1.ts";
import { ADMIN, call, depsOf, freshHostForEachTest, HOUR, lab, NOW, register, series } from "../support/telemetry.ts";

freshHostForEachTest();

let made = 0;
/** A new host; VMs by uuid and name. */
async function newHost(names: Record<string, string> = {}): Promise<string> {
  const host = `named-${++made}`;
  const vms = Object.entries(names).map(([uuid, name]) => vmOf({ uuid, name }));
  const answer = await call("PUT", `/v1/hosts/${host}`, ADMIN, JSON.stringify(inventory("lab", vms)));
  expect(answer).toMatchObject({ status: 200 });
  return host;
}

describe("labels", () => {
  test.each<[string, string, Record<string, string>, string]>([
    ["host, unless told otherwise", "", { host: "HOST" }, "figure"],
    ["OpenTelemetry's host.name", "", { "host.name": "HOST" }, "figure"],
    ["instance, without its port", "", { instance: "HOST:9100" }, "figure:9100"],
    ["host_label", "host_label=node", { node: "HOST", host: "other" }, "figure:other"],
    ["host, whatever labels say", "host=HOST", { host: "other", zone: "a" }, "figure:other_a"],
    ["ignore_labels", "ignore_labels=cluster,replica", { host: "HOST", cluster: "c", replica: "1" }, "figure"],
    ["labels that are kept", "", { host: "HOST", cluster: "c", replica: "1" }, "figure:c_1"],
  ])("name the host: %s", async (_, query, labels, metric) => {
    const named = Object.entries(labels).map(([name, value]) => [name, value.replace("HOST", lab.host)]);
    const one = { labels: { __name__: "figure", ...Object.fromEntries(named) }, samples: [[NOW, 1] as const] };
    await writeAll([one], { query: query.replace("HOST", lab.host) });
    expect(await storedOf(`host=${lab.host}`)).toEqual({ [metric]: [1] });
  });

  test.each<[string, string, (uuid: string) => Record<string, string>]>([
    ["uuid, unless told otherwise", "", (uuid) => ({ uuid })],
    ["uuid in capitals", "", (uuid) => ({ uuid: uuid.toUpperCase() })],
    ["vm_label with the uuid", "vm_label=guest", (uuid) => ({ guest: uuid })],
    ["vm_label with the name", "vm_label=guest", () => ({ guest: "web" })],
    ["vm_name, unless told otherwise", "", () => ({ vm_name: "web" })],
    ["vm_name_label", "vm_name_label=title", () => ({ title: "web" })],
  ])("name the VM: %s", async (_, query, labelsOf) => {
    const uuid = `abcdef00-0000-4000-8000-${String(++made).padStart(12, "0")}`;
    const host = await newHost({ [uuid]: "web" });
    await newHost({ [vmId()]: "web" });
    await writeAll([sent(host, "figure", 1, { labels: labelsOf(uuid) })], { query });
    expect([await storedOf(`vm=${uuid}`), await storedOf(`host=${host}`)]).toEqual([{ figure: [1] }, {}]);
  });

  test("that name no VM of the host, or several, are refused; the rest is stored", async () => {
    const web = vmId();
    const host = await newHost({ [vmId()]: "twin", [vmId()]: "twin", [web]: "web" });
    await newHost({ [vmId()]: "elsewhere" });
    const names = ["twin", "elsewhere", "nobody", "web"];
    const { status, body } = await write(names.map((name) => sent(host, "named", 1, { labels: { vm_name: name } })));
    expect([status, body.stored, body.refusedCount]).toEqual([400, 1, 3]);
    expect(body.refused?.map(({ series }) => series)).toEqual(["twin named", "elsewhere named", "nobody named"]);
    expect(body.refused?.[0]?.reason).toBe("the host has no VM of the name twin, or several");
    expect(await storedOf("vm=*", "named")).toEqual({ named: [1] });
    expect(await storedOf(`vm=${web}`)).toEqual({ named: [1] });
  });

  test.each(["host=no%20host", "host_label=", "unknown=1", `vm_label=${"x".repeat(129)}`])(
    "that cannot be asked for (%s) are refused",
    async (query) => {
      expect(await write([sent(lab.host, "figure", 1)], { query })).toMatchObject({
        status: 422,
        body: { type: "/problems/invalid-request" },
      });
    },
  );
});

/** What a counter of 2 CPUs shows, 15 s apart; after the third it starts anew. */
const COUNTERS = [
  [100, 200],
  [107.5, 203],
  [115, 206],
  [3, 1.5],
  [10.5, 4.5],
  [12, 12],
] as const;
const RATES = [0.7, 0.7, 0.3, 0.7, 0.6];

const cpus = (host: string, values: readonly number[], time: number): Sent[] =>
  values.map((value, cpu) =>
    sent(host, "node_cpu_seconds_total", 0, {
      samples: [[time, value]],
      labels: { cpu: String(cpu), mode: "user" },
    }),
  );

describe("counters", () => {
  /** Sends a body a scrape, each by the isolate that `wayOf` gives. */
  async function scrape(wayOf: (index: number) => Way): Promise<void> {
    for (const [index, values] of COUNTERS.entries()) {
      lab.now = NOW + index * 15_000;
      await writeAll(cpus(lab.host, values, lab.now), wayOf(index));
    }
  }

  const [a, b] = [depsOf(), depsOf()];
  test.each<[string, (index: number) => Way]>([
    ["one isolate", () => ({})],
    ["a new isolate each time", () => ({ deps: depsOf() })],
    ["two isolates in turn, which do not hear of each other", (index) => ({ deps: index % 2 === 0 ? a : b })],
    ["an isolate that knows the first body only", (index) => ({ deps: index === 0 || index > 3 ? a : b })],
  ])("become rates over bodies and a reset: %s", async (_, wayOf) => {
    await scrape(wayOf);
    expect(await storedOf(`host=${lab.host}`)).toEqual({ cpu_used_cores: RATES });
    // The sender did not hear the last answers.
    await scrape(wayOf);
    expect(await storedOf(`host=${lab.host}`)).toEqual({ cpu_used_cores: RATES });
  });

  test("of one scrape may come in several bodies", async () => {
    for (const [index, values] of COUNTERS.entries()) {
      lab.now = NOW + index * 15_000;
      for (const one of cpus(lab.host, values, lab.now)) await writeAll([one], { deps: depsOf() });
    }
    expect(await storedOf(`host=${lab.host}`)).toEqual({ cpu_used_cores: RATES });
  });
});

describe("writing", () => {
  /** Two hours of a host and its VM: a state and two chunks. */
  const partOf = (host: string, uuid: string): Sent[] =>
    [{}, { uuid }].flatMap((labels) =>
      [NOW - HOUR / 2, NOW].map((time, index) => sent(host, "figure", 0, { labels, samples: [[time, index]] })),
    );

  async function newHosts(count: number): Promise<{ host: string; uuid: string }[]> {
    const hosts = Array.from({ length: count }, () => ({ host: `part-${++made}`, uuid: vmId() }));
    for (const { host, uuid } of hosts) await register(host, [uuid]);
    return hosts;
  }

  const WHOLE = JSON.stringify([0, 1, 0, 1]);
  /** What is stored of each host and its VM. */
  async function partsOf(hosts: readonly { host: string; uuid: string }[]): Promise<string[]> {
    const range = `metric=figure&from=${NOW - HOUR}&to=${NOW + 60_000}&step=60000&agg=last`;
    const found = [...(await series(`host=part-*&${range}`)), ...(await series(`vm=*&${range}`))];
    const valuesOf = (subject: string): unknown[] =>
      found
        .filter(({ host, vm }) => (vm ?? host) === subject)
        .flatMap(({ values }) => values.filter((value) => value !== null));
    return hosts.map(({ host, uuid }) => JSON.stringify([...valuesOf(host), ...valuesOf(uuid)]));
  }

  // More hosts than are written at once: two reads and two writes.
  const TRIPS = [0, 1, 2, 3].flatMap((trip) => (["before", "after"] as const).map((when) => [trip, when] as const));
  test.each(TRIPS)("is all or nothing of each host where round trip %i fails %s D1 did it", async (trip, when) => {
    const hosts = await newHosts(51);
    const body = hosts.flatMap(({ host, uuid }) => partOf(host, uuid));
    const { tap } = failing(trip, when);
    expect(await write(body, { deps: depsOf(tappedD1(env.DB, tap)) })).toMatchObject({ status: 500 });
    const partial = await partsOf(hosts);
    const isStored = [when === "after" ? 1 : 2, when === "after" ? 3 : 4].map((least) => trip >= least);
    expect(partial).toEqual(hosts.map((_, index) => (isStored[index < 50 ? 0 : 1] === true ? WHOLE : "[]")));
    await writeAll(body);
    expect(await partsOf(hosts)).toEqual(hosts.map(() => WHOLE));
  });

  test("of parallel bodies of one host loses nothing: each is stored, or told to come again", async () => {
    const send = async (index: number): Promise<number> => {
      const samples = [[NOW - index * 1000, index]] as const;
      const answer = await write([
        sent(lab.host, "figure", 0, { samples: [...samples] }),
        sent(lab.host, `m${index}`, 1),
      ]);
      if (answer.status !== 503) return answer.status;
      expect(answer.headers.get("retry-after")).toBe("2");
      return send(index);
    };
    const indexes = Array.from({ length: 20 }, (_, index) => index);
    expect(await Promise.all(indexes.map(send))).toEqual(indexes.map(() => 204));
    expect(await storedOf(`host=${lab.host}`, "figure")).toEqual({ figure: indexes.toReversed() });
    expect(await storedOf(`host=${lab.host}`, "m*")).toEqual(
      Object.fromEntries(indexes.map((index) => [`m${index}`, [1]])),
    );
  });

  test("takes at most two rows a host and hour", async () => {
    const sentBy = { statements: 0 };
    const tapped = tappedD1(env.DB, (send, statements) => {
      sentBy.statements += statements;
      return send();
    });
    const deps: Deps = depsOf(tapped);
    const hosts = await newHosts(10);
    const costOf = async (body: readonly Sent[]): Promise<{ rows: number; statements: number }> => {
      const before = { rows: deps.counts.d1.rowsWritten, statements: sentBy.statements };
      await writeAll(body, { deps });
      return { rows: deps.counts.d1.rowsWritten - before.rows, statements: sentBy.statements - before.statements };
    };
    const scrapeAt = (time: number): Sent[] =>
      hosts.flatMap(({ host, uuid }) => [
        ...cpus(host, [time / 1000, time / 1000], time),
        sent(host, "figure", 1, { samples: [[time, 1]] }),
        sent(host, "figure", 1, { samples: [[time, 1]], labels: { uuid } }),
      ]);
    expect(await costOf(scrapeAt(NOW))).toMatchObject({ rows: 20 });
    lab.now += 15_000;
    // Known by now: nothing is read.
    expect(await costOf(scrapeAt(lab.now))).toEqual({ rows: 20, statements: 2 });
    // A state and two chunks each.
    expect((await costOf([...scrapeAt(NOW - HOUR), ...scrapeAt(lab.now + 1000)])).rows).toBe(30);
    // What is known already.
    expect(await costOf([])).toEqual({ rows: 0, statements: 0 });
  });

  const many = (host: string, count: number, timeOf: (index: number) => number): Sent[] =>
    Array.from({ length: count }, (_, index) => sent(host, `m${index}`, 0, { samples: [[timeOf(index), index]] }));
  test.each<[string, number, (index: number) => number, string]>([
    ["too many series for a row", 70_000, () => NOW, "series does not fit"],
    ["too many different times", 3000, (index) => NOW - index, "too many series at too many different times"],
  ])("refuses a host with %s, and stores the others", async (_, count, timeOf, reason) => {
    const hosts = await newHosts(3);
    const [first, full, last] = hosts.map(({ host }) => host);
    if (first === undefined || full === undefined || last === undefined) throw new Error("no hosts");
    const { status, body } = await write([
      sent(first, "figure", 1),
      ...many(full, count, timeOf),
      sent(last, "figure", 2),
    ]);
    expect([status, body.stored, body.refusedCount]).toEqual([400, 2, count]);
    expect(body.refused).toMatchObject([{ samples: count, reason: expect.stringContaining(reason) }]);
    expect(await Promise.all([first, full, last].map((host) => storedOf(`host=${host}`)))).toEqual([
      { figure: [1] },
      {},
      { figure: [2] },
    ]);
  });

  test("tells refusals in few words, however long the names are", async () => {
    const long = "x".repeat(100_000);
    const answer = await write([sent(long, "figure", 1), sent(lab.host, "figure", 1, { labels: { vm_name: long } })]);
    expect([answer.status, answer.body.refusedCount]).toEqual([400, 2]);
    expect(JSON.stringify(answer.body).length).toBeLessThan(3000);
  });
});
