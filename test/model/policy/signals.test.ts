import { describe, expect, test } from "vitest";
import type { Snapshot } from "../../../worker/model/cluster.ts";
import { goalStep } from "../../../worker/model/policy/policy.ts";
import { SEEN_EVENTS, eventsFor, eventsSeenBy } from "../../../worker/model/policy/signals.ts";
import { type PolicyEvent, trigger } from "../../../worker/model/policy/trigger.ts";
import { DAY_MS, MINUTE_MS } from "../../../worker/model/units.ts";
import { AT } from "../../support/world.ts";
import { hostOf } from "../detection/hosts.ts";

const OVER = [0.9, 0.91, 0.9, 0.92, 0.91];
const UNDER = [0.2, 0.2, 0.2, 0.2, 0.2];

const snapshotOf = (hosts: Snapshot["hosts"]): Snapshot => ({
  cluster: "c",
  at: AT,
  hosts: hosts.map((host, index) => ({ ...host, hostId: `h${index}` })),
  reservations: [],
  lastMovedAt: {},
});
const waiting = (types: readonly (typeof SEEN_EVENTS)[number][], ...goals: [string, object?][]) => ({
  goals: goals.map(([goal, parameters = {}]) => goalStep.parse({ goal, parameters })),
  trigger: trigger.parse({ type: "event", events: [...types] }),
});
const seenBy = (hosts: Snapshot["hosts"], policy: ReturnType<typeof waiting>) =>
  eventsSeenBy(snapshotOf(hosts), [policy]).flatMap(([, events]) => events);
const seen = (
  hosts: Snapshot["hosts"],
  types: readonly (typeof SEEN_EVENTS)[number][] = SEEN_EVENTS,
  ...goals: [string, object?][]
) =>
  seenBy(hosts, waiting(types, ...(goals.length === 0 ? [["balance"] as [string]] : goals))).map(
    ({ type, hostId }) => `${type} ${hostId}`,
  );

describe("what is seen in a cluster", () => {
  const failing = hostOf({ cpu: UNDER, load: { eccUncorrectedPerSecond: 0.1 } });
  test.each([
    ["nothing where all is well", [hostOf({ cpu: UNDER })], []],
    ["a hot host", [hostOf({ cpu: UNDER }), hostOf({ cpu: OVER })], ["host.hot h1"]],
    ["not a momentary peak", [hostOf({ cpu: [0.2, 0.2, 0.2, 0.2, 0.95] })], []],
    ["a failing host by its memory", [failing], ["host.failing h0"]],
    [
      "a failing host by what its agent found",
      [
        {
          ...hostOf({ cpu: UNDER }),
          conditions: [{ type: "thermal" as const, severity: "failing" as const, since: AT, detail: "a fan stopped" }],
        },
      ],
      ["host.failing h0"],
    ],
    ["a host that is silent", [hostOf({ silentMs: 5 * MINUTE_MS })], ["host.silent h0"]],
    ["not one that was for a day", [hostOf({ silentMs: DAY_MS })], []],
    ["nor one that was never heard", [hostOf({ silentMs: null })], []],
  ])("%s", (_, hosts, expected) => {
    expect(seen(hosts)).toEqual(expected);
  });

  test("only of the types that are asked for, each with its reason", () => {
    expect(seen([failing, hostOf({ cpu: OVER })], ["host.hot"])).toEqual(["host.hot h1"]);
    const [event] = seenBy([failing], waiting(["host.failing"], ["balance"]));
    expect(event?.detail).toMatch(/memory/i);
  });

  const middling = [0.7, 0.71, 0.7, 0.72, 0.71];
  const slow = { load: { at: AT, cpuUsedCores: 1, latencySeconds: 3 } };
  test.each<[string, Parameters<typeof hostOf>[0], [string, object?][], boolean]>([
    ["hotRatio lower", { cpu: middling }, [["balance", { hotRatio: 0.6 }]], true],
    ["hotRatio higher", { cpu: OVER }, [["balance", { hotRatio: 0.95 }]], false],
    ["more samples", { cpu: [0.2, 0.2, ...OVER.slice(2)] }, [["balance", { hotSamples: 5 }]], false],
    ["a latency objective", { cpu: UNDER, vm: slow }, [["balance", { latencySloSeconds: 1 }]], true],
    ["none", { cpu: UNDER, vm: slow }, [["balance"]], false],
    [
      "one of several goals",
      { cpu: middling },
      [
        ["balance", { hotRatio: 0.9 }],
        ["save-energy", { hotRatio: 0.6 }],
      ],
      true,
    ],
    ["not of a goal that cools nothing", { cpu: middling }, [["evacuate", { hotRatio: 0.6 }], ["balance"]], false],
    ["unless there is no other", { cpu: middling }, [["evacuate", { hotRatio: 0.6 }]], true],
  ])("hot is what the policy's own goals call so: %s", (_, said, goals, isHot) => {
    expect(seen([hostOf(said)], ["host.hot"], ...goals)).toEqual(isHot ? ["host.hot h0"] : []);
  });

  test("each policy is answered by its own, a host once", () => {
    const policies = [
      waiting(["host.hot"], ["balance", { hotRatio: 0.6 }], ["save-energy", { hotRatio: 0.65 }]),
      waiting(["host.hot"], ["balance"]),
      waiting(["host.silent"], ["balance", { hotRatio: 0.6 }]),
    ];
    const snapshot = snapshotOf([hostOf({ cpu: middling }), hostOf({ cpu: OVER })]);
    const events = eventsSeenBy(snapshot, policies).map(([, found]) => found.map(({ hostId }) => hostId));
    expect(events).toEqual([["h0", "h1"], ["h1"], []]);
  });
});

describe("which of them start a policy", () => {
  const event = (type: PolicyEvent["type"], hostId: string): PolicyEvent => ({ cluster: "c", type, hostId });
  const events = [event("host.hot", "a"), event("host.hot", "b"), event("host.silent", "a")];
  const policy = (goal: string, types: string[], parameters = {}) => ({
    goals: [goalStep.parse({ goal, parameters })],
    trigger: trigger.parse({ type: "event", events: types }),
  });
  const started = (of: ReturnType<typeof policy>) =>
    eventsFor(of, events).map(({ type, hostId, key }) => [type, hostId, key]);

  test("one for each host where the policy empties the host", () => {
    expect(started(policy("evacuate", ["host.hot"]))).toEqual([
      ["host.hot", "a", undefined],
      ["host.hot", "b", undefined],
    ]);
  });

  test("one of a type where the goal is about the whole cluster", () => {
    expect(started(policy("balance", ["host.hot", "host.silent"]))).toEqual([
      ["host.hot", "a", "host.hot"],
      ["host.silent", "a", "host.silent"],
    ]);
    expect(started(policy("evacuate", ["host.hot"], { hostIds: ["x"] }))).toHaveLength(1);
  });

  test("none where it waits for others, or for none", () => {
    expect(started(policy("balance", ["alert"]))).toEqual([]);
    expect(
      eventsFor(
        { ...policy("balance", ["alert"]), trigger: trigger.parse({ type: "interval", everyMs: 60_000 }) },
        events,
      ),
    ).toEqual([]);
  });
});
