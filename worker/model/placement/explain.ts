// Why a plan is what it is, in sentences with numbers.
import { arrivalRejections, fits, stayingReasons } from "./constraints.ts";
import type { MoveCost } from "./cost.ts";
import { cores, counted, duration, money, percent, ratio, size } from "./format.ts";
import type { MoveGain, PlanContent, PlanParameters, Rejection } from "./types.ts";
import { CPU, hostAt, RESOURCES, vmAt, type World } from "./world.ts";

/** So many hosts are told one by one; what is beyond is counted, so that a plan for a large cluster stays readable. */
const HOSTS_LISTED_MAX = 16;
/** So many are looked at closely: those with the most free memory. */
const HOSTS_ASKED_MAX = 64;

/** Hosts that are out of the question, whatever room they may have. */
const OUT: readonly Rejection["constraint"][] = [
  "host-unknown",
  "host-stale",
  "host-being-evacuated",
  "host-maintenance",
  "out-of-scope",
  "host-failing",
  "host-degraded",
];

/**
 * How near a host is to taking the VM: 3 it only lost, 2 it has the room and no mechanism gets there, 0 to 1 the share of
 * what is required that it has, -1 out of the question.
 */
function nearness([first]: Rejection[]): number {
  if (first === undefined || OUT.includes(first.constraint)) return -1;
  if (first.constraint === "no-gain") return 3;
  if (first.constraint === "no-mechanism") return 2;
  return first.required === undefined || first.available === undefined ? 0 : first.available / first.required;
}

/** Hosts by how near they are: those out of the question last, else fewest objections first, then the smallest shortfall. */
function nearestFirst(objections: readonly Rejection[][]): Rejection[][] {
  const isOut = (against: Rejection[]): number => (nearness(against) < 0 ? 1 : 0);
  return objections.toSorted((a, b) => isOut(a) - isOut(b) || a.length - b.length || nearness(b) - nearness(a));
}

/** "memory 3, cpu 2": how many hosts name a constraint first, the commonest ahead. */
export function tally(objections: readonly Rejection[][]): string {
  const counts = new Map<string, number>();
  for (const [first] of objections) {
    if (first !== undefined) counts.set(first.constraint, (counts.get(first.constraint) ?? 0) + 1);
  }
  const ordered = [...counts].toSorted(([, a], [, b]) => b - a);
  return ordered.map(([constraint, count]) => `${constraint} ${count}`).join(", ");
}

/** What stands against each host, one list a host: the nearest hosts in full, the others in one line with their counts. */
export function listedObjections(objections: readonly Rejection[][], unasked = 0): Rejection[] {
  const ordered = nearestFirst(objections);
  const rest = ordered.slice(HOSTS_LISTED_MAX);
  const told = ordered.slice(0, HOSTS_LISTED_MAX).flat();
  if (rest.length + unasked === 0) return told;
  const counts = rest.length === 0 ? "" : `: ${tally(rest)}`;
  const detail = `${counted(rest.length + unasked, "further host")}${counts}.`;
  return [...told, { constraint: "no-host", detail }];
}

/** The hosts that are asked about a VM, and how many are not: in a large cluster those with the most free memory. */
function askedHosts(world: World, without: readonly number[]): { asked: number[]; unasked: number } {
  const others = world.hosts.flatMap((_, host) => (without.includes(host) ? [] : [host]));
  if (others.length <= HOSTS_ASKED_MAX) return { asked: others, unasked: 0 };
  const room = (host: number): number =>
    world.unknown[host] === null ? (world.ceiling[host] ?? 0) - (world.committed[host] ?? 0) : -1;
  const asked = others.sort((a, b) => room(b) - room(a) || a - b).slice(0, HOSTS_ASKED_MAX);
  return { asked, unasked: others.length - asked.length };
}

/** Why no host takes the VM and which comes nearest, then what stands against each. `also`: what else is known against one. */
export function noHostFor(
  world: World,
  vm: number,
  also: (host: number) => Rejection | null = () => null,
): Rejection[] {
  const it = world.vms[vm];
  const { asked, unasked } = askedHosts(world, [world.hostOf[vm] ?? 0]);
  const objections = asked.map((host) => {
    const hard = arrivalRejections(world, vm, host);
    const more = hard.length > 0 ? null : also(host);
    return more === null ? hard : [...hard, more];
  });
  const needs = `${it?.name} (${size(it?.memoryBytes ?? 0)}, ${counted(it?.vcpus ?? 0, "vCPU")})`;
  const nearest = nearestFirst(objections)[0]?.[0];
  const detail =
    nearest === undefined
      ? `there is no other host to take ${needs}: add one.`
      : `none of ${counted(asked.length + unasked, "host")} can take ${needs}: ${tally(objections)}. Nearest: ${nearest.detail}`;
  return [{ constraint: "no-host", detail }, ...listedObjections(objections, unasked)];
}

/**
 * Why a VM of a host that should be relieved stays: what keeps it there, that its use is not known, or what stands against
 * every other host. `also`: what else is known against one.
 */
export function whyStuck(world: World, vm: number, also: (host: number) => Rejection | null): Rejection[] {
  const staying = stayingReasons(world, vm);
  if (staying.length > 0) return staying;
  const { name } = vmAt(world, vm);
  if (world.cpuKnown[vm] !== 1) {
    const detail = `the CPU use of ${name} is unknown, so what moving it would gain is too: its agent must send cpu_used_cores.`;
    return [{ constraint: "cpu-unknown", detail }];
  }
  return noHostFor(world, vm, (host) => also(host) ?? wouldBeHot(world, vm, host));
}

/** That the host would only become what the other is now, or that nothing would be gained. */
function wouldBeHot(world: World, vm: number, host: number): Rejection {
  const { hostId } = hostAt(world, host);
  const { hotRatio } = world.parameters;
  const at = host * RESOURCES + CPU;
  const required = world.demand[vm * RESOURCES + CPU] ?? 0;
  const available = Math.max(0, (world.capacity[at] ?? 0) * hotRatio - (world.used[at] ?? 0));
  if (required > available) {
    const detail = `${hostId} would be hot: it takes ${cores(available)} more cores up to ${percent(hotRatio)} of its ${cores(world.capacity[at] ?? 0)}, ${vmAt(world, vm).name} uses ${cores(required)}.`;
    return { hostId, constraint: "cpu", detail, required, available, unit: "cores" };
  }
  const detail = `${vmAt(world, vm).name} on ${hostId} would not even out the cluster: ${cores(required)} of the ${cores(available)} cores that it may still use.`;
  return { hostId, constraint: "no-gain", detail, required, available, unit: "cores" };
}

/** The hosts other than the chosen one, in the state before the move: what each lacks, or that it could have been taken too. */
export function notChosenFor(world: World, vm: number, to: number): Rejection[] {
  const { asked, unasked } = askedHosts(world, [world.hostOf[vm] ?? 0, to]);
  let fitting = 0;
  const objections = asked.map((host): Rejection[] => {
    if (!fits(world, vm, host)) return arrivalRejections(world, vm, host);
    fitting += 1;
    // Those are the nearest, in this order: beyond what is listed they are only counted.
    return fitting <= HOSTS_LISTED_MAX ? [lostTo(world, vm, to, host)] : [{ constraint: "no-gain", detail: "" }];
  });
  return listedObjections(objections, unasked);
}

function lostTo(world: World, vm: number, winner: number, loser: number): Rejection {
  const cpu = (host: number): number =>
    ((world.used[host * RESOURCES + CPU] ?? 0) + (world.demand[vm * RESOURCES + CPU] ?? 0)) /
    (world.capacity[host * RESOURCES + CPU] ?? 1);
  const memory = (host: number): number =>
    ((world.committed[host] ?? 0) + (world.vmBytes[vm] ?? 0)) / (world.hosts[host]?.memoryBytes ?? 1);
  const [hostId, other] = [world.hosts[loser]?.hostId ?? "", world.hosts[winner]?.hostId ?? ""];
  const detail = `${hostId} could take it too and would be at ${ratio(cpu(loser))} of its cores and ${ratio(memory(loser))} of its memory committed; ${other} at ${ratio(cpu(winner))} and ${ratio(memory(winner))} does the plan's goal more good.`;
  return { hostId, constraint: "no-gain", detail, required: cpu(winner), available: cpu(loser), unit: "ratio" };
}

/** Why this mechanism, with the figures that decided. */
export function whyMechanism(cost: Extract<MoveCost, { possible: true }>, parameters: PlanParameters): string[] {
  const { mechanism, transferredBytes, totalMs, downtimeMs } = cost.estimate;
  const blackout =
    downtimeMs === null
      ? "no blackout, cancelled at its deadline as likely as not"
      : `a blackout of at most ${duration(downtimeMs.p90)} at p90`;
  const figures = `${mechanism}: ${size(transferredBytes.p50)} in ${duration(totalMs.p50)} and ${blackout}, where ${duration(parameters.downtimeSloMs)} are allowed.`;
  return [figures, ...cost.reasons];
}

/** What it brings and costs. */
export function whyItPays(gain: MoveGain, members: number): string {
  const who = members === 1 ? "It" : `The ${members} moves that belong together`;
  const verb = members === 1 ? "saves" : "save";
  const costs = members === 1 ? "costs" : "cost";
  if (gain.paybackMs === null)
    return `${who} must be made and ${costs} ${money(gain.cost)}; ${money(gain.overHorizon)} over the horizon are saved.`;
  return `${who} ${verb} ${money(gain.overHorizon)} over the horizon and ${costs} ${money(gain.cost)}: net ${money(gain.net)}, paid back in ${duration(gain.paybackMs)}${gain.mandatory ? ", and must be made in any case" : ""}.`;
}

/** Ends a sentence with the hosts that took no part, if any. */
export function unknownTail(unknownHosts: PlanContent["unknownHosts"]): string {
  if (unknownHosts.length === 0) return "";
  const names = unknownHosts.map(({ hostId }) => hostId);
  const listed =
    names.length <= 20 ? names.join(", ") : `${names.slice(0, 20).join(", ")} and ${names.length - 20} more`;
  return `; left out because their load is unknown: ${listed}`;
}

/** How many VMs stay because of what, with the numbers of the first of them. Nothing where none stays. */
export function mainObstacle(notMoved: PlanContent["notMoved"]): string {
  const blocking = notMoved.map(({ rejections }) => rejections.filter(({ constraint }) => constraint !== "no-host"));
  const first = notMoved[0]?.rejections[0];
  if (first === undefined) return "";
  const stay = notMoved.length === 1 ? "1 VM stays" : `${notMoved.length} VMs stay`;
  return `${stay} (${tally(blocking)}): ${first.detail}`;
}
