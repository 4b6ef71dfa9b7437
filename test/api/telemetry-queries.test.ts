import { describe, expect, test } from "vitest";
import {
  ADMIN,
  call,
  freshHostForEachTest,
  HOUR,
  lab,
  MINUTE,
  NOW,
  post,
  read,
  register,
  series,
} from "../support/telemetry.ts";
import type { TelemetryBatch } from "../../worker/model/wire/telemetry.ts";

freshHostForEachTest();

describe("series", () => {
  test("are aligned to steps, with their unit and their gaps", async () => {
    const times = [0, 1, 2, 3, 30, 31].map((minute) => NOW - HOUR + minute * MINUTE);
    await post({ times, host_series: { cpu_used_cores: [1, 2, 3, 4, 5, 6], cpu_custom: [1, 1, 1, 1, 1, null] } });
    const found = await series(
      `host=${lab.host}&metric=cpu_*&from=${NOW - HOUR}&to=${NOW}&step=${20 * MINUTE}&agg=max`,
    );
    expect(found.map(({ metric, unit, values }) => [metric, unit, values])).toEqual([
      ["cpu_custom", null, [1, 1, null]],
      ["cpu_used_cores", "cores", [4, 6, null]],
    ]);
    expect(found[1]?.gaps).toEqual([
      { from: times[3], to: times[4] },
      { from: times[5], to: NOW },
    ]);
    expect(await series(`host=${lab.host}&metric=nothing`)).toEqual([]);
  });

  test("of a VM follow it over moves, and take each time from the host where it was", async () => {
    const vm = crypto.randomUUID();
    const [source, destination] = [`${lab.host}-a`, `${lab.host}-b`];
    const from = NOW - HOUR;
    lab.now = from;
    await register(source, [vm]);
    await register(destination);
    lab.now = from + 30 * MINUTE;
    await register(destination, [vm]);
    lab.now = NOW;
    const sample = (at: string, minute: number, value: number) =>
      post(
        {
          host: at,
          batch: `m${minute}-${value}`,
          times: [from + minute * MINUTE],
          vm_series: { [vm]: { a: [value] } },
        },
        ADMIN,
      );
    await sample(source, 0, 10);
    await sample(source, 10, 11);
    // While it arrives, the destination reports it too.
    await sample(destination, 10, 0);
    await sample(destination, 40, 12);
    const [found] = await series(`vm=${vm}&metric=a&from=${from}&to=${NOW}&step=${10 * MINUTE}&agg=sum`);
    expect(found?.values).toEqual([10, 11, null, null, 12, null]);
    expect(await call("GET", `/v1/series?vm=${crypto.randomUUID()}&metric=a`, ADMIN)).toMatchObject({ status: 404 });
  });

  test.each([
    "metric=a",
    "host=h&vm=0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b&metric=a",
    "host=h",
    "host=h&metric=a&agg=avg",
  ])("?%s is refused", async (query) => {
    expect((await call("GET", `/v1/series?${query}`, ADMIN)).status).toBe(422);
  });

  test.each([
    `from=${NOW}&to=${NOW}`,
    `from=${NOW - 50 * HOUR}&to=${NOW}`,
    `from=${NOW - 48 * HOUR}&to=${NOW}&step=1000`,
  ])("&%s is refused", async (range) => {
    expect((await call("GET", `/v1/series?host=${lab.host}&metric=a&${range}`, ADMIN)).status).toBe(422);
  });
});

test("latest values of a fleet come in pages, by cluster", async () => {
  const ids = async (query: string) => {
    const { items, next } = await read<{ items: { hostId: string }[]; next: string | null }>(`/v1/latest?${query}`);
    return { ids: items.map(({ hostId }) => hostId), next };
  };
  const first = await ids("cluster=lab&limit=1");
  expect(first.ids).toEqual([first.next]);
  expect((await ids(`cluster=lab&after=${first.next}&limit=1000`)).ids).not.toContain(first.next);
  expect(await ids("cluster=nowhere")).toEqual({ ids: [], next: null });
  expect(await call("GET", "/v1/latest?host=hv-nobody", ADMIN)).toMatchObject({ status: 404 });
});

test("latest values are those of the last write, however often and for whichever metrics they were asked before", async () => {
  const host = lab.host;
  const latest = async (query = "") => {
    const { items } = await read<{ items: { latest: { host: Record<string, [number, number, number]> } }[] }>(
      `/v1/latest?host=${host}${query}`,
    );
    return Object.fromEntries(Object.entries(items[0]?.latest.host ?? {}).map(([name, [, value]]) => [name, value]));
  };
  expect(await latest()).toEqual({});
  const send = async (batch: Partial<TelemetryBatch>) =>
    expect(await post({ batch: crypto.randomUUID(), ...batch })).toMatchObject({ status: 200 });
  await send({ times: [NOW - 2 * MINUTE], host_series: { a: [1], b: [2] } });
  for (let turn = 0; turn < 2; turn++) {
    expect(await latest()).toEqual({ a: 1, b: 2 });
    expect(await latest("&metric=a")).toEqual({ a: 1 });
  }
  await send({ times: [NOW - MINUTE], host_series: { a: [3] } });
  expect(await latest("&metric=a")).toEqual({ a: 3 });
  expect(await latest()).toEqual({ a: 3, b: 2 });
  // Older than what is known: it changes a version, and no latest value.
  await send({ times: [NOW - 90 * MINUTE], host_series: { a: [9] } });
  expect(await latest()).toEqual({ a: 3, b: 2 });
});
