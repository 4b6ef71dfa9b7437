// Rules that cannot hold together, each time the fewest that already contradict each other; and rules that name what is not
// there.
import type { Snapshot } from "../cluster.ts";
import { createWorld } from "./create-world.ts";
import { whyInfeasible } from "./feasibility.ts";
import { counted, listed } from "./format.ts";
import { type Group, isHostNamed, isVmNamed } from "./groups.ts";
import type { PlacementRule } from "./rules.ts";
import type { PlanParameters } from "./types.ts";
import type { World } from "./world.ts";

/**
 * `impossible`: these rules cannot all hold, and without any one of them the others could. `unknown-name`: a rule names VMs
 * or hosts that the cluster does not have. `matches-nothing`: labels of a rule that nothing carries, which is only a warning.
 */
export type RuleConflict = {
  kind: "impossible" | "unknown-name" | "matches-nothing";
  /** As sentences call them: `rule NAME`, `group KEY=VALUE`. */
  rules: string[];
  why: string;
};

/** Contradictions that are told of one set of connected rules. */
const TOLD_MAX = 5;

/**
 * What is wrong with a cluster's hard rules and labels, wherever its VMs are now. Only what is certain is told: a search that
 * takes too long claims nothing. Memory counts as far as VMs that must share a host need it together.
 */
export function conflictsOf(snapshot: Snapshot, parameters: PlanParameters): RuleConflict[] {
  const world = createWorld(snapshot, parameters);
  const hard = world.groups.groups.filter((group) => group.hard && group.members.length > 0);
  const impossible = connected(hard).flatMap((groups) => contradictions(world, groups));
  return [...impossible, ...ruleWarnings(world)];
}

/** Rules that name or match nothing of the cluster, each with what to do; they forbid nothing, and a plan can be made. */
export const ruleWarnings = (world: World): RuleConflict[] =>
  (world.snapshot.rules ?? []).flatMap((rule) => unknownNames(world, rule));

/** Rules by whether they have VMs in common, each set in the order of the rules. */
function connected(groups: readonly Group[]): Group[][] {
  const sets: { groups: Group[]; vms: Set<number> }[] = [];
  for (const group of groups) {
    const joined = sets.filter(({ vms }) => group.members.some((vm) => vms.has(vm)));
    const all = { groups: [group], vms: new Set(group.members) };
    for (const set of joined) {
      all.groups.push(...set.groups);
      for (const vm of set.vms) all.vms.add(vm);
      sets.splice(sets.indexOf(set), 1);
    }
    sets.push(all);
  }
  const order = new Map(groups.map((group, index) => [group, index]));
  const at = (group: Group): number => order.get(group) ?? 0;
  const sorted = sets.map((set) => set.groups.sort((a, b) => at(a) - at(b)));
  return sorted.sort(([a], [b]) => (a === undefined || b === undefined ? 0 : at(a) - at(b)));
}

/** Sets of rules that contradict each other, none of them with a rule of another. */
function contradictions(world: World, groups: readonly Group[]): RuleConflict[] {
  const found: RuleConflict[] = [];
  let left = [...groups];
  while (found.length < TOLD_MAX && whyInfeasible(world, left) !== null) {
    const core = fewest(world, left);
    const rules = core.map(({ name }) => name);
    found.push({
      kind: "impossible",
      rules,
      why: `${whyInfeasible(world, core)}: change or drop one of ${listed(rules)}.`,
    });
    left = left.filter((group) => !core.includes(group));
  }
  return found;
}

/** Leaves out each rule without which the others still contradict each other (deletion filter). */
function fewest(world: World, groups: readonly Group[]): Group[] {
  let core = [...groups];
  for (const group of groups) {
    const without = core.filter((other) => other !== group);
    if (whyInfeasible(world, without) !== null) core = without;
  }
  return core;
}

function unknownNames({ vms, hosts, vmIndex, hostIndex }: World, rule: PlacementRule): RuleConflict[] {
  const rules = [`rule ${rule.ruleId}`];
  const found: RuleConflict[] = [];
  const missing = (what: string, names: readonly string[]): void => {
    if (names.length === 0) return;
    const why = `${counted(names.length, what)} that the cluster does not have: ${listed(names)}. Take the name out of the rule, or drop the rule.`;
    found.push({ kind: "unknown-name", rules, why });
  };
  missing(
    "VM",
    (rule.vms.uuids ?? []).filter((uuid) => !vmIndex.has(uuid)),
  );
  const named = "hosts" in rule ? rule.hosts : {};
  missing(
    "host",
    (named.hostIds ?? []).filter((hostId) => !hostIndex.has(hostId)),
  );
  const nothing = (what: string, labels: Record<string, string> | undefined, isAny: boolean): void => {
    if (labels === undefined || isAny) return;
    const text = listed(Object.entries(labels).map(([key, value]) => `${key}=${value}`));
    found.push({
      kind: "matches-nothing",
      rules,
      why: `no ${what} carries ${text}, so that the rule says nothing of any.`,
    });
  };
  const { labels: ofVms } = rule.vms;
  nothing("VM", ofVms, ofVms !== undefined && vms.some((vm) => isVmNamed({ labels: ofVms }, vm)));
  const { labels: ofHosts } = named;
  nothing("host", ofHosts, ofHosts !== undefined && hosts.some((host) => isHostNamed({ labels: ofHosts }, host)));
  return found;
}
