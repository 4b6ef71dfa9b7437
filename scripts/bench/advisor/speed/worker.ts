// A Worker that makes plans for a generated cluster and nothing else: what the model costs in workerd.
import { canonicalJson } from "../../../../worker/model/canonical.ts";
import type { Snapshot } from "../../../../worker/model/cluster.ts";
import { buildPlan } from "../../../../worker/model/placement/index.ts";
import { wholeCluster } from "./cluster.ts";
import { requests } from "./requests.ts";

let cluster: Snapshot | null = null;

/** `/cluster?hosts=&seed=`, then `/plan?strategy=&evaluations=`. */
function answer(url: URL): object {
  const asked = (name: string): number => Number(url.searchParams.get(name));
  if (url.pathname === "/cluster") {
    cluster = wholeCluster(asked("hosts"), asked("seed"));
    return { hosts: cluster.hosts.length, vms: cluster.hosts.reduce((sum, { vms }) => sum + vms.length, 0) };
  }
  const request = requests.find(({ strategy }) => strategy === url.searchParams.get("strategy"));
  if (cluster === null || request === undefined) return { error: "ask for a cluster first, then for a strategy" };
  const stated = url.searchParams.has("evaluations") ? { evaluationsMax: asked("evaluations") } : {};
  const plan = buildPlan(cluster, request.goal, { ...request.parameters, ...stated });
  const { moves, notMoved, cutShort } = plan;
  return { moves: moves.length, notMoved: notMoved.length, cutShort, bytes: canonicalJson(plan).length };
}

// oxlint-disable-next-line import/no-default-export -- where workerd looks for handlers
export default {
  fetch: (request) => Response.json(answer(new URL(request.url))),
} satisfies ExportedHandler;
