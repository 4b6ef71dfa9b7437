// Fault tolerance: broken hard rules are repaired, soft ones where it pays, then room is made for the VMs of hosts that fail.
import { better, pays, type Weighed, weigh } from "../bundles.ts";
import { isGroupBroken } from "../efficacy.ts";
import { counted, money } from "../format.ts";
import type { Strategy, StrategyAnswer } from "../strategy.ts";
import { survives } from "../survivability.ts";
import { hostAt, hostOfVm, knownHostIndexes, place, vmAt, type World } from "../world.ts";
import { movableUnit, type Repairs, repairRules } from "./repair.ts";
import { makeRoom, type Shortage } from "./room.ts";

export const spread: Strategy = {
  name: "spread",
  goals: ["fault-tolerance"],
  summary:
    "Repairs broken placement rules over hosts, racks and zones, and makes room for the VMs of hosts that may fail.",
  propose(input) {
    const answer: StrategyAnswer = { proposals: [], stuck: [], seen: [], idle: "" };
    const repairs: Repairs = { input, answer, moved: new Set(input.fixed), bundle: 0 };
    repairRules(repairs);
    easeSoftRules(repairs);
    const shortage = makeRoom(repairs);
    const failures = input.world.parameters.hostFailuresTolerated;
    if (failures > 0) answer.seen.push(failuresSeen(shortage, failures));
    if (answer.proposals.length === 0) answer.idle = idleOf(input.world, shortage);
    return answer;
  },
};

/** One move after the other for soft rules, as long as one pays. */
function easeSoftRules(repairs: Repairs): void {
  const { input, answer, moved } = repairs;
  const { world } = input;
  while (!input.isSpent(1)) {
    const best = bestForSoft(repairs);
    const [first] = best?.moves ?? [];
    if (best === null || first === undefined || !pays(best.gain, world)) return;
    repairs.bundle += 1;
    for (const { vm, to } of best.moves) {
      const [{ name }, from, target] = [vmAt(world, vm), hostOfVm(world, vm), hostAt(world, to)];
      const broken = world.groups.groups.filter(
        (it, group) => !it.hard && it.members.includes(vm) && isGroupBroken(world, group),
      );
      const rules = broken.map(({ name: rule, pricePerHour }) => `${rule} (${money(pricePerHour)} an hour)`).join(", ");
      const vmWhy = `${name} on ${from.hostId} breaks ${rules === "" ? "no soft rule itself, and goes with one of 1 that does" : rules}.`;
      const there = `On ${target.hostId} the state costs ${money(best.gain.perHour)} an hour less.`;
      answer.proposals.push({
        vm,
        to,
        bundle: repairs.bundle,
        mandatory: false,
        why: { vm: vmWhy, there, now: `${counted(broken.length, "soft rule")} would go on costing.` },
      });
    }
    for (const { vm, to } of best.moves) {
      place(world, vm, to);
      moved.add(vm);
    }
  }
}

/** The move of a VM of a broken soft rule that brings most, without leaving hosts that may fail short of room. */
function bestForSoft(repairs: Repairs): Weighed | null {
  const { input } = repairs;
  const { world } = input;
  const broken = world.groups.groups.filter((it, group) => !it.hard && isGroupBroken(world, group));
  const vms = [...new Set(broken.flatMap(({ members }) => members))].sort((a, b) => a - b);
  if (vms.length === 0) return null;
  const failures = world.parameters.hostFailuresTolerated;
  const hosts = knownHostIndexes(world);
  const survived = failures > 0 && survives(world, failures);
  let best: Weighed | null = null;
  for (const vm of vms) {
    const unit = movableUnit(repairs, vm);
    if (unit === null) continue;
    for (const to of hosts) {
      // Whether failures are survived then costs as much as weighing each VM once.
      if (input.isSpent(survived ? world.vms.length : 1)) return best;
      const moves = unit.map((member) => ({ vm: member, to }));
      best = better(
        best,
        weigh(input, moves, (state) => !survived || survives(state, failures)),
      );
    }
  }
  return best;
}

const unaskedOf = ({ asked, unasked }: Shortage): string =>
  `${asked} of ${counted(asked + unasked, "failure")} were tried before evaluationsMax was spent: what the others would leave is not known`;

function failuresSeen(shortage: Shortage, failures: number): string {
  if (shortage.unasked > 0) return `${unaskedOf(shortage)}.`;
  const { cases } = shortage;
  const hosts = counted(failures, "host");
  return cases === 0
    ? `Any 1 host${failures === 1 ? "" : `, and the ${hosts} with the most committed memory,`} may fail once the plan is done.`
    : `${counted(cases, "failure")} of up to ${hosts} would leave a VM without a place even then.`;
}

function idleOf(world: World, shortage: Shortage): string {
  const { groups } = world.groups;
  const broken = groups.filter((_, group) => isGroupBroken(world, group)).length;
  const { hostFailuresTolerated } = world.parameters;
  const { cases } = shortage;
  const rules =
    broken === 0
      ? `all ${counted(groups.length, "placement rule")} hold`
      : `${broken} of ${counted(groups.length, "placement rule")} do not hold, and no move that is possible and pays helps`;
  if (hostFailuresTolerated === 0) return rules;
  if (shortage.unasked > 0) return `${rules}; ${unaskedOf(shortage)}`;
  return cases === 0
    ? `${rules}, and ${counted(hostFailuresTolerated, "host")} may fail`
    : `${rules}; ${counted(cases, "failure")} would leave a VM without a place, and no move helps`;
}
