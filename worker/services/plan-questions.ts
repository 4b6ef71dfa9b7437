// Questions about a plan that are answered from what it was made from: why not another move, and does it come out the same.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { canonicalJson } from "../model/canonical.ts";
import type { Snapshot } from "../model/cluster.ts";
import { differencesOf } from "../model/differences.ts";
import { buildPlan, ENGINE_VERSION, whyNot, type WhyNot } from "../model/placement/index.ts";
import type { Plan, Replay } from "../model/plan.ts";
import { DAY_MS } from "../model/units.ts";
import { readPlan } from "./plans.ts";

/** How long what a plan was made from is kept: a large one takes megabytes. */
export const PLAN_INPUT_KEPT_MS = 7 * DAY_MS;

const DIFFERENCES_MAX = 100;

async function readInput(deps: Deps, { planId, createdAt }: Plan) {
  const input = await deps.store.planInputs.read(planId);
  if (input !== null && input !== "unreadable") return input;
  const isOld = createdAt < deps.now() - PLAN_INPUT_KEPT_MS;
  const lost = isOld ? `it is kept for ${PLAN_INPUT_KEPT_MS / DAY_MS} days` : "it was too large to keep";
  throw new AppError({ code: "snapshot_gone", planId, why: input === null ? lost : "what is stored cannot be read" });
}

/** Why the plan does not move this VM to this host; `vm` is a uuid, or a name that only one VM has. */
export async function whyNotInPlan(
  deps: Deps,
  planId: string,
  { vm, host }: { vm: string; host: string },
): Promise<WhyNot> {
  const plan = await readPlan(deps, planId);
  const { snapshot } = await readInput(deps, plan);
  const missing = (what: "vm" | "host", id: string) =>
    new AppError({ code: "not_in_snapshot", what, id, planId, at: snapshot.at });
  const [uuid, ...others] = uuidsOf(snapshot, vm);
  if (uuid === undefined) throw missing("vm", vm);
  if (others.length > 0) {
    const all = [uuid, ...others];
    const message = `${all.length} VMs are named ${vm}: give the uuid, ${all.slice(0, 5).join(" or ")}`;
    throw new AppError({ code: "invalid_request", issues: [{ path: "vm", message }] });
  }
  const answer = whyNot(snapshot, plan.content, uuid, host);
  if (answer === null) throw missing("host", host);
  return answer;
}

/** The VM of this uuid, else those of this name. */
function uuidsOf({ hosts }: Snapshot, named: string): string[] {
  const vms = hosts.flatMap((host) => host.vms);
  if (vms.some(({ uuid }) => uuid === named)) return [named];
  return [...new Set(vms.filter(({ name }) => name === named).map(({ uuid }) => uuid))];
}

/** Makes the plan once more from what it was made from, and compares the bytes. */
export async function replayPlan(deps: Deps, planId: string): Promise<Replay> {
  const plan = await readPlan(deps, planId);
  const { contentHash, content: stored } = plan;
  const { snapshot, engineVersion } = await readInput(deps, plan);
  const content = buildPlan(snapshot, stored.goal, stored.parameters);
  const replayedText = canonicalJson(content);
  const replayedHash = await deps.hash(replayedText);
  const same = replayedHash === contentHash;
  return {
    planId,
    same,
    contentHash,
    replayedHash,
    engineVersion,
    replayedEngineVersion: ENGINE_VERSION,
    verdict: verdictOf(same, engineVersion),
    // As JSON: what is undefined on one side and absent on the other is the same.
    differences: same ? [] : differencesOf(stored, JSON.parse(replayedText), DIFFERENCES_MAX),
    ...(same ? {} : { content }),
  };
}

function verdictOf(same: boolean, engineVersion: string): string {
  const isSameEngine = engineVersion === ENGINE_VERSION;
  if (same && isSameEngine) return "The same snapshot and parameters gave the same plan, byte for byte.";
  if (same) return `The plan was made by engine ${engineVersion}; ${ENGINE_VERSION} makes the same, byte for byte.`;
  if (!isSameEngine)
    return `The plan was made by engine ${engineVersion}; ${ENGINE_VERSION} answers otherwise, as \`differences\` has it.`;
  return "The same engine answered otherwise: the stored plan or its snapshot was changed. Do not trust this plan; ask for a new one.";
}
