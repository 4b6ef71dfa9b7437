// Hard constraints: what stands against a move, each with its numbers. Nothing here weighs or prefers. What each refuses is
// said twice: `fits` and `mayMove` answer quickly, `rejectionsIn` and `stayingReasons` with sentences; a property holds them
// together. Precedence: maintenance beats a pin, a pin beats affinity, affinity beats every preference.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import type { HostHealth } from "../detection/health.ts";
import { DAY_MS, HOUR_MS } from "../units.ts";
import { managed, unlikeness } from "./compatibility.ts";
import { cores, duration, listed, percent, rate, size } from "./format.ts";
import { affinityFits, affinityRejections, isEmptied } from "./affinity.ts";
import { isHostNamed, isVmNamed } from "./groups.ts";
import { hostOf } from "./state.ts";
import type { PlanParameters, Rejection } from "./types.ts";
import { createWorld } from "./create-world.ts";
import { CPU, hostAt, NETWORK, P95_DEVIATIONS, peakRatioOf, RESOURCES, vmAt, type World } from "./world.ts";

/** Sums of cores are floating point: what differs by less is the same. */
export const CORES_EPSILON = 1e-9;
const COOLDOWN_MS_MAX = 8 * HOUR_MS;

/** What keeps a VM on its host, wherever it was to go. Empty: nothing does. */
export function stayingReasons(world: World, vm: number): Rejection[] {
  const host = world.hostOf[vm] ?? 0;
  const unknown = world.unknown[host];
  if (unknown !== null && unknown !== undefined) return [unknown];
  const [it, from] = [world.vms[vm], world.hosts[host]];
  if (it === undefined || from === undefined) return [];
  return leavingChecks.map((check) => check(world, vm, it, from)).filter((rejection) => rejection !== null);
}

/** The same as a yes or no. */
export const mayMove = (world: World, vm: number): boolean => stayingReasons(world, vm).length === 0;

/** Everything that stands against moving the VM to this host in this state; empty: no hard constraint. Its cost is not asked. */
export function rejectionsIn(world: World, vm: number, to: number): Rejection[] {
  return [...stayingReasons(world, vm), ...arrivalRejections(world, vm, to)];
}

/** What the destination alone has against it. */
export function arrivalRejections(world: World, vm: number, to: number): Rejection[] {
  const unknown = world.unknown[to];
  if (unknown !== null && unknown !== undefined) return [unknown];
  const [it, host, from] = [world.vms[vm], world.hosts[to], world.hosts[world.origin[vm] ?? 0]];
  if (it === undefined || host === undefined || from === undefined) return [];
  const { hostId } = host;
  if (world.hostOf[vm] === to)
    return [{ hostId, constraint: "no-gain", detail: `${it.name} is on ${hostId} already.` }];
  return [
    emptied(world, to, host),
    outOfScope(world, host),
    ...unlikeness({ vm: it, from, to: host }),
    memory(world, vm, to, it, host),
    cpu(world, vm, to, it, host),
    peak(world, vm, to, it, host),
    hugepages(world, to, it, host),
    ...affinityRejections(world, vm, to),
  ].filter((rejection) => rejection !== null);
}

/** Whether the destination has nothing against the VM in this state: `arrivalRejections` without its sentences. */
export function fits(world: World, vm: number, to: number): boolean {
  if (world.unknown[to] !== null || world.hostOf[vm] === to || !hasRoom(world, vm, to)) return false;
  const [it, host] = [vmAt(world, vm), hostAt(world, to)];
  return (
    world.isPlaceFor(vm, to) &&
    emptied(world, to, host) === null &&
    outOfScope(world, host) === null &&
    peakShort(world, vm, to) === null &&
    (it.hugepageBytes === undefined || hugeFreeFor(world, to, it) >= it.memoryBytes) &&
    affinityFits(world, vm, to)
  );
}

/** Memory and cores, which refuse most. */
const hasRoom = (world: World, vm: number, to: number): boolean =>
  (world.committed[to] ?? 0) + (world.vmBytes[vm] ?? 0) <= (world.ceiling[to] ?? 0) &&
  coresShort(world, vm, to) <= CORES_EPSILON;

type Leaving = (world: World, vm: number, it: SnapshotVm, from: SnapshotHost) => Rejection | null;

const leavingChecks: readonly Leaving[] = [
  function running(_world, _vm, { name, state }) {
    if (state === "running") return null;
    return { constraint: "vm-state", detail: `${name} is ${state}: only a running VM is live-migrated.` };
  },
  function reportedOnce(_world, _vm, { name, reportedBy }) {
    if (reportedBy === undefined) return null;
    const detail = `${name} is reported to run on ${reportedBy}: nothing is done with it until one host alone says so.`;
    return { constraint: "vm-state", detail };
  },
  function notMigrating({ migrating }, vm, { name }) {
    const running = migrating.get(vm);
    if (running === undefined) return null;
    const detail = `${name} is being migrated to ${running.toHostId} (${running.migrationId}): wait for its end.`;
    return { constraint: "migrating", detail };
  },
  function notPinned(world, vm, { name, pinned }) {
    if (pinned !== true || isEmptied(world, world.hostOf[vm] ?? 0)) return null;
    return { constraint: "pinned", detail: `${name} is pinned to its host: unpin it to let it move.` };
  },
  function notBlocked(_world, _vm, { name, blockers }) {
    if (blockers === undefined || blockers.length === 0) return null;
    const detail = `${name} cannot be live-migrated because of ${listed(blockers)}: detach it or stop the VM.`;
    return { constraint: "blocker", detail };
  },
  function cooledDown(world, vm, { name, uuid }) {
    const { snapshot, parameters } = world;
    const movedAt = snapshot.lastMovedAt[uuid];
    // An emptied host cannot wait for its VMs to have rested.
    if (movedAt === undefined || isEmptied(world, world.hostOf[vm] ?? 0)) return null;
    const required = cooldownOf(snapshot.movesLastDay?.[uuid] ?? 1, parameters);
    const restedMs = snapshot.at - movedAt;
    if (restedMs >= required) return null;
    const detail = `${name} was moved ${duration(restedMs)} ago and rests for ${duration(required)}: wait ${duration(required - restedMs)} or lower cooldownMs.`;
    return { constraint: "cooldown", detail, required, available: restedMs, unit: "ms" };
  },
  function inScope({ parameters }, _vm, it, from) {
    const { vms, hosts } = parameters.scope ?? {};
    const outside = [
      vms !== undefined && !isVmNamed(vms, it) ? it.name : null,
      hosts !== undefined && !isHostNamed(hosts, from) ? from.hostId : null,
    ].find((name) => name !== null);
    if (outside === undefined) return null;
    return { constraint: "out-of-scope", detail: `${outside} is outside the plan's scope: widen it to let it move.` };
  },
  function sourcePermits(_world, _vm, _it, { hostId, policy }) {
    if (policy?.out !== false) return null;
    const detail = `the agent of ${hostId} lets no VM out: its local policy must permit \`out\`.`;
    return { hostId, constraint: "host-policy", detail };
  },
  (_world, _vm, _it, from) => managed(from),
];

/** How long a VM rests after its last move: doubled for every further one of the last 24 h. */
export function cooldownOf(movesLastDay: number, { cooldownMs }: PlanParameters): number {
  const doubled = cooldownMs * 2 ** Math.max(0, movesLastDay - 1);
  return Math.max(cooldownMs, Math.min(doubled, COOLDOWN_MS_MAX, DAY_MS));
}

function emptied({ parameters, health }: World, to: number, { hostId, maintenance }: SnapshotHost): Rejection | null {
  if (parameters.hostIds?.includes(hostId) === true)
    return { hostId, constraint: "host-being-evacuated", detail: `${hostId} is being evacuated itself.` };
  if (maintenance === undefined) return unreliable(hostId, health[to]);
  const until = maintenance.until === undefined ? "" : ` until ${new Date(maintenance.until).toISOString()}`;
  const detail = `${hostId} is in maintenance${until} (${maintenance.reason}): end it to let VMs in.`;
  return { hostId, constraint: "host-maintenance", detail };
}

/** Nothing is placed on a host that may not last. */
function unreliable(hostId: string, health: HostHealth | undefined): Rejection | null {
  if (health?.state !== "failing" && health?.state !== "degraded") return null;
  const detail = `${hostId} is ${health.state}: ${health.reasons[0]?.sentence ?? "see its conditions."}`;
  return { hostId, constraint: `host-${health.state}`, detail };
}

function outOfScope({ parameters }: World, host: SnapshotHost): Rejection | null {
  const hosts = parameters.scope?.hosts;
  if (hosts === undefined || isHostNamed(hosts, host)) return null;
  const { hostId } = host;
  return { hostId, constraint: "out-of-scope", detail: `${hostId} is outside the plan's scope: widen it to use it.` };
}

function memory(world: World, vm: number, to: number, it: SnapshotVm, host: SnapshotHost): Rejection | null {
  const ceiling = world.ceiling[to] ?? 0;
  const committed = world.committed[to] ?? 0;
  const required = world.vmBytes[vm] ?? 0;
  const short = committed + required - ceiling;
  if (short <= 0) return null;
  const { hostId, memoryBytes } = host;
  const detail = `${hostId} may commit ${size(ceiling)} (${size(memoryBytes)} less ${percent(world.parameters.memoryReserveRatio)}) and has committed ${size(committed)}; ${it.name} needs ${size(required)}, ${size(short)} too much.`;
  const available = Math.max(0, Math.floor(ceiling - committed));
  return { hostId, constraint: "memory", detail, required, available, unit: "bytes" };
}

const usedCores = (world: World, host: number): number => Math.max(0, world.used[host * RESOURCES + CPU] ?? 0);

/** Cores that are missing; 0 or less: there are enough. */
function coresShort(world: World, vm: number, to: number): number {
  const ceiling = (world.capacity[to * RESOURCES + CPU] ?? 0) * world.parameters.cpuRatioMax;
  return usedCores(world, to) + coresAt(world, vm, to) - ceiling;
}

/** What the VM takes there: where its use is unknown and it comes back to where it was, nothing that is not counted yet. */
const coresAt = ({ origin, cpuKnown, demand }: World, vm: number, host: number): number =>
  origin[vm] === host && cpuKnown[vm] === 0 ? 0 : (demand[vm * RESOURCES + CPU] ?? 0);

function cpu(world: World, vm: number, to: number, it: SnapshotVm, host: SnapshotHost): Rejection | null {
  const short = coresShort(world, vm, to);
  if (short <= CORES_EPSILON) return null;
  const { hostId } = host;
  const ceiling = host.cpu.cores * world.parameters.cpuRatioMax;
  const used = usedCores(world, to);
  const required = coresAt(world, vm, to);
  const known = world.cpuKnown[vm] === 1;
  const needs = known ? `uses ${cores(required)} cores` : `has unknown CPU use and counts as all its ${it.vcpus} vCPUs`;
  const detail = `${hostId} may use ${cores(ceiling)} of its ${cores(host.cpu.cores)} cores and has ${cores(used)} in use; ${it.name} ${needs}, ${cores(short)} too many.`;
  const available = Math.max(0, ceiling - used);
  return { hostId, constraint: known ? "cpu" : "cpu-unknown", detail, required, available, unit: "cores" };
}

/** The resource that would be above `peakRatioMax` at p95, and is not by itself already; null: none. */
function peakShort(world: World, vm: number, to: number): { resource: number; after: number } | null {
  const { demand, demandVariance, capacity, used, variance, parameters } = world;
  for (const resource of [CPU, NETWORK]) {
    const [ofHost, ofVm] = [to * RESOURCES + resource, vm * RESOURCES + resource];
    const total = capacity[ofHost] ?? 0;
    const comes = resource === CPU ? coresAt(world, vm, to) : (demand[ofVm] ?? 0);
    if (total <= 0 || comes <= 0) continue;
    const spread = Math.sqrt(Math.max(0, (variance[ofHost] ?? 0) + (demandVariance[ofVm] ?? 0)));
    const after = (Math.max(0, used[ofHost] ?? 0) + comes + P95_DEVIATIONS * spread) / total;
    if (after > parameters.peakRatioMax + CORES_EPSILON) return { resource, after };
  }
  return null;
}

function peak(world: World, vm: number, to: number, it: SnapshotVm, { hostId }: SnapshotHost): Rejection | null {
  const short = peakShort(world, vm, to);
  if (short === null || coresShort(world, vm, to) > CORES_EPSILON) return null;
  const { peakRatioMax } = world.parameters;
  const what = short.resource === CPU ? "cores" : "network";
  const now = peakRatioOf(world, to, short.resource);
  const detail = `${hostId} would need ${percent(short.after)} of its ${what} at p95 with ${it.name}, ${percent(now)} without, where ${percent(peakRatioMax)} are allowed${
    short.resource === NETWORK ? ` (it sends and receives ${rate(world.demand[vm * RESOURCES + NETWORK] ?? 0)})` : ""
  }.`;
  const constraint = short.resource === CPU ? "cpu-peak" : "network-peak";
  return { hostId, constraint, detail, required: short.after, available: peakRatioMax, unit: "ratio" };
}

const hugeFreeFor = (world: World, to: number, { hugepageBytes }: SnapshotVm): number =>
  hugepageBytes === undefined ? 0 : Math.max(0, world.hugeFree[to]?.get(hugepageBytes) ?? 0);

function hugepages(world: World, to: number, it: SnapshotVm, host: SnapshotHost): Rejection | null {
  if (it.hugepageBytes === undefined) return null;
  const { hostId } = host;
  const available = hugeFreeFor(world, to, it);
  if (it.memoryBytes <= available) return null;
  const pages = `huge pages of ${size(it.hugepageBytes)}`;
  const hasPool = host.hugepagePools?.some(({ pageBytes }) => pageBytes === it.hugepageBytes) === true;
  const has = hasPool ? `has ${size(available)} free in ${pages}` : `reports no ${pages}`;
  const detail = `${hostId} ${has}; ${it.name} needs ${size(it.memoryBytes)} in them.`;
  return { hostId, constraint: "hugepages", detail, required: it.memoryBytes, available, unit: "bytes" };
}

/** Everything that stands against a single move in a snapshot as it is. */
export function rejectionsFor(
  snapshot: Snapshot,
  vm: SnapshotVm,
  to: SnapshotHost,
  parameters: PlanParameters,
): Rejection[] {
  if (hostOf(snapshot, vm.uuid) === undefined)
    return [
      { constraint: "vm-state", detail: `${vm.name} is on no host of this snapshot: wait until one reports it.` },
    ];
  const world = createWorld(snapshot, parameters);
  const [vmAt, hostAt] = [world.vmIndex.get(vm.uuid), world.hostIndex.get(to.hostId)];
  if (vmAt === undefined || hostAt === undefined) return [];
  return rejectionsIn(world, vmAt, hostAt);
}
