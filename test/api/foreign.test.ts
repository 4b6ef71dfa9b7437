import { WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tokenFor, vmId } from "../support/api.ts";
import { message } from "../support/otlp.ts";
import {
  compress,
  encode,
  sent,
  STALE,
  storedOf,
  write,
  writeAll,
  writeBytes,
  writtenOf,
} from "../support/remote-write.ts";
import { freshHostForEachTest, HOUR, lab, latestOf, MINUTE, NOW, register } from "../support/telemetry.ts";

freshHostForEachTest();

let made = 0;
/** New hosts, each with one VM. */
async function newHosts(count: number, cluster = "lab"): Promise<{ id: string; vm: string }[]> {
  const hosts = Array.from({ length: count }, () => ({ id: `sender-${++made}`, vm: vmId() }));
  for (const { id, vm } of hosts) await register(id, [vm], cluster);
  return hosts;
}

describe("a body", () => {
  test("of several hosts and VMs is stored, and the same again changes nothing", async () => {
    const hosts = await newHosts(3);
    const body = hosts.flatMap(({ id, vm }, index) => [
      sent(id, "figure", index),
      sent(id, "cpu_used_cores", 10 + index),
      sent(id, "figure", 20 + index, { labels: { uuid: vm } }),
    ]);
    for (let round = 0; round < 2; round++) {
      const answer = await write(body);
      expect([answer.status, writtenOf(answer)]).toEqual([204, "9"]);
      expect(answer.headers.get("x-prometheus-remote-write-histograms-written")).toBe("0");
      expect(answer.headers.get("x-prometheus-remote-write-exemplars-written")).toBe("0");
      for (const [index, { id, vm }] of hosts.entries()) {
        expect(await storedOf(`host=${id}`)).toEqual({ figure: [index], cpu_used_cores: [10 + index] });
        expect(await storedOf(`vm=${vm}`)).toEqual({ figure: [20 + index] });
      }
    }
  });

  test.each([
    ["nothing", 0],
    ["metadata only", 3],
  ])("of %s is taken", async (_, metadata) => {
    const answer = await writeBytes(compress(encode([], metadata)));
    expect([answer.status, writtenOf(answer)]).toEqual([204, "0"]);
  });

  test("with fields that are not known is taken", async () => {
    const body = encode([sent(lab.host, "figure", 7)], 1, (writer) => {
      writer.tag(100, WireType.Varint).int64(-1).tag(101, WireType.Bit64).double(1).tag(102, WireType.Bit32).float(1);
      writer.tag(103, WireType.LengthDelimited).string("more");
    });
    expect(await writeBytes(compress(body))).toMatchObject({ status: 204 });
    expect(await storedOf(`host=${lab.host}`)).toEqual({ figure: [7] });
  });

  const whole = () => compress(encode([sent(lab.host, "figure", 1)]));
  const wrongType = () => compress(encode([], 0, (writer) => writer.tag(1, WireType.Varint).int64(1)));
  test.each<[string, () => Uint8Array, RegExp]>([
    ["cut off", () => whole().slice(0, -3), /\(byte \d+\)/],
    ["no bytes at all", () => new Uint8Array(), /\(byte 0\)/],
    ["random bytes", () => Uint8Array.from({ length: 200 }, (_, index) => (index * 193 + 71) % 256), /\(byte \d+\)/],
    ["snappy around no protobuf", () => compress(new TextEncoder().encode("What is this?")), /\(byte \d+\)/],
    ["of another wire type", wrongType, /wire type 0, not 2 \(byte \d+\)/],
  ])("that is %s is refused, and it is said where", async (_, bytes, where) => {
    const { status, body } = await writeBytes(bytes());
    expect({ status, body }).toMatchObject({ status: 400, body: { type: "/problems/malformed-body" } });
    expect(body.detail).toMatch(where);
    expect(await storedOf(`host=${lab.host}`)).toEqual({});
  });

  test("that is damaged in any way is stored or refused, never an internal error", async () => {
    const good = encode([sent(lab.host, "figure", 1), sent(lab.host, "other", 2, { exemplars: 1 })], 1);
    const damaged = (bytes: Uint8Array) =>
      fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)).map(([at, byte]) => bytes.with(at, byte));
    const anyBody = fc.oneof(fc.uint8Array({ maxLength: 100 }), damaged(compress(good)), damaged(good).map(compress));
    await fc.assert(
      fc.asyncProperty(anyBody, async (bytes) => {
        expect([204, 400, 413]).toContain((await writeBytes(bytes)).status);
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  test.each<[string, number[]]>([
    ["16 MiB and a byte", [0x81, 0x80, 0x80, 0x08]],
    ["4 GiB", [0xff, 0xff, 0xff, 0xff, 0x0f]],
  ])("that announces %s is refused before it is inflated", async (_, announced) => {
    expect(await writeBytes(Uint8Array.from([...announced, 0, 1]))).toMatchObject({
      status: 413,
      body: { type: "/problems/too-much", detail: expect.stringContaining("at most 16777216") },
    });
  });

  test("over 5 MiB is refused", async () => {
    const answer = await writeBytes(new Uint8Array(5 * 2 ** 20 + 1));
    expect(answer).toMatchObject({ status: 413, body: { type: "/problems/body-too-large" } });
  });

  const PROTO = "application/x-protobuf";
  test.each<[string, Record<string, string>, number]>([
    ["JSON", { "content-type": "application/json" }, 415],
    ["text", { "content-type": "text/plain" }, 415],
    ["gzip", { "content-encoding": "gzip" }, 415],
    ["remote write 2.0", { "content-type": `${PROTO};proto=io.prometheus.write.v2.Request` }, 415],
    ["remote write 1.0 by its name", { "content-type": `${PROTO}; proto="prometheus.WriteRequest"` }, 204],
    ["protobuf in capitals", { "content-type": "Application/X-Protobuf", "content-encoding": "Snappy" }, 204],
  ])("that says it is %s is answered so", async (_, headers, status) => {
    const answer = await writeBytes(whole(), { headers });
    const type = status === 415 ? "/problems/unsupported-media-type" : undefined;
    expect([answer.status, answer.body.type]).toEqual([status, type]);
    expect(await storedOf(`host=${lab.host}`)).toEqual(status === 204 ? { figure: [1] } : {});
  });

  test("needs a token that may send", async () => {
    expect(await writeBytes(whole(), { token: "drv_nobody" })).toMatchObject({ status: 401 });
    expect(await writeBytes(whole(), { token: await tokenFor(["read"]) })).toMatchObject({ status: 403 });
    expect(await writeBytes(whole(), { token: lab.token })).toMatchObject({ status: 204 });
  });

  test("of 10,000 series is stored, of one host or of a hundred", async () => {
    const names = Array.from({ length: 100 }, (_, index) => `m${index}`);
    const hosts = await newHosts(100);
    const ofMany = hosts.flatMap(({ id }, index) => names.map((name) => sent(id, name, index)));
    expect(writtenOf(await write(ofMany))).toBe("10000");
    const last = hosts[99]?.id ?? "";
    const latest = Object.entries((await latestOf(last))?.host ?? {});
    expect(latest.map(([name, [, value]]) => [name, value])).toEqual(names.toSorted().map((name) => [name, 99]));
    const ofOne = Array.from({ length: 10_000 }, (_, index) => sent(lab.host, `n${index}`, index));
    expect(writtenOf(await write(ofOne))).toBe("10000");
    expect(await storedOf(`host=${lab.host}`, "n9999")).toEqual({ n9999: [9999] });
    // Known by now.
    lab.now += 15_000;
    expect(writtenOf(await write(ofOne.map((one) => ({ ...one, samples: [[lab.now, 1]] }))))).toBe("10000");
    expect(await storedOf(`host=${lab.host}`, "n9999")).toEqual({ n9999: [9999, 1] });
  });

  test("of over 100,000 series, or a million samples, is refused whole", async () => {
    const crowd = Array.from({ length: 100_000 }, () => ({ labels: {}, samples: [] }));
    expect(await write([sent(lab.host, "figure", 1), ...crowd])).toMatchObject({
      status: 413,
      body: { type: "/problems/too-much", detail: expect.stringContaining("over 100000 series") },
    });
    const empty = Array.from({ length: 1_000_001 }, () => [0x12, 0]).flat();
    const series = message((body) => body.tag(1, WireType.LengthDelimited).bytes(Uint8Array.from(empty)));
    expect(await writeBytes(compress(series))).toMatchObject({
      status: 413,
      body: { type: "/problems/too-much", detail: expect.stringContaining("over 1000000 samples") },
    });
    expect(await storedOf(`host=${lab.host}`)).toEqual({});
  });
});

describe("samples", () => {
  test("that are NaN, or say that the series has ended, are gaps", async () => {
    const values = [1, NaN, 3, STALE, 5] as const;
    const samples = values.map((value, index) => [NOW - 5000 + index * 1000, value] as const);
    const answer = await write([sent(lab.host, "figure", 0, { samples }), sent(lab.host, "gone", STALE)]);
    expect([answer.status, writtenOf(answer)]).toEqual([204, "3"]);
    expect(await storedOf(`host=${lab.host}`)).toEqual({ figure: [1, 3, 5] });
  });

  test("over 2^53 are stored as they are, also as counters; beyond a metric's bounds they are refused", async () => {
    const large = 2 ** 60;
    const counter = {
      samples: [
        [NOW - 15_000, large],
        [NOW, large + 15 * 1024],
      ] as const,
    };
    const nic = sent(lab.host, "node_network_receive_bytes_total", 0, {
      samples: [...counter.samples],
      labels: { device: "eth0" },
    });
    await writeAll([sent(lab.host, "figure", large), sent(lab.host, "small", -Number.MAX_VALUE), nic]);
    const stored = { figure: [large], small: [-Number.MAX_VALUE], network_receive_bytes_per_second: [1024] };
    expect(await storedOf(`host=${lab.host}`)).toEqual(stored);
    const { status, body } = await write([sent(lab.host, "memory_used_bytes", large)]);
    expect([status, body.refused?.[0]?.reason]).toEqual([400, expect.stringContaining("above")]);
    expect(await storedOf(`host=${lab.host}`)).toEqual(stored);
  });

  test.each<[string, readonly [number, number], string]>([
    ["infinite", [NOW, Infinity], "neither a finite number nor a gap"],
    ["below all", [NOW, -Infinity], "neither a finite number nor a gap"],
    ["in seconds", [NOW / 1000, 1], "looks like seconds since 1970"],
    ["in the future", [NOW + 5 * MINUTE + 1, 1], "over 5 min in the future: check the host's clock"],
    ["too old", [NOW - 48 * HOUR - 1, 1], "older than raw retention, 48 h"],
  ])("that are %s are refused one by one, the rest is stored", async (_, sample, reason) => {
    const samples = [[NOW - 1000, 1], sample, [NOW - 500, 2]] as const;
    const all = ["figure", "other"].map((name) => sent(lab.host, name, 0, { samples: [...samples] }));
    const { status, body } = await write([...all, sent(lab.host, "good", 3)]);
    expect({ status, body }).toMatchObject({
      status: 400,
      body: { type: "/problems/samples-refused", stored: 5, refusedCount: 2 },
    });
    const [first, second] = body.refused ?? [];
    expect([first, second]).toMatchObject([
      { series: "host figure", samples: 1, reason: expect.stringContaining(reason) },
      { series: "host other", samples: 1, reason: expect.stringContaining(reason) },
    ]);
    expect(body.detail).toContain(reason);
    expect(await storedOf(`host=${lab.host}`)).toEqual({ figure: [2], other: [2], good: [3] });
  });

  test("that are 5 min ahead and just within retention are taken", async () => {
    await writeAll([
      sent(lab.host, "figure", 0, {
        samples: [
          [NOW - 48 * HOUR, 1],
          [NOW + 5 * MINUTE, 2],
        ],
      }),
    ]);
    lab.now += 5 * MINUTE;
    expect(await storedOf(`host=${lab.host}`)).toEqual({ figure: [2] });
  });

  test("that are native histograms, and exemplars, are refused by series, the rest is stored", async () => {
    const { status, body } = await write([
      sent(lab.host, "figure", 1, { exemplars: 2 }),
      sent(lab.host, "latency", 0, { samples: [], histograms: 3 }),
      sent(lab.host, "good", 3),
    ]);
    expect([status, body.stored, body.refusedCount]).toEqual([400, 2, 4]);
    expect(body.refused).toEqual([
      { series: `${lab.host} figure`, reason: "exemplars are not stored", samples: 0 },
      { series: `${lab.host} latency`, reason: "native histograms are not stored", samples: 3 },
    ]);
    expect(await storedOf(`host=${lab.host}`)).toEqual({ figure: [1], good: [3] });
  });
});

describe("hosts", () => {
  test.each<[string, (host: string) => { hostId?: string; cluster?: string }]>([
    ["host", (hostId) => ({ hostId })],
    ["cluster", () => ({ cluster: "bound" })],
  ])("that the token of a %s is not made for are refused, what is good of others is stored", async (_, bound) => {
    const [own] = await newHosts(1, "bound");
    const [foreign] = await newHosts(1, "elsewhere");
    if (own === undefined || foreign === undefined) throw new Error("no hosts");
    const token = await tokenFor(["ingest"], bound(own.id));
    const theirs = [sent(foreign.id, "a", 1), sent(foreign.id, "a", 2, { labels: { uuid: foreign.vm } })];
    const mixed = await write([...theirs, sent(own.id, "figure", 3)], { token });
    expect(mixed).toMatchObject({
      status: 403,
      body: { type: "/problems/foreign-host", stored: 1, refusedCount: 2 },
    });
    expect(mixed.body.refused).toEqual([
      { series: foreign.id, reason: `this token may not act for ${foreign.id}`, samples: 2 },
    ]);
    expect(await write(theirs, { token })).toMatchObject({ status: 403, body: { stored: 0 } });
    expect(await storedOf(`host=${own.id}`)).toEqual({ figure: [3] });
    expect([await storedOf(`host=${foreign.id}`), await storedOf(`vm=${foreign.vm}`)]).toEqual([{}, {}]);
  });

  test("that are not registered, cannot be, or are not named are refused, the rest is stored", async () => {
    const { status, body } = await write([
      sent("sender-unknown", "figure", 1),
      sent("no host!", "figure", 1),
      { labels: { __name__: "figure" }, samples: [[NOW, 1]] },
      { labels: { host: lab.host }, samples: [[NOW, 1]] },
      sent(lab.host, "figure", 5),
    ]);
    expect({ status, body }).toMatchObject({
      status: 400,
      body: { type: "/problems/samples-refused", stored: 1, refusedCount: 4 },
    });
    const reasons = (body.refused ?? []).map(({ reason }) => reason).toSorted();
    expect(reasons).toEqual(
      [
        "it has no name",
        "no host sender-unknown is registered",
        "no host! cannot be the id of a host",
        expect.stringContaining("no label names its host"),
      ].toSorted((a, b) => String(a).localeCompare(String(b))),
    );
    expect(await storedOf(`host=${lab.host}`)).toEqual({ figure: [5] });
  });
});
