// The local policy: what the operator of this host permits, whatever Drover sends. It is read anew for every command.
import { readFileSync, statSync } from "node:fs";
import { z } from "zod";
import { bytesPerSecond } from "../../worker/model/wire/common.ts";
import { describeIssues } from "./issues.ts";
import { messageOf } from "./log.ts";

const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;
const timeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, "a time of day like 22:30, UTC");

const window = z.strictObject({
  days: z.array(z.enum(DAYS)).min(1),
  /** UTC. `to` before `from`: the window ends on the next day. */
  from: timeOfDay,
  to: timeOfDay,
});
export type Window = z.infer<typeof window>;

export const localPolicy = z.strictObject({
  /** `in`: VMs may come; `out`: VMs may leave; `observe`: neither. */
  mode: z.enum(["observe", "in", "out", "in-out"]).default("observe"),
  /** UUIDs, or names in which `*` and `?` stand for any characters and any one. Absent: every VM. */
  vms: z.array(z.string().min(1)).optional(),
  /** Absent: at any time. */
  windows: z.array(window).optional(),
  bandwidthBytesPerSecondMax: bytesPerSecond.optional(),
  downtimeMsMax: z.number().positive().optional(),
  postCopy: z.boolean().default(false),
});
export type LocalPolicy = z.output<typeof localPolicy>;

/** A policy that cannot be read permits nothing. */
export type PolicyState = { kind: "policy"; policy: LocalPolicy } | { kind: "unreadable"; detail: string };

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === "ENOENT";

/** Reads the policy. No file means `observe`; one that is hidden from the agent, or cannot be understood, is unreadable. */
export function readPolicy(file: string): PolicyState {
  try {
    return { kind: "policy", policy: localPolicy.parse(JSON.parse(readFileSync(file, "utf8"))) };
  } catch (error) {
    if (isMissing(error)) return { kind: "policy", policy: localPolicy.parse({}) };
    const detail = error instanceof z.ZodError ? describeIssues(error) : messageOf(error);
    return { kind: "unreadable", detail: `${file}: ${detail}` };
  }
}

/** Whether the STOP file is there, or may be: a folder that the agent may not look into could hold one. */
export function isStopped(file: string): boolean {
  try {
    statSync(file);
    return true;
  } catch (error) {
    return !isMissing(error);
  }
}

/** A policy that others than its owner may change protects nothing: one sentence, or null. */
export function policyWarning(file: string): string | null {
  let mode = 0;
  try {
    ({ mode } = statSync(file));
  } catch {
    // Not there; or hidden, and then it cannot be read either, which permits nothing.
  }
  if ((mode & 0o022) === 0) return null;
  return `${file} can be changed by others than its owner: chmod go-w ${file}`;
}

export function permitsIn(state: PolicyState): boolean {
  return state.kind === "policy" && (state.policy.mode === "in" || state.policy.mode === "in-out");
}

export function permitsOut(state: PolicyState): boolean {
  return state.kind === "policy" && (state.policy.mode === "out" || state.policy.mode === "in-out");
}

export function permitsPostCopy(state: PolicyState): boolean {
  return state.kind === "policy" && state.policy.postCopy;
}

/** Whether the list names the VM; a list that is absent names all. */
export function listsVm(patterns: readonly string[] | undefined, vm: { uuid: string; name: string }): boolean {
  if (patterns === undefined) return true;
  return patterns.some((pattern) => {
    if (pattern.toLowerCase() === vm.uuid) return true;
    const source = pattern
      .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
      .replaceAll("*", ".*")
      .replaceAll("?", ".");
    return new RegExp(`^${source}$`, "s").test(vm.name);
  });
}

function minutesOf(time: string): number {
  return Number(time.slice(0, 2)) * 60 + Number(time.slice(3));
}

/** Whether the moment lies in one of the windows; no windows mean always. A window over midnight belongs to the day it begins on. */
export function inWindows(windows: readonly Window[] | undefined, nowMs: number): boolean {
  if (windows === undefined) return true;
  const now = new Date(nowMs);
  const minute = now.getUTCHours() * 60 + now.getUTCMinutes();
  const today = now.getUTCDay();
  const named = (days: Window["days"], day: number) => days.some((name) => DAYS.indexOf(name) === day);
  return windows.some(({ days, from, to }) => {
    const begin = minutesOf(from);
    const end = minutesOf(to);
    if (begin < end) return named(days, today) && minute >= begin && minute < end;
    return (named(days, today) && minute >= begin) || (named(days, (today + 6) % 7) && minute < end);
  });
}
