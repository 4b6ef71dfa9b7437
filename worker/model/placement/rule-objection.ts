// What the operators' hard rules have against a destination. Soft rules forbid nothing.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import { listed } from "./format.ts";
import type { HostSelector, PlacementRule, VmSelector } from "./rules.ts";
import { incoming } from "./state.ts";
import type { PlanParameters, Rejection } from "./types.ts";

type Case = { snapshot: Snapshot; vm: SnapshotVm; from: SnapshotHost; to: SnapshotHost; parameters: PlanParameters };

/** The first hard rule that the VM would break there; null: none. */
export function ruleObjection(
  snapshot: Snapshot,
  vm: SnapshotVm,
  from: SnapshotHost,
  to: SnapshotHost,
  parameters: PlanParameters,
): Rejection | null {
  for (const rule of snapshot.rules ?? []) {
    if (!rule.hard || !namesVm(rule.vms, vm)) continue;
    const objection = objectionOf(rule, { snapshot, vm, from, to, parameters });
    if (objection !== null) return { hostId: to.hostId, ...objection };
  }
  return null;
}

const hasLabels = (wanted: Record<string, string> | undefined, labels: Record<string, string> = {}): boolean =>
  wanted !== undefined && Object.entries(wanted).every(([key, value]) => labels[key] === value);

const namesVm = ({ uuids, labels }: VmSelector, vm: SnapshotVm): boolean =>
  uuids?.includes(vm.uuid) === true || hasLabels(labels, vm.labels);

const namesHost = ({ hostIds, labels }: HostSelector, host: SnapshotHost): boolean =>
  hostIds?.includes(host.hostId) === true || hasLabels(labels, host.labels);

type Objection = Pick<Rejection, "constraint" | "detail">;

function objectionOf(rule: PlacementRule, question: Case): Objection | null {
  const { vm, to } = question;
  switch (rule.kind) {
    case "host-affinity":
      if (namesHost(rule.hosts, to)) return null;
      return {
        constraint: "host-affinity",
        detail: `rule ${rule.ruleId} keeps ${vm.name} off every host but ${hostsOf(rule.hosts)}: ${to.hostId} is not among them.`,
      };
    case "host-anti-affinity":
      if (!namesHost(rule.hosts, to)) return null;
      return { constraint: "host-affinity", detail: `rule ${rule.ruleId} keeps ${vm.name} off ${to.hostId}.` };
    case "vm-anti-affinity":
      return tooNear(rule, question);
    case "vm-affinity":
      return leftAlone(rule, question);
  }
}

const hostsOf = ({ hostIds, labels }: HostSelector): string =>
  [...(hostIds === undefined ? [] : [listed(hostIds)]), ...(labels === undefined ? [] : [JSON.stringify(labels)])].join(
    " and those with ",
  );

type AmongVms = Extract<PlacementRule, { kind: "vm-affinity" | "vm-anti-affinity" }>;

/** One domain; hosts whose rack or zone is not known share none. */
const isOneDomain = ({ domain }: AmongVms, a: SnapshotHost, b: SnapshotHost): boolean =>
  domain === "host" ? a.hostId === b.hostId : a[domain] !== undefined && a[domain] === b[domain];

/** Others of the rule that are on hosts of this domain, or, where asked for, on their way to one. */
function othersNear(rule: AmongVms, { snapshot, vm }: Case, near: SnapshotHost, withComing: boolean): SnapshotVm[] {
  const all = snapshot.hosts.flatMap(({ vms }) => vms);
  return snapshot.hosts
    .filter((host) => isOneDomain(rule, host, near))
    .flatMap((host) => {
      const uuids = withComing ? incoming(snapshot, host).map(({ vmUuid }) => vmUuid) : [];
      return [...host.vms, ...all.filter(({ uuid }) => uuids.includes(uuid))];
    })
    .filter((other) => other.uuid !== vm.uuid && namesVm(rule.vms, other));
}

const where = ({ domain }: AmongVms, { hostId }: SnapshotHost): string =>
  domain === "host" ? hostId : `the ${domain} of ${hostId}`;

function tooNear(rule: AmongVms, question: Case): Objection | null {
  const { vm, to, from } = question;
  if (rule.domain !== "host" && isOneDomain(rule, from, to)) return null;
  const [rival] = othersNear(rule, question, to, true);
  if (rival === undefined) return null;
  const detail = `${where(rule, to)} has ${rival.name}, which rule ${rule.ruleId} keeps apart from ${vm.name}.`;
  return { constraint: "anti-affinity", detail };
}

/**
 * Leaving the others behind for a domain that has none. The first one off a host that is to be emptied must go somewhere; the
 * others then follow it.
 */
function leftAlone(rule: AmongVms, question: Case): Objection | null {
  const { snapshot, vm, from, to, parameters } = question;
  if (isOneDomain(rule, from, to) || othersNear(rule, question, to, false).length > 0) return null;
  const members = snapshot.hosts.flatMap(({ vms }) =>
    vms.filter((other) => other.uuid !== vm.uuid && namesVm(rule.vms, other)),
  );
  const behind = othersNear(rule, question, from, false);
  const isEmptied = from.maintenance !== undefined || parameters.hostIds?.includes(from.hostId) === true;
  const mate = isEmptied ? members.find((other) => !behind.includes(other)) : behind[0];
  if (mate === undefined) return null;
  const detail = `rule ${rule.ruleId} keeps ${vm.name} together with ${mate.name}, which is not on ${where(rule, to)}.`;
  return { constraint: "affinity", detail };
}
