// What a migration would cost, from what the body says and telemetry adds.
import type { z } from "zod";
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { checkEstimateInput, estimateMigration } from "../model/migration/index.ts";
import { type EstimateAnswer, type EstimateInput, type estimateBody, estimateInput } from "../model/migration/types.ts";
import { estimateInputFor } from "../model/placement/cost.ts";
import { planParameters } from "../model/placement/types.ts";

export async function estimate(deps: Deps, body: z.output<typeof estimateBody>): Promise<EstimateAnswer> {
  const { vmId, toHostId, ...given } = body;
  const known = vmId === undefined || toHostId === undefined ? null : await fromTelemetry(deps, vmId, toHostId);
  const merged =
    known === null ? given : { ...known, ...given, vm: { ...known.vm, ...given.vm }, link: mergedLink(known, given) };
  const parsed = estimateInput.safeParse(merged);
  const issues = parsed.success
    ? checkEstimateInput(parsed.data)
    : parsed.error.issues.map((issue) => ({ path: issue.path.join("."), message: issue.message }));
  if (!parsed.success || issues.length > 0) throw new AppError({ code: "invalid_request", issues });
  return estimateMigration(parsed.data);
}

/** The link as the body has it; what the body leaves out of it comes from the inventory. */
function mergedLink(known: Partial<EstimateInput>, given: z.output<typeof estimateBody>) {
  return given.link === undefined ? known.link : { ...known.link, ...given.link };
}

async function fromTelemetry(
  deps: Deps,
  vmId: string,
  toHostId: string,
): Promise<Partial<EstimateInput> & Pick<EstimateInput, "vm">> {
  const [place] = await deps.store.hosts.vms({ cluster: null, hostId: null, uuid: vmId, after: null, limit: 1 });
  if (!place?.hostId) throw new AppError({ code: "not_found", what: "vm", id: vmId });
  const snapshot = await deps.store.snapshots.read(place.cluster, deps.now());
  const to = snapshot.hosts.find((host) => host.hostId === toHostId);
  if (!to) throw new AppError({ code: "not_found", what: "host", id: toHostId });
  const from = snapshot.hosts.find((host) => host.hostId === place.hostId);
  const vm = from?.vms.find((candidate) => candidate.uuid === vmId);
  if (!from || !vm) throw new AppError({ code: "not_found", what: "vm", id: vmId });
  const ends = [from.hostId, to.hostId];
  const beside = snapshot.reservations.filter((r) => ends.includes(r.fromHostId) || ends.includes(r.toHostId)).length;
  const {
    hypervisor,
    driver,
    vm: facts,
    link,
  } = estimateInputFor(snapshot, vm, from, to, planParameters.parse({}), beside);
  return { hypervisor, driver, vm: facts, ...(link === undefined ? {} : { link }) };
}
