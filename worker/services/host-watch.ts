// Looks at the hosts of clusters for those who want to be told when one is hot, failing or silent.
import type { Deps } from "../env.ts";
import { matches, type Subscriber } from "../model/webhooks/fan-out.ts";
import { HOST_STATE_EVENTS, hostNews, toldStates } from "../model/webhooks/host-states.ts";
import { readSnapshotWithRecent } from "./snapshots.ts";

const jobOf = (cluster: string): string => `host-watch ${cluster}`;

/** What is told and what was told last are written together, so that nothing is told twice or left out. */
export async function watchHosts(deps: Deps, subscribers: readonly Subscriber[]): Promise<void> {
  const wanting = subscribers.filter(({ events }) =>
    events.some((pattern) => HOST_STATE_EVENTS.some((type) => matches(pattern, type))),
  );
  if (wanting.length === 0) return;
  const all = new Set((await deps.store.telemetry.hostNames(null)).map(({ cluster }) => cluster));
  const isForAll = wanting.some(({ clusters }) => clusters === null);
  const named = new Set(wanting.flatMap(({ clusters }) => clusters ?? []));
  for (const cluster of all)
    if (isForAll || named.has(cluster)) await alone(cluster, () => watchCluster(deps, cluster));
}

async function watchCluster(deps: Deps, cluster: string): Promise<void> {
  const job = await deps.store.jobs.read(jobOf(cluster));
  const before = toldStates.safeParse(job?.state ?? {}).data ?? {};
  const { events, after } = hostNews(await readSnapshotWithRecent(deps, cluster), before);
  if (events.length > 0) await deps.store.jobs.write(jobOf(cluster), after, deps.now(), events);
}

/** What goes wrong with one cluster does not stop the others. */
async function alone(subject: string, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    // oxlint-disable-next-line no-console -- the platform's log is where it must be seen
    console.error(`host watch: ${subject}`, error);
  }
}
