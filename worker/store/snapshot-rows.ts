// Rows of a cluster as the advisor sees them. A row that cannot be read makes its host unknown, and nothing else.
import { z } from "zod";
import type { HostLoad, SnapshotHost, VmLoad } from "../model/cluster.ts";
import { maintenanceAt } from "../model/maintenance.ts";
import { restartsLastDay, restartTimes } from "../model/restarts.ts";
import { NOTHING_KNOWN } from "../model/telemetry/known.ts";
import { hostLoad, vmLoads } from "../model/telemetry/loads.ts";
import { type Summary, summarySchema } from "../model/telemetry/summary.ts";
import { hostFacts, type VmInventory, vmInventory, type VmState, vmState } from "../model/wire/inventory.ts";
import type { hosts } from "./schema.ts";
import { knownOf, type StateColumns } from "./telemetry.ts";

/** A host without what is heard of it. */
export type Facts = Omit<SnapshotHost, "heardAt" | "load" | "vms" | "unreadable">;

export type ReadFacts = { facts: Facts; unreadable: string[] };

/** What `read` gives, and `otherwise` where stored text is not what was written, which `unreadable` then names. */
function attempt<T>(what: string, unreadable: string[], otherwise: T, read: () => T): T {
  try {
    return read();
  } catch {
    unreadable.push(what);
    return otherwise;
  }
}

type Row = typeof hosts.$inferSelect;

/** The fields of an inventory that can be read; null: too few to say what host it is. */
function readableFacts({ inventory, cluster, memoryBytes, bootId, sequence }: Row) {
  const stored = attempt<unknown>("", [], {}, () => JSON.parse(inventory));
  const fields = Object.entries(hostFacts.shape).flatMap(([field, schema]): [string, unknown][] => {
    const parsed = schema.safeParse((stored as Record<string, unknown> | null)?.[field]);
    return parsed.success && parsed.data !== undefined ? [[field, parsed.data]] : [];
  });
  const facts = hostFacts.safeParse({ ...Object.fromEntries(fields), cluster, memoryBytes, bootId, sequence });
  return facts.success ? facts.data : null;
}

/** null: not even what kind of host it is can be read. */
export function readFacts(row: Row, now: number): ReadFacts | null {
  const unreadable: string[] = [];
  const parsed =
    attempt("inventory", unreadable, null, () => hostFacts.parse(JSON.parse(row.inventory))) ?? readableFacts(row);
  if (parsed === null) return null;
  const { sequence: _, bootId: __, ...facts } = parsed;
  const maintenance = maintenanceAt(row, now);
  const restarts = attempt<number[]>("restarts", [], [], () =>
    row.restarts === null ? [] : restartTimes.parse(JSON.parse(row.restarts)),
  );
  return {
    facts: {
      ...facts,
      hostId: row.id,
      ...(maintenance === null ? {} : { maintenance }),
      restartsLastDay: restartsLastDay(restarts, now).length,
    },
    unreadable,
  };
}

/** null: it cannot be read. */
export const readVm = (inventory: string): VmInventory | null =>
  attempt<VmInventory | null>("", [], null, () => vmInventory.parse(JSON.parse(inventory)));

export type StateRow = {
  heardAt: number;
  vmStates: string | null;
  vmStatesAt: number | null;
  summary: string | null;
} & StateColumns;

/** What is heard of a host and its VMs. */
export type Heard = {
  heardAt?: number;
  load: HostLoad;
  vms: ReadonlyMap<string, VmLoad>;
  states: Readonly<Record<string, VmState>>;
  /** When the host said so, ms since 1970; 0: it has not. */
  statesAt: number;
  unreadable: string[];
};

export const NOTHING_HEARD: Heard = { load: {}, vms: new Map(), states: {}, statesAt: 0, unreadable: [] };

const statesByVm = z.record(z.string(), vmState);

/** `isSettled`: its VMs have long been the same. */
export function readHeard(row: StateRow, isSettled: boolean, now: number): Heard {
  const { heardAt, vmStates, vmStatesAt, summary } = row;
  const unreadable: string[] = [];
  const told = {
    known: attempt("telemetry", unreadable, NOTHING_KNOWN, () => knownOf(row)),
    // Quantiles that cannot be read are unknown, and written anew within the hour.
    summary: attempt<Summary | null>("summary", [], null, () =>
      summary === null ? null : summarySchema.parse(JSON.parse(summary)),
    ),
  };
  return {
    heardAt,
    load: hostLoad(told, isSettled, now),
    vms: vmLoads(told, now),
    states: attempt("states of VMs", unreadable, {}, () =>
      vmStates === null ? {} : statesByVm.parse(JSON.parse(vmStates)),
    ),
    statesAt: vmStatesAt ?? 0,
    unreadable,
  };
}
