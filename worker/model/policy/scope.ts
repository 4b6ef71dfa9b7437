// Which VMs a policy may move and which hosts take part; which of them a freeze holds still.
import { z } from "zod";
import type { Snapshot } from "../cluster.ts";
import type { PlanParameters } from "../placement/types.ts";
import { labels, operatorId, vmUuid } from "../wire/common.ts";

/** The first place where a value stands a second time; -1: nowhere. */
const secondOf = (values: readonly string[]): number =>
  values.findIndex((value, index) => values.indexOf(value) !== index);

/** Ids without a repetition. */
const distinct = <S extends z.ZodType<string>>(item: S) =>
  z
    .array(item)
    .min(1)
    .max(1000)
    .superRefine((values, context) => {
      const twice = secondOf(values);
      if (twice !== -1) context.addIssue({ code: "custom", path: [twice], message: `${values[twice]} is given twice` });
    });

export const hostIds = distinct(operatorId);
export const uuids = distinct(vmUuid);

const noOverlap =
  (field: string, except: string) =>
  (chosen: Record<string, unknown>, context: z.RefinementCtx): void => {
    const [wanted, left] = [chosen[field], chosen[except]];
    if (!Array.isArray(wanted) || !Array.isArray(left)) return;
    left.forEach((id, index) => {
      if (wanted.includes(id))
        context.addIssue({ code: "custom", path: [except, index], message: `${String(id)} stands in ${field} too` });
    });
  };

/** Absent fields choose all. `labels`: every one of them, with that value. What is excepted is never chosen. */
const vmChoice = z
  .strictObject({ uuids: uuids.optional(), labels: labels.optional(), exceptUuids: uuids.optional() })
  .superRefine(noOverlap("uuids", "exceptUuids"));
const hostChoice = z
  .strictObject({ hostIds: hostIds.optional(), labels: labels.optional(), exceptHostIds: hostIds.optional() })
  .superRefine(noOverlap("hostIds", "exceptHostIds"));

/** A VM moves only if `vms` chooses it and both of its hosts are chosen by `hosts`. */
export const policyScope = z
  .strictObject({ vms: vmChoice.optional(), hosts: hostChoice.optional() })
  .meta({ id: "PolicyScope" });
export type PolicyScope = z.infer<typeof policyScope>;

/** What is known of the two ends of a move and of its VM. Labels unknown are absent. */
export type MoveSubject = {
  vm: string;
  fromHostId: string;
  toHostId: string;
  vmLabels?: Record<string, string> | undefined;
  hostLabels?: Record<string, Record<string, string> | undefined> | undefined;
};

/** Whether `given` has every label that is asked for. */
export const hasLabels = (asked: Record<string, string>, given: Record<string, string> | undefined): boolean =>
  Object.entries(asked).every(
    ([key, value]) => given !== undefined && Object.hasOwn(given, key) && given[key] === value,
  );

/** Why a move is outside the scope, or null: it is inside. */
export function outsideScope(scope: PolicyScope | undefined, move: MoveSubject): string | null {
  const { vms, hosts } = scope ?? {};
  const { uuids: ids, exceptUuids, labels: wanted } = vms ?? {};
  const vm = notChosen(`VM ${move.vm}`, move.vm, move.vmLabels, { ids, except: exceptUuids, wanted });
  if (vm !== null) return vm;
  const choice = { ids: hosts?.hostIds, except: hosts?.exceptHostIds, wanted: hosts?.labels };
  const [from, to] = [move.fromHostId, move.toHostId].map((id) => notChosen(id, id, move.hostLabels?.[id], choice));
  return from ?? to ?? null;
}

type Choice = {
  ids: string[] | undefined;
  except: string[] | undefined;
  wanted: Record<string, string> | undefined;
};

function notChosen(
  name: string,
  id: string,
  given: Record<string, string> | undefined,
  { ids, except, wanted }: Choice,
): string | null {
  if (ids && !ids.includes(id)) return `${name} is not among those of the scope`;
  if (except?.includes(id)) return `${name} is excepted by the scope`;
  if (wanted && !hasLabels(wanted, given)) return `${name} lacks the labels of the scope`;
  return null;
}

type PlanScope = NonNullable<PlanParameters["scope"]>;

const NOTHING = { vms: new Set<string>(), hosts: new Set<string>() };

/** A plan names at most so many VMs or hosts by their ids. */
const NAMED_MAX = 1000;

/**
 * The scope as the advisor takes it: by labels or by ids where one of them is all that is asked for, else by the ids of
 * what is chosen in this snapshot. A side that chooses more than can be named is absent, and left to `outsideScope`.
 * `without`: VMs and hosts that are left out beside it. `nothing`: too little of the cluster is chosen for any move, with the reason.
 */
export function planScopeOf(
  scope: PolicyScope,
  { hosts }: Snapshot,
  without: { vms: ReadonlySet<string>; hosts: ReadonlySet<string> } = NOTHING,
): PlanScope | { nothing: string } {
  const { vms: ofVms, hosts: ofHosts } = scope;
  const vms = choose(
    hosts.flatMap((host) => host.vms).map(({ uuid, labels: given }) => ({ id: uuid, given })),
    { ids: ofVms?.uuids, except: ofVms?.exceptUuids, wanted: ofVms?.labels },
    without.vms,
  );
  if (vms.chosen.length === 0) return { nothing: "No VM of the cluster is in its scope." };
  const ends = choose(
    hosts.map(({ hostId, labels: given }) => ({ id: hostId, given })),
    { ids: ofHosts?.hostIds, except: ofHosts?.exceptHostIds, wanted: ofHosts?.labels },
    without.hosts,
  );
  if (ends.chosen.length < 2)
    return { nothing: `A move needs two hosts, and its scope has ${ends.chosen.length} of the cluster's.` };
  const [vmSelector, hostSelector] = [vms.selector, ends.selector];
  return {
    ...(vmSelector === null ? {} : { vms: "ids" in vmSelector ? { uuids: vmSelector.ids } : vmSelector }),
    ...(hostSelector === null ? {} : { hosts: "ids" in hostSelector ? { hostIds: hostSelector.ids } : hostSelector }),
  };
}

type Selector = { ids: string[] } | { labels: Record<string, string> };

/** What is chosen, and how the advisor is told; null: everything is, or there are too many to be named. */
function choose(
  all: readonly { id: string; given: Record<string, string> | undefined }[],
  choice: Choice,
  without: ReadonlySet<string>,
): { chosen: string[]; selector: Selector | null } {
  const inScope = all.flatMap(({ id, given }) => (notChosen(id, id, given, choice) === null ? [id] : []));
  const chosen = inScope.filter((id) => !without.has(id));
  const { ids, except, wanted } = choice;
  const isWhole = chosen.length === inScope.length;
  if (isWhole && !ids && !except && !wanted) return { chosen, selector: null };
  if (isWhole && wanted && !ids && !except) return { chosen, selector: { labels: wanted } };
  return { chosen, selector: chosen.length <= NAMED_MAX ? { ids: chosen.toSorted() } : null };
}
