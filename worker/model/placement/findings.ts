// What is the matter with hosts, as far as a plan is to act on it.
import { detectHotspots } from "../detection/hotspots.ts";
import type { Detection } from "../detection/types.ts";
import { isEmptied } from "./affinity.ts";
import { isGroupBroken } from "./efficacy.ts";
import { counted, percent } from "./format.ts";
import { fullestOf, isHot, loadsOf } from "./hotspots.ts";
import { pressuresOf } from "./pressure.ts";
import type { Finding } from "./strategy.ts";
import { thresholdsOf } from "./thresholds.ts";
import { CPU, hostAt, knownHostIndexes, ratioOf, RESOURCE_NAMES, type World } from "./world.ts";

/**
 * Hosts that are hot, cold or not to be relied on. Where recent samples are known, hot is what k of the newest n of them and
 * the forecast are over `hotRatio`; a host whose VMs the plan has changed is judged by what it will use. Hosts of unknown
 * load are neither hot nor cold.
 */
export function findingsOf(world: World): Finding[] {
  const { snapshot, parameters } = world;
  const known = knownHostIndexes(world);
  const detections = detectHotspots(
    known.map((host) => hostAt(world, host)),
    thresholdsOf(parameters),
    snapshot.at,
  );
  const changed = changedHosts(world);
  const loads = known.flatMap((host, index): Finding[] => {
    const seen = changed.has(host) ? undefined : detections[index];
    const found = loadFinding(world, host, seen);
    return found === null ? [] : [found];
  });
  return [...healthFindings(world), ...loads];
}

/** Hosts that VMs leave or come to, by the plan or by running migrations: what they used says little of what they will. */
const changedHosts = ({ origin, hostOf, snapshot, hostIndex }: World): Set<number> => {
  const changed = new Set<number>();
  for (const { fromHostId, toHostId } of snapshot.reservations)
    for (const hostId of [fromHostId, toHostId]) changed.add(hostIndex.get(hostId) ?? -1);
  origin.forEach((from, vm) => {
    const now = hostOf[vm] ?? from;
    if (now !== from) changed.add(from).add(now);
  });
  return changed;
};

function loadFinding(world: World, host: number, seen: Detection | undefined): Finding | null {
  const { hostId } = hostAt(world, host);
  if (seen?.state === "hot" || isHot(world, host)) return hotFinding(world, host, seen);
  if (seen?.state === "warm") return { host, state: "peak", sentence: `${hostId} is warm. ${seen.sentence}` };
  return (world.vmsOn[host]?.size ?? 0) === 0 ? null : coldFinding(world, host, seen);
}

function hotFinding(world: World, host: number, seen: Detection | undefined): Finding {
  const { hostId, load } = hostAt(world, host);
  const [cause] = seen?.causes ?? [];
  const byMean = `${hostId} is hot: ${loadsOf(world, host)}, over ${percent(world.parameters.hotRatio)}.`;
  if (seen?.state === "hot" && cause?.kind !== "threshold")
    return { host, state: "hot", sentence: `${hostId} is hot. ${seen.sentence}${pressureTold(world, host)}` };
  if (seen === undefined || seen.state === "hot" || load.recent === undefined)
    return { host, state: "hot", sentence: byMean };
  const why = cause?.sentence ?? "Its newest samples are not over the threshold, or will not stay so.";
  return { host, state: "peak", sentence: `${hostId} averages ${percent(fullestOf(world, host))}. ${why}` };
}

/** What a host under pressure counts as using. */
function pressureTold(world: World, host: number): string {
  const { snapshot, parameters } = world;
  const pressures = pressuresOf(hostAt(world, host), snapshot.at, parameters, thresholdsOf(parameters));
  const resources = [...new Set(pressures.map(({ resource }) => resource))];
  const told = resources.map(
    (resource) => `${percent(ratioOf(world, host, resource))} of its ${RESOURCE_NAMES[resource]}`,
  );
  return told.length === 0 ? "" : ` It counts as using ${told.join(" and ")}: what waits is not seen in what is used.`;
}

function coldFinding(world: World, host: number, seen: Detection | undefined): Finding | null {
  const { hostId } = hostAt(world, host);
  const { coldRatio } = world.parameters;
  const cpu = ratioOf(world, host, CPU);
  const isCold = seen?.state === "cold" || (cpu < coldRatio && (seen === undefined || hasMeanOnly(world, host)));
  if (!isCold) return null;
  return { host, state: "cold", sentence: `${hostId} is cold: cpu ${percent(cpu)}, below ${percent(coldRatio)}.` };
}

/** Nothing but its mean is known of how the host's load goes. */
function hasMeanOnly(world: World, host: number): boolean {
  const { load } = hostAt(world, host);
  return load.recent === undefined && load.cpuUsedCoresP95 === undefined;
}

const healthFindings = (world: World): Finding[] =>
  world.hosts.flatMap(({ hostId }, host): Finding[] => {
    const health = world.health[host];
    if (health?.state !== "failing" && health?.state !== "degraded") return [];
    return [
      { host, state: health.state, sentence: `${hostId} is ${health.state}: ${health.reasons[0]?.sentence ?? ""}` },
    ];
  });

const LISTED_MAX = 20;

/** Everything that was seen, in sentences: hot, failing and emptied hosts one by one, cold ones counted, broken rules. */
export function seenOf(world: World, findings: readonly Finding[]): string[] {
  const told = findings.filter(({ state }) => state !== "cold").map(({ sentence }) => sentence);
  const cold = findings.filter(({ state }) => state === "cold");
  const emptied = world.hosts.flatMap((host, index) => {
    if (!isEmptied(world, index)) return [];
    return [
      `${host.hostId} is to be emptied of ${counted(world.vmsOn[index]?.size ?? 0, "VM")} (${whyEmptied(world, index)}).`,
    ];
  });
  const broken = world.groups.groups.flatMap(({ name, hard }, group) =>
    isGroupBroken(world, group) ? [`${name} (${hard ? "hard" : "soft"}) does not hold.`] : [],
  );
  const coldHosts =
    cold.length === 0
      ? []
      : [`${counted(cold.length, "host")} below ${percent(world.parameters.coldRatio)} of their cores.`];
  const all = [...told, ...emptied, ...coldHosts, ...broken];
  const rest = all.length - LISTED_MAX;
  return rest <= 0 ? all : [...all.slice(0, LISTED_MAX), `${counted(rest, "further observation")}.`];
}

function whyEmptied(world: World, host: number): string {
  const { hostId, maintenance } = hostAt(world, host);
  if (maintenance !== undefined) return `maintenance: ${maintenance.reason}`;
  return world.parameters.hostIds?.includes(hostId) === true ? "asked for" : "it is failing";
}
