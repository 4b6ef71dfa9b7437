// The Worker on a clock that stands still, with routes that read a snapshot as services do.
import { createApp } from "../../../worker/app.ts";
import { type Bindings, type Deps, makeDeps } from "../../../worker/env.ts";
import type { Snapshot } from "../../../worker/model/cluster.ts";
import { runSchedule } from "../../../worker/services/schedule.ts";
import { readSnapshot, readSnapshotWithRecent } from "../../../worker/services/snapshots.ts";

export { MigrationRun } from "../../../worker/workflows/migration-run.ts";

type BenchBindings = Bindings & { NOW: string };

const READS: Record<string, (deps: Deps, cluster: string) => Promise<Snapshot>> = {
  facts: readSnapshot,
  recent: readSnapshotWithRecent,
};

const depsOf = (env: BenchBindings): Deps => ({ ...makeDeps(env), now: () => Number(env.NOW) });
const app = createApp((env) => depsOf(env as BenchBindings));

/** What was read, in numbers. */
async function answer(deps: Deps, read: (deps: Deps, cluster: string) => Promise<Snapshot>): Promise<Response> {
  const before = { ...deps.counts.d1 };
  const { hosts } = await read(deps, "bench");
  const vms = hosts.flatMap((host) => host.vms);
  const { queries, rowsRead } = deps.counts.d1;
  return Response.json({
    hosts: hosts.length,
    vms: vms.length,
    loads: vms.filter(({ load }) => load.cpuUsedCores !== undefined).length,
    p95s: vms.filter(({ load }) => load.cpuUsedCoresP95 !== undefined).length,
    recentHosts: hosts.filter(({ load }) => load.recent !== undefined).length,
    recentVms: vms.filter(({ load }) => load.recent !== undefined).length,
    queries: queries - before.queries,
    rowsRead: rowsRead - before.rowsRead,
  });
}

// oxlint-disable-next-line import/no-default-export -- where workerd looks for handlers
export default {
  fetch: async (request, env, context) => {
    const { pathname } = new URL(request.url);
    const read = READS[pathname.replace("/bench/", "")];
    if (read !== undefined) return answer(depsOf(env), read);
    if (pathname !== "/bench/schedule") return app.fetch(request, env, context);
    await runSchedule(depsOf(env));
    return Response.json({});
  },
} satisfies ExportedHandler<BenchBindings>;
