// What an event is in one line: for threads, and for channels that want to know.
import { duration } from "../placement/format.ts";
import { EVENTS, type EventType, type StoredEvent } from "../webhooks/events.ts";
import { type Message, type Tone, sentence } from "./message.ts";

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const because = (reason: unknown): string => (text(reason) === "" ? "" : `: ${text(reason)}`);

type Said = { tone: Tone; line: string };
type Teller = (data: Record<string, unknown>, subject: string) => Said;

const says =
  (tone: Tone, tell: (data: Record<string, unknown>, subject: string) => string): Teller =>
  (data, subject) => ({ tone, line: tell(data, subject) });

const byWhom = (verb: string) => (data: Record<string, unknown>) =>
  `${verb} by ${text(data["by"])}${because(data["reason"])}`;
const route = (data: Record<string, unknown>): string =>
  `${text(data["vmName"])} ${text(data["fromHostId"])} → ${text(data["toHostId"])}`;
const host = (data: Record<string, unknown>): string => text(data["sentence"]) || text(data["hostId"]);
const failureOf = ({ failure }: Record<string, unknown>): string =>
  typeof failure === "object" && failure !== null && "detail" in failure ? `: ${text(failure.detail)}` : "";

/** A new type of event does not compile until it has a line here. */
const TELLERS: Record<EventType, Teller> = {
  "plan.proposed": says("asks", (data) => `Proposed: ${text(data["summary"])}`),
  "plan.approval-given": says(
    "asks",
    (data) =>
      `${text(data["by"])} approves${because(data["reason"])} (${String(data["given"])} of ${String(data["needed"])})`,
  ),
  "plan.approved": says("running", (data) =>
    data["override"] === true ? byWhom("Approved in an emergency")(data) : byWhom("Approved")(data),
  ),
  "plan.rejected": says("plain", byWhom("Rejected")),
  "plan.cancelled": says("plain", () => "Cancelled"),
  "plan.executing": says("running", () => "The first migration has begun"),
  "plan.done": says("good", () => "Done"),
  "plan.failed": says("bad", () => "Failed: a migration has failed, and what had not begun was left"),
  "plan.expired": says("plain", () => "Nobody decided in time: void"),
  "plan.superseded": says("plain", () => "Its policy stands by it no more: void"),
  "migration.started": says("running", (data) => `Begins: ${route(data)}`),
  "migration.completed": says("good", (data) => `Done: ${route(data)}${measuredOf(data)}`),
  "migration.failed": says("bad", (data) => `Failed: ${route(data)}${failureOf(data)}`),
  "migration.cancelled": says("plain", (data) => `Cancelled: ${route(data)}${failureOf(data)}`),
  "migration.lost": says("bad", (data) => `Lost: nobody can say where ${text(data["vmName"])} runs`),
  "migration.found": says("running", (data) => `In sight again: ${route(data)}`),
  "migration.unreachable": says(
    "bad",
    (data) => `${text(data["vmName"])} runs on ${text(data["toHostId"])} and does not answer at ${text(data["check"])}`,
  ),
  "migration.paused": says("bad", (data) => `Paused, its memory is on two hosts: ${route(data)}`),
  "migration.resumed": says("running", (data) => `Goes on: ${route(data)}`),
  "host.hot": says("bad", (data) => `Hot: ${host(data)}`),
  "host.cooled": says("good", (data) => `Hot no more: ${host(data)}`),
  "host.failing": says("bad", (data) => `Failing: ${host(data)}`),
  "host.unreachable": says("bad", (data) => `Unreachable: ${host(data)}`),
  "host.recovered": says("good", (data) => `Recovered: ${host(data)}`),
  "host.maintenance-begun": says(
    "running",
    (data) => `${text(data["hostId"])} is in maintenance${because(data["reason"])}`,
  ),
  "host.maintenance-ended": says("good", (data) => `${text(data["hostId"])} is out of maintenance`),
  "stop.pressed": says("bad", byWhom("Everything was stopped")),
  "freeze.created": says("plain", byWhom("Frozen")),
  "freeze.changed": says("plain", byWhom("Freeze changed")),
  "freeze.deleted": says("plain", byWhom("Thawed")),
  "policy.demoted": says(
    "bad",
    (data) => `Policy ${text(data["name"])} only advises from now on${because(data["why"])}`,
  ),
  "policy.failed": says("bad", (data) => `A policy's run has failed${because(data["why"])}`),
  "calibration.drifted": says(
    "bad",
    (data) => `Predictions have drifted: ${text(data["group"])}, ${text(data["quantity"])}`,
  ),
  "webhook.test": says("plain", byWhom("A webhook was tested")),
  // Channels get the whole of it: see notification-message.ts.
  "notification.raised": says("plain", (data) => `Route ${text(data["name"])}: ${String(data["count"])} events`),
  "webhook.paused": says("bad", (data) => `A webhook was paused${because(data["why"])}`),
};

function measuredOf({ measured }: Record<string, unknown>): string {
  if (typeof measured !== "object" || measured === null || !("downtimeMs" in measured)) return "";
  return typeof measured.downtimeMs === "number" ? `, stood still ${duration(measured.downtimeMs)}` : "";
}

const isKnown = (type: string): type is EventType => Object.hasOwn(EVENTS, type);

/** Types that this version does not know any more are told by their names. */
export function eventMessage({
  type,
  data,
  subject,
  cluster,
}: Pick<StoredEvent, "type" | "data" | "subject" | "cluster">): Message {
  const { tone, line } = isKnown(type)
    ? TELLERS[type](data, subject)
    : { tone: "plain" as const, line: `${type} ${subject}` };
  return sentence(tone, cluster === null ? line : `[${cluster}] ${line}`);
}

/** What a channel is told that has asked for nothing in particular. */
export const USUAL_EVENTS: readonly string[] = [
  "plan.proposed",
  "plan.approval-given",
  "plan.approved",
  "plan.failed",
  "migration.started",
  "migration.failed",
  "migration.lost",
  "migration.paused",
  "migration.unreachable",
  "host.hot",
  "host.failing",
  "host.unreachable",
  "host.recovered",
  "stop.pressed",
];
