// What the advisor decides by: one consistent read of a cluster, and the newest samples of the hosts that may be hot.
import type { Deps } from "../env.ts";
import type { Recent, Snapshot, SnapshotHost } from "../model/cluster.ts";
import { hourOf } from "../model/telemetry/chunk-id.ts";
import { HOST } from "../model/telemetry/frame.ts";
import { FUTURE_MS } from "../model/telemetry/ingest.ts";
import {
  HOST_RECENT_METRICS,
  hottest,
  NEAR_HOT_RATIO,
  RECENT_STEP_MS,
  RECENT_STEPS,
  recentOf,
  VM_RECENT_METRICS,
} from "../model/telemetry/recent.ts";
import { setAside } from "../model/placement/index.ts";
import { filterOf, readRaw } from "./chunk-reads.ts";
import { unreadableRule } from "./rules.ts";

/** Whose newest samples are read, the hottest first: a row or two of 20 kB each. */
const HOSTS_MAX = 512;
/** Whose VMs' are: a row or two of 150 kB each. */
const VM_HOSTS_MAX = 32;
/** Read together and then let go of. */
const HOSTS_AT_ONCE = 64;
const VM_HOSTS_AT_ONCE = 8;

type ReadSnapshot = Awaited<ReturnType<Deps["store"]["snapshots"]["read"]>>;

/** What contradicts itself in what agents report is set aside: it must not keep the rest of a cluster from being planned. */
async function read(deps: Deps, cluster: string): Promise<ReadSnapshot> {
  const found = await deps.store.snapshots.read(cluster, deps.now());
  // oxlint-disable-next-line no-console -- the platform's log is where it must be seen
  if (found.unreadable.length > 0) console.error(`cannot be read: ${found.unreadable.join(", ")}`);
  return { ...found, snapshot: setAside(found.snapshot) };
}

/** What is known of a cluster, whatever its rules: for questions that move nothing. */
export const readFacts = async (deps: Deps, cluster: string): Promise<Snapshot> => (await read(deps, cluster)).snapshot;

async function readRuled(deps: Deps, cluster: string): Promise<ReadSnapshot> {
  const found = await read(deps, cluster);
  const [unread] = found.unreadableRules;
  if (unread !== undefined) throw unreadableRule(unread);
  return found;
}

/** What is known of a cluster without newest samples. Refused while one of its rules cannot be read. */
export const readSnapshot = async (deps: Deps, cluster: string): Promise<Snapshot> =>
  (await readRuled(deps, cluster)).snapshot;

/** The same with the newest samples of the hosts, and of the VMs on those that are near hot: what hotspots are found in. */
export async function readSnapshotWithRecent(deps: Deps, cluster: string): Promise<Snapshot> {
  const found = await readRuled(deps, cluster);
  const { snapshot } = found;
  const ofHosts = await recentOfHosts(deps, found);
  const ofVms = await recentOfVms(deps, found);
  return {
    ...snapshot,
    hosts: snapshot.hosts.map((host): SnapshotHost => {
      if (host.contradicts !== undefined) return host;
      const recent = ofHosts.get(host.hostId);
      return {
        ...host,
        load: recent ? { ...host.load, recent } : host.load,
        vms: host.vms.map((vm) => {
          const of = ofVms.get(vm.uuid);
          return of ? { ...vm, load: { ...vm.load, recent: of } } : vm;
        }),
      };
    }),
  };
}

type Wanted = { host: SnapshotHost; hostNumber: number; entities: ReadonlySet<string> };

/** Hands over the samples of the last half hour of some hosts, `atOnce` of them at a time. */
async function eachFrame(
  deps: Deps,
  {
    wanted,
    metrics,
    now,
    atOnce,
  }: { wanted: readonly Wanted[]; metrics: readonly string[]; now: number; atOnce: number },
  use: (wanted: Wanted, frame: Parameters<typeof recentOf>[0]) => void,
): Promise<void> {
  const hours = { fromHour: hourOf(now - RECENT_STEPS * RECENT_STEP_MS), toHour: hourOf(now + FUTURE_MS) };
  const asked = { metric: filterOf(metrics), harmed: new Set<number>() };
  for (let start = 0; start < wanted.length; start += atOnce) {
    const some = wanted.slice(start, start + atOnce);
    const frames = await readRaw(
      deps,
      some.map(({ hostNumber, entities }) => ({ hostNumber, entities, ...hours })),
      asked,
    );
    for (const one of some) {
      const frame = frames.get(one.hostNumber);
      if (frame !== undefined) use(one, frame);
    }
  }
}

const HOST_ITSELF: ReadonlySet<string> = new Set([HOST]);

function wantedOf({ hostNumbers }: ReadSnapshot, host: SnapshotHost, entities: ReadonlySet<string>): Wanted[] {
  const hostNumber = hostNumbers.get(host.hostId);
  return hostNumber === undefined ? [] : [{ host, hostNumber, entities }];
}

async function recentOfHosts(deps: Deps, found: ReadSnapshot): Promise<Map<string, Recent>> {
  const { snapshot, changedAt } = found;
  const wanted = hottest(snapshot.hosts, HOSTS_MAX, 0).flatMap((host) => wantedOf(found, host, HOST_ITSELF));
  const recents = new Map<string, Recent>();
  const ask = { wanted, metrics: HOST_RECENT_METRICS, now: snapshot.at, atOnce: HOSTS_AT_ONCE };
  await eachFrame(deps, ask, ({ host: { hostId } }, frame) => {
    // What a host did with a VM that has left it, or without one that has come, says nothing of what it will do.
    const recent = recentOf(frame, HOST, changedAt.get(hostId) ?? 0);
    if (recent !== undefined) recents.set(hostId, recent);
  });
  return recents;
}

async function recentOfVms(deps: Deps, found: ReadSnapshot): Promise<Map<string, Recent>> {
  const { snapshot } = found;
  const wanted = hottest(snapshot.hosts, VM_HOSTS_MAX, NEAR_HOT_RATIO).flatMap((host) =>
    wantedOf(found, host, new Set(host.vms.map(({ uuid }) => uuid))),
  );
  const recents = new Map<string, Recent>();
  const ask = { wanted, metrics: VM_RECENT_METRICS, now: snapshot.at, atOnce: VM_HOSTS_AT_ONCE };
  await eachFrame(deps, ask, ({ entities }, frame) => {
    for (const uuid of entities) {
      const recent = recentOf(frame, uuid, 0);
      if (recent !== undefined) recents.set(uuid, recent);
    }
  });
  return recents;
}
