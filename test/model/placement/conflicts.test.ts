import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Snapshot } from "../../../worker/model/cluster.ts";
import { checkSnapshot, conflictsOf } from "../../../worker/model/placement/index.ts";
import { crowded } from "../../../worker/model/placement/matching.ts";
import { GIB } from "../../../worker/model/units.ts";
import { anyWorld, parametersOf, uuidOf, type VmSpec, world, type WorldSpec } from "../../support/world.ts";

const uuids = (...names: string[]) => ({ uuids: names.map(uuidOf) });
const hosts = { "hv-01": {}, "hv-02": {}, "hv-03": {} };
const on = (more: Partial<VmSpec> = {}): VmSpec => ({ on: "hv-01", ...more });
const vms = { a: on(), b: on(), c: on(), d: on() };
const conflicts = (spec: WorldSpec) => conflictsOf(world(spec), parametersOf());

type Rules = NonNullable<WorldSpec["rules"]>;

describe("rules that cannot hold together", () => {
  test.each<{ name: string; spec: WorldSpec; rules: string[]; why: string }>([
    {
      name: "more VMs apart than there are hosts",
      spec: { hosts, vms, rules: [{ ruleId: "apart", kind: "vm-anti-affinity", vms: uuids("a", "b", "c", "d") }] },
      rules: ["rule apart"],
      why: "must be on 4 different hosts and may use only 3: hv-01, hv-02, hv-03",
    },
    {
      name: "more VMs apart than hosts that other rules leave them",
      spec: {
        hosts,
        vms,
        rules: [
          { ruleId: "apart", kind: "vm-anti-affinity", vms: uuids("a", "b", "c") },
          { ruleId: "elsewhere", kind: "host-anti-affinity", vms: uuids("d"), hosts: { hostIds: ["hv-01"] } },
          {
            ruleId: "licence",
            kind: "host-affinity",
            vms: uuids("a", "b", "c"),
            hosts: { hostIds: ["hv-01", "hv-02"] },
          },
        ],
      },
      rules: ["rule apart", "rule licence"],
      why: "may use only 2: hv-01, hv-02",
    },
    {
      name: "more VMs apart than there are racks",
      spec: {
        hosts: { "hv-01": { rack: "r1" }, "hv-02": { rack: "r1" }, "hv-03": { rack: "r2" } },
        vms,
        rules: [{ ruleId: "racks", kind: "vm-anti-affinity", domain: "rack", vms: uuids("a", "b", "c") }],
      },
      rules: ["rule racks"],
      why: "must be on 3 different racks and may use only 2: r1, r2",
    },
    {
      name: "VMs that must share a host and be apart, through a third",
      spec: {
        hosts,
        vms,
        rules: [
          { ruleId: "ab", kind: "vm-affinity", vms: uuids("a", "b") },
          { ruleId: "apart", kind: "vm-anti-affinity", vms: uuids("a", "c") },
          { ruleId: "bc", kind: "vm-affinity", vms: uuids("b", "c") },
          { ruleId: "cd", kind: "vm-affinity", vms: uuids("c", "d") },
        ],
      },
      rules: ["rule ab", "rule apart", "rule bc"],
      why: "must share a host and must not share a host",
    },
    {
      name: "a label and a rule",
      spec: {
        hosts,
        vms: { a: on({ labels: { "anti-affinity": "db" } }), b: on({ labels: { "anti-affinity": "db" } }) },
        rules: [{ ruleId: "ab", kind: "vm-affinity", vms: uuids("a", "b") }],
      },
      rules: ["rule ab", "group anti-affinity=db"],
      why: "must share a host and must not share a host",
    },
    {
      name: "only hosts on which it must not be",
      spec: {
        hosts,
        vms,
        rules: [
          { ruleId: "in", kind: "host-affinity", vms: uuids("a"), hosts: { hostIds: ["hv-01", "hv-02"] } },
          { ruleId: "out", kind: "host-anti-affinity", vms: uuids("a"), hosts: { hostIds: ["hv-01", "hv-02"] } },
        ],
      },
      rules: ["rule in", "rule out"],
      why: "a may run on none of 3 hosts",
    },
    {
      name: "together more memory than any host that they may use",
      spec: {
        hosts,
        vms: { a: on({ memoryBytes: 30 * GIB }), b: on({ memoryBytes: 30 * GIB }), c: on() },
        rules: [{ ruleId: "ab", kind: "vm-affinity", vms: uuids("a", "b") }],
      },
      rules: ["rule ab"],
      why: "need 60.0 GiB, where at most 57.6 GiB may be committed",
    },
    {
      name: "apart in one rack that has too few hosts",
      spec: {
        hosts: { "hv-01": { rack: "r1" }, "hv-02": { rack: "r1" }, "hv-03": { rack: "r2" } },
        vms,
        rules: [
          { ruleId: "apart", kind: "vm-anti-affinity", vms: uuids("a", "b", "c") },
          { ruleId: "one-rack", kind: "vm-affinity", domain: "rack", vms: uuids("a", "b", "c") },
        ],
      },
      rules: ["rule apart", "rule one-rack"],
      why: "no way to place",
    },
  ])("$name: the fewest that contradict each other are named", ({ spec, rules, why }) => {
    const found = conflicts(spec);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ kind: "impossible", rules: rules.toSorted((a, b) => order(a) - order(b)) });
    expect(found[0]?.why).toContain(why);
    // Without any one of them nothing is impossible.
    for (const name of rules.filter((rule) => rule.startsWith("rule "))) {
      const left = (spec.rules ?? []).filter(({ ruleId }) => `rule ${ruleId}` !== name);
      expect(conflicts({ ...spec, rules: left })).toEqual([]);
    }
    function order(name: string): number {
      const at = (spec.rules ?? []).findIndex(({ ruleId }) => `rule ${ruleId}` === name);
      return at === -1 ? 99 : at;
    }
  });

  test("contradictions that have no rule in common are all told", () => {
    const rules: Rules = [
      { ruleId: "1", kind: "vm-affinity", vms: uuids("a", "b") },
      { ruleId: "2", kind: "vm-anti-affinity", vms: uuids("a", "b") },
      { ruleId: "3", kind: "vm-affinity", vms: uuids("c", "d") },
      { ruleId: "4", kind: "vm-anti-affinity", vms: uuids("c", "d") },
    ];
    expect(conflicts({ hosts, vms, rules }).map((it) => it.rules)).toEqual([
      ["rule 1", "rule 2"],
      ["rule 3", "rule 4"],
    ]);
  });

  test("soft rules and rules that are merely broken contradict nothing", () => {
    const rules: Rules = [
      { ruleId: "1", kind: "vm-affinity", hard: false, vms: uuids("a", "b") },
      { ruleId: "2", kind: "vm-anti-affinity", vms: uuids("a", "b") },
    ];
    expect(conflicts({ hosts, vms, rules })).toEqual([]);
  });

  test("names that are not there are told, and labels that nothing carries as a warning", () => {
    const spec: WorldSpec = {
      hosts,
      vms,
      rules: [
        { ruleId: "gone", kind: "host-anti-affinity", vms: uuids("a", "ghost"), hosts: { hostIds: ["hv-09"] } },
        { ruleId: "none", kind: "vm-anti-affinity", vms: { labels: { tier: "web" } } },
      ],
    };
    expect(conflicts(spec).map(({ kind, rules }) => [kind, ...rules])).toEqual([
      ["unknown-name", "rule gone"],
      ["unknown-name", "rule gone"],
      ["matches-nothing", "rule none"],
    ]);
    const problems = checkSnapshot(world(spec), parametersOf(), { namesMustExist: true });
    expect(problems.map(({ path }) => path)).toEqual(["rules.0", "rules.0"]);
    expect(checkSnapshot(world(spec), parametersOf(), { namesMustExist: false })).toEqual([]);
    expect(problems[1]?.message).toContain("rule gone: 1 host that the cluster does not have: hv-09");
  });
});

describe("what is called impossible", () => {
  /** Every way to place the VMs that hard rules name, by trying all of them. */
  function isPossible(snapshot: Snapshot): boolean {
    const rules = (snapshot.rules ?? []).filter(({ hard }) => hard);
    const named = [...new Set(rules.flatMap((rule) => rule.vms.uuids ?? []))];
    const known = named.filter((uuid) => snapshot.hosts.some((host) => host.vms.some((vm) => vm.uuid === uuid)));
    const at = new Map<string, Snapshot["hosts"][number]>();
    const holds = (): boolean =>
      rules.every((rule) => {
        const placed = (rule.vms.uuids ?? []).flatMap((uuid) => at.get(uuid) ?? []);
        if (rule.kind === "host-affinity") return placed.every(({ hostId }) => rule.hosts.hostIds?.includes(hostId));
        if (rule.kind === "host-anti-affinity")
          return placed.every(({ hostId }) => rule.hosts.hostIds?.includes(hostId) !== true);
        const domains = placed.map((host) => (rule.domain === "host" ? host.hostId : host[rule.domain]));
        const sure = domains.filter((name) => name !== undefined);
        return rule.kind === "vm-anti-affinity"
          ? new Set(sure).size === sure.length
          : placed.length < 2 || (sure.length === domains.length && new Set(sure).size === 1);
      });
    const tryFrom = (index: number): boolean => {
      const uuid = known[index];
      if (uuid === undefined) return holds();
      return snapshot.hosts.some((host) => {
        at.set(uuid, host);
        return tryFrom(index + 1);
      });
    };
    return tryFrom(0);
  }

  test("is impossible, and what is not is possible", { timeout: 60_000 }, () => {
    const counts = { impossible: 0, possible: 0 };
    fc.assert(
      fc.property(anyWorld(), (any) => {
        // Memory and labels aside: rules alone.
        const snapshot: Snapshot = {
          ...any,
          hosts: any.hosts.map((host) => ({
            ...host,
            memoryBytes: 4096 * GIB,
            vms: host.vms.map(({ labels: _labels, ...vm }) => vm),
          })),
        };
        const found = conflictsOf(snapshot, parametersOf()).filter(({ kind }) => kind === "impossible");
        const possible = isPossible(snapshot);
        counts[possible ? "possible" : "impossible"] += 1;
        expect(found.length === 0).toBe(possible);
      }),
      { seed: 20_261_126, numRuns: 1500 },
    );
    expect(counts.impossible).toBeGreaterThan(20);
  });

  test("a matching is found where there is one, and a crowd is one", () => {
    const anyPlaces = fc.array(fc.array(fc.nat(4), { maxLength: 4 }), { maxLength: 6 });
    const canAll = (places: number[][], taken: number[] = []): boolean => {
      const [first, ...rest] = places;
      return first === undefined || first.some((place) => !taken.includes(place) && canAll(rest, [...taken, place]));
    };
    fc.assert(
      fc.property(anyPlaces, (places) => {
        const found = crowded(places.map((list) => new Set(list)));
        expect(found === null).toBe(canAll(places));
        if (found === null) return;
        const shared = new Set(found.items.flatMap((item) => places[item] ?? []));
        expect(shared.size).toBeLessThan(found.items.length);
        expect([...shared].toSorted()).toEqual(found.places);
      }),
      { seed: 20_261_126, numRuns: 2000 },
    );
  });
});
