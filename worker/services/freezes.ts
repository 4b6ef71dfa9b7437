// Freezes: made, changed, ended.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { type Freeze, type FreezeChange, type NewFreeze, freezeDefinition } from "../model/policy/freeze.ts";
import type { Principal } from "../model/principal.ts";

export async function readFreeze(deps: Deps, freezeId: string): Promise<Freeze> {
  const freeze = await deps.store.freezes.byId(freezeId);
  if (!freeze) throw new AppError({ code: "not_found", what: "freeze", id: freezeId });
  return freeze;
}

export async function createFreeze(deps: Deps, principal: Principal, input: NewFreeze): Promise<Freeze> {
  const now = deps.now();
  const freeze = {
    ...input,
    freezeId: deps.newId("frz"),
    version: 1,
    createdBy: principal.id,
    createdAt: now,
    updatedAt: now,
  };
  await deps.store.freezes.insert(freeze, {
    actor: principal.id,
    action: "freeze.created",
    subject: freeze.freezeId,
    reason: input.reason,
    detail: input,
  });
  return freeze;
}

function assertVersion(freeze: Freeze, version: number | null): void {
  if (version !== null && version !== freeze.version)
    throw new AppError({ code: "changed_meanwhile", what: "Freeze", id: freeze.freezeId, version: freeze.version });
}

/** Fields that are given replace those there are; null takes one away. */
export async function changeFreeze(
  deps: Deps,
  principal: Principal,
  freezeId: string,
  change: FreezeChange,
  version: number | null,
): Promise<Freeze> {
  const freeze = await readFreeze(deps, freezeId);
  assertVersion(freeze, version);
  const { freezeId: _, version: __, createdBy, createdAt, updatedAt: ___, ...present } = freeze;
  const merged = Object.entries({ ...present, ...change }).filter(([, value]) => value !== null && value !== undefined);
  const parsed = freezeDefinition.safeParse(Object.fromEntries(merged));
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => ({ path: path.join("."), message }));
    throw new AppError({ code: "invalid_request", issues });
  }
  const next = {
    ...parsed.data,
    freezeId,
    version: freeze.version + 1,
    createdBy,
    createdAt,
    updatedAt: deps.now(),
  };
  const entry = {
    actor: principal.id,
    action: "freeze.changed",
    subject: freezeId,
    reason: next.reason,
    detail: change,
  };
  if (!(await deps.store.freezes.update(next, entry))) {
    const now = (await deps.store.freezes.byId(freezeId))?.version ?? null;
    throw new AppError({ code: "changed_meanwhile", what: "Freeze", id: freezeId, version: now });
  }
  return next;
}

export async function deleteFreeze(
  deps: Deps,
  principal: Principal,
  freezeId: string,
  { version, reason }: { version: number | null; reason: string | undefined },
): Promise<void> {
  const freeze = await readFreeze(deps, freezeId);
  assertVersion(freeze, version);
  await deps.store.freezes.remove(
    freeze,
    {
      actor: principal.id,
      action: "freeze.deleted",
      subject: freezeId,
      ...(reason === undefined ? {} : { reason }),
      detail: freeze,
    },
    deps.now(),
  );
}
