// What a migration would cost, from what the body says and telemetry adds.
import type { z } from "zod";
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import type { Snapshot } from "../model/cluster.ts";
import { checkEstimateInput, estimateMigration } from "../model/migration/index.ts";
import type { SeveralAnswer, severalBody } from "../model/migration/several-types.ts";
import { checkSeveral, estimateSeveral } from "../model/migration/several.ts";
import { type EstimateAnswer, type EstimateInput, type estimateBody, estimateInput } from "../model/migration/types.ts";
import type { Learned } from "../model/migration/estimate.ts";
import { estimateInputFor, learnedIn } from "../model/placement/cost.ts";
import { planParameters } from "../model/placement/types.ts";
import { learnedOf } from "./calibration.ts";
import { readFacts } from "./snapshots.ts";

type Body = z.output<typeof estimateBody>;

export async function estimate(deps: Deps, body: Body): Promise<EstimateAnswer> {
  const { input, learned } = await inputOf(deps, body, "", snapshotsOf(deps));
  const issues = checkEstimateInput(input);
  if (issues.length > 0) throw new AppError({ code: "invalid_request", issues });
  return estimateMigration(input, learned);
}

/** Of migrations that share a link: how many at a time, and in which order. */
export async function estimateTogether(deps: Deps, body: z.output<typeof severalBody>): Promise<SeveralAnswer> {
  const { migrations, ...options } = body;
  const snapshots = snapshotsOf(deps);
  const inputs: EstimateInput[] = [];
  for (const [index, each] of migrations.entries())
    inputs.push((await inputOf(deps, each, `migrations.${index}.`, snapshots)).input);
  const issues = checkSeveral(inputs, options);
  if (issues.length > 0) throw new AppError({ code: "invalid_request", issues });
  return estimateSeveral(inputs, options);
}

type Snapshots = (cluster: string) => Promise<Snapshot>;

/** Each cluster is read once a request. */
function snapshotsOf(deps: Deps): Snapshots {
  const read = new Map<string, Promise<Snapshot>>();
  return (cluster) => {
    const snapshot = read.get(cluster) ?? readFacts(deps, cluster);
    read.set(cluster, snapshot);
    return snapshot;
  };
}

type Gathered = { input: EstimateInput; learned: Learned | null };

/** What the body says and telemetry adds, and what is learned of that cluster; `prefix` is where the body stands in the request. */
async function inputOf(deps: Deps, body: Body, prefix: string, snapshots: Snapshots): Promise<Gathered> {
  const { vmId, toHostId, cluster, ...given } = body;
  const known =
    vmId === undefined || toHostId === undefined ? null : await fromTelemetry(deps, { vmId, toHostId }, snapshots);
  const { facts } = known ?? {};
  const merged =
    facts === undefined
      ? given
      : { ...facts, ...given, vm: { ...facts.vm, ...given.vm }, link: mergedLink(facts, given) };
  const parsed = estimateInput.safeParse(merged);
  if (parsed.success) {
    const learned = known === null && cluster !== undefined ? await learnedOf(deps, cluster) : (known?.learned ?? null);
    return { input: parsed.data, learned };
  }
  const issues = parsed.error.issues.map(({ path, message }) => ({ path: `${prefix}${path.join(".")}`, message }));
  throw new AppError({ code: "invalid_request", issues });
}

/** The link as the body has it; what the body leaves out of it comes from the inventory. */
function mergedLink(known: Partial<EstimateInput>, given: Omit<Body, "vmId" | "toHostId" | "cluster">) {
  return given.link === undefined ? known.link : { ...known.link, ...given.link };
}

async function fromTelemetry(
  deps: Deps,
  { vmId, toHostId }: { vmId: string; toHostId: string },
  snapshots: Snapshots,
): Promise<{ facts: Partial<EstimateInput> & Pick<EstimateInput, "vm">; learned: Learned | null }> {
  const [place] = await deps.store.hosts.vms({ cluster: null, hostId: null, uuid: vmId, after: null, limit: 1 });
  if (!place?.hostId) throw new AppError({ code: "not_found", what: "vm", id: vmId });
  const snapshot = await snapshots(place.cluster);
  const to = snapshot.hosts.find((host) => host.hostId === toHostId);
  if (!to) throw new AppError({ code: "not_found", what: "host", id: toHostId });
  const from = snapshot.hosts.find((host) => host.hostId === place.hostId);
  const vm = from?.vms.find((candidate) => candidate.uuid === vmId);
  if (!from || !vm) throw new AppError({ code: "not_found", what: "vm", id: vmId });
  const ends = [from.hostId, to.hostId];
  const beside = snapshot.reservations.filter((r) => ends.includes(r.fromHostId) || ends.includes(r.toHostId)).length;
  const {
    parameters: _,
    mechanisms: __,
    downtimeSloMs: ___,
    ...facts
  } = estimateInputFor(snapshot, vm, from, to, planParameters.parse({}), beside);
  return { facts, learned: learnedIn(snapshot) };
}
