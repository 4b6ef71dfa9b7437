// One consistent read of a cluster for the advisor.
import { and, eq, gt, isNotNull, sql } from "drizzle-orm";
import { calibration, type Calibration } from "../model/calibration/types.ts";
import {
  linkKey,
  type Snapshot,
  type SnapshotHost,
  type SnapshotLink,
  type SnapshotVm,
  type VmLoad,
} from "../model/cluster.ts";
import { vmLoadOver } from "../model/telemetry/loads.ts";
import { DAY_MS, HOST_STALE_MS, MINUTE_MS } from "../model/units.ts";
import { measuredLink } from "../model/wire/question.ts";
import type { Db } from "./db.ts";
import { readRule } from "./rules.ts";
import {
  calibrations,
  hosts,
  hostState,
  hostSummaries,
  links,
  migrations,
  placementRules,
  reservations,
  vms,
} from "./schema.ts";
import { type Heard, NOTHING_HEARD, readFacts, type ReadFacts, readHeard, readVm } from "./snapshot-rows.ts";
import { stateColumns } from "./telemetry.ts";

/** Averages of a host count again this long after a VM has left it or come to it, ms: three half-lives of the average. */
const SETTLE_MS = 15 * MINUTE_MS;
/** What was measured of a link longer ago says nothing of now. */
const LINK_FRESH_MS = DAY_MS;
/** Hosts whose telemetry is read at once: about 16 kB each, which would not fit an isolate for a thousand. */
const HOSTS_AT_ONCE = 128;

/** A snapshot and what its readers need to find the hosts' samples. */
export type ReadSnapshot = {
  snapshot: Snapshot;
  /** What samples are stored under, by host id. */
  hostNumbers: ReadonlyMap<string, number>;
  /** When a VM last left a host or came to it, of the last 24 h, by host id. */
  changedAt: ReadonlyMap<string, number>;
  /** Stored rows that cannot be read, each with its id; their hosts are unknown or, `host …`, left out. */
  unreadable: string[];
  /** Rules that cannot be read: a plan that is made without them may break them. */
  unreadableRules: string[];
};

type Moved = { vmUuid: string; fromHostId: string; toHostId: string; endedAt: number | null };
type Facts = Awaited<ReturnType<typeof factsOf>>;

export function snapshotStore(db: Db) {
  return {
    /**
     * The hosts, VMs, rules and reservations of a cluster as they are at `now`, in one transaction, and then what is heard of
     * each host, which has nothing to do with the others.
     */
    read: async (cluster: string, now: number): Promise<ReadSnapshot> => {
      const stored = await factsOf(db, cluster, now);
      const changedAt = changes(stored.moved);
      const hostNumbers = new Map(stored.hosts.map(({ id, number }) => [id, number]));
      const isSettled = new Map(
        stored.hosts.map(({ id, number }) => [number, now - (changedAt.get(id) ?? 0) > SETTLE_MS]),
      );
      const heard = await heardOf(db, isSettled, now);
      return { ...snapshotOf(cluster, now, stored, heard), hostNumbers, changedAt };
    },
  };
}

/** A batch of D1 is one transaction. */
async function factsOf(db: Db, cluster: string, now: number) {
  const [hostRows, vmRows, reserved, moved, learned, rules, measured] = await db.batch([
    db.select().from(hosts).where(eq(hosts.cluster, cluster)).orderBy(hosts.id),
    db
      .select({
        uuid: vms.uuid,
        hostId: vms.hostId,
        inventory: vms.inventory,
        lastMovedAt: vms.lastMovedAt,
      })
      .from(vms)
      .where(and(eq(vms.cluster, cluster), isNotNull(vms.hostId)))
      .orderBy(vms.uuid),
    db
      .select({
        migrationId: reservations.migrationId,
        vmUuid: reservations.vmUuid,
        toHostId: reservations.hostId,
        fromHostId: migrations.fromHostId,
        memoryBytes: reservations.memoryBytes,
        cpuCores: reservations.cpuCores,
      })
      .from(reservations)
      .innerJoin(migrations, eq(migrations.id, reservations.migrationId))
      .where(eq(reservations.cluster, cluster)),
    db
      .select({
        vmUuid: migrations.vmUuid,
        fromHostId: migrations.fromHostId,
        toHostId: migrations.toHostId,
        endedAt: migrations.endedAt,
      })
      .from(migrations)
      .where(
        and(eq(migrations.cluster, cluster), eq(migrations.state, "completed"), gt(migrations.endedAt, now - DAY_MS)),
      ),
    db.select({ body: calibrations.body }).from(calibrations).where(eq(calibrations.cluster, cluster)),
    db.select().from(placementRules).where(eq(placementRules.cluster, cluster)).orderBy(placementRules.id),
    db
      .select({ fromHostId: links.fromHostId, toHostId: links.toHostId, measured: links.measured })
      .from(links)
      .where(and(eq(links.cluster, cluster), gt(links.measuredAt, now - LINK_FRESH_MS)))
      .orderBy(links.fromHostId, links.toHostId),
  ]);
  return { hosts: hostRows, vms: vmRows, reserved, moved, calibration: learned[0]?.body, rules, links: measured };
}

/** What is heard of hosts, by number. */
async function heardOf(db: Db, isSettled: ReadonlyMap<number, boolean>, now: number): Promise<Map<number, Heard>> {
  const numbers = [...isSettled.keys()];
  const heard = new Map<number, Heard>();
  for (let start = 0; start < numbers.length; start += HOSTS_AT_ONCE) {
    const wanted = JSON.stringify(numbers.slice(start, start + HOSTS_AT_ONCE));
    const rows = await db
      .select({
        number: hostState.hostNumber,
        heardAt: hostState.heardAt,
        vmStates: hostState.vmStates,
        vmStatesAt: hostState.vmStatesAt,
        summary: hostSummaries.summary,
        ...stateColumns,
      })
      .from(hostState)
      .leftJoin(hostSummaries, eq(hostSummaries.hostNumber, hostState.hostNumber))
      .where(sql`${hostState.hostNumber} IN (SELECT value FROM json_each(${wanted}))`);
    for (const row of rows) heard.set(row.number, readHeard(row, isSettled.get(row.number) ?? true, now));
  }
  return heard;
}

function snapshotOf(cluster: string, now: number, stored: Facts, heard: ReadonlyMap<number, Heard>) {
  const learned = readCalibration(stored.calibration);
  const rules = stored.rules.map(({ id, rule }) => ({ id, rule: readRule(id, rule) }));
  const { assembled, unreadable } = assemble(stored, heard, now);
  const snapshot: Snapshot = {
    cluster,
    at: now,
    hosts: assembled,
    reservations: stored.reserved,
    lastMovedAt: Object.fromEntries(
      stored.vms.flatMap((row) => (row.lastMovedAt === null ? [] : [[row.uuid, row.lastMovedAt]])),
    ),
    movesLastDay: countOf(stored.moved.map(({ vmUuid }) => vmUuid)),
    rules: rules.map(({ rule }) => rule).filter((rule) => rule !== null),
    ...(learned ? { calibration: learned } : {}),
    ...(stored.links.length > 0 ? { links: readLinks(stored.links) } : {}),
  };
  return {
    snapshot,
    unreadable: [...(learned === null ? [`calibration of ${cluster}`] : []), ...unreadable],
    unreadableRules: rules.filter(({ rule }) => rule === null).map(({ id }) => id),
  };
}

/** undefined: nothing was learned yet; null: it cannot be read, and nothing is known of it until it is fitted again. */
function readCalibration(body: string | undefined): Calibration | null | undefined {
  if (body === undefined) return undefined;
  try {
    return calibration.parse(JSON.parse(body));
  } catch {
    return null;
  }
}

/** When it was measured decided that it is here; what is told is the same however often it was measured alike. */
function readLinks(stored: Facts["links"]): Record<string, SnapshotLink> {
  const byKey: Record<string, SnapshotLink> = {};
  for (const { fromHostId, toHostId, measured } of stored) {
    const { bytesPerSecond, rttMs, lossRatio } = measuredLink.parse(JSON.parse(measured));
    byKey[linkKey(fromHostId, toHostId)] = { bytesPerSecond, rttMs, ...(lossRatio === undefined ? {} : { lossRatio }) };
  }
  return byKey;
}

function countOf(uuids: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const uuid of uuids) counts[uuid] = (counts[uuid] ?? 0) + 1;
  return counts;
}

function changes(moved: readonly Moved[]): Map<string, number> {
  const changedAt = new Map<string, number>();
  for (const { fromHostId, toHostId, endedAt } of moved)
    for (const hostId of [fromHostId, toHostId])
      changedAt.set(hostId, Math.max(changedAt.get(hostId) ?? 0, endedAt ?? 0));
  return changedAt;
}

type Words = { by: Heard; load: VmLoad };

/** What each host says of a VM, by VM. */
function wordsOf(heard: ReadonlyMap<number, Heard>): Map<string, Words[]> {
  const words = new Map<string, Words[]>();
  for (const by of heard.values())
    for (const [uuid, load] of by.vms) {
      const all = words.get(uuid);
      if (all === undefined) words.set(uuid, [{ by, load }]);
      else all.push({ by, load });
    }
  return words;
}

/**
 * VMs that more hosts than one have lately said to run, each with these hosts. One that is being migrated may be on two, and what
 * a host said before a VM was moved says nothing of now.
 */
function reportedTwice(stored: Facts, heard: ReadonlyMap<number, Heard>, now: number): Map<string, string[]> {
  const placed = new Map(stored.vms.map((row) => [row.uuid, row]));
  const migrating = new Set(stored.reserved.map(({ vmUuid }) => vmUuid));
  const twice = new Map<string, string[]>();
  for (const { id, number } of stored.hosts) {
    const { states, statesAt } = heard.get(number) ?? NOTHING_HEARD;
    if (now - statesAt > HOST_STALE_MS) continue;
    for (const [uuid, state] of Object.entries(states)) {
      const row = placed.get(uuid);
      const isElsewhere = row !== undefined && row.hostId !== null && row.hostId !== id;
      if (state !== "running" || !isElsewhere || migrating.has(uuid) || statesAt <= (row.lastMovedAt ?? 0)) continue;
      twice.set(uuid, [...(twice.get(uuid) ?? [row.hostId ?? ""]), id]);
    }
  }
  return twice;
}

function assemble(stored: Facts, heard: ReadonlyMap<number, Heard>, now: number) {
  const byHost = Map.groupBy(stored.vms, ({ hostId }) => hostId);
  const words = wordsOf(heard);
  const twice = reportedTwice(stored, heard, now);
  const unreadable: string[] = [];
  const assembled = stored.hosts.flatMap((row): SnapshotHost[] => {
    const read = readFacts(row, now);
    if (read === null) unreadable.push(`host ${row.id}`);
    if (read === null) return [];
    const host = hostOf(read, byHost.get(row.id) ?? [], heard.get(row.number) ?? NOTHING_HEARD, { words, twice });
    unreadable.push(...(host.unreadable ?? []).map((what) => `${what} of host ${row.id}`));
    return [host];
  });
  return { assembled, unreadable };
}

function hostOf(
  { facts, unreadable: ofFacts }: ReadFacts,
  placed: Facts["vms"],
  heard: Heard,
  { words, twice }: { words: ReadonlyMap<string, Words[]>; twice: ReadonlyMap<string, string[]> },
): SnapshotHost {
  const unreadable = [...ofFacts, ...heard.unreadable];
  const own = placed.flatMap(({ uuid, inventory }): SnapshotVm[] => {
    const vm = readVm(inventory);
    if (vm === null) unreadable.push(`VM ${uuid}`);
    if (vm === null) return [];
    const others = (words.get(uuid) ?? []).filter(({ by }) => by !== heard).map(({ load }) => load);
    // A heartbeat is newer than the inventory.
    const state = heard.states[uuid] ?? vm.state;
    const by = state === "running" ? twice.get(uuid) : undefined;
    const load = vmLoadOver(heard.vms.get(uuid), others);
    return [{ ...vm, state, load, ...(by === undefined ? {} : { reportedBy: by.join(", ") }) }];
  });
  const { heardAt, load } = heard;
  if (unreadable.length > 0) return { ...facts, load: {}, unreadable, vms: own };
  return { ...facts, ...(heardAt === undefined ? {} : { heardAt }), load, vms: own };
}
