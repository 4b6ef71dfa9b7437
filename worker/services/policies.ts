// Policies: made, changed, paused, deleted. Running them is in policy-runs.ts.
import type { Deps } from "../env.ts";
import { AppError, type Issue } from "../errors.ts";
import {
  type NewPolicy,
  type Policy,
  type PolicyChange,
  type PolicyDefinition,
  SHADOW_FIRST_MS,
  type StoredPolicy,
  type UnreadablePolicy,
  changed,
  definitionOf,
  isAutomatic,
  policyDefinition,
  recordOf,
  stepsFor,
} from "../model/policy/policy.ts";
import type { AuditEntry, Principal } from "../model/principal.ts";
import { planIssues } from "./plans.ts";
import { readFacts } from "./snapshots.ts";

async function readStored(deps: Deps, policyId: string): Promise<StoredPolicy> {
  const stored = await deps.store.policies.byId(policyId);
  if (!stored) throw new AppError({ code: "not_found", what: "policy", id: policyId });
  return stored;
}

export const unreadablePolicy = ({ policyId, why }: UnreadablePolicy) =>
  new AppError({ code: "unreadable_policy", policyId, why });

export async function readPolicy(deps: Deps, policyId: string): Promise<Policy> {
  const { policy, unreadable } = await readStored(deps, policyId);
  if (unreadable) throw unreadablePolicy(unreadable);
  return policy;
}

/** What is kept of a policy whether or not what it says can be read. */
export const readRecord = async (deps: Deps, policyId: string): Promise<Policy | UnreadablePolicy> =>
  recordOf(await readStored(deps, policyId));

/** Who lets a policy approve must be allowed to approve. */
function assertMayAutomate({ scopes }: Principal, { mode }: Pick<Policy, "mode">): void {
  if (isAutomatic(mode) && !scopes.includes("approve"))
    throw new AppError({ code: "missing_scope", anyOf: ["approve"] });
}

/** Refuses goals that the advisor would refuse in a plan, each at its place. */
async function assertGoals(deps: Deps, definition: PolicyDefinition): Promise<void> {
  const snapshot = await readFacts(deps, definition.cluster);
  // An event brings the host to be emptied: any host stands for it here.
  const hostId = definition.trigger.type === "event" ? (snapshot.hosts[0]?.hostId ?? null) : null;
  const issues = stepsFor(definition, hostId, Infinity).flatMap((step, index): Issue[] =>
    planIssues(snapshot, { cluster: definition.cluster, ...step }).map(({ path, message }) => ({
      path: path === "cluster" ? path : `goals.${index}.${path}`,
      message,
    })),
  );
  if (issues.length > 0) throw new AppError({ code: "invalid_request", issues });
}

const nameTaken = (name: string) => new AppError({ code: "name_taken", what: "policy", name });

/** For seven days a new policy only shows what it would do, unless `shadowUntil` is given. */
export async function createPolicy(deps: Deps, principal: Principal, input: NewPolicy): Promise<Policy> {
  const now = deps.now();
  const { reason, ...given } = input;
  const definition = {
    ...given,
    shadowUntil: given.shadowUntil === undefined ? now + SHADOW_FIRST_MS : given.shadowUntil,
  };
  assertMayAutomate(principal, definition);
  await assertGoals(deps, definition);
  const policy: Policy = {
    ...definition,
    policyId: deps.newId("pol"),
    version: 1,
    createdBy: principal.id,
    createdAt: now,
    updatedAt: now,
    activatedAt: now,
    modeSince: now,
    lastDueAt: null,
    lastStartedAt: null,
  };
  const entry = auditOf(principal, "policy.created", policy.policyId, reason, definition);
  if ((await deps.store.policies.insert(policy, entry)) === "name-taken") throw nameTaken(policy.name);
  return policy;
}

const auditOf = (
  principal: Principal,
  action: string,
  subject: string,
  reason: string | undefined,
  detail?: unknown,
): AuditEntry => ({
  actor: principal.id,
  action,
  subject,
  ...(reason === undefined ? {} : { reason }),
  ...(detail === undefined ? {} : { detail }),
});

/** What an operator said of it, as far as it can be read. */
const fieldsOf = ({ policy, unreadable }: StoredPolicy): Record<string, unknown> =>
  policy ? definitionOf(policy) : { ...unreadable.given, cluster: unreadable.cluster, name: unreadable.name };

/** `version`: what the caller has seen; null: it takes whatever there is. */
function assertVersion(policy: Pick<Policy, "policyId" | "version">, version: number | null): void {
  if (version !== null && version !== policy.version)
    throw new AppError({ code: "changed_meanwhile", what: "Policy", id: policy.policyId, version: policy.version });
}

export async function changePolicy(
  deps: Deps,
  principal: Principal,
  policyId: string,
  change: PolicyChange,
  version: number | null,
): Promise<Policy> {
  const stored = await readStored(deps, policyId);
  const before = recordOf(stored);
  assertVersion(before, version);
  const parsed = policyDefinition.safeParse(changed(fieldsOf(stored), change));
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => ({ path: path.join("."), message }));
    throw new AppError({ code: "invalid_request", issues });
  }
  assertMayAutomate(principal, parsed.data);
  const isRepaired = stored.policy === null;
  if (isRepaired || change.goals !== undefined || change.mode !== undefined || change.trigger !== undefined)
    await assertGoals(deps, parsed.data);
  const now = deps.now();
  const isResumed = parsed.data.enabled && !before.enabled;
  const { createdBy, createdAt, lastDueAt, lastStartedAt } = before;
  const { reason, ...fields } = change;
  await write(
    deps,
    {
      ...parsed.data,
      policyId,
      createdBy,
      createdAt,
      lastDueAt,
      lastStartedAt,
      version: before.version + 1,
      updatedAt: now,
      activatedAt: change.trigger !== undefined || isResumed || isRepaired ? now : before.activatedAt,
      modeSince: change.mode === undefined ? before.modeSince : now,
    },
    auditOf(principal, "policy.changed", policyId, reason, fields),
  );
  return readPolicy(deps, policyId);
}

export async function setPolicyEnabled(
  deps: Deps,
  principal: Principal,
  policyId: string,
  { enabled, reason }: { enabled: boolean; reason: string },
): Promise<Policy> {
  const policy = await readPolicy(deps, policyId);
  if (policy.enabled === enabled) return policy;
  if (enabled) assertMayAutomate(principal, policy);
  const now = deps.now();
  await write(
    deps,
    {
      ...policy,
      enabled,
      version: policy.version + 1,
      updatedAt: now,
      activatedAt: enabled ? now : policy.activatedAt,
    },
    auditOf(principal, enabled ? "policy.resumed" : "policy.paused", policyId, reason),
  );
  return readPolicy(deps, policyId);
}

async function write(deps: Deps, policy: Policy, entry: AuditEntry): Promise<void> {
  const result = await deps.store.policies.update(policy, entry);
  if (result === "name-taken") throw nameTaken(policy.name);
  if (result === "done") return;
  const present = await deps.store.policies.byId(policy.policyId);
  const version = present && recordOf(present).version;
  throw new AppError({ code: "changed_meanwhile", what: "Policy", id: policy.policyId, version });
}

export async function deletePolicy(
  deps: Deps,
  principal: Principal,
  policyId: string,
  { version, reason }: { version: number | null; reason: string | undefined },
): Promise<void> {
  const stored = await readStored(deps, policyId);
  assertVersion(recordOf(stored), version);
  const entry = auditOf(principal, "policy.deleted", policyId, reason, fieldsOf(stored));
  await deps.store.policies.remove(policyId, entry, deps.now());
}
