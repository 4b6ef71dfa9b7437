// Placement rules: stated, changed, withdrawn.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import type { NewRule, RuleBody, StoredRule } from "../model/placement/rules.ts";
import { entryOf, type Principal } from "../model/principal.ts";

/** A plan weighs every rule for every move. */
const RULES_MAX = 1000;

const notFound = (id: string) => new AppError({ code: "not_found", what: "rule", id });

/** What an operator may do about a rule that this version cannot read. */
export const unreadableRule = (id: string) =>
  new AppError({ code: "illegal_state", what: "Rule", id, state: "unreadable", allowed: ["replaced", "deleted"] });

export async function createRule(deps: Deps, principal: Principal, { cluster, ...rule }: NewRule): Promise<StoredRule> {
  if ((await deps.store.rules.count(cluster)) >= RULES_MAX)
    throw new AppError({
      code: "invalid_request",
      issues: [{ path: "cluster", message: `${cluster} has ${RULES_MAX} rules already: join or delete some` }],
    });
  const [now, ruleId] = [deps.now(), deps.newId("rul")];
  await deps.store.rules.insert(
    ruleId,
    cluster,
    rule,
    now,
    entryOf(principal, "rule.created", ruleId, rule, rule.reason),
  );
  return { ...rule, ruleId, cluster, createdAt: now, updatedAt: now };
}

export async function readRule(deps: Deps, ruleId: string): Promise<StoredRule> {
  const found = await deps.store.rules.byId(ruleId);
  if (!found) throw notFound(ruleId);
  if (!found.rule) throw unreadableRule(ruleId);
  return found.rule;
}

/** What it says is replaced; it stays in its cluster. */
export async function replaceRule(
  deps: Deps,
  principal: Principal,
  ruleId: string,
  rule: RuleBody,
): Promise<StoredRule> {
  if (!(await deps.store.rules.byId(ruleId))) throw notFound(ruleId);
  await deps.store.rules.replace(
    ruleId,
    rule,
    deps.now(),
    entryOf(principal, "rule.replaced", ruleId, rule, rule.reason),
  );
  return readRule(deps, ruleId);
}

export async function deleteRule(deps: Deps, principal: Principal, ruleId: string): Promise<void> {
  const known = await deps.store.rules.byId(ruleId);
  if (!known) throw notFound(ruleId);
  const entry = { actor: principal.id, action: "rule.deleted", subject: ruleId, detail: known.rule ?? undefined };
  await deps.store.rules.remove(ruleId, deps.now(), entry);
}
