// Placement rules, and labels that say the same, made ready for counting: how many VMs of a group are in which domain.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import type { HostSelector, PlacementRule, VmSelector } from "./rules.ts";

/** VMs with the same value of this label are never on one host; `…-rack` and `…-zone`: never in one rack or zone. */
const APART_LABEL = "anti-affinity";
/** VMs with the same value of this label stay on one host, rack or zone. */
const TOGETHER_LABEL = "affinity";
/** A VM with this label runs only on hosts that carry a label `host-group` of the same value. */
const HOST_LABEL = "host-affinity";
const HOST_GROUP_LABEL = "host-group";

export type Group = {
  kind: "vm-affinity" | "vm-anti-affinity" | "host-affinity" | "host-anti-affinity";
  /** As it is called in sentences: `rule NAME` or `label KEY=VALUE`. */
  name: string;
  hard: boolean;
  pricePerHour: number;
  /** What a domain is called: `host`, `rack`, `zone`. */
  domain: "host" | "rack" | "zone";
  /** By host: its domain's number; -1: its rack or zone is not known. Empty for rules about hosts. */
  domainOf: Int32Array;
  /** By host: 1 where the rule names it. Empty for rules among VMs. */
  named: Uint8Array;
  members: readonly number[];
};

export type Groups = {
  readonly groups: readonly Group[];
  /** By VM: the groups it is in. */
  readonly ofVm: readonly (readonly number[])[];
  /** By group: domain → how many of its VMs are there. */
  readonly counts: readonly Map<number, number>[];
};

/** All groups of a cluster: its rules in order of their ids, then labels by name. */
export function compileGroups(snapshot: Snapshot, hosts: readonly SnapshotHost[], vms: readonly SnapshotVm[]): Groups {
  const rules = [...(snapshot.rules ?? []).map(fromRule), ...labelRules(vms)];
  const members = selectorOver(vms);
  const domains = { host: domainsBy(hosts, "host"), rack: domainsBy(hosts, "rack"), zone: domainsBy(hosts, "zone") };
  const groups = rules.map(({ rule, name }): Group => {
    const isAboutHosts = rule.kind === "host-affinity" || rule.kind === "host-anti-affinity";
    return {
      kind: rule.kind,
      name,
      hard: rule.hard,
      pricePerHour: rule.pricePerHour,
      domain: isAboutHosts ? "host" : rule.domain,
      domainOf: isAboutHosts ? new Int32Array() : domains[rule.domain],
      named: isAboutHosts
        ? Uint8Array.from(hosts, (host) => (isHostNamed(rule.hosts, host) ? 1 : 0))
        : new Uint8Array(),
      members: members(rule.vms),
    };
  });
  const ofVm: number[][] = vms.map(() => []);
  groups.forEach(({ members }, group) => members.forEach((vm) => ofVm[vm]?.push(group)));
  return { groups, ofVm, counts: groups.map(() => new Map()) };
}

/** Indexes of the VMs that a selector names, in order, without looking at every VM for every rule. */
function selectorOver(vms: readonly SnapshotVm[]): (selector: VmSelector) => number[] {
  const byUuid = new Map(vms.map(({ uuid }, index) => [uuid, index]));
  const byLabel = new Map<string, number[]>();
  vms.forEach(({ labels = {} }, index) => {
    for (const label of Object.entries(labels)) {
      const key = JSON.stringify(label);
      const there = byLabel.get(key);
      if (there === undefined) byLabel.set(key, [index]);
      else there.push(index);
    }
  });
  return ({ uuids = [], labels }) => {
    const named = uuids.flatMap((uuid) => byUuid.get(uuid) ?? []);
    const wanted = Object.entries(labels ?? {});
    const [first] = wanted;
    const candidates = first === undefined ? [] : (byLabel.get(JSON.stringify(first)) ?? []);
    const labelled = candidates.filter((vm) => hasLabels(labels ?? {}, vms[vm]?.labels));
    return [...new Set([...named, ...labelled])].sort((a, b) => a - b);
  };
}

const fromRule = (rule: PlacementRule) => ({ rule, name: `rule ${rule.ruleId}` });

function domainsBy(hosts: readonly SnapshotHost[], domain: Group["domain"]): Int32Array {
  if (domain === "host") return Int32Array.from(hosts, (_, index) => index);
  const numbers = new Map<string, number>();
  return Int32Array.from(hosts, (host) => {
    const name = host[domain];
    if (name === undefined) return -1;
    if (!numbers.has(name)) numbers.set(name, numbers.size);
    return numbers.get(name) ?? -1;
  });
}

const hasLabels = (wanted: Record<string, string>, labels: Record<string, string> = {}): boolean =>
  Object.entries(wanted).every(([key, value]) => labels[key] === value);

export const isVmNamed = ({ uuids, labels }: VmSelector, vm: SnapshotVm): boolean =>
  uuids?.includes(vm.uuid) === true || (labels !== undefined && hasLabels(labels, vm.labels));

export const isHostNamed = ({ hostIds, labels }: HostSelector, host: SnapshotHost): boolean =>
  hostIds?.includes(host.hostId) === true || (labels !== undefined && hasLabels(labels, host.labels));

/** What the labels of VMs ask for, as hard rules; in order of label and value. */
function labelRules(vms: readonly SnapshotVm[]): { rule: PlacementRule; name: string }[] {
  const values = new Map<string, Set<string>>();
  for (const { labels = {} } of vms)
    for (const [key, value] of Object.entries(labels)) values.set(key, (values.get(key) ?? new Set()).add(value));
  const rules = (key: string, make: (value: string, ruleId: string) => PlacementRule) =>
    [...(values.get(key) ?? [])].sort().map((value) => {
      const name = `group ${key}=${value}`;
      return { rule: make(value, name.slice(0, 64)), name };
    });
  const hard = { hard: true, pricePerHour: 1 };
  return [
    ...(["host", "rack", "zone"] as const).flatMap((domain) => {
      const suffix = domain === "host" ? "" : `-${domain}`;
      return [
        ...rules(APART_LABEL + suffix, (value, ruleId) => ({
          ...hard,
          kind: "vm-anti-affinity",
          vms: { labels: { [APART_LABEL + suffix]: value } },
          domain,
          ruleId,
        })),
        ...rules(TOGETHER_LABEL + suffix, (value, ruleId) => ({
          ...hard,
          kind: "vm-affinity",
          vms: { labels: { [TOGETHER_LABEL + suffix]: value } },
          domain,
          ruleId,
        })),
      ];
    }),
    ...rules(HOST_LABEL, (value, ruleId) => ({
      ...hard,
      kind: "host-affinity",
      vms: { labels: { [HOST_LABEL]: value } },
      hosts: { labels: { [HOST_GROUP_LABEL]: value } },
      ruleId,
    })),
  ];
}

const countAs = (groups: Groups, vm: number, host: number, by: 1 | -1): void => {
  for (const group of groups.ofVm[vm] ?? []) {
    const domain = groups.groups[group]?.domainOf[host];
    const counts = groups.counts[group];
    if (domain === undefined || counts === undefined) continue;
    counts.set(domain, (counts.get(domain) ?? 0) + by);
  }
};

export const enterGroups = (groups: Groups, vm: number, host: number): void => countAs(groups, vm, host, 1);
export const leaveGroups = (groups: Groups, vm: number, host: number): void => countAs(groups, vm, host, -1);

/** Members of the group in the host's domain, without the VM itself; hosts of unknown rack or zone are in none. */
export function othersInDomain(groups: Groups, group: number, host: number, vm: number, hostOf: Int32Array): number {
  const it = groups.groups[group];
  const domain = it?.domainOf[host] ?? -1;
  if (it === undefined || domain === -1) return 0;
  const own = it.domainOf[hostOf[vm] ?? 0] === domain ? 1 : 0;
  return (groups.counts[group]?.get(domain) ?? 0) - own;
}
