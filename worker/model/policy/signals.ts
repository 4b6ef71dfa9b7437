// What can be seen of a cluster that policies wait for: hosts that are hot, failing or silent.
import type { Snapshot, SnapshotHost } from "../cluster.ts";
import { detectHealth, healthParameters } from "../detection/health.ts";
import { healthSignalsOf } from "../detection/health-signals.ts";
import { detectHotspots } from "../detection/hotspots.ts";
import { type DetectionParameters, detectionParameters } from "../detection/types.ts";
import { thresholdsOf } from "../placement/thresholds.ts";
import type { Goal } from "../placement/types.ts";
import { DAY_MS } from "../units.ts";
import type { Policy } from "./policy.ts";
import type { PolicyEvent } from "./trigger.ts";

export const SEEN_EVENTS = ["host.hot", "host.failing", "host.silent"] as const;
export type SeenEvent = (typeof SEEN_EVENTS)[number];

/** Which of the events that can be seen a policy waits for; none where it waits for no event. */
export const seenEventsOf = ({ trigger }: Pick<Policy, "trigger">): SeenEvent[] =>
  trigger.type === "event" ? SEEN_EVENTS.filter((type) => trigger.events.includes(type)) : [];

/** Goals that act on hot hosts. */
const COOLING: readonly Goal[] = ["balance", "consolidate", "save-energy"];

/** What the policy calls hot: what one of its goals that act on hot hosts does; where none does, any of its goals. */
function thresholdsFor({ goals }: Pick<Policy, "goals">): DetectionParameters[] {
  const cooling = goals.filter(({ goal }) => COOLING.includes(goal));
  return (cooling.length > 0 ? cooling : goals).map(({ parameters }) => thresholdsOf(parameters));
}

type Watching = Pick<Policy, "goals" | "trigger">;

/** For each policy the events that it waits for and that hold in a snapshot. Policies that ask the same are answered at once. */
export function eventsSeenBy<P extends Watching>(snapshot: Snapshot, policies: readonly P[]): [P, PolicyEvent[]][] {
  const hot = new Map<string, PolicyEvent[]>();
  const health = eventsOfHealth(snapshot);
  const hotFor = (thresholds: DetectionParameters): PolicyEvent[] => {
    const key = JSON.stringify(thresholds);
    const known = hot.get(key) ?? hotIn(snapshot, thresholds);
    hot.set(key, known);
    return known;
  };
  return policies.map((policy) => {
    const types = seenEventsOf(policy);
    const heat = types.includes("host.hot") ? thresholdsFor(policy).flatMap(hotFor) : [];
    const wanted = health.filter(({ type }) => types.some((one) => one === type));
    return [policy, [...inOrderOf(snapshot, heat), ...wanted]];
  });
}

/** One a host, the first that is given, in the order of the hosts. */
function inOrderOf({ hosts }: Snapshot, events: readonly PolicyEvent[]): PolicyEvent[] {
  const byHost = new Map(events.toReversed().map((event) => [event.hostId, event]));
  return hosts.flatMap(({ hostId }) => byHost.get(hostId) ?? []);
}

const eventOf = (cluster: string, type: SeenEvent, hostId: string, detail: string): PolicyEvent => ({
  cluster,
  type,
  hostId,
  detail: detail.slice(0, 500),
});

const hotIn = ({ cluster, at, hosts }: Snapshot, thresholds: DetectionParameters): PolicyEvent[] =>
  detectHotspots(hosts, thresholds, at).flatMap(({ hostId, state, sentence }) =>
    state === "hot" ? [eventOf(cluster, "host.hot", hostId, sentence)] : [],
  );

/** Hosts are judged with the defaults. One that was silent for a day is no news any more, nor is one that was never heard. */
function eventsOfHealth({ cluster, at, hosts }: Snapshot): PolicyEvent[] {
  return hosts.flatMap((host) => {
    const { state, reasons } = healthOf(host, at);
    const why = reasons[0]?.sentence ?? "";
    if (state === "failing") return [eventOf(cluster, "host.failing", host.hostId, why)];
    const isNews = host.heardAt !== undefined && at - host.heardAt < DAY_MS;
    return state === "silent" && isNews ? [eventOf(cluster, "host.silent", host.hostId, why)] : [];
  });
}

/** What is to be said of the health of a host, by the defaults. */
export function healthOf(host: SnapshotHost, at: number) {
  const { conditions } = host;
  const { staleMs } = detectionParameters.parse({});
  const signals = { ...healthSignalsOf(host, at, staleMs), ...(conditions === undefined ? {} : { conditions }) };
  return detectHealth(signals, healthParameters.parse({}));
}

/** Whether the policy treats events of two hosts differently: it empties the host that an event is about. */
export const isAboutHost = ({ goals }: Pick<Policy, "goals">): boolean =>
  goals.some(({ goal, parameters }) => goal === "evacuate" && parameters.hostIds === undefined);

/**
 * What of these events starts a policy. Where it does not matter which host one is about, those of a type are one: a
 * balance for the whole cluster runs once, however many of its hosts are hot.
 */
export function eventsFor(policy: Pick<Policy, "goals" | "trigger">, events: readonly PolicyEvent[]): PolicyEvent[] {
  const { trigger } = policy;
  if (trigger.type !== "event") return [];
  const wanted = events.filter(({ type }) => trigger.events.includes(type));
  if (isAboutHost(policy)) return wanted;
  const firsts = wanted.filter(({ type }, index) => wanted.findIndex((other) => other.type === type) === index);
  return firsts.map((event) => ({ ...event, key: event.type }));
}
