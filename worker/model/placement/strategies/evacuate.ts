// Empties hosts, to as many targets as their room asks for: the biggest VM first, each to the host that stays least loaded.
import { isEmptied } from "../affinity.ts";
import { fits, stayingReasons } from "../constraints.ts";
import { noHostFor } from "../explain.ts";
import { cores, counted, ratio, size } from "../format.ts";
import type { Proposal, Strategy, StrategyAnswer, StrategyInput } from "../strategy.ts";
import { CPU, hostAt, hostOfVm, place, RESOURCES, vmAt, type World } from "../world.ts";

export const evacuate: Strategy = {
  name: "evacuate",
  goals: ["evacuate"],
  summary:
    "Moves every VM off hosts that are to be emptied, the biggest first, each to the host that stays least loaded.",
  propose(input) {
    const { world } = input;
    const failing = new Map(
      input.findings.filter(({ state }) => state === "failing").map((found) => [found.host, found.sentence]),
    );
    const hosts = world.hosts.flatMap((_, host) => (isEmptied(world, host) ? [host] : []));
    const names = hosts.map((host) => hostAt(world, host).hostId).join(", ") || "no host";
    const answer: StrategyAnswer = {
      proposals: [],
      stuck: [],
      seen: [],
      idle: hosts.length === 0 ? "no host is named, in maintenance or failing" : `0 VMs on ${names}`,
    };
    for (const vm of biggestFirst(world, hosts)) moveOrSay(input, vm, failing, answer);
    return answer;
  },
};

/** What is hardest to place chooses first. */
const biggestFirst = (world: World, hosts: readonly number[]): number[] =>
  hosts
    .flatMap((host) => [...(world.vmsOn[host] ?? [])])
    .sort((a, b) => (world.vmBytes[b] ?? 0) - (world.vmBytes[a] ?? 0) || a - b);

function moveOrSay(
  input: StrategyInput,
  vm: number,
  failing: ReadonlyMap<number, string>,
  answer: StrategyAnswer,
): void {
  const { world } = input;
  const staying = stayingReasons(world, vm);
  if (staying.length > 0 || input.fixed.has(vm)) {
    if (staying.length > 0) answer.stuck.push({ vm, rejections: staying });
    return;
  }
  const to = leastLoaded(input, vm);
  if (to === null) {
    answer.stuck.push({ vm, rejections: noHostFor(world, vm, (host) => input.obstacleOf(vm, host)) });
    return;
  }
  answer.proposals.push(proposalOf(world, vm, to, failing.get(world.hostOf[vm] ?? 0), answer.proposals.length));
  place(world, vm, to);
}

/** The host that stays least loaded with the VM, among those where a mechanism gets; null: none. */
function leastLoaded(input: StrategyInput, vm: number): number | null {
  const { world } = input;
  const candidates = world.hosts.flatMap((_, host) => (fits(world, vm, host) ? [host] : []));
  input.isSpent(world.hosts.length);
  const ordered = candidates
    .map((host) => ({ host, load: loadWith(world, vm, host) }))
    .sort((a, b) => a.load - b.load || a.host - b.host);
  return ordered.find(({ host }) => input.costOf(vm, host) !== null)?.host ?? null;
}

const memoryWith = (world: World, vm: number, host: number): number =>
  ((world.committed[host] ?? 0) + (world.vmBytes[vm] ?? 0)) / hostAt(world, host).memoryBytes;

const cpuWith = ({ used, demand, capacity }: World, vm: number, host: number): number =>
  ((used[host * RESOURCES + CPU] ?? 0) + (demand[vm * RESOURCES + CPU] ?? 0)) / (capacity[host * RESOURCES + CPU] ?? 1);

/** The fuller of committed memory and CPU, as shares of the host, once the VM is there. */
const loadWith = (world: World, vm: number, host: number): number =>
  Math.max(memoryWith(world, vm, host), cpuWith(world, vm, host));

function proposalOf(world: World, vm: number, to: number, why: string | undefined, bundle: number): Proposal {
  const [it, source, target] = [vmAt(world, vm), hostOfVm(world, vm), hostAt(world, to)];
  const { name } = it;
  const demand = cores(world.demand[vm * RESOURCES + CPU] ?? 0);
  const cpu =
    world.cpuKnown[vm] === 1 ? `${demand} cores in use` : `CPU use unknown, counted as all its ${it.vcpus} vCPUs`;
  const pin = it.pinned === true ? " Its pin yields, for the host is to be emptied." : "";
  return {
    vm,
    to,
    bundle,
    mandatory: true,
    why: {
      vm: `${source.hostId} is to be emptied and ${name} runs there (${size(world.vmBytes[vm] ?? 0)} committed, ${cpu}); the bigger ones go first.${pin}`,
      there: `${target.hostId} stays the least loaded: ${ratio(memoryWith(world, vm, to))} of its ${size(target.memoryBytes)} committed and ${ratio(cpuWith(world, vm, to))} of its cores used with ${name} on it.`,
      now: why ?? whyNow(world, world.hostOf[vm] ?? 0),
    },
  };
}

function whyNow(world: World, from: number): string {
  const { hostId, maintenance } = hostAt(world, from);
  const reason = maintenance === undefined ? "was asked to be emptied" : `is in maintenance (${maintenance.reason})`;
  return `${hostId} ${reason}; ${counted(world.vmsOn[from]?.size ?? 0, "VM")} left on it.`;
}
