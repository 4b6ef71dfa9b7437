// libvirt 9.0's own words, as recorded, in Drover's.
import { readFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createEventParser, type LibvirtEvent } from "../../../scripts/agent/libvirt/events.ts";
import { parseDomstats, parseFreePages, parseJobInfo, parseList } from "../../../scripts/agent/libvirt/raw.ts";
import type { Outgoing } from "../../../scripts/agent/libvirt/records.ts";
import { figuresOf } from "../../../scripts/agent/libvirt/sample.ts";
import {
  courseOf,
  momentsOf,
  toCounters,
  toProgress,
  toVmState,
  type View,
} from "../../../scripts/agent/libvirt/state.ts";
import { toDriverError } from "../../../scripts/agent/libvirt/virsh.ts";

const recorded = (name: string): string => readFileSync(path.join(import.meta.dirname, "fixtures", name), "utf8");
const job = (name: string): View["job"] => parseJobInfo(recorded(`jobinfo-${name}.txt`));

const out = (changes: Partial<Outgoing> = {}): Outgoing => ({
  migrationId: "m1",
  mechanism: "pre-copy",
  preCopyRounds: 1,
  options: [],
  startedAtMs: 1000,
  jobBeganAtMs: null,
  stoppedAtMs: null,
  leftAtMs: null,
  postCopy: false,
  cancelAsked: false,
  throttleRatioMax: 0,
  counters: null,
  ...changes,
});

function eventsOf(text: string, ...cuts: number[]): LibvirtEvent[] {
  const events: LibvirtEvent[] = [];
  const feed = createEventParser((event) => {
    const { stats } = event;
    if (events.at(-1)?.name === event.name && event.name === "job-completed") events.pop();
    events.push({ ...event, stats: { ...stats } });
  });
  const edges = [0, ...cuts.toSorted((a, b) => a - b), text.length];
  edges.slice(1).forEach((end, index) => feed(text.slice(edges[index], end)));
  return events;
}

test("figures are read by domain, whatever its name", () => {
  const stats = parseDomstats(recorded("domstats.txt"));
  expect([...stats.keys()]).toEqual(["g 1"]);
  expect(stats.get("g 1")).toMatchObject({ "state.state": "1", "balloon.rss": "243448", "vcpu.0.time": "2560000000" });
  expect(parseDomstats("Domain: 'it's'\n  state.state=5\n").get("it's")).toEqual({ "state.state": "5" });
  expect(() => parseDomstats("error: no\n")).toThrow("no line of domstats");
});

test("a list gives UUIDs and names with spaces, free pages add up over the nodes", () => {
  const uuid = "6f1c3a52-0000-4000-8000-000000000001";
  expect(parseList(`${uuid} g 1                 \n\n`)).toEqual([{ uuid, name: "g 1" }]);
  const pages = parseFreePages("Node 0:\n4KiB: 7\n2048KiB: 2\n\nNode 1:\n4KiB: 1\n2048KiB: 3\n");
  expect(pages).toEqual(
    new Map([
      [4096, 8],
      [2_097_152, 5],
    ]),
  );
});

test("events come out the same, however the text was cut on its way", () => {
  const text = recorded("events-source-post-copy.txt");
  const whole = eventsOf(text);
  expect(whole.map(({ name, detail }) => `${name} ${detail}`)).toEqual([
    "migration-iteration iteration: '1'",
    "lifecycle Suspended Migrated",
    "lifecycle Suspended Post-copy",
    "migration-iteration iteration: '2'",
    "lifecycle Stopped Migrated",
    "job-completed ",
  ]);
  expect(whole[1]).toMatchObject({ domain: "g 1", atMs: Date.parse("2026-11-26T13:35:59.605Z") });
  expect(whole[5]?.stats["memory_postcopy_requests"]).toBe("156");
  fc.assert(
    fc.property(fc.array(fc.nat(text.length), { maxLength: 8 }), (cuts) => {
      expect(eventsOf(text, ...cuts)).toEqual(whole);
    }),
  );
});

test("a running job is progress; what was not measured yet is absent", () => {
  const domain = { state: 1, reason: 1 };
  expect(toProgress({ domain, job: job("active"), out: out() })).toEqual({
    iteration: 1,
    totalBytes: 168_165_376,
    remainingBytes: 140_922_880,
    transferredBytes: 23_503_853,
    throughputBytesPerSecond: 16_619_346,
    phase: "pre-copy",
    elapsedMs: 2624,
  });
  expect(toProgress({ domain, job: job("setup"), out: out() })).toMatchObject({ phase: "setup", elapsedMs: 657 });
  const stopped = { state: 3, reason: 12 };
  expect(toProgress({ domain: stopped, job: job("active"), out: out() }).phase).toBe("post-copy");
});

test("the finished job's figures and moments are those of libvirt's last word", () => {
  const [, , , , , last] = eventsOf(recorded("events-source-post-copy.txt"));
  const counters = last?.stats ?? {};
  const done = out({ counters, postCopy: true, jobBeganAtMs: 5000, stoppedAtMs: 5200, leftAtMs: 13_000 });
  expect(toCounters(done)).toEqual({
    transferredBytes: 135_054_498,
    transferredPages: 32_890,
    zeroPages: 8166,
    rounds: 2,
    remoteFaults: 156,
    hypervisorDowntimeMs: 39,
  });
  expect(momentsOf(done, 14_000)).toEqual({ stoppedAtMs: 5200, completedAtMs: 11_378 });
  expect(toCounters(out())).toEqual({});
  expect(momentsOf(out(), 14_000)).toEqual({ stoppedAtMs: null, completedAtMs: 14_000 });
});

describe("run states", () => {
  test.each([
    ["running", 1, 1, false, "running"],
    ["running at a destination, memory still on its way", 1, 10, false, "running"],
    ["running, post-copy broken", 1, 11, false, "postcopy-paused"],
    ["paused by a person", 3, 1, false, "paused"],
    ["stopped for the switch-over", 3, 2, false, "paused"],
    ["arriving", 3, 2, true, "inmigrate"],
    ["arriving, its process being started", 3, 11, true, "inmigrate"],
    ["a source in post-copy", 3, 12, false, "postmigrate"],
    ["a source whose post-copy broke", 3, 13, false, "postcopy-paused"],
    ["being shut down", 4, 1, false, "running"],
    ["off", 5, 1, false, "shutoff"],
    ["crashed", 6, 1, false, "shutoff"],
    ["suspended by its guest", 7, 1, false, "paused"],
  ] as const)("%s", (_, state, reason, arriving, expected) => {
    expect(toVmState({ state, reason }, arriving)).toBe(expected);
  });
});

describe("how far a migration is", () => {
  const running = { state: 1, reason: 1 };
  const view = (changes: Partial<View>): View => ({
    domain: running,
    job: job("none"),
    isChildBusy: false,
    ending: null,
    out: out(),
    ...changes,
  });
  const failed = { ok: false, complaint: "operation failed" };
  test.each([
    ["virsh waits", { isChildBusy: true }, "active"],
    ["virsh was killed, libvirt goes on", { job: job("active") }, "active"],
    ["stopped in post-copy", { domain: { state: 3, reason: 12 }, isChildBusy: true }, "stopped"],
    ["post-copy lost its link", { domain: { state: 3, reason: 13 } }, "paused"],
    ["post-copy given up by virsh", { domain: { state: 3, reason: 12 }, ending: failed }, "paused"],
    ["gone, virsh about to say why", { domain: null, isChildBusy: true }, "settling"],
    ["gone, and virsh is content", { domain: null, ending: { ok: true, complaint: "" } }, "completed"],
    ["gone by libvirt's event", { domain: null, out: out({ leftAtMs: 5 }) }, "completed"],
    ["its definition is left", { domain: { state: 5, reason: 4 } }, "completed"],
    ["gone while nobody looked", { domain: null }, "vanished"],
    ["crashed on its way", { domain: null, ending: failed }, "failed"],
    ["refused", { ending: failed }, "failed"],
    ["cancelled", { ending: failed, out: out({ cancelAsked: true }) }, "cancelled"],
    ["over while nobody looked", {}, "failed"],
    ["over, about to run again", { domain: { state: 3, reason: 2 } }, "settling"],
  ] as const)("%s", (_, changes, expected) => {
    expect(courseOf(view(changes))).toBe(expected);
  });
});

test("counters become figures; a guest that says nothing has no figures of its own", () => {
  const stats = parseDomstats(recorded("domstats.txt")).get("g 1") ?? {};
  const asked: string[] = [];
  const figures = figuresOf(stats, (name, counter) => {
    asked.push(name);
    return counter === null ? null : counter / 2;
  });
  expect(figures).toEqual({
    cpu_used_cores: 1.28,
    cpu_steal_ratio: 210_479_994 / 2e9,
    memory_used_bytes: 243_448 * 1024,
  });
  expect(asked).not.toContain("swap_in");
  const guest = { ...stats, "balloon.last-update": "1795700000", "balloon.swap_in": "8", "balloon.major_fault": "6" };
  const times: (number | undefined)[] = [];
  const more = figuresOf(guest, (_, counter, atMs) => {
    times.push(atMs);
    return counter;
  });
  expect(more).toMatchObject({ swap_in_bytes_per_second: 8192, page_fault_rate: 6 });
  expect(times).toContain(1_795_700_000_000);
});

test.each([
  ["error: failed to get domain 'x'\n", false, "unknown-vm"],
  ["error: failed to connect to the hypervisor\nerror: no socket\n", false, "hypervisor-silent"],
  ["", true, "hypervisor-silent"],
  ["error: operation aborted: job 'migration out' canceled by client\n", false, "hypervisor-refused"],
] as const)("virsh's complaint %j becomes a reason", (stderr, killed, reason) => {
  expect(toDriverError("migrate", stderr, killed)).toMatchObject({ reason });
});
