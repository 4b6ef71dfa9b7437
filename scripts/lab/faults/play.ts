// How a case moves guests: by a plan of the edge's own, approved, and followed until its migrations have ended.
import { setTimeout as sleep } from "node:timers/promises";
import type { Plan } from "../../../worker/model/plan.ts";
import type { PlanParameters } from "../../../worker/model/placement/types.ts";
import type { MigrationRun } from "../../../worker/model/run.ts";
import { watchJourney, type Arrival, type Journey, type LabGuest } from "./guests.ts";
import type { Site } from "./site.ts";
import type { Edge, Lane } from "./stage.ts";

const POLL_MS = 150;
const PLAN_MS_MAX = 60_000;
const RUN_MS_MAX = 120_000;
const ENDED = ["completed", "failed", "cancelled"];

/** One case on its lane. */
export type Play = {
  edge: Edge;
  lane: Lane;
  signal: AbortSignal;
  random: () => number;
  /** What is watched on the lane, so that a case that breaks off leaves its guests' places known. */
  journeys: Journey[];
  /** Keeps the run of every migration that has ended, with what its guest saw. */
  keep: (run: MigrationRun, arrival: Arrival) => void;
  /** The newest of them for a guest. */
  keptOf: (vmUuid: string) => MigrationRun | undefined;
};

/** Looks again and again until there is something; throws what was missing after `timeoutMs`. */
export async function until<T>(
  { signal }: Pick<Play, "signal">,
  timeoutMs: number,
  what: () => string,
  look: () => Promise<T | null>,
): Promise<T> {
  for (const end = Date.now() + timeoutMs; ; await sleep(POLL_MS, undefined, { signal })) {
    const found = await look();
    if (found !== null) return found;
    if (Date.now() > end) throw new Error(`after ${timeoutMs / 1000} s: ${what()}`);
  }
}

export const otherSite = ({ sites }: Lane, site: Site): Site => (sites[0] === site ? sites[1] : sites[0]);

/** The lane's guest of that name, or its first. */
export function guestOf({ name, guests }: Lane, guest?: string): LabGuest {
  const found = guest === undefined ? guests[0] : guests.find((each) => each.name === guest);
  if (found === undefined) throw new Error(`lane ${name} has no guest ${guest ?? ""}`);
  return found;
}

/** An approved plan for some guests of one site, and what they say on the way. */
export type Moving = { plan: Plan; from: Site; to: Site; journeys: Map<string, Journey> };

async function planFor(play: Play, guests: readonly LabGuest[], stated: Partial<PlanParameters>): Promise<Plan> {
  const { edge, lane } = play;
  const from = guests[0]?.site;
  if (from === undefined || guests.some(({ site }) => site !== from)) throw new Error("the guests are not on one host");
  const parameters: Partial<PlanParameters> = {
    hostIds: [from.hostId],
    scope: { vms: { uuids: guests.map(({ uuid }) => uuid) } },
    cooldownMs: 0,
    ...stated,
  };
  let why = "";
  return until(
    play,
    PLAN_MS_MAX,
    () => `no plan moves ${guests.map(({ name }) => name).join(", ")} off ${from.hostId}: ${why}`,
    async () => {
      const plan = await edge.api.plan(lane.name, "evacuate", parameters);
      const { moves, notMoved, summary } = plan.content;
      why = `${summary} ${JSON.stringify(notMoved.flatMap(({ rejections }) => rejections.slice(0, 2)))}`;
      return moves.length === guests.length ? plan : null;
    },
  );
}

/** Plans, and approves what was planned. */
export async function setOut(
  play: Play,
  guests: readonly LabGuest[],
  stated: Partial<PlanParameters>,
): Promise<Moving> {
  const plan = await planFor(play, guests, stated);
  const [first] = guests;
  if (first === undefined) throw new Error("no guest is to be moved");
  const from = first.site;
  const to = otherSite(play.lane, from);
  const journeys = new Map(guests.map((guest) => [guest.uuid, watchJourney(guest, to)]));
  play.journeys.push(...journeys.values());
  await play.edge.api.approve(plan, "approved by the lab");
  return { plan, from, to, journeys };
}

export async function runsOf({ edge }: Play, { plan }: Moving): Promise<MigrationRun[]> {
  return (await edge.api.migrations(plan.planId)).toSorted((a, b) => a.moveNumber - b.moveNumber);
}

export async function onlyRun(play: Play, moving: Moving): Promise<MigrationRun> {
  const [run] = await runsOf(play, moving);
  if (run === undefined) throw new Error("the plan has no run");
  return run;
}

const told = (runs: readonly MigrationRun[]): string =>
  runs.map(({ state, failure }) => `${state} ${failure?.detail ?? ""}`).join("; ");

/** In mid-copy: the hypervisor sends, and so many bytes are over. */
export function midCopy(play: Play, moving: Moving, bytesMin: number): Promise<MigrationRun> {
  let seen = "";
  return until(
    play,
    RUN_MS_MAX,
    () => `no copy is under way: ${seen}`,
    async () => {
      const run = await onlyRun(play, moving);
      seen = told([run]);
      if (ENDED.includes(run.state)) throw new Error(`it ended before it could be disturbed: ${seen}`);
      return run.state === "pre-copying" && (run.progress?.transferredBytes ?? 0) >= bytesMin ? run : null;
    },
  );
}

/** All runs of the plan once they have ended. */
export function ended(play: Play, moving: Moving): Promise<MigrationRun[]> {
  let seen = "";
  return until(
    play,
    RUN_MS_MAX,
    () => `not ended: ${seen}`,
    async () => {
      const runs = await runsOf(play, moving);
      seen = told(runs);
      const moves = moving.plan.content.moves.length;
      return runs.length === moves && runs.every(({ state }) => ENDED.includes(state)) ? runs : null;
    },
  );
}

function inWords({ mechanism, postCopyActive, state, failure }: MigrationRun, { place, problems }: Arrival): string {
  const how = `${mechanism}${postCopyActive && mechanism !== "post-copy" ? " into post-copy" : ""}`;
  const why = state === "failed" ? ` (${failure?.reason ?? "no reason"})` : "";
  const health = problems.length === 0 ? "unbroken" : problems.join(", ");
  return `${how} ${state}${why}, guest at ${place}, ${health}`;
}

/** Waits for the end of every move, asks the guests, and says it in words: `pre-copy completed, guest at destination, unbroken`. */
export async function outcome(play: Play, moving: Moving): Promise<string> {
  const runs = await ended(play, moving);
  const words = await Promise.all(
    runs.map(async (run) => {
      const journey = moving.journeys.get(run.vmUuid);
      if (journey === undefined) return `${run.state}, a guest that nobody watched`;
      const arrival = await journey.settle();
      play.keep(run, arrival);
      return inWords(run, arrival);
    }),
  );
  return words.every((word) => word === words[0]) && words.length > 1
    ? `${words.length} × ${words[0]}`
    : words.join("; ");
}
