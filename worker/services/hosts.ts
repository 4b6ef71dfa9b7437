// Registering hosts and hearing from them.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { canonicalJson } from "../model/canonical.ts";
import type { Maintenance } from "../model/cluster.ts";
import { maintenanceAt, type MaintenanceRequest } from "../model/maintenance.ts";
import type { Principal } from "../model/principal.ts";
import { withRestart } from "../model/restarts.ts";
import type { Heartbeat, HostFacts, HostInventory, VmInventory } from "../model/wire/inventory.ts";
import type { CommandEnvelope } from "../model/wire/command.ts";
import { pendingEnvelopes } from "./commands.ts";
import { noteForWaiting } from "./policy-signals.ts";

type Registered = { hostId: string; sequence: number; vms: number; commands: CommandEnvelope[] };

/** `PUT /v1/hosts/{hostId}`: the host's facts and VMs as they are now. An older inventory is refused. */
export async function registerInventory(
  deps: Deps,
  principal: Principal,
  hostId: string,
  inventory: HostInventory,
): Promise<Registered> {
  const { vms, agentUrl, ...facts } = inventory;
  if (agentUrl !== undefined && !principal.scopes.includes("operate"))
    throw new AppError({ code: "missing_scope", anyOf: ["operate"] });
  const now = deps.now();
  const known = await deps.store.hosts.byId(hostId);
  if (!known) {
    await deps.store.hosts.insert(hostId, facts, agentUrl ?? null, now, {
      actor: principal.id,
      action: "host.registered",
      subject: hostId,
    });
  } else {
    await replaceFacts(deps, known, facts, now);
    if (agentUrl !== undefined && agentUrl !== known.agentUrl) await setAgentUrl(deps, principal, hostId, agentUrl);
  }
  await reconcileVms(deps, facts.cluster, hostId, vms, now);
  const states = Object.fromEntries(vms.map((vm) => [vm.uuid, vm.state]));
  return { hostId, sequence: facts.sequence, vms: vms.length, ...(await hear(deps, hostId, states)) };
}

type KnownHost = NonNullable<Awaited<ReturnType<Deps["store"]["hosts"]["byId"]>>>;

async function replaceFacts(deps: Deps, known: KnownHost, facts: HostFacts, now: number): Promise<void> {
  const { hostId, cluster, restarts } = known;
  if (cluster !== facts.cluster) throw new AppError({ code: "cluster_fixed", hostId, cluster });
  const { bootId, sequence } = known.inventory;
  const isSameBoot = bootId === facts.bootId;
  const isRepeat = isSameBoot && sequence === facts.sequence && canonicalJson(known.inventory) === canonicalJson(facts);
  if (isSameBoot && facts.sequence <= sequence && !isRepeat)
    throw new AppError({ code: "older_sequence", hostId, sequence: facts.sequence, known: sequence });
  const change = { inventory: facts, restarts: isSameBoot ? null : withRestart(restarts, now) };
  if (!(await deps.store.hosts.update(hostId, change, { bootId, sequence }, now)))
    throw new AppError({
      code: "busy",
      detail: `Another inventory of ${hostId} is being written.`,
      retryAfterSeconds: 1,
    });
}

/** Says whether a VM that this host reports is placed here; a VM that merely arrives or has left is not. */
function takesPlace(vm: VmInventory, placedAt: string | null | undefined): boolean {
  if (vm.state === "running") return true;
  return (placedAt === null || placedAt === undefined) && vm.state !== "inmigrate";
}

async function reconcileVms(
  deps: Deps,
  cluster: string,
  hostId: string,
  reported: VmInventory[],
  now: number,
): Promise<void> {
  const here = await deps.store.hosts.vms({ cluster, hostId, uuid: null, after: null, limit: 10_000 });
  const known = new Map(here.map((vm) => [vm.uuid, vm]));
  const others = reported.map((vm) => vm.uuid).filter((uuid) => !known.has(uuid));
  for (const vm of await deps.store.hosts.vmsByUuid(cluster, others)) known.set(vm.uuid, vm);
  const uuids = new Set(reported.map((vm) => vm.uuid));
  await deps.store.hosts.writeVms(
    cluster,
    hostId,
    {
      seen: reported.filter((vm) => {
        const row = known.get(vm.uuid);
        return row?.hostId === hostId && canonicalJson(row.inventory) !== canonicalJson(vm);
      }),
      placed: reported.filter((vm) => {
        const row = known.get(vm.uuid);
        return row?.hostId !== hostId && takesPlace(vm, row?.hostId);
      }),
      gone: here.map((vm) => vm.uuid).filter((uuid) => !uuids.has(uuid)),
    },
    now,
  );
}

/** `PATCH /v1/hosts/{hostId}`: where commands may be sent by webhook; null: only in answers to the agent. */
export async function setAgentUrl(
  deps: Deps,
  principal: Principal,
  hostId: string,
  agentUrl: string | null,
): Promise<void> {
  const known = await deps.store.hosts.byId(hostId);
  if (!known) throw new AppError({ code: "not_found", what: "host", id: hostId });
  if (agentUrl !== null && !deps.local && !isPublicHttps(agentUrl))
    throw new AppError({
      code: "invalid_request",
      issues: [{ path: "agentUrl", message: "must be https and not a private or loopback address" }],
    });
  await deps.store.hosts.setAgentUrl(hostId, agentUrl, deps.now(), {
    actor: principal.id,
    action: "host.agent-url",
    subject: hostId,
    detail: { agentUrl },
  });
}

function isPublicHttps(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  if (protocol !== "https:") return false;
  // A private IPv6 or IPv4 literal can never be reached from the edge, and must not be tried.
  if (hostname.startsWith("[")) return false;
  return (
    !/^(localhost|127\.|10\.|0\.|169\.254\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/.test(hostname) &&
    hostname.includes(".")
  );
}

/** Throws unless the host is one of the cluster. */
export async function assertHostOf(deps: Deps, cluster: string, hostId: string): Promise<void> {
  if ((await deps.store.hosts.byId(hostId))?.cluster === cluster) return;
  const message = `no host ${hostId} in cluster ${cluster}: see GET /v1/hosts`;
  throw new AppError({ code: "invalid_request", issues: [{ path: "hostId", message }] });
}

/** `POST /v1/hosts/{hostId}/maintenance`: begins it, or changes one that is on, which goes on since it began. */
export async function beginMaintenance(
  deps: Deps,
  principal: Principal,
  hostId: string,
  { until, reason }: MaintenanceRequest,
): Promise<Maintenance> {
  const now = deps.now();
  const known = await deps.store.hosts.byId(hostId);
  if (!known) throw new AppError({ code: "not_found", what: "host", id: hostId });
  if (until !== undefined && until <= now)
    throw new AppError({ code: "invalid_request", issues: [{ path: "until", message: "must be in the future" }] });
  const since = maintenanceAt(known, now)?.since ?? now;
  const maintenance = { since, ...(until === undefined ? {} : { until }), reason };
  const { cluster } = known;
  const action = "host.maintenance-begun";
  const data = { hostId, until: until ?? null, reason, by: principal.id };
  await deps.store.hosts.setMaintenance(hostId, maintenance, now, {
    entry: { actor: principal.id, action, subject: hostId, reason, detail: maintenance },
    event: { type: action, cluster, subject: hostId, data },
  });
  if (since === now)
    await noteForWaiting(deps, { cluster: known.cluster, type: "host.maintenance", hostId, detail: reason });
  return maintenance;
}

/** `DELETE /v1/hosts/{hostId}/maintenance`: the host may get VMs again; nothing where it is in none. */
export async function endMaintenance(deps: Deps, principal: Principal, hostId: string): Promise<void> {
  const known = await deps.store.hosts.byId(hostId);
  if (!known) throw new AppError({ code: "not_found", what: "host", id: hostId });
  if (known.maintenanceSince === null) return;
  const { cluster, maintenanceUntil: until, maintenanceReason: reason } = known;
  const action = "host.maintenance-ended";
  await deps.store.hosts.setMaintenance(hostId, null, deps.now(), {
    entry: { actor: principal.id, action, subject: hostId },
    event: { type: action, cluster, subject: hostId, data: { hostId, until, reason, by: principal.id } },
  });
}

/** `POST /v1/hosts/{hostId}/heartbeat`. */
export async function heartbeat(
  deps: Deps,
  hostId: string,
  beat: Heartbeat,
): Promise<{ now: number; commands: CommandEnvelope[] }> {
  return { now: deps.now(), ...(await hear(deps, hostId, beat.vms)) };
}

/** A word of life from a host: stored, told to the runs that wait for it, and answered with its commands. */
export async function hear(
  deps: Deps,
  hostId: string,
  vmStates: Record<string, string>,
): Promise<{ commands: CommandEnvelope[] }> {
  const host = await deps.store.hosts.byId(hostId);
  if (!host) throw new AppError({ code: "not_found", what: "host", id: hostId });
  await deps.store.hosts.heard(host.number, vmStates, deps.now());
  await wakeRuns(deps, hostId);
  return { commands: await pendingEnvelopes(deps, hostId) };
}

/** Runs that wait for what a host says of its VMs look again. */
export async function wakeRuns(deps: Deps, hostId: string): Promise<void> {
  const waiting = (await deps.store.migrations.activeOn(hostId)).filter(
    (run) => run.state === "verifying" || run.state === "lost",
  );
  await Promise.all(waiting.map((run) => deps.runs.notify(run.migrationId)));
}
