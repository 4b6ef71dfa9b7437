// What is the matter with hosts, as far as a plan is to act on it.
import { counted, percent } from "./format.ts";
import type { Finding } from "./strategy.ts";
import { isEmptied } from "./affinity.ts";
import { isGroupBroken } from "./efficacy.ts";
import { CPU, knownHostIndexes, MEMORY, NETWORK, ratioOf, RESOURCE_NAMES, type World } from "./world.ts";

/** Hosts that are hot or cold by what they use. Hosts of unknown load are neither. */
export function findingsOf(world: World): Finding[] {
  const { hotRatio, coldRatio } = world.parameters;
  return knownHostIndexes(world).flatMap((host): Finding[] => {
    const { hostId } = world.hosts[host] ?? { hostId: "" };
    const hot = [CPU, MEMORY, NETWORK].filter((resource) => ratioOf(world, host, resource) > hotRatio);
    if (hot.length > 0) {
      const what = hot
        .map((resource) => `${RESOURCE_NAMES[resource]} ${percent(ratioOf(world, host, resource))}`)
        .join(", ");
      return [{ host, state: "hot", sentence: `${hostId} is hot: ${what}, over ${percent(hotRatio)}.` }];
    }
    const cpu = ratioOf(world, host, CPU);
    if (cpu >= coldRatio || (world.vmsOn[host]?.size ?? 0) === 0) return [];
    return [{ host, state: "cold", sentence: `${hostId} is cold: cpu ${percent(cpu)}, below ${percent(coldRatio)}.` }];
  });
}

const LISTED_MAX = 20;

/** Everything that was seen, in sentences: hot, failing and emptied hosts one by one, cold ones counted, broken rules. */
export function seenOf(world: World, findings: readonly Finding[]): string[] {
  const told = findings.filter(({ state }) => state !== "cold").map(({ sentence }) => sentence);
  const cold = findings.filter(({ state }) => state === "cold");
  const emptied = world.hosts.flatMap((host, index) => {
    if (!isEmptied(world, index)) return [];
    const why = host.maintenance === undefined ? "asked for" : `maintenance: ${host.maintenance.reason}`;
    return [`${host.hostId} is to be emptied of ${counted(world.vmsOn[index]?.size ?? 0, "VM")} (${why}).`];
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
