// What stands against an approval, or against beginning what was approved: freezes, the windows of the plan's policy, and
// post-copy where no person looks.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import type { Snapshot } from "../model/cluster.ts";
import type { Plan } from "../model/plan.ts";
import type { Move } from "../model/placement/types.ts";
import { type Labels, freezeText, mayPostCopy } from "../model/policy/decide.ts";
import { type FreezeRule, frozen } from "../model/policy/freeze.ts";
import type { StoredPolicy } from "../model/policy/policy.ts";
import type { MoveSubject } from "../model/policy/scope.ts";
import { nextOpening, windowOpen } from "../model/policy/windows.ts";
import type { MigrationRun, RunFailure } from "../model/run.ts";
import { readFacts } from "./snapshots.ts";

/** The labels of a cluster's hosts and VMs. */
export const labelsOf = (snapshot: Snapshot): Labels => ({
  hosts: Object.fromEntries(snapshot.hosts.map((host) => [host.hostId, host.labels])),
  vms: Object.fromEntries(snapshot.hosts.flatMap((host) => host.vms.map((vm) => [vm.uuid, vm.labels]))),
});

const subjectOf = (move: { fromHostId: string; toHostId: string }, vm: string, labels: Labels): MoveSubject => ({
  vm,
  fromHostId: move.fromHostId,
  toHostId: move.toHostId,
  vmLabels: labels.vms[vm],
  hostLabels: labels.hosts,
});

const NO_LABELS: Labels = { hosts: {}, vms: {} };

/** A snapshot is read only where a freeze asks for labels. */
async function labelsFor(deps: Deps, cluster: string, freezes: readonly FreezeRule[]): Promise<Labels> {
  if (!freezes.some(({ scope }) => scope?.labels)) return NO_LABELS;
  return labelsOf(await readFacts(deps, cluster));
}

/** The policy that made the plan; null: it was made without one, or the policy is gone. */
const storedOf = async (deps: Deps, { policyId }: Plan): Promise<StoredPolicy | null> =>
  policyId === null ? null : deps.store.policies.byId(policyId);

/** Throws unless these moves of the plan may be approved now. `automatic`: no person looks at them. */
export async function assertApprovable(deps: Deps, plan: Plan, moves: readonly Move[], automatic: boolean) {
  const { planId, policyId, content } = plan;
  const risky = automatic ? moves.filter(mayPostCopy).map(({ n }) => n) : [];
  if (risky.length > 0) throw new AppError({ code: "needs_person", planId, moves: risky });
  const now = deps.now();
  const stored = await storedOf(deps, plan);
  if (stored?.unreadable) {
    const { policyId: unread, why } = stored.unreadable;
    throw new AppError({ code: "unreadable_policy", policyId: unread, why });
  }
  const windows = stored?.policy.windows ?? [];
  if (policyId !== null && !windowOpen(windows, now))
    throw new AppError({ code: "outside_window", planId, policyId, opensAt: nextOpening(windows, now) });
  const freezes = await deps.store.freezes.notOver(content.cluster, now);
  const labels = await labelsFor(deps, content.cluster, freezes);
  const held = moves.flatMap((move) => {
    const rule = frozen(freezes, now, subjectOf(move, move.vm, labels));
    return rule ? [{ n: move.n, why: freezeText(rule) }] : [];
  });
  if (held.length > 0) throw new AppError({ code: "frozen", planId, moves: held });
}

/** Why an approved move may not begin now: it is cancelled, since nobody approved it for another time. Null: it may. */
export async function heldAtStart(
  deps: Deps,
  plan: Plan,
  run: MigrationRun,
  snapshot: Snapshot,
): Promise<RunFailure | null> {
  const now = deps.now();
  const stored = await storedOf(deps, plan);
  if (stored?.unreadable) {
    const detail = `When ${plan.policyId} permits it to begin cannot be read: ${stored.unreadable.why}.`;
    return { reason: "unreadable-policy", detail };
  }
  const windows = stored?.policy.windows ?? [];
  if (!windowOpen(windows, now))
    return { reason: "outside-window", detail: `The windows of ${plan.policyId} closed before the move began.` };
  const rule = frozen(
    await deps.store.freezes.notOver(run.cluster, now),
    now,
    subjectOf(run, run.vmUuid, labelsOf(snapshot)),
  );
  return rule ? { reason: "frozen", detail: `${run.vmName} is ${freezeText(rule)}.` } : null;
}
