// For a constraint that stands against a move, changes after which that constraint no longer does; each is true by itself.
import { isEmptied } from "./affinity.ts";
import { cooldownOf, fits, mayMove } from "./constraints.ts";
import { cores, duration, listed, money, percent, size } from "./format.ts";
import { whyNotPaying, withHorizon } from "./gain.ts";
import { DAY_MS, HOUR_MS, SECOND_MS } from "../units.ts";
import type { MoveGain, PlanParameters, Rejection } from "./types.ts";
import { CPU, hostAt, hostOfVm, NETWORK, place, RESOURCES, vmAt, type World } from "./world.ts";

/** A change, in words and as data: what to set, whom to move away, how long to wait, how much room to add. */
export type Unblock = { constraint: Rejection["constraint"]; change: string } & (
  | { kind: "parameters"; set: Partial<PlanParameters> }
  | { kind: "move-away"; vm: string; vmName: string; fromHostId: string; toHostId: string }
  | { kind: "add"; hostId: string; resource: "memory" | "cores" | "hugepages"; amount: number }
  | { kind: "wait"; ms: number }
  | { kind: "end-maintenance"; hostId: string }
  | { kind: "attach-networks"; hostId: string; networks: string[] }
  | { kind: "drop-rule"; rule: string }
  | { kind: "unpin"; vm: string }
  | { kind: "detach-blockers"; vm: string; blockers: string[] }
  | { kind: "permit"; hostId: string; direction: "in" | "out" }
  | { kind: "other" }
);

export type Blocked = {
  world: World;
  vm: number;
  to: number;
  gain: MoveGain | null;
};

type Change = Unblock extends infer Any ? (Any extends Unblock ? Omit<Any, "constraint"> : never) : never;

/** The changes that are known to take this constraint away, the smallest first; where none is, what its sentence asks for. */
export function unblocksFor(blocked: Blocked, against: Rejection): Unblock[] {
  const changes = (changesFor[against.constraint] ?? (() => []))(blocked, against);
  const told: Change[] = changes.length > 0 ? changes : [{ kind: "other", change: against.detail }];
  return told.map((change) => ({ constraint: against.constraint, ...change }) as Unblock);
}

type Changes = (blocked: Blocked, against: Rejection) => Change[];

const changesFor: Partial<Record<Rejection["constraint"], Changes>> = {
  memory: (blocked) => [...movingAway(blocked, "memory"), ...lessReserve(blocked), moreMemory(blocked)],
  cpu: (blocked) => [...movingAway(blocked, "cores"), ...higherCpuRatio(blocked), moreCores(blocked)],
  "cpu-unknown": (blocked) => [...movingAway(blocked, "cores"), ...higherCpuRatio(blocked), moreCores(blocked)],
  "cpu-peak": higherPeak,
  "network-peak": higherPeak,
  hugepages: morePages,
  cooldown: waiting,
  "moves-max": ({ world: { parameters } }, { unit, required = 0, available = 0 }) => {
    if (unit === "bytes") {
      const change = `raise movedBytesMax from ${size(available)} to ${size(required)} (${required} bytes)`;
      return [{ kind: "parameters", set: { movedBytesMax: required }, change }];
    }
    const movesMax = parameters.movesMax + 1;
    return movesMax > 1000
      ? []
      : [{ kind: "parameters", set: { movesMax }, change: `raise movesMax from ${movesMax - 1} to ${movesMax}` }];
  },
  "no-gain": paying,
  "host-maintenance": (_, { hostId = "" }) => [
    { kind: "end-maintenance", hostId, change: `end the maintenance of ${hostId}` },
  ],
  network: missingNetworks,
  pinned: ({ world, vm }) => [{ kind: "unpin", vm: vmAt(world, vm).uuid, change: `unpin ${vmAt(world, vm).name}` }],
  blocker: ({ world, vm }) => {
    const { uuid, name, blockers = [] } = vmAt(world, vm);
    return [{ kind: "detach-blockers", vm: uuid, blockers, change: `detach ${listed(blockers)} from ${name}` }];
  },
  "host-policy": ({ world, to }, { hostId = "" }) => {
    const direction = hostAt(world, to).hostId === hostId ? "in" : "out";
    return [{ kind: "permit", hostId, direction, change: `permit \`${direction}\` in the local policy of ${hostId}` }];
  },
  "anti-affinity": droppingRule,
  affinity: droppingRule,
  "host-affinity": droppingRule,
};

/** The smallest VM on the destination that may move, has a place elsewhere, and leaves enough room when it goes there. */
function movingAway({ world, vm, to }: Blocked, of: "memory" | "cores"): Change[] {
  const others = [...(world.vmsOn[to] ?? [])].filter((other) => other !== vm && mayMove(world, other));
  const need = (other: number): number =>
    (of === "memory" ? world.vmBytes[other] : world.demand[other * RESOURCES + CPU]) ?? 0;
  for (const other of others.sort((a, b) => need(a) - need(b) || a - b)) {
    if (need(other) < shortOf({ world, vm, to }, of)) continue;
    const elsewhere = world.hosts.findIndex((_, host) => fits(world, other, host));
    if (elsewhere === -1) continue;
    place(world, other, elsewhere);
    const isEnough = shortOf({ world, vm, to }, of) <= 0;
    place(world, other, to);
    if (!isEnough) continue;
    const [{ uuid, name }, { hostId }, { hostId: toHostId }] = [
      vmAt(world, other),
      hostAt(world, to),
      hostAt(world, elsewhere),
    ];
    const amount = (value: number): string => (of === "memory" ? size(value) : `${cores(value)} cores`);
    const change = `free ${amount(shortOf({ world, vm, to }, of))} on ${hostId}: moving ${name} (${amount(need(other))}) to ${toHostId} would do`;
    return [{ kind: "move-away", vm: uuid, vmName: name, fromHostId: hostId, toHostId, change }];
  }
  return [];
}

type Place = Pick<Blocked, "world" | "vm" | "to">;

/** Bytes or cores that the destination lacks; 0 or less: none. */
function shortOf({ world, vm, to }: Place, of: "memory" | "cores"): number {
  if (of === "memory") return (world.committed[to] ?? 0) + (world.vmBytes[vm] ?? 0) - (world.ceiling[to] ?? 0);
  const ceiling = hostAt(world, to).cpu.cores * world.parameters.cpuRatioMax;
  return coresWith({ world, vm, to }) - ceiling;
}

const coresWith = ({ world, vm, to }: Place): number =>
  Math.max(0, world.used[to * RESOURCES + CPU] ?? 0) + (world.demand[vm * RESOURCES + CPU] ?? 0);

/** Up to the next hundredth: what is said in words is what is set. */
const up = (ratio: number): number => Math.ceil(ratio * 100 + 1e-6) / 100;
const down = (ratio: number): number => Math.floor(ratio * 100 - 1e-6) / 100;

function lessReserve({ world, vm, to }: Blocked): Change[] {
  const needs = (world.committed[to] ?? 0) + (world.vmBytes[vm] ?? 0);
  const memoryReserveRatio = down(1 - needs / hostAt(world, to).memoryBytes);
  if (memoryReserveRatio < 0) return [];
  const { memoryReserveRatio: was } = world.parameters;
  const change = `lower memoryReserveRatio from ${percent(was)} to ${percent(memoryReserveRatio)}`;
  return [{ kind: "parameters", set: { memoryReserveRatio }, change }];
}

function moreMemory({ world, vm, to }: Blocked): Change {
  const short = Math.ceil(shortOf({ world, vm, to }, "memory"));
  const amount = Math.ceil((short + 1) / (1 - world.parameters.memoryReserveRatio));
  const { hostId } = hostAt(world, to);
  const change = `free ${size(short)} on ${hostId}, or give it ${size(amount)} more memory`;
  return { kind: "add", hostId, resource: "memory", amount, change };
}

function higherCpuRatio(blocked: Blocked): Change[] {
  const { world, to } = blocked;
  const cpuRatioMax = up(coresWith(blocked) / hostAt(world, to).cpu.cores);
  if (cpuRatioMax > 1) return [];
  const change = `raise cpuRatioMax from ${world.parameters.cpuRatioMax.toFixed(2)} to ${cpuRatioMax.toFixed(2)}`;
  return [{ kind: "parameters", set: { cpuRatioMax }, change }];
}

function moreCores(blocked: Blocked): Change {
  const { world, to } = blocked;
  const short = Math.max(0, shortOf(blocked, "cores"));
  const amount = Math.ceil(short / world.parameters.cpuRatioMax);
  const { hostId } = hostAt(world, to);
  const change = `free ${cores(Math.ceil(short * 100) / 100)} cores on ${hostId}, or give it ${amount} more`;
  return { kind: "add", hostId, resource: "cores", amount, change };
}

/** Of both resources the higher need: the sentence named the first that was short. */
function higherPeak({ world, vm, to }: Blocked): Change[] {
  const peaks = [CPU, NETWORK].map((resource) => {
    const [ofHost, ofVm] = [to * RESOURCES + resource, vm * RESOURCES + resource];
    const [total, comes] = [world.capacity[ofHost] ?? 0, world.demand[ofVm] ?? 0];
    if (total <= 0 || comes <= 0) return 0;
    const variance = (world.variance[ofHost] ?? 0) + (world.demandVariance[ofVm] ?? 0);
    return (Math.max(0, world.used[ofHost] ?? 0) + comes + 1.645 * Math.sqrt(Math.max(0, variance))) / total;
  });
  const peakRatioMax = up(Math.max(...peaks));
  if (peakRatioMax > 2) return [];
  const change = `raise peakRatioMax from ${percent(world.parameters.peakRatioMax)} to ${percent(peakRatioMax)}`;
  return [{ kind: "parameters", set: { peakRatioMax }, change }];
}

/** Of a pool that the host has: one that it lacks is not made room in. */
function morePages({ world, vm, to }: Blocked): Change[] {
  const { hostId } = hostAt(world, to);
  const { hugepageBytes = 0, memoryBytes } = vmAt(world, vm);
  const free = world.hugeFree[to]?.get(hugepageBytes);
  if (free === undefined) return [];
  const amount = memoryBytes - free;
  const change = `free ${size(amount)} of huge pages on ${hostId}`;
  return [{ kind: "add", hostId, resource: "hugepages", amount, change }];
}

function waiting({ world, vm }: Blocked): Change[] {
  const { snapshot, parameters } = world;
  const { uuid, name } = vmAt(world, vm);
  const rested = snapshot.at - (snapshot.lastMovedAt[uuid] ?? 0);
  const ms = cooldownOf(snapshot.movesLastDay?.[uuid] ?? 1, parameters) - rested;
  return [{ kind: "wait", ms, change: `wait ${duration(Math.max(SECOND_MS, ms))}, until ${name} has rested` }];
}

function missingNetworks({ world, vm, to }: Blocked): Change[] {
  const { hostId, networks: has = [] } = hostAt(world, to);
  const networks = [...new Set((vmAt(world, vm).nics ?? []).map(({ network }) => network))].filter(
    (it) => !has.includes(it),
  );
  return [{ kind: "attach-networks", hostId, networks, change: `attach ${listed(networks)} to ${hostId}` }];
}

/** The rule that the sentence names; labels are taken off the VM. */
function droppingRule({ world, vm }: Blocked, { detail }: Rejection): Change[] {
  const names = (world.groups.ofVm[vm] ?? []).flatMap((group) => world.groups.groups[group]?.name ?? []);
  const rule = names.filter((name) => detail.includes(name)).sort((a, b) => b.length - a.length)[0];
  if (rule === undefined) return [];
  const label = /^group (.*)$/.exec(rule)?.[1];
  const change = label === undefined ? `drop ${rule}` : `take the label ${label} off ${vmAt(world, vm).name}`;
  return [{ kind: "drop-rule", rule, change }];
}

/** A lower bar, or a longer horizon over which the gain adds up; neither where the move only costs. */
function paying({ world, gain, vm, to }: Blocked, { constraint }: Rejection): Change[] {
  const { parameters } = world;
  if (gain === null || constraint !== "no-gain" || world.hostOf[vm] === to || isEmptied(world, to)) return [];
  const ways: Partial<PlanParameters>[] = [];
  const { savedRatio } = gain;
  const bar = savedRatio < parameters.gainRatioMin && savedRatio >= 0 ? { gainRatioMin: floored(savedRatio) } : {};
  if (gain.net >= 0)
    ways.push({ ...(gain.net < parameters.netGainMin ? { netGainMin: floored(gain.net) } : {}), ...bar });
  if (gain.perHour > 0 && gain.net < parameters.netGainMin) {
    const hours = Math.ceil((gain.cost + parameters.netGainMin) / gain.perHour + 1e-6);
    if (hours * HOUR_MS <= 30 * DAY_MS) ways.push({ horizonMs: hours * HOUR_MS, ...bar });
  }
  const isTrue = (set: Partial<PlanParameters>): boolean => {
    const changed = { ...parameters, ...set };
    return whyNotPaying(withHorizon(gain, changed), hostOfVm(world, vm).hostId, changed) === null;
  };
  return ways
    .filter((set) => Object.keys(set).length > 0 && isTrue(set))
    .map((set) => ({ kind: "parameters", set, change: inWords(set, parameters) }));
}

/** To two digits, downwards. */
function floored(value: number): number {
  if (value <= 0) return 0;
  const unit = 10 ** (Math.floor(Math.log10(value)) - 1);
  return Number((Math.floor(value / unit) * unit).toPrecision(2));
}

function inWords({ netGainMin, gainRatioMin, horizonMs }: Partial<PlanParameters>, was: PlanParameters): string {
  const parts = [
    netGainMin === undefined ? [] : [`lower netGainMin from ${money(was.netGainMin)} to ${netGainMin}`],
    horizonMs === undefined ? [] : [`lengthen the horizon from ${duration(was.horizonMs)} to ${horizonMs / HOUR_MS} h`],
    gainRatioMin === undefined ? [] : [`lower gainRatioMin from ${percent(was.gainRatioMin)} to ${gainRatioMin}`],
  ];
  return parts.flat().join(" and ");
}
