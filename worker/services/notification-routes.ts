// Notification routes: made, changed, tried, deleted. What they gather and send is in route-turns.ts.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { testNotification } from "../model/notifications/notification.ts";
import {
  type NewRoute,
  type NotificationRoute,
  type RouteChange,
  ROUTES_MAX,
  type RouteTarget,
  targetIdOf,
} from "../model/notifications/route.ts";
import { entryOf, type Principal } from "../model/principal.ts";
import { HOUR_MS } from "../model/units.ts";
import { deliveriesTo, targetsThere } from "./route-turns.ts";

type RouteRecord = NonNullable<Awaited<ReturnType<Deps["store"]["routes"]["byId"]>>>;

/** Routes as they may be shown, with how they have done. */
export async function viewsOf(deps: Deps, records: readonly RouteRecord[]): Promise<NotificationRoute[]> {
  const there = await targetsThere(
    deps,
    records.flatMap(({ to }) => to),
  );
  const counts = await deps.store.routes.waitingCounts(records.map(({ routeId }) => routeId));
  const now = deps.now();
  return records.map(({ turn: _, sent, ...route }) => ({
    ...route,
    missing: route.to.map(targetIdOf).filter((id) => !there.has(id)),
    waiting: counts.get(route.routeId) ?? 0,
    lastSentAt: sent.at(-1)?.at ?? null,
    sentWithinHour: sent.filter(({ at }) => at > now - HOUR_MS).length,
  }));
}

async function viewOf(deps: Deps, record: RouteRecord): Promise<NotificationRoute> {
  const [view] = await viewsOf(deps, [record]);
  if (view === undefined) throw new Error("one route has one view");
  return view;
}

async function readRecord(deps: Deps, routeId: string): Promise<RouteRecord> {
  const route = await deps.store.routes.byId(routeId);
  if (!route) throw new AppError({ code: "not_found", what: "route", id: routeId });
  return route;
}

export const readRoute = async (deps: Deps, routeId: string): Promise<NotificationRoute> =>
  viewOf(deps, await readRecord(deps, routeId));

async function assertTargets(deps: Deps, to: readonly RouteTarget[]): Promise<void> {
  const there = await targetsThere(deps, to);
  const issues = to.flatMap((target, index) => {
    if (there.has(targetIdOf(target))) return [];
    const [field, list] =
      target.kind === "webhook" ? ["webhookId", "/v1/webhooks"] : ["channelId", "/v1/chat/channels"];
    return [{ path: `to.${index}.${field}`, message: `there is no ${targetIdOf(target)}: see GET ${list}` }];
  });
  if (issues.length > 0) throw new AppError({ code: "invalid_request", issues });
}

const nameTaken = (name: string) => new AppError({ code: "name_taken", what: "route", name });

export async function createRoute(deps: Deps, principal: Principal, input: NewRoute): Promise<NotificationRoute> {
  await assertTargets(deps, input.to);
  if ((await deps.store.routes.count()) >= ROUTES_MAX) {
    const message = `there are ${ROUTES_MAX} routes, which is the most there can be: delete one first`;
    throw new AppError({ code: "invalid_request", issues: [{ path: "", message }] });
  }
  const now = deps.now();
  const record: RouteRecord = {
    ...input,
    routeId: deps.newId("rte"),
    version: 1,
    createdBy: principal.id,
    createdAt: now,
    updatedAt: now,
    turn: 0,
    sent: [],
  };
  const entry = entryOf(principal, "route.created", record.routeId, input);
  if (!(await deps.store.routes.insert(record, entry))) throw nameTaken(input.name);
  return viewOf(deps, record);
}

const changedMeanwhile = (routeId: string, version: number | null) =>
  new AppError({ code: "changed_meanwhile", what: "Route", id: routeId, version });

/** Fields that are given replace those there are. What waits already is told as the route is then. */
export async function changeRoute(
  deps: Deps,
  principal: Principal,
  routeId: string,
  change: RouteChange,
  version: number | null,
): Promise<NotificationRoute> {
  const record = await readRecord(deps, routeId);
  if (version !== null && version !== record.version) throw changedMeanwhile(routeId, record.version);
  if (change.to !== undefined) await assertTargets(deps, change.to);
  const given = Object.fromEntries(
    Object.entries(change).filter(([, value]) => value !== undefined),
  ) as Partial<NewRoute>;
  const next = { ...record, ...given, version: record.version + 1, updatedAt: deps.now() };
  const done = await deps.store.routes.update(next, entryOf(principal, "route.changed", routeId, change));
  if (done === "name-taken") throw nameTaken(next.name);
  if (done === "stale") throw changedMeanwhile(routeId, (await deps.store.routes.byId(routeId))?.version ?? null);
  await deps.queue.deliver([{ kind: "route", targetId: routeId }], 0);
  return viewOf(deps, next);
}

export async function deleteRoute(
  deps: Deps,
  principal: Principal,
  routeId: string,
  { version, reason }: { version: number | null; reason: string | undefined },
): Promise<void> {
  const { turn: _, sent: __, ...record } = await readRecord(deps, routeId);
  if (version !== null && version !== record.version) throw changedMeanwhile(routeId, record.version);
  await deps.store.routes.remove(routeId, entryOf(principal, "route.deleted", routeId, record, reason), deps.now());
}

/** Sends a message that says that it is a test, at once, to all targets; it counts toward no limit. */
export async function testRoute(deps: Deps, principal: Principal, routeId: string): Promise<{ to: RouteTarget[] }> {
  const record = await readRecord(deps, routeId);
  const there = await targetsThere(deps, record.to);
  const to = record.to.filter((target) => there.has(targetIdOf(target)));
  const now = deps.now();
  const draft = testNotification(record, principal.id, now);
  const entry = entryOf(principal, "route.tested", routeId, { to });
  const raised = { draft, deliveries: deliveriesTo(deps, to, now) };
  await deps.store.routes.raise(raised, entry, now);
  await deps.queue.deliver(raised.deliveries, 0);
  return { to };
}
