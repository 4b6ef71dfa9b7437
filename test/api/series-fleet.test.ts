import { beforeAll, describe, expect, test } from "vitest";
import { emptyFleet, send } from "../support/closing.ts";
import {
  ADMIN,
  HOUR,
  lab,
  MINUTE,
  NOW,
  read,
  refusal,
  register,
  request,
  type Series,
  series,
  type SeriesPage,
} from "../support/telemetry.ts";

const id = (number: number): string => `00000000-0000-4000-9000-${number.toString(16).padStart(12, "0")}`;
const [V1, V2, V3, V4] = [id(1), id(2), id(3), id(4)];
const FROM = NOW - 4 * MINUTE;
const RANGE = `from=${FROM}&to=${NOW}&step=${MINUTE}`;

/** Two clusters, of which the second has a VM of the same UUID as the first; a constant figure each, with a gap. */
beforeAll(async () => {
  await emptyFleet();
  lab.now = NOW;
  const hosts: [string, string, number, [string, number][]][] = [
    [
      "rack1-h1",
      "a",
      1,
      [
        [V1, 10],
        [V2, 20],
      ],
    ],
    ["rack1-h2", "a", 2, [[V3, 30]]],
    [
      "rack2-h1",
      "a-b",
      4,
      [
        [V1, 40],
        [V4, 50],
      ],
    ],
  ];
  for (const [host, cluster, cores, vms] of hosts) {
    await register(
      host,
      vms.map(([uuid]) => uuid),
      cluster,
    );
    await send(host, {
      times: [FROM, FROM + MINUTE, FROM + 3 * MINUTE],
      host_series: {
        cpu_used_cores: [cores, cores, host === "rack1-h2" ? null : cores],
        memory_used_bytes: [cores, cores, cores],
        custom: [0, 0, 0],
      },
      vm_series: Object.fromEntries(
        vms.map(([uuid, value]) => [uuid, { cpu_used_cores: [value, value, value], other: [1, 1, 1] }]),
      ),
    });
  }
});

const named = (found: readonly Series[]): string[] =>
  found.map(({ cluster, host, vm, metric, values }) =>
    [cluster, host ?? "-", ...(vm === null ? [] : [vm.slice(-1)]), metric, values[0]].join(" "),
  );

describe("series of many", () => {
  test.each<[string, string[]]>([
    ["host=rack1-h1,rack2-h1&metric=cpu_used_cores", ["a rack1-h1 cpu_used_cores 1", "a-b rack2-h1 cpu_used_cores 4"]],
    ["host=rack1-*&metric=cpu_used_cores", ["a rack1-h1 cpu_used_cores 1", "a rack1-h2 cpu_used_cores 2"]],
    ["host=*-h1&metric=cpu*", ["a rack1-h1 cpu_used_cores 1", "a-b rack2-h1 cpu_used_cores 4"]],
    ["host=*&cluster=a-b&metric=cpu_used_cores", ["a-b rack2-h1 cpu_used_cores 4"]],
    ["host=nobody-*&metric=*", []],
    ["host=rack1-h2&metric=cus*,memory_used_bytes", ["a rack1-h2 custom 0", "a rack1-h2 memory_used_bytes 2"]],
    [
      "host=rack1-h2&metric=*",
      ["a rack1-h2 cpu_used_cores 2", "a rack1-h2 custom 0", "a rack1-h2 memory_used_bytes 2"],
    ],
    [`vm=${V3},${V2}&metric=cpu_used_cores`, ["a rack1-h1 2 cpu_used_cores 20", "a rack1-h2 3 cpu_used_cores 30"]],
    [
      "vm=*&metric=cpu_used_cores",
      [
        "a-b rack2-h1 1 cpu_used_cores 40",
        "a-b rack2-h1 4 cpu_used_cores 50",
        "a rack1-h1 1 cpu_used_cores 10",
        "a rack1-h1 2 cpu_used_cores 20",
        "a rack1-h2 3 cpu_used_cores 30",
      ],
    ],
    ["vm=*&host=rack1-h2&metric=*", ["a rack1-h2 3 cpu_used_cores 30", "a rack1-h2 3 other 1"]],
    [
      `vm=${V1}&cluster=a-b&metric=other,cpu_used_cores`,
      ["a-b rack2-h1 1 cpu_used_cores 40", "a-b rack2-h1 1 other 1"],
    ],
    ["host=*&metric=cpu_used_cores&by=cluster&across=sum", ["a - cpu_used_cores 3", "a-b - cpu_used_cores 4"]],
    ["host=*&cluster=a&metric=cpu_used_cores&by=cluster", ["a - cpu_used_cores 1.5"]],
    ["host=*&cluster=a&metric=cpu_used_cores&by=cluster&across=max", ["a - cpu_used_cores 2"]],
    ["host=*&cluster=a&metric=cpu_used_cores&by=cluster&across=min", ["a - cpu_used_cores 1"]],
    ["host=*&cluster=a&metric=cpu_used_cores&by=cluster&across=p50", ["a - cpu_used_cores 1.5"]],
    ["host=rack1-h1&metric=cpu_used_cores&by=host&across=sum", ["a rack1-h1 cpu_used_cores 1"]],
    [
      "vm=*&cluster=a&metric=cpu_used_cores&by=host&across=sum",
      ["a rack1-h1 cpu_used_cores 30", "a rack1-h2 cpu_used_cores 30"],
    ],
    ["vm=*&cluster=a&metric=cpu_used_cores&by=cluster&across=sum", ["a - cpu_used_cores 60"]],
    [`vm=${V2}&metric=cpu_used_cores&by=vm&across=sum`, ["a rack1-h1 2 cpu_used_cores 20"]],
  ])("?%s are those", async (query, expected) => {
    expect(named(await series(`${query}&${RANGE}`))).toEqual(expected);
  });

  test("that are made one have nulls only where none has a sample", async () => {
    const [sum] = await series(`host=rack1-*&metric=cpu_used_cores&by=cluster&across=sum&${RANGE}`);
    expect(sum?.values).toEqual([3, 3, null, 1]);
    const each = await series(`host=rack1-*&metric=cpu_used_cores&${RANGE}`);
    expect(each.map(({ values }) => values)).toEqual([
      [1, 1, null, 1],
      [2, 2, null, null],
    ]);
  });

  test.each([
    ["host=rack1-h1,nobody&metric=a", 404, "", ""],
    [`vm=${id(99)}&metric=a`, 404, "", ""],
    [`vm=${V1}&metric=a`, 422, "cluster", "a and a-b both have the VM"],
    [`vm=${V1}&host=rack1-h1&metric=a`, 422, "vm", "beside host it must be *"],
    ["host=rack1-h1&metric=a&by=vm", 422, "by", "vm is needed"],
    ["metric=a", 422, "host", "host, vm or both"],
    ["host=rack1-h1,,x&metric=a", 422, "host", "separated by commas"],
    ["host=rack1-h1&metric=a-b", 422, "metric", "a metric name"],
    ["vm=NOT&metric=a", 422, "vm", "lower-case UUID"],
  ])("?%s is refused: %i %s %s", async (query, status, path, message) => {
    expect(await refusal(query)).toEqual({ status, path, message: expect.stringContaining(message) });
  });
});

describe("series as CSV", () => {
  const csv = (query: string): Promise<Response> =>
    request(`/v1/series?${query}`, { headers: { authorization: `Bearer ${ADMIN}`, accept: "text/csv" } });

  test("have a row a value, and none for a gap", async () => {
    const answer = await csv(`host=rack1-h2&metric=cpu_used_cores&${RANGE}`);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([
      200,
      "text/csv; charset=utf-8; header=present",
    ]);
    expect(answer.headers.get("link")).toBeNull();
    const at = (time: number): string => new Date(time).toISOString();
    expect(await answer.text()).toBe(
      [
        "time,host,vm,metric,value",
        `${at(FROM)},rack1-h2,,cpu_used_cores,2`,
        `${at(FROM + MINUTE)},rack1-h2,,cpu_used_cores,2`,
        "",
      ].join("\r\n"),
    );
    const vms = await (await csv(`vm=${V3}&metric=other&${RANGE}`)).text();
    expect(vms.split("\r\n")[1]).toBe(`${at(FROM)},rack1-h2,${V3},other,1`);
  });

  test("are refused as JSON says it", async () => {
    const answer = await csv("host=nobody&metric=a");
    expect([answer.status, answer.headers.get("content-type")]).toEqual([404, "application/problem+json"]);
  });

  test("that are too many have a link to what is left, which leads to all of them", async () => {
    await crowd();
    let path: string | undefined = `vm=*&metric=crowd&from=${NOW - HOUR}&to=${NOW}&step=1000`;
    const rows: string[] = [];
    let pages = 0;
    while (path !== undefined) {
      const answer: Response = await csv(path);
      expect(answer.status).toBe(200);
      rows.push(...(await answer.text()).split("\r\n").slice(1, -1));
      path = /^<\/v1\/series\?(.*)>; rel="next"$/.exec(answer.headers.get("link") ?? "")?.[1];
      pages += 1;
    }
    expect(pages).toBeGreaterThan(1);
    expect(rows.map((row) => row.split(",")[2]).toSorted()).toEqual(CROWD.toSorted());
  });
});

/** VMs in three clusters, whose names sort otherwise with what follows them. */
const CROWD = Array.from({ length: 150 }, (_, index) => id(1000 + index));
let isCrowded = false;
async function crowd(): Promise<void> {
  if (isCrowded) return;
  isCrowded = true;
  for (const [part, cluster] of ["crowd", "crowd-2", "crowd.x"].entries()) {
    const vms = CROWD.filter((_, index) => index % 3 === part);
    await register(`${cluster}-h`, vms, cluster);
    await send(`${cluster}-h`, {
      times: [NOW - 1000],
      vm_series: Object.fromEntries(vms.map((uuid) => [uuid, { crowd: [1] }])),
    });
  }
}

describe("an answer that would be too large", () => {
  /** All pages of a query. */
  async function pagesOf(query: string): Promise<Series[][]> {
    const pages: Series[][] = [];
    let after = "";
    do {
      const { series: found, next } = await read<SeriesPage>(`/v1/series?${query}${after}`);
      pages.push(found);
      after = next === null ? "" : `&after=${encodeURIComponent(next)}`;
    } while (after !== "" && pages.length < 100);
    return pages;
  }

  test("comes in pages, complete and without doubles, over clusters", async () => {
    await crowd();
    const pages = await pagesOf(`vm=*&metric=crowd&from=${NOW - HOUR}&to=${NOW}&step=1000`);
    expect(pages.length).toBeGreaterThan(2);
    expect(
      pages
        .flat()
        .map(({ vm }) => vm)
        .toSorted(),
    ).toEqual(CROWD.toSorted());
  });

  test("comes in pages where subjects have more series than is usual", async () => {
    const names = Array.from({ length: 40 }, (_, index) => `wide_${index}`);
    const hosts = Array.from({ length: 12 }, (_, index) => `wide-${String(index).padStart(2, "0")}`);
    for (const host of hosts) {
      await register(host, [], "wide");
      await send(host, { times: [NOW - 1000], host_series: Object.fromEntries(names.map((name) => [name, [1]])) });
    }
    const pages = await pagesOf(`host=wide-*&metric=*&from=${NOW - 1_000_000}&to=${NOW}&step=1000`);
    expect(pages.length).toBeGreaterThan(1);
    const all = pages.flat().map(({ host, metric }) => `${host} ${metric}`);
    expect(all).toEqual(hosts.flatMap((host) => names.toSorted().map((name) => `${host} ${name}`)));
    const one = await refusal(`host=wide-00&metric=*&from=${NOW - 10_000_000}&to=${NOW}&step=1000`);
    expect(one).toEqual({ status: 422, path: "step", message: expect.stringContaining("40 series of 10000 steps") });
  });
});
