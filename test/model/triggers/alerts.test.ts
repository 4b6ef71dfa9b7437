import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Alert,
  eventOfAlert,
  hostNames,
  judgeAlert,
  type Known,
  readAlerts,
} from "../../../worker/model/triggers/alerts.ts";
import { jsonPointer, valueAt } from "../../../worker/model/triggers/pointer.ts";
import { newTrigger, triggerSource } from "../../../worker/model/triggers/trigger.ts";
import { policyEvent } from "../../../worker/model/policy/trigger.ts";

const UUID = "6f1d2c3b-4a59-4e68-8f77-0a1b2c3d4e5f";
const KNOWN: Known = {
  hosts: new Set(["hv-01", "hv-02"]),
  vms: [
    { uuid: UUID, name: "db", hostId: "hv-02" },
    { uuid: "11111111-4a59-4e68-8f77-0a1b2c3d4e5f", name: "twin", hostId: "hv-01" },
    { uuid: "22222222-4a59-4e68-8f77-0a1b2c3d4e5f", name: "twin", hostId: "hv-02" },
    { uuid: "33333333-4a59-4e68-8f77-0a1b2c3d4e5f", name: "lost", hostId: null },
  ],
};
const alertmanager = triggerSource.parse({ type: "alertmanager" });
const PROD = { cluster: "prod", event: "host.failing" } as const;

const alertOf = (fields: Partial<Alert>): Alert => ({
  key: "k",
  status: "firing",
  hosts: [],
  vms: [],
  detail: null,
  unreadable: null,
  ...fields,
});

test.each([
  ["hv-01", ["hv-01"]],
  ["hv-01:9100", ["hv-01"]],
  ["hv-01.example.com:9100", ["hv-01.example.com", "hv-01"]],
  [" hv-01.example.com ", ["hv-01.example.com", "hv-01"]],
  ["10.0.0.5:9100", ["10.0.0.5"]],
  ["[fd00::5]:9100", []],
  ["a b", []],
  ["", []],
])("%j may mean the hosts %j", (value, names) => {
  expect(hostNames(value)).toEqual(names);
});

describe("which host and VM an alert is about", () => {
  const cases: [string, Partial<Alert>, ReturnType<typeof judgeAlert>["outcome"], string | null, string | null][] = [
    ["a host", { hosts: ["hv-01:9100"] }, "started", "hv-01", null],
    ["the first label that names a known host", { hosts: ["web", "hv-02"] }, "started", "hv-02", null],
    ["a VM by UUID, and the host where it runs", { vms: [UUID.toUpperCase()] }, "started", "hv-02", UUID],
    ["a VM by name", { vms: ["db"] }, "started", "hv-02", UUID],
    ["the host that is named, not the VM's", { hosts: ["hv-01"], vms: ["db"] }, "started", "hv-01", UUID],
    ["a known host beside an unknown VM", { hosts: ["hv-01"], vms: ["ghost"] }, "started", "hv-01", null],
    ["a host of another cluster", { hosts: ["hv-99"] }, "unknown-host", null, null],
    ["an unknown VM", { vms: ["ghost"] }, "unknown-vm", null, null],
    ["one of two VMs of a name", { vms: ["twin"] }, "unknown-vm", null, null],
    ["nothing", {}, "unknown-host", null, null],
    ["a VM that is nowhere", { vms: ["lost"] }, "unknown-host", null, "33333333-4a59-4e68-8f77-0a1b2c3d4e5f"],
    ["what is over", { status: "resolved", hosts: ["hv-01"] }, "resolved", "hv-01", null],
    ["what is over on an unknown host", { status: "resolved", hosts: ["hv-99"] }, "resolved", null, null],
    ["what cannot be read", { status: null, unreadable: "no" }, "unreadable", null, null],
  ];
  test.each(cases)("%s", (_, fields, outcome, hostId, vm) => {
    expect(judgeAlert(PROD, alertOf(fields), KNOWN)).toMatchObject({ outcome, hostId, vm });
  });

  test("an alert needs none, unless it names one", () => {
    const any = { cluster: "prod", event: "alert" } as const;
    expect(judgeAlert(any, alertOf({}), KNOWN).outcome).toBe("started");
    expect(judgeAlert(any, alertOf({ vms: ["lost"] }), KNOWN).outcome).toBe("started");
    expect(judgeAlert(any, alertOf({ hosts: ["hv-99"] }), KNOWN).outcome).toBe("unknown-host");
  });
});

test("the event of an alert is one that POST /v1/events would take", () => {
  const text = fc.string({ maxLength: 700 });
  fc.assert(
    fc.property(text, fc.string({ minLength: 1, maxLength: 100 }), (detail, key) => {
      const alert = alertOf({ hosts: ["hv-01"], detail });
      const about = judgeAlert(PROD, alert, KNOWN);
      const event = eventOfAlert({ ...PROD, triggerId: `trg_${"0".repeat(32)}` }, alert, about, key);
      expect(policyEvent.safeParse(event).success).toBe(true);
    }),
  );
});

describe("Alertmanager's body", () => {
  const one = { status: "firing", labels: { alertname: "HostDown", instance: "hv-01:9100", uuid: UUID } };

  test("is read as Alertmanager and Grafana send it", () => {
    const grafana = {
      ...one,
      annotations: { summary: "down" },
      fingerprint: "c0ffee",
      silenceURL: "x",
      values: { A: 1 },
    };
    expect(readAlerts({ version: "1", orgId: 1, truncatedAlerts: 3, alerts: [grafana] }, alertmanager)).toEqual({
      alerts: [alertOf({ key: "c0ffee", hosts: ["hv-01:9100"], vms: [UUID], detail: "HostDown: down" })],
      leftOut: 3,
    });
  });

  test("without fingerprints is known by its labels, in whatever order", () => {
    const keyOf = (labels: Record<string, string>) => {
      const read = readAlerts({ alerts: [{ status: "firing", labels }] }, alertmanager);
      return "alerts" in read ? read.alerts[0]?.key : null;
    };
    expect(keyOf({ a: "1", b: "2" })).toBe(keyOf({ b: "2", a: "1" }));
    expect(keyOf({ a: "1", b: "2" })).not.toBe(keyOf({ a: "1", b: "3" }));
  });

  test("labels that name host and VM are chosen, the first of them first", () => {
    const source = triggerSource.parse({ type: "alertmanager", hostLabels: ["node", "alertname"], vmLabels: [] });
    const read = readAlerts({ alerts: [{ status: "firing", labels: { ...one.labels, node: "hv-07" } }] }, source);
    expect(read).toMatchObject({ alerts: [{ hosts: ["hv-07", "HostDown"], vms: [] }] });
  });

  test.each([
    [null, ""],
    [{}, "alerts"],
    [{ alerts: {} }, "alerts"],
    [{ alerts: [{ ...one, status: "pending" }] }, "alerts.0.status"],
    [{ alerts: [{ status: "firing" }] }, "alerts.0.labels"],
    [{ alerts: [{ ...one, labels: { a: 1 } }] }, "alerts.0.labels.a"],
  ])("%j is refused at %j", (body, path) => {
    expect(readAlerts(body, alertmanager)).toMatchObject({ issues: [{ path }] });
  });
});

describe("any JSON, by a mapping", () => {
  const source = triggerSource.parse({
    type: "json",
    alerts: "/items",
    host: "/at/node~1name",
    vm: "/vm",
    key: "/id",
    status: "/state",
    detail: "/text",
  });
  const item = { id: 7, state: "PROBLEM", at: { "node/name": "hv-01" }, text: "hot" };
  const read = (...items: unknown[]) => readAlerts({ items }, source);

  test("is read at its pointers", () => {
    expect(read(item, { ...item, state: "OK" })).toEqual({
      alerts: [
        alertOf({ key: "7", hosts: ["hv-01"], detail: "hot" }),
        alertOf({ key: "7", hosts: ["hv-01"], detail: "hot", status: "resolved" }),
      ],
      leftOut: 0,
    });
  });

  test.each([
    [{ ...item, state: "maybe" }, /"maybe" at \/state/],
    [{ ...item, state: {} }, /Nothing at \/state/],
    [{ ...item, id: undefined }, /at \/id/],
    [null, /at \/id/],
  ])("%j is unreadable, and says why", (one, why) => {
    expect(read(one)).toMatchObject({ alerts: [{ unreadable: expect.stringMatching(why) }] });
  });

  test("a body whose list is none is refused at its place", () => {
    expect(readAlerts({ items: 3 }, source)).toMatchObject({ issues: [{ path: "items" }] });
  });

  test("without a list the body is one alert, without a status it fires, without a key host and VM are it", () => {
    const bare = triggerSource.parse({ type: "json", host: "/host" });
    expect(readAlerts({ host: "hv-02" }, bare)).toMatchObject({
      alerts: [{ status: "firing", hosts: ["hv-02"], key: '["hv-02",null]', unreadable: null }],
    });
  });

  test("no body throws, and what is read is of the list's length", () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (items) => {
        expect(read(...items)).toMatchObject({ alerts: { length: items.length } });
      }),
    );
  });
});

test("a pointer finds what stands there, and nothing of prototypes", () => {
  const whole = { a: [{ "b/c": 1, "m~n": 2, "": 3 }], __proto__: null };
  const cases: [string, unknown][] = [
    ["", whole],
    ["/a/0/b~1c", 1],
    ["/a/0/m~0n", 2],
    ["/a/0/", 3],
    ["/a/1", undefined],
    ["/a/length", 1],
    ["/constructor", undefined],
    ["/a/0/b~1c/toFixed", undefined],
  ];
  for (const [pointer, value] of cases) expect([pointer, valueAt(whole, pointer)]).toEqual([pointer, value]);
  for (const bad of ["a", "/~2", "/a~"]) expect(jsonPointer.safeParse(bad).success).toBe(false);
});

test.each([
  [{ source: { type: "json" }, event: "host.failing" }, "source"],
  [{ source: { type: "alertmanager", hostLabels: [], vmLabels: [] }, event: "host.hot" }, "source"],
  [{ source: { type: "json", firing: ["yes"], resolved: ["Yes"] } }, "source.firing.0"],
  [{ source: { type: "json", host: "host" } }, "source.host"],
  [{ source: { type: "smoke" } }, "source.type"],
  [{ event: "host.sad" }, "event"],
  [{ dedupeMs: -1 }, "dedupeMs"],
  [{ startsPerHourMax: 0 }, "startsPerHourMax"],
])("a trigger with %j is refused at %s", (fields, path) => {
  const parsed = newTrigger.safeParse({ cluster: "prod", name: "x", ...fields });
  expect(parsed.error?.issues.map((issue) => issue.path.join("."))).toEqual([path]);
});
