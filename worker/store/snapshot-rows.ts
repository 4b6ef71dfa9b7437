// Rows of a cluster as the advisor sees them. A row that cannot be read makes its host unknown, and nothing else.
import { z } from "zod";
import type { SnapshotHost } from "../model/cluster.ts";
import { maintenanceAt } from "../model/maintenance.ts";
import { restartsLastDay, restartTimes } from "../model/restarts.ts";
import { NOTHING_KNOWN } from "../model/telemetry/known.ts";
import type { Told } from "../model/telemetry/loads.ts";
import { type Summary, summarySchema } from "../model/telemetry/summary.ts";
import { hostFacts, type VmInventory, vmInventory, type VmState, vmState } from "../model/wire/inventory.ts";
import type { hosts } from "./schema.ts";
import { knownOf, type StateColumns } from "./telemetry.ts";

const statesByVm = z.record(z.string(), vmState);

export type HostRow = {
  host: typeof hosts.$inferSelect;
  heardAt: number | null;
  vmStates: string | null;
  summary: string | null;
} & StateColumns;

/** A host without its VMs and load. */
export type Facts = Omit<SnapshotHost, "load" | "vms">;

/** What was read of a host. `unreadable`: what could not be. */
export type ReadHost = {
  number: number;
  facts: Facts;
  told: Told;
  states: Readonly<Record<string, VmState>>;
  unreadable: string[];
};

/** What `read` gives, and `otherwise` where stored text is not what was written, which `unreadable` then names. */
function attempt<T>(what: string, unreadable: string[], otherwise: T, read: () => T): T {
  try {
    return read();
  } catch {
    unreadable.push(what);
    return otherwise;
  }
}

/** The fields of an inventory that can be read; null: too few to say what host it is. */
function readableFacts({ inventory, cluster, memoryBytes, bootId, sequence }: HostRow["host"]) {
  const stored = attempt<unknown>("", [], {}, () => JSON.parse(inventory));
  const fields = Object.entries(hostFacts.shape).flatMap(([field, schema]): [string, unknown][] => {
    const parsed = schema.safeParse((stored as Record<string, unknown> | null)?.[field]);
    return parsed.success && parsed.data !== undefined ? [[field, parsed.data]] : [];
  });
  const facts = hostFacts.safeParse({ ...Object.fromEntries(fields), cluster, memoryBytes, bootId, sequence });
  return facts.success ? facts.data : null;
}

/** null: not even what kind of host it is can be read. */
export function readHost(row: HostRow, now: number): ReadHost | null {
  const { host, heardAt, vmStates } = row;
  const unreadable: string[] = [];
  const parsed =
    attempt("inventory", unreadable, null, () => hostFacts.parse(JSON.parse(host.inventory))) ?? readableFacts(host);
  if (parsed === null) return null;
  const { sequence: _, bootId: __, ...facts } = parsed;
  const maintenance = maintenanceAt(host, now);
  const restarts = attempt<number[]>("restarts", [], [], () =>
    host.restarts === null ? [] : restartTimes.parse(JSON.parse(host.restarts)),
  );
  return {
    number: host.number,
    facts: {
      ...facts,
      hostId: host.id,
      ...(heardAt === null ? {} : { heardAt }),
      ...(maintenance === null ? {} : { maintenance }),
      restartsLastDay: restartsLastDay(restarts, now).length,
    },
    told: {
      known: attempt("telemetry", unreadable, NOTHING_KNOWN, () => knownOf(row)),
      // Quantiles that cannot be read are unknown, and written anew within the hour.
      summary: attempt("summary", [], null, () => readSummary(row.summary)),
    },
    states: attempt("states of VMs", unreadable, {}, () =>
      vmStates === null ? {} : statesByVm.parse(JSON.parse(vmStates)),
    ),
    unreadable,
  };
}

const readSummary = (text: string | null): Summary | null =>
  text === null ? null : summarySchema.parse(JSON.parse(text));

/** null: it cannot be read. */
export const readVm = (inventory: string): VmInventory | null =>
  attempt<VmInventory | null>("", [], null, () => vmInventory.parse(JSON.parse(inventory)));
