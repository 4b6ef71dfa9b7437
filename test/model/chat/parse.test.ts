import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { COMMAND_NAMES, specOf, usageOf } from "../../../worker/model/chat/commands.ts";
import { editDistance, nearest } from "../../../worker/model/chat/near.ts";
import { parseCommand, timeOf } from "../../../worker/model/chat/parse.ts";
import { HOUR_MS, MINUTE_MS } from "../../../worker/model/units.ts";

/** 2026-11-27 12:00 UTC. */
const NOW = Date.UTC(2026, 10, 27, 12);
const PLAN = "pln_01939f0c8a4d7c4e8f00000000000001";
const RUN = "mig_01939f0c8a4d7c4e8f00000000000002";

describe("what is typed", () => {
  test.each([
    ["status", { name: "status" }],
    ["STATUS", { name: "status" }],
    ["", { name: "help", topic: null }],
    ["help drain", { name: "help", topic: "drain" }],
    ["hosts", { name: "hosts", cluster: null }],
    ["hosts prod", { name: "hosts", cluster: "prod" }],
    ["host hv-01", { name: "host", host: "hv-01" }],
    ["host `hv-01`", { name: "host", host: "hv-01" }],
    ['vm "billing db"', { name: "vm", vm: "billing db" }],
    ["vm “billing db”", { name: "vm", vm: "billing db" }],
    ["estimate db hv-02", { name: "estimate", vm: "db", host: "hv-02" }],
    ["why-not db hv-02", { name: "why-not", vm: "db", host: "hv-02" }],
    ["advise", { name: "advise", cluster: null, goal: null }],
    ["advise consolidate", { name: "advise", cluster: null, goal: "consolidate" }],
    ["advise prod", { name: "advise", cluster: "prod", goal: null }],
    ["advise prod Balance", { name: "advise", cluster: "prod", goal: "balance" }],
    ["advise balance prod", { name: "advise", cluster: "prod", goal: "balance" }],
    ["plan last", { name: "plan", planId: null }],
    [`plan ${PLAN}`, { name: "plan", planId: PLAN }],
    [`why ${PLAN} 3`, { name: "why", planId: PLAN, move: 3 }],
    [`approve ${PLAN}`, { name: "approve", planId: PLAN, moves: null }],
    [`approve ${PLAN} 1,3-5`, { name: "approve", planId: PLAN, moves: [1, 3, 4, 5] }],
    [`approve ${PLAN} 4, 2 2`, { name: "approve", planId: PLAN, moves: [2, 4] }],
    [`reject ${PLAN} not before the weekend`, { name: "reject", planId: PLAN, reason: "not before the weekend" }],
    [`override ${PLAN} because fire in rack 3`, { name: "override", planId: PLAN, reason: "fire in rack 3" }],
    ["drain hv-01", { name: "drain", host: "hv-01", until: null }],
    ["drain hv-01 until 2h", { name: "drain", host: "hv-01", until: NOW + 2 * HOUR_MS }],
    ["drain hv-01 until 18:30", { name: "drain", host: "hv-01", until: NOW + 6.5 * HOUR_MS }],
    ["drain hv-01 until 2026-11-28 06:00", { name: "drain", host: "hv-01", until: NOW + 18 * HOUR_MS }],
    ["migrate db hv-02", { name: "migrate", vm: "db", host: "hv-02", mechanism: null }],
    ["migrate db hv-02 post-copy", { name: "migrate", vm: "db", host: "hv-02", mechanism: "post-copy" }],
    [`cancel ${RUN}`, { name: "cancel", migrationId: RUN, reason: null }],
    [`cancel ${RUN} wrong host`, { name: "cancel", migrationId: RUN, reason: "wrong host" }],
    ["stop", { name: "stop", reason: null }],
    ["stop smoke in the cellar", { name: "stop", reason: "smoke in the cellar" }],
    ["subscribe", { name: "subscribe", events: null }],
    ["subscribe off", { name: "subscribe", events: [] }],
    ["subscribe migration.*,plan.proposed", { name: "subscribe", events: ["migration.*", "plan.proposed"] }],
  ])("%j is understood", (text, command) => {
    expect(parseCommand(text, NOW)).toEqual({ command });
  });

  test.each([
    ["stauts", ["status"]],
    ["advice", ["advise"]],
    ["aprove pln_x", ["approve"]],
    ["host-s", ["hosts", "host"]],
    ["whynot db hv-02", ["why-not"]],
    ["mig", ["migrate"]],
    ["teleport", []],
  ])("%j is answered with what was meant", (text, near) => {
    expect(parseCommand(text, NOW)).toMatchObject({ misread: "unknown", near });
  });

  test.each([
    ["host", "host", "The host is missing."],
    ["host -x-", "host", /cannot be the id of a host/],
    ["status now", "status", "What is “now”?"],
    ["plan 7", "plan", /is no plan/],
    ["approve last", "approve", /Name the plan that you have seen/],
    ["reject last no", "reject", /Name the plan/],
    [`approve ${PLAN} all`, "approve", /neither a move nor a range/],
    [`approve ${PLAN} 5-1`, "approve", /no range/],
    [`approve ${PLAN} 0`, "approve", /is not a move's number/],
    [`reject ${PLAN}`, "reject", "The reason is missing."],
    [`why ${PLAN}`, "why", "The move's number is missing."],
    ["advise prod balanec", "advise", "What is “balanec”? Did you mean balance?"],
    ["migrate db hv-02 postcopy", "migrate", /Did you mean post-copy\?/],
    ["drain hv-01 until yesterday", "drain", /is no time/],
    ["drain hv-01 until 2020-01-01T00:00Z", "drain", /is past/],
    ["drain hv-01 until 2026-02-31T99:00Z", "drain", /is no time/],
    ["drain hv-01 until 400d", "drain", /more than a year/],
    ["cancel pln_1", "cancel", /is no migration/],
    ["subscribe migratoin.*", "subscribe", /Did you mean migration\.\*\?/],
  ])("%j is answered with the usage of %s", (text, name, why) => {
    const parsed = parseCommand(text, NOW);
    expect(parsed).toMatchObject({ misread: "usage", name });
    expect("why" in parsed ? parsed.why : "").toMatch(why);
  });

  test("is understood or answered, whatever it is", () => {
    fc.assert(
      fc.property(fc.constantFrom(...COMMAND_NAMES, "x"), fc.array(fc.string(), { maxLength: 5 }), (name, words) => {
        const parsed = parseCommand([name, ...words].join(" "), NOW);
        expect("command" in parsed || "misread" in parsed).toBe(true);
      }),
    );
  });
});

test("a usage names what has to be said in capitals, and what may be in brackets", () => {
  expect(usageOf("drain")).toBe("drain HOST [until TIME]");
  expect(usageOf("why-not")).toBe("why-not VM HOST");
  for (const name of COMMAND_NAMES) expect(specOf(name).summary).not.toBe("");
});

describe("a time", () => {
  test.each([
    ["90m", NOW + 90 * MINUTE_MS],
    ["in 2 h", NOW + 2 * HOUR_MS],
    ["11:59", NOW + 24 * HOUR_MS - MINUTE_MS],
    ["12:00", NOW + 24 * HOUR_MS],
    ["9:05 UTC", NOW + 21 * HOUR_MS + 5 * MINUTE_MS],
    ["2026-11-27T14:00+02:00", NOW],
    ["2026-11-27T12:00:30Z", NOW + 30_000],
    ["24:00", null],
    ["soon", null],
  ])("%s is read as UTC", (said, at) => {
    expect(timeOf(said, NOW)).toBe(at);
  });
});

describe("what is near", () => {
  test.each([
    ["", "", 0],
    ["abc", "abc", 0],
    ["abc", "acb", 1],
    ["abc", "ab", 1],
    ["kitten", "sitting", 3],
  ])("%s and %s are so many edits apart", (a, b, edits) => {
    expect(editDistance(a, b)).toBe(edits);
    expect(editDistance(b, a)).toBe(edits);
  });

  test("comes nearest first, at most three, and nothing where nothing is", () => {
    expect(nearest("hv-1", ["hv-11", "hv-12", "hv-01", "hv-13", "storage"])).toEqual(["hv-01", "hv-11", "hv-12"]);
    expect(nearest("zzz", ["hv-01"])).toEqual([]);
  });
});
