// The lab's guests while they are moved to and fro, and what their own counters say: none was lost, doubled or reset.
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { compareBeats, lineProblems, readSerial, type SerialReader } from "../serial.ts";
import type { Site } from "./site.ts";

/** A guest that has counted this far since the end of its migration is believed to live: half a second. */
const BEATS_MIN = 50;
const BEATS_MS_MAX = 30_000;
/** What is left of an end that was not a good one is cleared within this time. */
const CLEAR_MS_MAX = 30_000;
const POLL_MS = 50;

export type LabGuest = {
  uuid: string;
  name: string;
  /** Where it runs, and what it says there. */
  site: Site;
  line: SerialReader;
};

export type Arrival = {
  /** Where its counter goes on. */
  place: "source" | "destination" | "both" | "nowhere";
  /** What must never happen, as the guest saw it. */
  problems: string[];
  /** The silence between its two lines, ms; null: it did not move. */
  blackoutMs: number | null;
};

export type Journey = {
  /** What it says at the destination, from its first beat there. */
  readonly arrival: SerialReader;
  /** Once the migration has ended, well or not: where the guest is, from then on its place. Asked again, the same. */
  settle: () => Promise<Arrival>;
};

async function processesOf(uuid: string, sites: readonly Site[]): Promise<number> {
  const held = await Promise.all(sites.map(({ host }) => host.holds(uuid)));
  return held.filter((isHeld) => isHeld).length;
}

/** Resolves with the number of QEMU processes that hold the guest, as soon as it is 1 or at the end of the patience. */
async function processesLeft(uuid: string, sites: readonly Site[]): Promise<number> {
  for (const end = Date.now() + CLEAR_MS_MAX; ; await sleep(POLL_MS)) {
    const count = await processesOf(uuid, sites);
    if (count === 1 || Date.now() > end) return count;
  }
}

/** Where the guest counts on from now. Nowhere: on neither line within `timeoutMs`. */
export async function whereItCounts(
  source: Pick<SerialReader, "beats">,
  destination: Pick<SerialReader, "beats">,
  timeoutMs = BEATS_MS_MAX,
): Promise<Arrival["place"]> {
  const [before, there] = [source.beats.length, destination.beats.length];
  for (const end = Date.now() + timeoutMs; ; await sleep(POLL_MS)) {
    const here = source.beats.length - before;
    const far = destination.beats.length - there;
    if (here > 0 && far > 0) return "both";
    if (here >= BEATS_MIN) return "source";
    if (far >= BEATS_MIN) return "destination";
    if (Date.now() > end) return "nowhere";
  }
}

/** Begins to watch a guest that is about to be moved to another site. Call it before anything is prepared there. */
export function watchJourney(guest: LabGuest, to: Site): Journey {
  const { uuid, site: from, line: source } = guest;
  const file = to.host.serialFile(uuid);
  // What the guest said there in an earlier life of its own is read already.
  rmSync(file, { force: true });
  const arrival = readSerial(file);
  const settle = async (): Promise<Arrival> => {
    const place = await whereItCounts(source, arrival);
    const moved = place === "destination";
    const compared = compareBeats(source.beats, arrival.beats);
    const problems = moved ? compared.problems : lineProblems("source", source.beats);
    if (place === "source" && arrival.beats.length > 0)
      problems.push(`it counted ${arrival.beats.length} beats at the destination as well`);
    const processes = await processesLeft(uuid, [from, to]);
    if (processes !== 1) problems.push(`${processes} QEMU processes hold the guest`);
    (moved ? source : arrival).close();
    if (moved) Object.assign(guest, { site: to, line: arrival });
    return { place, problems, blackoutMs: moved ? compared.blackoutMs : null };
  };
  let settled: Promise<Arrival> | null = null;
  return { arrival, settle: () => (settled ??= settle()) };
}
