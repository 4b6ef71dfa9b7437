// Inbound triggers: made, changed, deleted, their tokens rotated. What is posted to them is in trigger-alerts.ts.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { type AuditEntry, entryOf, type Principal } from "../model/principal.ts";
import {
  changedTrigger,
  type NewTrigger,
  type Trigger,
  type TriggerChange,
  TRIGGERS_MAX,
} from "../model/triggers/trigger.ts";

type TriggerRecord = NonNullable<Awaited<ReturnType<Deps["store"]["triggers"]["byId"]>>>;

/** A trigger as it may be shown. */
export const viewOf = (deps: Deps, { tokenHash: _, ...trigger }: TriggerRecord): Trigger => ({
  ...trigger,
  url: `${deps.outgoing.publicUrl ?? ""}/v1/triggers/${trigger.triggerId}/alerts`,
});

export async function readTrigger(deps: Deps, triggerId: string): Promise<TriggerRecord> {
  const trigger = await deps.store.triggers.byId(triggerId);
  if (!trigger) throw new AppError({ code: "not_found", what: "trigger", id: triggerId });
  return trigger;
}

const refused = (path: string, message: string) =>
  new AppError({ code: "invalid_request", issues: [{ path, message }] });

async function assertPolicy(deps: Deps, cluster: string, policyId: string | null | undefined): Promise<void> {
  if (policyId === null || policyId === undefined) return;
  const stored = await deps.store.policies.byId(policyId);
  const found = stored?.policy ?? stored?.unreadable;
  if (found?.cluster !== cluster)
    throw refused("policyId", `no policy ${policyId} in cluster ${cluster}: see GET /v1/policies`);
}

const nameTaken = (name: string) => new AppError({ code: "name_taken", what: "trigger", name });

const newToken = async (deps: Deps) => {
  const token = `drt_${deps.newSecret()}`;
  return { token, tokenHash: await deps.hash(token) };
};

/** The token is in the answer and never shown again. */
export async function createTrigger(
  deps: Deps,
  principal: Principal,
  input: NewTrigger,
): Promise<{ trigger: Trigger; token: string }> {
  if ((await deps.store.telemetry.hostNames(input.cluster)).length === 0)
    throw refused("cluster", `no host of ${input.cluster} is known`);
  await assertPolicy(deps, input.cluster, input.policyId);
  if ((await deps.store.triggers.count()) >= TRIGGERS_MAX)
    throw refused("", `there are ${TRIGGERS_MAX} triggers, which is the most there can be: delete one first`);
  const { token, tokenHash } = await newToken(deps);
  const now = deps.now();
  const record: TriggerRecord = {
    ...input,
    triggerId: deps.newId("trg"),
    tokenHash,
    version: 1,
    createdBy: principal.id,
    createdAt: now,
    updatedAt: now,
    lastAlertAt: null,
  };
  const entry = entryOf(principal, "trigger.created", record.triggerId, input);
  if (!(await deps.store.triggers.insert(record, entry))) throw nameTaken(input.name);
  return { trigger: viewOf(deps, record), token };
}

/** `record`: as it was read, with what is to be different. `version`: what the caller has seen; null: whatever it is. */
async function write(deps: Deps, record: TriggerRecord, version: number | null, entry: AuditEntry): Promise<Trigger> {
  const { triggerId } = record;
  const changedMeanwhile = (present: number | null) =>
    new AppError({ code: "changed_meanwhile", what: "Trigger", id: triggerId, version: present });
  if (version !== null && version !== record.version) throw changedMeanwhile(record.version);
  const next = { ...record, version: record.version + 1, updatedAt: deps.now() };
  const done = await deps.store.triggers.update(next, entry);
  if (done === "name-taken") throw nameTaken(record.name);
  if (done === "stale") throw changedMeanwhile((await deps.store.triggers.byId(triggerId))?.version ?? null);
  return viewOf(deps, next);
}

/** Fields that are given replace those there are. */
export async function changeTrigger(
  deps: Deps,
  principal: Principal,
  triggerId: string,
  change: TriggerChange,
  version: number | null,
): Promise<Trigger> {
  const record = await readTrigger(deps, triggerId);
  await assertPolicy(deps, record.cluster, change.policyId);
  const { cluster, name, source, event, policyId, dedupeMs, startsPerHourMax, enabled } = record;
  const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
  const present = { cluster, name, source, event, policyId, dedupeMs, startsPerHourMax, enabled };
  const parsed = changedTrigger.safeParse({ ...present, ...given });
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => ({ path: path.join("."), message }));
    throw new AppError({ code: "invalid_request", issues });
  }
  const entry = entryOf(principal, "trigger.changed", triggerId, change);
  return write(deps, { ...record, ...parsed.data }, version, entry);
}

/** The new token holds at once, the old one no more. */
export async function rotateToken(
  deps: Deps,
  principal: Principal,
  triggerId: string,
): Promise<{ trigger: Trigger; token: string }> {
  const record = await readTrigger(deps, triggerId);
  const { token, tokenHash } = await newToken(deps);
  const entry = entryOf(principal, "trigger.token-rotated", triggerId, undefined);
  return { trigger: await write(deps, { ...record, tokenHash }, null, entry), token };
}

export async function deleteTrigger(
  deps: Deps,
  principal: Principal,
  triggerId: string,
  { version, reason }: { version: number | null; reason: string | undefined },
): Promise<void> {
  const record = await readTrigger(deps, triggerId);
  if (version !== null && version !== record.version)
    throw new AppError({ code: "changed_meanwhile", what: "Trigger", id: triggerId, version: record.version });
  const entry = entryOf(principal, "trigger.deleted", triggerId, viewOf(deps, record), reason);
  await deps.store.triggers.remove(triggerId, entry, deps.now());
}
