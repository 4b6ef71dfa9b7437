// Placement rules once more, and labels that say the same, without the advisor's own counting.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../../../worker/model/cluster.ts";
import type { PlanParameters } from "../../../worker/model/placement/types.ts";

type Where = ReadonlyMap<string, string[]>;
type Domain = "host" | "rack" | "zone";
type Hard = { kind: string; vms: Set<string>; hosts: Set<string>; domain: Domain };

const carries = (labels: Record<string, string> | undefined, wanted: Record<string, string> | undefined): boolean =>
  wanted !== undefined && Object.entries(wanted).every(([key, value]) => labels?.[key] === value);

/** Every hard rule with the VMs and hosts that it names; labels are rules too. */
function hardRules(snapshot: Snapshot): Hard[] {
  const vms = snapshot.hosts.flatMap((host) => host.vms);
  const stated = (snapshot.rules ?? []).filter(({ hard }) => hard);
  const rules = stated.map((rule): Hard => {
    const hosts = "hosts" in rule ? rule.hosts : {};
    return {
      kind: rule.kind,
      vms: uuids(vms, (vm) => rule.vms.uuids?.includes(vm.uuid) === true || carries(vm.labels, rule.vms.labels)),
      hosts: ids(
        snapshot,
        ({ hostId, labels }) => hosts.hostIds?.includes(hostId) === true || carries(labels, hosts.labels),
      ),
      domain: "domain" in rule ? rule.domain : "host",
    };
  });
  const labelled = vms.flatMap(({ labels = {} }) => Object.entries(labels));
  for (const [key, value] of labelled) {
    const [, what, domain = "host"] = /^(anti-affinity|affinity|host-affinity)(?:-(rack|zone))?$/.exec(key) ?? [];
    if (what === undefined) continue;
    rules.push({
      kind: what.startsWith("host") ? what : `vm-${what}`,
      vms: uuids(vms, (vm) => vm.labels?.[key] === value),
      hosts: ids(snapshot, ({ labels }) => labels?.["host-group"] === value),
      domain: domain as Domain,
    });
  }
  return rules;
}

const uuids = (vms: SnapshotVm[], isNamed: (vm: SnapshotVm) => boolean): Set<string> =>
  new Set(vms.filter(isNamed).map(({ uuid }) => uuid));

const ids = ({ hosts }: Snapshot, isNamed: (host: SnapshotHost) => boolean): Set<string> =>
  new Set(hosts.filter(isNamed).map(({ hostId }) => hostId));

const domainOf = (host: SnapshotHost | undefined, domain: Domain): string | undefined =>
  domain === "host" ? host?.hostId : host?.[domain];

/** Whether no rule about hosts forbids the destination, and none that must stay apart from the VM is, or is coming, there. */
export function rulesHold(
  snapshot: Snapshot,
  where: Where,
  vm: SnapshotVm,
  from: SnapshotHost,
  to: SnapshotHost,
): boolean {
  const byId = new Map(snapshot.hosts.map((host) => [host.hostId, host]));
  return hardRules(snapshot).every(({ kind, vms, hosts, domain }) => {
    if (!vms.has(vm.uuid) || kind === "vm-affinity") return true;
    if (kind === "host-affinity") return hosts.has(to.hostId);
    if (kind === "host-anti-affinity") return !hosts.has(to.hostId);
    const there = domainOf(to, domain);
    // Within a rack or zone in which it breaks the rule already it changes nothing.
    if (there === undefined || there === domainOf(from, domain)) return true;
    return [...vms].every((other) => {
      const coming = snapshot.reservations.filter(({ vmUuid }) => vmUuid === other).map(({ toHostId }) => toHostId);
      const places = [...(where.get(other) ?? []), ...coming];
      return other === vm.uuid || places.every((hostId) => domainOf(byId.get(hostId), domain) !== there);
    });
  });
}

/** Groups that were together, and that a plan has left apart, though it had no host to empty of any of them. */
export function groupsTornApart(snapshot: Snapshot, { hostIds }: PlanParameters, where: Where): string[] {
  const byId = new Map(snapshot.hosts.map((host) => [host.hostId, host]));
  const homes = new Map(snapshot.hosts.flatMap((host) => host.vms.map((vm) => [vm.uuid, host])));
  const isEmptied = (host: SnapshotHost | undefined): boolean =>
    host?.maintenance !== undefined || hostIds?.includes(host?.hostId ?? "") === true;
  const isTogether = (places: (string | undefined)[]): boolean =>
    places.every((place) => place !== undefined && place === places[0]);
  return hardRules(snapshot).flatMap(({ kind, vms, domain }) => {
    if (kind !== "vm-affinity" || [...vms].some((uuid) => isEmptied(homes.get(uuid)))) return [];
    const before = [...vms].map((uuid) => domainOf(homes.get(uuid), domain));
    const after = [...vms].map((uuid) => domainOf(byId.get(where.get(uuid)?.[0] ?? ""), domain));
    return isTogether(before) && !isTogether(after) ? [`a group of ${vms.size} VMs was torn apart`] : [];
  });
}
