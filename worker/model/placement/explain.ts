// Why a plan is what it is, in sentences with numbers.
import type { SnapshotVm } from "../cluster.ts";
import type { MoveCost } from "./cost.ts";
import { counted, duration, size } from "./format.ts";
import type { PlanContent, PlanParameters, Rejection } from "./types.ts";

/** So many hosts are told one by one; what is beyond is counted, so that a plan for a large cluster stays readable. */
const HOSTS_LISTED_MAX = 16;

/** Hosts that are out of the question, whatever room they may have. */
const OUT: readonly Rejection["constraint"][] = [
  "host-unknown",
  "host-stale",
  "host-being-evacuated",
  "host-maintenance",
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
function tally(objections: readonly Rejection[][]): string {
  const counts = new Map<string, number>();
  for (const [first] of objections) {
    if (first !== undefined) counts.set(first.constraint, (counts.get(first.constraint) ?? 0) + 1);
  }
  const ordered = [...counts].toSorted(([, a], [, b]) => b - a);
  return ordered.map(([constraint, count]) => `${constraint} ${count}`).join(", ");
}

/** What stands against each host, one list a host: the nearest hosts in full, the others in one line with their counts. */
export function listedObjections(objections: readonly Rejection[][]): Rejection[] {
  const ordered = nearestFirst(objections);
  const rest = ordered.slice(HOSTS_LISTED_MAX);
  const told = ordered.slice(0, HOSTS_LISTED_MAX).flat();
  if (rest.length === 0) return told;
  return [...told, { constraint: "no-host", detail: `${rest.length} further hosts: ${tally(rest)}.` }];
}

/** Why no host takes the VM and which comes nearest, then what stands against each. */
export function noHost(vm: SnapshotVm, objections: readonly Rejection[][]): Rejection[] {
  const needs = `${vm.name} (${size(vm.memoryBytes)}, ${counted(vm.vcpus, "vCPU")})`;
  const nearest = nearestFirst(objections)[0]?.[0];
  const detail =
    nearest === undefined
      ? `there is no other host to take ${needs}: add one.`
      : `none of ${counted(objections.length, "host")} can take ${needs}: ${tally(objections)}. Nearest: ${nearest.detail}`;
  return [{ constraint: "no-host", detail }, ...listedObjections(objections)];
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

/** Ends a sentence with the hosts that took no part, if any. */
export function unknownTail(unknownHosts: PlanContent["unknownHosts"]): string {
  if (unknownHosts.length === 0) return "";
  const names = unknownHosts.map(({ hostId }) => hostId);
  return `; left out because their load is unknown: ${names.join(", ")}`;
}

/** How many VMs stay because of what, with the numbers of the first of them. Nothing where none stays. */
export function mainObstacle(notMoved: PlanContent["notMoved"]): string {
  const blocking = notMoved.map(({ rejections }) => rejections.filter(({ constraint }) => constraint !== "no-host"));
  const first = notMoved[0]?.rejections[0];
  if (first === undefined) return "";
  const stay = notMoved.length === 1 ? "1 VM stays" : `${notMoved.length} VMs stay`;
  return `${stay} (${tally(blocking)}): ${first.detail}`;
}
