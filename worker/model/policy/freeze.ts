// Freezes: times in which nothing is moved, whoever asks.
import { z } from "zod";
import type { Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import { labels, operatorId, timestampMs } from "../wire/common.ts";
import { type MoveSubject, hasLabels, hostIds, uuids } from "./scope.ts";
import { weeklyWindow, windowOpen } from "./windows.ts";

/** Any of these hosts, any of these VMs, and every host and VM with all of these labels. */
const freezeScope = z
  .strictObject({ hostIds: hostIds.optional(), uuids: uuids.optional(), labels: labels.optional() })
  .refine(({ labels: all }) => all === undefined || Object.keys(all).length > 0, {
    path: ["labels"],
    message: "no label at all would choose everything: leave scope out for the whole cluster",
  })
  .refine((scope) => Object.values(scope).some((field) => field !== undefined), {
    message: "give hostIds, uuids or labels, or leave scope out for the whole cluster",
  });

const fields = {
  cluster: operatorId,
  /** First instant; absent: from the beginning. */
  from: timestampMs.optional(),
  /** The instant at which it is over; absent: until it is ended by hand. */
  to: timestampMs.optional(),
  /** Recurring: frozen only while one of these is open. Absent: all of the time between `from` and `to`. */
  windows: z.array(weeklyWindow).min(1).max(32).optional(),
  /** Absent: the whole cluster. */
  scope: freezeScope.optional(),
  reason: z.string().min(1).max(500),
};

function checkTimes(
  { from, to, windows }: { from?: number | undefined; to?: number | undefined; windows?: unknown },
  context: z.RefinementCtx,
): void {
  if (from === undefined && windows === undefined)
    context.addIssue({ code: "custom", path: ["from"], message: "give from, or windows for one that recurs" });
  if (from !== undefined && to !== undefined && to <= from)
    context.addIssue({ code: "custom", path: ["to"], message: "must be after from: this freeze has no length" });
}

/** What an operator says of a freeze, complete. */
export const freezeDefinition = z.strictObject(fields).superRefine(checkTimes).meta({ id: "NewFreeze" });
export type NewFreeze = z.infer<typeof freezeDefinition>;

/** A change: null takes a field away. */
export const freezeChange = z
  .strictObject({
    from: fields.from.nullable(),
    to: fields.to.nullable(),
    windows: fields.windows.nullable(),
    scope: fields.scope.nullable(),
    reason: fields.reason.optional(),
  })
  .partial()
  .meta({ id: "FreezeChange" });
export type FreezeChange = z.infer<typeof freezeChange>;

export const freeze = z
  .strictObject({
    freezeId: z.string(),
    ...fields,
    version: z.int(),
    createdBy: z.string(),
    createdAt: z.int(),
    updatedAt: z.int(),
  })
  .meta({ id: "Freeze" });
export type Freeze = z.infer<typeof freeze>;

type FreezeTime = Pick<Freeze, "from" | "to" | "windows">;
export type FreezeRule = FreezeTime & Pick<Freeze, "freezeId" | "cluster" | "scope" | "reason">;

/** Whether the freeze holds at `at`; its end does not belong to it. */
export function freezeHolds({ from, to, windows }: FreezeTime, at: number): boolean {
  if (from !== undefined && at < from) return false;
  if (to !== undefined && at >= to) return false;
  return windows === undefined || windowOpen(windows, at);
}

/** The first freeze that holds the whole cluster still at `at`; null: none. */
export function clusterFrozen(freezes: readonly FreezeRule[], at: number): FreezeRule | null {
  return freezes.find((rule) => rule.scope === undefined && freezeHolds(rule, at)) ?? null;
}

/** The first freeze that forbids this move at `at`: by its VM, or by either host. Null: none. */
export function frozen(freezes: readonly FreezeRule[], at: number, move: MoveSubject): FreezeRule | null {
  return freezes.find((rule) => freezeHolds(rule, at) && touches(rule, move)) ?? null;
}

function touches({ scope }: FreezeRule, move: MoveSubject): boolean {
  if (scope === undefined) return true;
  const ends = [move.fromHostId, move.toHostId];
  if (scope.uuids?.includes(move.vm)) return true;
  if (scope.hostIds && ends.some((hostId) => scope.hostIds?.includes(hostId))) return true;
  if (scope.labels === undefined) return false;
  const wanted = scope.labels;
  return hasLabels(wanted, move.vmLabels) || ends.some((hostId) => hasLabels(wanted, move.hostLabels?.[hostId]));
}

/** What freezes hold still at a time, by uuid and host id, and which freezes those are. */
export type HeldStill = { vms: ReadonlySet<string>; hosts: ReadonlySet<string>; rules: FreezeRule[] };

/** The VMs and hosts of a snapshot that freezes of parts of the cluster hold still at `at`. */
export function heldStill(freezes: readonly FreezeRule[], at: number, { hosts }: Snapshot): HeldStill {
  const rules = freezes.filter((rule) => rule.scope !== undefined && freezeHolds(rule, at));
  const byLabels = (given: Record<string, string> | undefined) =>
    rules.some(({ scope }) => scope?.labels !== undefined && hasLabels(scope.labels, given));
  const isHeld = {
    vm: ({ uuid, labels }: SnapshotVm) => byLabels(labels) || rules.some(({ scope }) => scope?.uuids?.includes(uuid)),
    host: ({ hostId, labels }: SnapshotHost) =>
      byLabels(labels) || rules.some(({ scope }) => scope?.hostIds?.includes(hostId)),
  };
  return {
    vms: new Set(hosts.flatMap(({ vms }) => vms.filter(isHeld.vm).map(({ uuid }) => uuid))),
    hosts: new Set(hosts.filter(isHeld.host).map(({ hostId }) => hostId)),
    rules,
  };
}
