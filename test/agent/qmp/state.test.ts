import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { migrateAnswer, statusAnswer } from "../../../scripts/agent/qmp/answers.ts";
import type { Outgoing } from "../../../scripts/agent/qmp/descriptor.ts";
import {
  courseOf,
  momentsOf,
  toCounters,
  toProgress,
  toVmState,
  type Truth,
} from "../../../scripts/agent/qmp/state.ts";

// Answers of QEMU 7.2.22, as they came.
const captured = z
  .record(z.string(), z.unknown())
  .parse(JSON.parse(readFileSync(path.join(import.meta.dirname, "fixtures", "migrations.json"), "utf8")));

function truth(name: string): Truth {
  const { status, migration } = z.object({ status: statusAnswer, migration: migrateAnswer }).parse(captured[name]);
  return { runState: status.status, running: status.running, migration };
}

const outgoing = (changes: Partial<Outgoing> = {}): Outgoing => ({
  migrationId: "m1",
  mechanism: "pre-copy",
  preCopyRounds: 1,
  startedAtMs: 1000,
  stoppedAtMs: null,
  completedAtMs: null,
  stoppedByDriver: false,
  postCopy: false,
  throttleRatioMax: 0,
  ...changes,
});

test.each([
  ["none", false, "running"],
  ["pre-active", false, "running"],
  ["pre-completed", false, "postmigrate"],
  ["post-active", false, "postmigrate"],
  ["post-completed", false, "postmigrate"],
  ["cancel-cancelled", false, "running"],
  ["dead-failed", false, "running"],
  // Loaded at the destination and never let run: not the VM's place.
  ["pre-loaded", true, "inmigrate"],
  ["post-incoming", true, "inmigrate"],
  ["pre-loaded", false, "paused"],
] as const)("%s, never run here: %s, is %s", (name, neverRan, state) => {
  expect(toVmState(truth(name), neverRan)).toBe(state);
});

test("a guest whose pages are lost on the way is told from one that is paused", () => {
  const lost: Truth = { runState: "running", running: true, migration: { status: "postcopy-paused" } };
  expect(toVmState(lost, false)).toBe("postcopy-paused");
  expect(toVmState({ runState: "finish-migrate", running: false, migration: { status: "active" } }, false)).toBe(
    "paused",
  );
  expect(toVmState({ runState: "shutdown", running: false, migration: {} }, false)).toBe("shutoff");
});

test.each([
  ["none", {}, "none"],
  ["pre-active", {}, "active"],
  ["pre-completed", {}, "completed"],
  ["post-active", { mechanism: "post-copy" }, "stopped"],
  ["post-completed", { mechanism: "post-copy", postCopy: true }, "completed"],
  ["cancel-cancelled", {}, "cancelled"],
  ["dead-failed", {}, "failed"],
  // Once post-copy has begun there is no failure from which the source could go on.
  ["dead-failed", { postCopy: true }, "paused"],
] as const)("the course of %s with %j is %s", (name, changes, course) => {
  expect(courseOf(truth(name), outgoing(changes))).toBe(course);
});

describe("nothing is called over before QEMU has settled", () => {
  const done = truth("pre-completed");
  test.each([
    ["total-time not yet set", { ...done, migration: { ...done.migration, "total-time": 0 } }],
    ["run state not yet set", { ...done, runState: "finish-migrate" }],
    ["post-copy announced, guest not yet stopped", { ...truth("post-active"), runState: "running", running: true }],
    ["failed, guest not yet back", { ...truth("dead-failed"), runState: "finish-migrate", running: false }],
  ])("%s", (_, seen) => {
    expect(courseOf(seen, outgoing())).toBe("settling");
  });
});

test("a completed migration whose guest runs here again is not proof of a stop", () => {
  expect(courseOf({ ...truth("pre-completed"), runState: "running", running: true }, outgoing())).toBe("failed");
});

test("progress leaves out what QEMU has not measured yet", () => {
  const { ram } = truth("pre-active").migration;
  expect(toProgress(truth("pre-active"))).toEqual({
    iteration: 1,
    totalBytes: ram?.total,
    remainingBytes: ram?.remaining,
    transferredBytes: ram?.transferred,
    throughputBytesPerSecond: ((ram?.mbps ?? 0) * 1e6) / 8,
    phase: "pre-copy",
    elapsedMs: truth("pre-active").migration["total-time"],
  });
  expect(toProgress(truth("none"))).toEqual({
    iteration: 0,
    remainingBytes: 0,
    transferredBytes: 0,
    phase: "setup",
    elapsedMs: 0,
  });
  expect(toProgress(truth("post-active"))).toMatchObject({ phase: "post-copy", dirtyBytesPerSecond: 0 });
});

test("counters are QEMU's; faults are counted in post-copy only, and the highest throttle seen is kept", () => {
  const pre = truth("pre-completed").migration;
  expect(toCounters(pre, outgoing({ throttleRatioMax: 0.4 }))).toEqual({
    transferredBytes: pre.ram?.transferred,
    transferredPages: pre.ram?.normal,
    zeroPages: pre.ram?.duplicate,
    rounds: 3,
    throttleRatioMax: 0.4,
    hypervisorDowntimeMs: pre.downtime,
  });
  const post = truth("post-completed").migration;
  expect(toCounters(post, outgoing({ postCopy: true })).remoteFaults).toBe(post.ram?.["postcopy-requests"]);
});

test("times are those of the events; without them QEMU's durations stand in", () => {
  const { migration } = truth("pre-completed");
  const seen = outgoing({ stoppedAtMs: 2100.5, completedAtMs: 2170.25 });
  expect(momentsOf(migration, seen, 9999)).toEqual({ stoppedAtMs: 2100.5, completedAtMs: 2170.25 });
  const completedAtMs = 1000 + (migration["total-time"] ?? 0);
  expect(momentsOf(migration, outgoing(), 9999)).toEqual({
    completedAtMs,
    stoppedAtMs: completedAtMs - (migration.downtime ?? 0),
  });
});
