import { describe, expect, test } from "vitest";
import { judgeCommand, recordCommand, type JudgeContext, type LedgerState } from "../../scripts/agent/judge.ts";
import { inWindows, listsVm, localPolicy } from "../../scripts/agent/policy.ts";
import type { Command, MigrationParameters } from "../../worker/model/wire/command.ts";
import { VM, cancelCommand, prepareCommand, startCommand } from "./builders.ts";

const NOW = Date.UTC(2026, 0, 7, 12, 0); // a Wednesday
const EMPTY: LedgerState = { commands: {}, vms: {} };
const fresh = { issuedAt: NOW, expiresAt: NOW + 60_000 };
const prepare = (changes: Partial<Extract<Command, { type: "migration.prepare" }>> = {}) =>
  prepareCommand({ ...fresh, ...changes });
const start = (changes: Partial<Extract<Command, { type: "migration.start" }>> = {}) =>
  startCommand({ ...fresh, ...changes });
const cancel = (changes = {}) => cancelCommand({ ...fresh, ...changes });
const withParameters = (changes: Partial<MigrationParameters>) =>
  start({ parameters: { ...startCommand().parameters, ...changes } });
const permitted = { ...startCommand().limits, postCopyPermitted: true };

/** A host that permits everything; the VM is where the command needs it. */
function judge(command: Command, changes: Partial<JudgeContext> = {}, policy: object = {}) {
  const here = command.type === "migration.start" ? { uuid: VM, name: "web-1" } : null;
  return judgeCommand(command, {
    hostId: command.hostId,
    nowMs: NOW,
    signedAtMs: NOW,
    ledger: EMPTY,
    stopped: false,
    policy: { kind: "policy", policy: localPolicy.parse({ mode: "in-out", postCopy: true, ...policy }) },
    localVm: here,
    busyWith: null,
    source: null,
    ...changes,
  });
}
const ledgerAfter = (...taken: Command[]) =>
  taken.reduce((ledger, command) => recordCommand(ledger, command, true, NOW), EMPTY);

describe("a command is taken", () => {
  test.each<[string, Command, Partial<JudgeContext>, object]>([
    ["prepare on a host that permits it", prepare(), {}, {}],
    ["start on a host that permits it", start(), {}, {}],
    ["prepare where VMs may only come", prepare(), {}, { mode: "in" }],
    ["start where VMs may only leave", start(), {}, { mode: "out" }],
    ["signed almost 5 minutes ago", start(), { signedAtMs: NOW - 299_000 }, {}],
    ["the same token for start after prepare", start(), { ledger: ledgerAfter(prepare()) }, {}],
    [
      "a higher token for another migration",
      start({ fencingToken: 8, id: "c2", migrationId: "m2" }),
      { ledger: ledgerAfter(start()) },
      {},
    ],
    ["the VM on the list by name", start(), {}, { vms: ["web-*"] }],
    ["the VM on the list by uuid", start(), {}, { vms: [VM] }],
    ["inside a window", start(), {}, { windows: [{ days: ["wed"], from: "11:00", to: "13:00" }] }],
    ["exactly at its ceilings", start(), {}, { bandwidthBytesPerSecondMax: 1e8, downtimeMsMax: 300 }],
    ["post-copy that both permit", start({ mechanism: "post-copy", limits: permitted }), {}, {}],
    [
      "cancel under a STOP file and no permission",
      cancel(),
      { stopped: true, ledger: ledgerAfter(start()) },
      { mode: "observe" },
    ],
  ])("%s", (_name, command, context, policy) => {
    expect(judge(command, context, policy)).toEqual({ verdict: "take" });
  });
});

describe("a command is refused", () => {
  test.each<[string, string, Command, Partial<JudgeContext>, object]>([
    ["signed over 5 minutes ago", "expired", start(), { signedAtMs: NOW - 301_000 }, {}],
    ["signed in the future", "expired", start(), { signedAtMs: NOW + 301_000 }, {}],
    ["expired", "expired", start({ expiresAt: NOW - 1 }), {}, {}],
    ["a lower token", "stale-token", start({ fencingToken: 6, id: "c2" }), { ledger: ledgerAfter(start()) }, {}],
    [
      "the same token by another id of its type",
      "stale-token",
      start({ id: "c2" }),
      { ledger: ledgerAfter(start()) },
      {},
    ],
    ["prepare of a migration cancelled before", "cancelled", prepare(), { ledger: ledgerAfter(cancel()) }, {}],
    ["a STOP file", "stopped", start(), { stopped: true }, {}],
    ["a policy that cannot be read", "policy", start(), { policy: { kind: "unreadable", detail: "no JSON" } }, {}],
    ["mode observe, prepare", "policy", prepare(), {}, { mode: "observe" }],
    ["mode observe, start", "policy", start(), {}, { mode: "observe" }],
    ["mode out, prepare", "policy", prepare(), {}, { mode: "out" }],
    ["mode in, start", "policy", start(), {}, { mode: "in" }],
    ["a VM that is not listed", "policy", start(), {}, { vms: ["db-*"] }],
    [
      "a listed name that the command only claims",
      "policy",
      start(),
      { localVm: { uuid: VM, name: "db-1" } },
      { vms: ["web-1"] },
    ],
    ["outside the windows", "policy", start(), {}, { windows: [{ days: ["tue"], from: "00:00", to: "23:59" }] }],
    ["bandwidth over the local ceiling", "policy", start(), {}, { bandwidthBytesPerSecondMax: 1e8 - 1 }],
    ["bandwidth over the approval", "policy", withParameters({ maxBandwidthBytesPerSecond: 2e9 }), {}, {}],
    ["downtime limit over the local ceiling", "policy", start(), {}, { downtimeMsMax: 299 }],
    ["downtime limit over the approval", "policy", withParameters({ downtimeLimitMs: 1001 }), {}, {}],
    [
      "stop-and-copy under a downtime ceiling",
      "policy",
      start({ mechanism: "stop-and-copy" }),
      {},
      { downtimeMsMax: 300 },
    ],
    [
      "force at the deadline under a downtime ceiling",
      "policy",
      withParameters({ onDeadline: "force" }),
      {},
      { downtimeMsMax: 300 },
    ],
    ["post-copy that was not approved", "policy", start({ mechanism: "post-copy" }), {}, {}],
    ["hybrid that was not approved", "policy", start({ mechanism: "hybrid" }), {}, {}],
    ["post-copy at the deadline that was not approved", "policy", withParameters({ onDeadline: "post-copy" }), {}, {}],
    ["post-copy after a time that was not approved", "policy", withParameters({ postCopyAfterMs: 0 }), {}, {}],
    [
      "post-copy that the host does not permit",
      "policy",
      start({ mechanism: "post-copy", limits: permitted }),
      {},
      { postCopy: false },
    ],
    ["start at a host that is not its source", "wrong-host", start({ fromHostId: "hv-c" }), {}, {}],
    ["prepare at a host that is not its destination", "wrong-host", prepare({ toHostId: "hv-c" }), {}, {}],
    ["a move to the same host", "wrong-host", start({ toHostId: "hv-a" }), {}, {}],
    ["start of a VM that is not here", "vm-not-here", start(), { localVm: null }, {}],
    ["prepare for a VM that is here", "vm-here", prepare(), { localVm: { uuid: VM, name: "web-1" } }, {}],
    ["another migration of the VM under way", "busy", start(), { busyWith: "m0" }, {}],
  ])("%s: %s", (_name, reason, command, context, policy) => {
    expect(judge(command, context, policy)).toMatchObject({ verdict: "refuse", reason });
  });
});

describe("the ledger", () => {
  test("answers the same id the same, taken or refused, even when it has expired", () => {
    for (const taken of [true, false]) {
      const ledger = recordCommand(EMPTY, start(), taken, NOW);
      expect(judge(start(), { ledger, nowMs: NOW + 3_600_000, stopped: true })).toEqual({ verdict: "repeat" });
    }
  });

  test("a refused command raises the VM's token and leaves its own place free", () => {
    const ledger = recordCommand(EMPTY, start({ fencingToken: 9 }), false, NOW);
    expect(judge(start({ id: "c2", fencingToken: 8 }), { ledger })).toMatchObject({ reason: "stale-token" });
    expect(judge(start({ id: "c2", fencingToken: 9 }), { ledger })).toEqual({ verdict: "take" });
  });

  test("forgets commands after a week and tokens never", () => {
    const later = recordCommand(
      ledgerAfter(start()),
      cancel({ vmUuid: VM.replace("1", "2") }),
      true,
      NOW + 8 * 86_400_000,
    );
    expect(Object.keys(later.commands)).toEqual(["c-cancel"]);
    expect(later.vms[VM]?.token).toBe(7);
  });
});

describe("windows", () => {
  const night = [{ days: ["wed" as const], from: "22:00", to: "06:00" }];
  test.each([
    ["before it", Date.UTC(2026, 0, 7, 21, 59), false],
    ["its first minute", Date.UTC(2026, 0, 7, 22, 0), true],
    ["after midnight, on the next day", Date.UTC(2026, 0, 8, 5, 59), true],
    ["its end", Date.UTC(2026, 0, 8, 6, 0), false],
    ["the morning of its own day", Date.UTC(2026, 0, 7, 5, 0), false],
  ])("over midnight: %s", (_name, at, expected) => {
    expect(inWindows(night, at)).toBe(expected);
  });
});

test("a name pattern matches the whole name and nothing in it is a regular expression", () => {
  const vm = (name: string) => ({ uuid: VM, name });
  expect(listsVm(["web-?"], vm("web-1"))).toBe(true);
  expect(listsVm(["web-?"], vm("web-10"))).toBe(false);
  expect(listsVm(["web.1"], vm("webx1"))).toBe(false);
  expect(listsVm([], vm("web-1"))).toBe(false);
});
