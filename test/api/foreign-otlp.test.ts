import { BinaryReader } from "@bufbuild/protobuf/wire";
import { describe, expect, test } from "vitest";
import { tokenFor, vmId } from "../support/api.ts";
import { type Metric, type Point, type Resource, toJson, toProtobuf } from "../support/otlp.ts";
import { sendTo, storedOf, type Way } from "../support/remote-write.ts";
import { freshHostForEachTest, lab, MINUTE, register, request } from "../support/telemetry.ts";

freshHostForEachTest();

const PROTOBUF = "application/x-protobuf";
const JSON_TYPE = "application/json";

const ns = (timeMs: number): bigint => BigInt(timeMs) * 1_000_000n;

const point = (value: number, more: Partial<Point> = {}): Point => ({
  attributes: [],
  start: 0n,
  time: ns(lab.now),
  value: { asDouble: value },
  flags: 0,
  exemplars: 0,
  ...more,
});
const metric = (name: string, points: Point[], more: Partial<Metric> = {}): Metric => ({
  name,
  kind: "gauge",
  temporality: 0,
  isMonotonic: false,
  points,
  ...more,
});
const resource = (host: string, metrics: Metric[], more: [string, string][] = []): Resource => ({
  attributes: [["host.name", host], ["service.name", "agent"], ...more],
  metrics,
});

const gzip = async (bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(
    await new Response(
      new Blob([new Uint8Array(bytes)]).stream().pipeThrough(new CompressionStream("gzip")),
    ).arrayBuffer(),
  );

/** ExportMetricsServiceResponse as the library's reader has it. */
function decode(bytes: Uint8Array): { rejected: number; message: string } | null {
  const reader = new BinaryReader(bytes);
  if (reader.len === 0) return null;
  expect(reader.tag()[0]).toBe(1);
  const partial = new BinaryReader(reader.bytes());
  expect(reader.pos).toBe(reader.len);
  const answer = { rejected: 0, message: "" };
  while (partial.pos < partial.len) {
    const [field, type] = partial.tag();
    if (field === 1) answer.rejected = Number(partial.int64());
    else if (field === 2) answer.message = partial.string();
    else partial.skip(type, field);
  }
  return answer;
}

type Exported = { status: number; type: string; rejected: number; message: string; problem: string };

/** Sends bytes, and reads the answer in the encoding that it says it has. */
async function exportBytes(bytes: Uint8Array, way: Way = {}): Promise<Exported> {
  const response = await sendTo("/v1/otlp/v1/metrics", new Uint8Array(bytes), way);
  const type = (response.headers.get("content-type") ?? "").split(";")[0] ?? "";
  const answer = { status: response.status, type, rejected: 0, message: "", problem: "" };
  if (type === PROTOBUF) return { ...answer, ...decode(new Uint8Array(await response.arrayBuffer())) };
  const body: {
    partialSuccess?: { rejectedDataPoints: string; errorMessage: string };
    type?: string;
    detail?: string;
  } = await response.json();
  return {
    ...answer,
    rejected: Number(body.partialSuccess?.rejectedDataPoints ?? 0),
    message: body.partialSuccess?.errorMessage ?? body.detail ?? "",
    problem: body.type ?? "",
  };
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The ways in which exporters send. */
const WAYS = [
  ["protobuf", PROTOBUF, false],
  ["protobuf in gzip", PROTOBUF, true],
  ["JSON", JSON_TYPE, false],
  ["JSON in gzip", JSON_TYPE, true],
] as const;

async function send(resources: Resource[], type: string = PROTOBUF, isGzip = false, way: Way = {}): Promise<Exported> {
  const bytes = type === PROTOBUF ? toProtobuf(resources) : utf8(JSON.stringify(toJson(resources)));
  const headers = { "content-type": type, ...(isGzip ? { "content-encoding": "gzip" } : {}) };
  return exportBytes(isGzip ? await gzip(bytes) : bytes, { ...way, headers });
}

const taken = (type: string): Exported => ({ status: 200, type, rejected: 0, message: "", problem: "" });

/** A second host with a VM. */
let made = 0;
async function otherHost(cluster = "lab"): Promise<{ id: string; vm: string }> {
  const [id, vm] = [`exporter-${++made}`, vmId()];
  await register(id, [vm], cluster);
  return { id, vm };
}

describe.each(WAYS)("an export in %s", (_, type, isGzip) => {
  test("of several hosts and VMs is stored, and the same again changes nothing", async () => {
    const other = await otherHost();
    const body = [
      resource(lab.host, [metric("queue.length", [point(7)]), metric("whole", [point(0, { value: { asInt: 12n } })])]),
      resource(other.id, [metric("queue.length", [point(8)])], [["service.version", "1"]]),
      resource(other.id, [metric("queue.length", [point(9, { attributes: [["vm.id", other.vm]] })])]),
    ];
    for (let round = 0; round < 2; round++) {
      expect(await send(body, type, isGzip)).toEqual(taken(type));
      expect(await storedOf(`host=${lab.host}`)).toEqual({ "queue_length:agent": [7], "whole:agent": [12] });
      expect(await storedOf(`host=${other.id}`)).toEqual({ "queue_length:agent": [8] });
      expect(await storedOf(`vm=${other.vm}`)).toEqual({ "queue_length:agent": [9] });
    }
  });

  test("of nothing is taken", async () => {
    expect(await send([], type, isGzip)).toEqual(taken(type));
  });

  test("of which some cannot be stored says of how many data points, and why; the rest is stored", async () => {
    const histogram = metric("latency", [point(1), point(2), point(3)], { kind: "histogram" });
    const answer = await send(
      [
        resource(lab.host, [
          metric("good", [point(1, { exemplars: 1 })]),
          histogram,
          metric("summarized", [point(1)], { kind: "summary" }),
          metric("late", [point(1, { time: ns(lab.now + 6 * MINUTE) }), point(Infinity)]),
        ]),
        resource("exporter-unknown", [metric("good", [point(1)])]),
        { attributes: [], metrics: [metric("nobody's", [point(1)])] },
      ],
      type,
      isGzip,
    );
    expect(answer).toMatchObject({ status: 200, type, rejected: 8, problem: "" });
    for (const reason of [
      "good: exemplars are not stored",
      "latency: histograms are not stored",
      "summarized: a summary is not stored",
      "over 5 min in the future",
      "neither a finite number nor a gap",
      "no host exporter-unknown is registered",
      "no label names its host",
    ])
      expect(answer.message).toContain(reason);
    expect(await storedOf(`host=${lab.host}`)).toEqual({ "good:agent": [1] });
  });

  test("of which all is of hosts that the token is not made for is refused; of which some is, the rest is stored", async () => {
    const other = await otherHost("elsewhere");
    const foreign = resource(other.id, [metric("figure", [point(1), point(2, { time: ns(lab.now - 1000) })])]);
    for (const bound of [{ hostId: lab.host }, { cluster: "lab" }]) {
      const token = await tokenFor(["ingest"], bound);
      const refused = await send([foreign], type, isGzip, { token });
      expect(refused).toMatchObject({ status: 403, problem: "/problems/foreign-host" });
      expect(refused.message).toContain(`this token may not act for ${other.id}`);
      const mixed = await send([foreign, resource(lab.host, [metric("figure", [point(3)])])], type, isGzip, { token });
      expect(mixed).toMatchObject({ status: 200, rejected: 2 });
      expect(mixed.message).toContain(`this token may not act for ${other.id}`);
    }
    expect(await storedOf(`host=${other.id}`)).toEqual({});
    expect(await storedOf(`host=${lab.host}`)).toEqual({ "figure:agent": [3] });
  });
});

describe("sums", () => {
  const cpu = (values: readonly (readonly [time: number, seconds: number])[], more: Partial<Metric> = {}): Metric =>
    metric(
      "system.cpu.time",
      values.map(([time, value]) => point(value, { time: ns(time), attributes: [["cpu.mode", "user"]] })),
      { kind: "sum", temporality: 2, isMonotonic: true, ...more },
    );

  test("become rates over exports and a reset", async () => {
    const start = lab.now;
    for (const [index, seconds] of [100, 107.5, 3, 10.5].entries()) {
      lab.now = start + index * 15_000;
      expect(await send([resource(lab.host, [cpu([[lab.now, seconds]])])])).toEqual(taken(PROTOBUF));
    }
    expect(await storedOf(`host=${lab.host}`)).toEqual({ cpu_used_cores: [0.5, 0.2, 0.5] });
  });

  test("that are deltas are rates over their own time; those that do not say it are rejected", async () => {
    const delta = { kind: "sum", temporality: 1, isMonotonic: true } as const;
    const answer = await send([
      resource(lab.host, [
        metric("jobs", [point(30, { start: ns(lab.now - 15_000) })], delta),
        metric("endless", [point(30)], delta),
        metric("up.and.down", [point(30, { start: ns(lab.now - 15_000) })], { ...delta, isMonotonic: false }),
      ]),
    ]);
    expect(answer).toMatchObject({ status: 200, rejected: 2 });
    expect(await storedOf(`host=${lab.host}`)).toEqual({ "jobs:agent": [2] });
  });

  test("without a value at a time have a gap there", async () => {
    const noValue = point(5, { flags: 1, time: ns(lab.now - 1000) });
    const none = point(0, { value: null, time: ns(lab.now - 2000) });
    expect(await send([resource(lab.host, [metric("figure", [noValue, none, point(6)])])])).toEqual(taken(PROTOBUF));
    expect(await storedOf(`host=${lab.host}`)).toEqual({ "figure:agent": [6] });
  });
});

describe("attributes", () => {
  test("that name host and VM, and those that are no part of names, can be told", async () => {
    const { id, vm } = await otherHost();
    const body = [
      {
        attributes: [["rack", id] as [string, string]],
        metrics: [metric("figure", [point(1, { attributes: [["guest", vm]] })])],
      },
    ];
    const query = "host_label=rack&vm_label=guest&ignore_labels=service.name";
    expect(await send(body, PROTOBUF, false, { query })).toEqual(taken(PROTOBUF));
    expect(await storedOf(`vm=${vm}`)).toEqual({ figure: [1] });
    expect(
      await send([resource("any", [metric("mine", [point(2)])])], JSON_TYPE, true, {
        query: `host=${id}&ignore_labels=service.name`,
      }),
    ).toEqual(taken(JSON_TYPE));
    expect(Object.values(await storedOf(`host=${id}`))).toEqual([[2]]);
  });
});

test("the types that the OpenAPI document has are those that are taken", async () => {
  const response = await request("/openapi.json", {});
  const { paths }: { paths: Record<string, { post: { requestBody: { content: object } } }> } = await response.json();
  const content = Object.keys(paths["/v1/otlp/v1/metrics"]?.post.requestBody.content ?? {});
  expect(content).toEqual([PROTOBUF, JSON_TYPE]);
});

describe("a body", () => {
  const zeros = new Uint8Array(16 * 2 ** 20 + 1);
  const crowd = () => [
    resource(lab.host, [
      metric(
        "figure",
        Array.from({ length: 100_001 }, () => point(1)),
      ),
    ]),
  ];
  test.each<[string, () => Uint8Array | Promise<Uint8Array>, Record<string, string>, number, string]>([
    ["of another type", () => utf8("{}"), { "content-type": "text/plain" }, 415, "unsupported-media-type"],
    ["in another encoding", () => utf8("{}"), { "content-encoding": "br" }, 415, "unsupported-media-type"],
    ["in snappy", () => utf8("{}"), { "content-encoding": "snappy" }, 415, "unsupported-media-type"],
    ["that is not gzip", () => utf8("{}"), { "content-encoding": "gzip" }, 400, "malformed-body"],
    ["that is not JSON", () => utf8("{"), {}, 400, "malformed-body"],
    ["that is JSON of something else", () => utf8('{"resourceMetrics": 7}'), {}, 400, "malformed-body"],
    ["that is no protobuf", () => utf8("What is this?"), { "content-type": PROTOBUF }, 400, "malformed-body"],
    ["that is cut off", () => toProtobuf(crowd()).slice(0, 1000), { "content-type": PROTOBUF }, 400, "malformed-body"],
    ["that inflates to over 16 MiB", () => gzip(zeros), { "content-encoding": "gzip" }, 413, "body-too-large"],
    ["over 5 MiB", () => zeros.subarray(0, 5 * 2 ** 20 + 1), {}, 413, "body-too-large"],
    [
      "of over 100,000 data points",
      () => gzip(toProtobuf(crowd())),
      { "content-type": PROTOBUF, "content-encoding": "gzip" },
      413,
      "too-much",
    ],
  ])("%s is refused", async (_, bytes, headers, status, problem) => {
    const answer = await exportBytes(await bytes(), { headers: { "content-type": JSON_TYPE, ...headers } });
    expect(answer).toMatchObject({ status, problem: `/problems/${problem}`, type: "application/problem+json" });
    expect(await storedOf(`host=${lab.host}`)).toEqual({});
  });
});
