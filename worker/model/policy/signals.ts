// What can be seen of a cluster that policies wait for: hosts that are hot, failing or silent.
import type { Snapshot, SnapshotHost } from "../cluster.ts";
import { detectHealth, healthParameters } from "../detection/health.ts";
import { healthSignalsOf } from "../detection/health-signals.ts";
import { detectHotspots } from "../detection/hotspots.ts";
import { detectionParameters } from "../detection/types.ts";
import { DAY_MS } from "../units.ts";
import type { Policy } from "./policy.ts";
import type { PolicyEvent } from "./trigger.ts";

export const SEEN_EVENTS = ["host.hot", "host.failing", "host.silent"] as const;
export type SeenEvent = (typeof SEEN_EVENTS)[number];

/** Which of the events that can be seen a policy waits for; none where it waits for no event. */
export const seenEventsOf = ({ trigger }: Pick<Policy, "trigger">): SeenEvent[] =>
  trigger.type === "event" ? SEEN_EVENTS.filter((type) => trigger.events.includes(type)) : [];

/**
 * The events of these types that hold in a snapshot, in the order of its hosts. Hosts are judged with the defaults of
 * detection. One that was silent for a day is no news any more, and neither is one that was never heard.
 */
export function eventsIn(snapshot: Snapshot, types: readonly SeenEvent[]): PolicyEvent[] {
  const { cluster, at, hosts } = snapshot;
  const detection = detectionParameters.parse({});
  const event = (type: SeenEvent, hostId: string, detail: string): PolicyEvent[] =>
    types.includes(type) ? [{ cluster, type, hostId, detail: detail.slice(0, 500) }] : [];
  const hot = types.includes("host.hot")
    ? detectHotspots(hosts, detection, at).flatMap(({ hostId, state, sentence }) =>
        state === "hot" ? event("host.hot", hostId, sentence) : [],
      )
    : [];
  const health = hosts.flatMap((host) => {
    const { state, reasons } = healthOf(host, at, detection.staleMs);
    const why = reasons[0]?.sentence ?? "";
    if (state === "failing") return event("host.failing", host.hostId, why);
    const isNews = host.heardAt !== undefined && at - host.heardAt < DAY_MS;
    return state === "silent" && isNews ? event("host.silent", host.hostId, why) : [];
  });
  return [...hot, ...health];
}

function healthOf(host: SnapshotHost, at: number, staleMs: number) {
  const { conditions } = host;
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
