import { describe, expect, test } from "vitest";
import { notificationMessage } from "../../../worker/model/chat/notification-message.ts";
import { plain } from "../../../worker/model/chat/message.ts";
import { aboutOf, hasLabels } from "../../../worker/model/notifications/about.ts";
import { gatheredOf, notificationOf, testNotification } from "../../../worker/model/notifications/notification.ts";
import { newRoute, subscriberOf } from "../../../worker/model/notifications/route.ts";
import {
  isAtLeast,
  SEVERITIES,
  SEVERITY_OF,
  severityOf,
  worstOf,
} from "../../../worker/model/notifications/severity.ts";
import { EVENT_TYPES, EVENTS, type EventType } from "../../../worker/model/webhooks/events.ts";
import { wants } from "../../../worker/model/webhooks/fan-out.ts";
import { notification } from "../../../worker/model/webhooks/payloads.ts";

const ROUTE = { routeId: "rte_1", name: "on call", groupBy: ["cluster", "severity"] } as const;
const NAMED = { ...ROUTE, groupBy: [...ROUTE.groupBy] };

const happened = (type: EventType, n: number, cluster: string | null = "prod") =>
  gatheredOf(
    {
      deliveryId: `dlv_${n}`,
      since: n,
      event: {
        eventId: `evt_${n}`,
        sequence: n,
        type,
        version: 1,
        at: n * 1000,
        cluster,
        subject: `s${n}`,
        data: EVENTS[type].example as Record<string, unknown>,
      },
    },
    NAMED.groupBy,
  );

describe("severities", () => {
  test("every type has one, and there are events of each", () => {
    expect(Object.keys(SEVERITY_OF).toSorted()).toEqual(EVENT_TYPES.toSorted());
    expect(new Set(Object.values(SEVERITY_OF)).size).toBe(SEVERITIES.length);
  });

  test("what a failing or lost part of the fleet means is critical; what goes as asked is for the record", () => {
    for (const type of ["migration.lost", "migration.paused", "host.failing", "host.unreachable", "stop.pressed"])
      expect([type, severityOf(type)]).toEqual([type, "critical"]);
    for (const type of ["plan.done", "migration.completed", "host.recovered", "of.tomorrow", "constructor"])
      expect([type, severityOf(type)]).toEqual([type, "info"]);
  });

  test("are in an order", () => {
    expect(isAtLeast("critical", "warning")).toBe(true);
    expect(isAtLeast("info", "warning")).toBe(false);
    expect(worstOf(["info", "critical", "warning"])).toBe("critical");
    expect(worstOf([])).toBe("info");
  });
});

describe("a route wants", () => {
  const asked = (fields: object) => {
    const route = newRoute.parse({ name: "r", to: [{ kind: "webhook", webhookId: "whk_1" }], ...fields });
    const subscriber = subscriberOf({ routeId: "rte_1", ...route });
    return (type: string, cluster: string | null = "prod") =>
      wants(subscriber, { sequence: 1, type, cluster, subject: "x" });
  };

  test("warnings and worse of all clusters unless it is told otherwise", () => {
    const wanted = asked({});
    expect(["host.hot", "migration.lost", "plan.done", "migration.completed"].map((type) => wanted(type))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(wanted("webhook.paused", null)).toBe(true);
  });

  test("its types, severities and clusters only, and never what is sent to one target", () => {
    const wanted = asked({ events: ["migration.*"], severityMin: "info", clusters: ["prod"] });
    expect(wanted("migration.completed")).toBe(true);
    expect(wanted("migration.completed", "lab")).toBe(false);
    expect(wanted("plan.failed")).toBe(false);
    const all = asked({ events: ["*"], severityMin: "info" });
    expect(EVENT_TYPES.filter((type) => !all(type)).toSorted()).toEqual(["notification.raised", "webhook.test"]);
  });

  test.each([
    [{ to: [] }, "to"],
    [{ to: [{ kind: "pigeon", id: "x" }] }, "to.0.kind"],
    [
      {
        to: [
          { kind: "webhook", webhookId: "w" },
          { kind: "webhook", webhookId: "w" },
        ],
      },
      "to.1",
    ],
    [{ events: ["cow.*"] }, "events.0"],
    [{ groupBy: ["type", "type"] }, "groupBy.1"],
    [{ severityMin: "loud" }, "severityMin"],
    [{ labels: {} }, "labels"],
    [{ perHourMax: 0 }, "perHourMax"],
    [{ groupWaitMs: -1 }, "groupWaitMs"],
  ])("%j is refused at %s", (fields, path) => {
    const route = { name: "r", to: [{ kind: "webhook", webhookId: "w" }], ...fields };
    expect(newRoute.safeParse(route).error?.issues.map((issue) => issue.path.join("."))).toEqual([path]);
  });
});

describe("labels", () => {
  test("are those of the hosts and VMs that an event names, of a plan's moves too", () => {
    const move = { vm: "v1", fromHostId: "a", toHostId: "b" };
    expect(aboutOf({ hostId: "c", moves: [move, { ...move, vm: "v2" }, null, 3] })).toEqual({
      hostIds: ["c", "a", "b"],
      uuids: ["v1", "v2"],
    });
    expect(aboutOf({ moves: "x", vm: 3, hostId: null })).toEqual({ hostIds: [], uuids: [] });
  });

  test.each(EVENT_TYPES.filter((type) => /^(host|migration)\./.test(type)))("%s is about something", (type) => {
    const { hostIds, uuids } = aboutOf(EVENTS[type].example as Record<string, unknown>);
    expect(hostIds.length + uuids.length).toBeGreaterThan(0);
  });

  test("have to be all on one of them", () => {
    const things = [{ rack: "r1" }, { tier: "db", rack: "r2" }];
    expect(hasLabels({ rack: "r1" }, things)).toBe(true);
    expect(hasLabels({ rack: "r2", tier: "db" }, things)).toBe(true);
    expect(hasLabels({ rack: "r1", tier: "db" }, things)).toBe(false);
    expect(hasLabels({ toString: "x" }, things)).toBe(false);
    expect(hasLabels({ rack: "r1" }, [])).toBe(false);
  });
});

describe("a message", () => {
  test("says how many, of which types, and names the worst first, as its schema says", () => {
    const events = [
      ...Array.from({ length: 40 }, (_, n) => happened("migration.failed", n + 1)),
      happened("host.unreachable", 99),
    ];
    const draft = notificationOf(NAMED, events);
    const data = notification.parse(draft.data);
    expect(draft).toMatchObject({ cluster: "prod", subject: "rte_1" });
    expect(data).toMatchObject({
      severity: "critical",
      common: { cluster: "prod" },
      count: 41,
      from: 1000,
      to: 99_000,
      byType: { "migration.failed": 40, "host.unreachable": 1 },
    });
    expect(data.events).toHaveLength(20);
    expect(data.events.slice(0, 2).map(({ id }) => id)).toEqual(["evt_99", "evt_1"]);
    const message = notificationMessage(draft.data);
    expect([message.tone, message.title]).toEqual([
      "bad",
      "[prod] 41 events within 98.0 s: 40 migration.failed, 1 host.unreachable",
    ]);
    const shown = message.blocks.map((block) => ("text" in block ? plain(block.text) : ""));
    expect(shown[0]?.split("\n")).toHaveLength(10);
    expect(shown[1]).toContain("31 more");
  });

  test("of one event is its line; of several clusters it is of none", () => {
    const { data } = notificationOf(NAMED, [happened("host.failing", 1)]);
    expect(notificationMessage(data)).toMatchObject({ title: data.events[0]?.sentence, blocks: [] });
    const mixed = notificationOf(NAMED, [happened("host.failing", 1), happened("host.failing", 2, "lab")]);
    expect([mixed.cluster, mixed.data.common]).toEqual([null, { severity: "critical" }]);
  });

  test("that is a test says so", () => {
    const { data } = testNotification(NAMED, "ops", 5);
    expect(notificationMessage(notification.parse(data)).title).toBe("A test of route on call");
  });
});
