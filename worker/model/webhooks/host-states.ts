// Hosts that are hot, failing or silent, told when it begins and when it is over.
import { z } from "zod";
import type { Snapshot, SnapshotHost } from "../cluster.ts";
import { detectHotspots } from "../detection/hotspots.ts";
import { type Detection, detectionParameters } from "../detection/types.ts";
import { healthOf } from "../policy/signals.ts";
import { DAY_MS } from "../units.ts";
import type { EventDraft } from "./events.ts";

/** What was told last of the hosts of a cluster and is not over yet. */
export const toldStates = z.record(
  z.string(),
  z.strictObject({ isHot: z.boolean(), isFailing: z.boolean(), isUnreachable: z.boolean() }),
);
export type ToldStates = z.infer<typeof toldStates>;
type Told = ToldStates[string];

/** The types that come of looking at hosts; nobody looks while nobody wants one of them. */
export const HOST_STATE_EVENTS = [
  "host.hot",
  "host.cooled",
  "host.failing",
  "host.unreachable",
  "host.recovered",
] as const;

const NOTHING: Told = { isHot: false, isFailing: false, isUnreachable: false };

/**
 * What is new since `before`. A host that is unknown is neither hot nor cool: what was told of it stands. One that has been
 * silent for a day, or was never heard, is no news.
 */
export function hostNews(
  { cluster, at, hosts }: Snapshot,
  before: ToldStates,
): { events: EventDraft[]; after: ToldStates } {
  const detections = detectHotspots(hosts, detectionParameters.parse({}), at);
  const events: EventDraft[] = [];
  const after: ToldStates = {};
  for (const [index, host] of hosts.entries()) {
    const detection = detections[index];
    if (detection === undefined) continue;
    const was = before[host.hostId] ?? NOTHING;
    const heat = heatNews(cluster, host, detection, was.isHot);
    const health = healthNews(cluster, host, at, was);
    events.push(...heat.events, ...health.events);
    const now = { isHot: heat.isHot, ...health.now };
    if (now.isHot || now.isFailing || now.isUnreachable) after[host.hostId] = now;
  }
  return { events, after };
}

function heatNews(cluster: string, host: SnapshotHost, { state, sentence, causes }: Detection, wasHot: boolean) {
  const { hostId, heardAt = null } = host;
  const isHot = state === "unknown" ? wasHot : state === "hot";
  const events: EventDraft[] = [];
  const about = { cluster, subject: hostId };
  if (isHot && !wasHot) {
    const why = causes.map((cause) => ({ metric: cause.metric, sentence: cause.sentence }));
    events.push({ type: "host.hot", ...about, data: { hostId, sentence, causes: why } });
  }
  if (wasHot && !isHot) events.push({ type: "host.cooled", ...about, data: { hostId, sentence, heardAt } });
  return { isHot, events };
}

function healthNews(cluster: string, host: SnapshotHost, at: number, was: Told) {
  const { hostId, heardAt = null } = host;
  const { state, reasons } = healthOf(host, at);
  const isSilent = state === "silent";
  const now = {
    isFailing: state === "failing",
    isUnreachable: isSilent && (was.isUnreachable || isNews(host, at)),
  };
  const told = (type: "host.failing" | "host.unreachable" | "host.recovered"): EventDraft => ({
    type,
    cluster,
    subject: hostId,
    data: { hostId, sentence: (reasons[0]?.sentence ?? "").slice(0, 500), heardAt },
  });
  const events: EventDraft[] = [];
  if (now.isFailing && !was.isFailing) events.push(told("host.failing"));
  if (now.isUnreachable && !was.isUnreachable) events.push(told("host.unreachable"));
  if ((was.isFailing || was.isUnreachable) && !now.isFailing && !isSilent) events.push(told("host.recovered"));
  return { now, events };
}

const isNews = ({ heardAt }: SnapshotHost, at: number): boolean => heardAt !== undefined && at - heardAt < DAY_MS;
