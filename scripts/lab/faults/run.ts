// Plays the cases: those of a lane one after the other, the lanes beside each other, and last those that need the edge alone.
import type { MigrationRun } from "../../../worker/model/run.ts";
import type { LabVm } from "../machine.ts";
import type { FaultCase, LaneName } from "./case.ts";
import { aroundCases } from "./cases/around.ts";
import { commandCases } from "./cases/commands.ts";
import { deathCases } from "./cases/deaths.ts";
import { libvirtCases } from "./cases/libvirt.ts";
import { mechanismCases } from "./cases/mechanisms.ts";
import { severalCases } from "./cases/several.ts";
import type { Arrival } from "./guests.ts";
import { until, type Play } from "./play.ts";
import type { LaneSpec, Lane, Stage } from "./stage.ts";

const TELEMETRY_MS_MAX = 120_000;
/** Of the proxies' weather: the same harm in every run. */
const SEED = 1;

/** In the order in which they play on their lanes: cases of several guests first, while all are on one host. */
export const faultCases: readonly FaultCase[] = [
  ...severalCases,
  ...mechanismCases,
  ...deathCases,
  ...commandCases,
  ...aroundCases,
  ...libvirtCases,
];

/** The cases of these names, all on these drivers when none is given. Throws with the names that there are. */
export function chosenCases(
  names: readonly string[],
  drivers: readonly LaneSpec["driver"][] = ["qmp", "libvirt"],
): FaultCase[] {
  const known = new Set(faultCases.map(({ name }) => name));
  const strange = names.filter((name) => !known.has(name));
  if (strange.length > 0) throw new Error(`there is no case ${strange.join(", ")}; there are ${[...known].join(", ")}`);
  return faultCases.filter(({ name, lane }) =>
    names.length === 0 ? drivers.includes(LANES[lane].driver) : names.includes(name),
  );
}

/** libvirt's dirty rates leave guests of less than 128 MiB out. */
const SAMPLED_MIB = 144;

const quiet = (name: string, memoryMib = 128): LabVm => ({
  name,
  memoryMib,
  vcpus: 1,
  work: { filledMib: 32, nonzeroRatio: 1, workingSetMib: 4, pagesPerSecond: 100 },
});

/** Dirties its memory faster than a slow link sends it. */
const busy = (name: string, memoryMib = 128): LabVm => ({
  name,
  memoryMib,
  vcpus: 1,
  work: { filledMib: 40, nonzeroRatio: 1, workingSetMib: 32, pagesPerSecond: 8000 },
});

const LANES: Record<LaneName, LaneSpec> = {
  calm: {
    name: "calm",
    driver: "qmp",
    hostIds: ["lab-a", "lab-b"],
    vms: [quiet("calm-1"), quiet("calm-2"), quiet("calm-3")],
  },
  busy: { name: "busy", driver: "qmp", hostIds: ["lab-c", "lab-d"], vms: [quiet("steady"), busy("busy")] },
  rough: { name: "rough", driver: "qmp", hostIds: ["lab-e", "lab-f"], vms: [quiet("lone")] },
  libvirt: {
    name: "libvirt",
    driver: "libvirt",
    hostIds: ["lab-g", "lab-h"],
    vms: [quiet("lv-steady", SAMPLED_MIB), busy("lv-busy", SAMPLED_MIB)],
  },
};

/** The lanes that these cases need. */
export const lanesFor = (cases: readonly FaultCase[]): LaneSpec[] =>
  [...new Set(cases.map(({ lane }) => lane))].map((lane) => LANES[lane]);

/** A migration that ended in a case, and what its guest saw of it. */
export type Kept = { caseName: string; run: MigrationRun; arrival: Arrival };

export type CaseResult = {
  name: string;
  what: string;
  expected: string;
  seen: string;
  ok: boolean;
  durationMs: number;
};

export type Told = {
  begins: (name: string) => void;
  ends: (result: CaseResult) => void;
};

/** SplitMix32: the same draws for the same seed. */
function createRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return ((z ^ (z >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** Until predictions have something to go by: what is sampled, and a dirty curve of every guest. */
async function awaitTelemetry(stage: Stage, lane: Lane, signal: AbortSignal): Promise<void> {
  let curves = 0;
  await until(
    { signal },
    TELEMETRY_MS_MAX,
    () => `dirty curves of ${curves} of ${lane.guests.length} guests of lane ${lane.name}`,
    async () => {
      const fleet = await stage.edge.api.fleet(lane.name);
      const metrics = Object.assign({}, ...fleet.map(({ latest }) => latest?.vms ?? {}));
      curves = lane.guests.filter(({ uuid }) => metrics[uuid]?.curve !== undefined).length;
      return fleet.length === 2 && fleet.every(({ latest }) => latest !== null) && curves === lane.guests.length
        ? true
        : null;
    },
  );
}

async function playOne(one: FaultCase, play: Play): Promise<CaseResult> {
  const began = Date.now();
  const { name, what, expected } = one;
  let seen: string;
  try {
    seen = await one.run(play);
  } catch (error) {
    play.signal.throwIfAborted();
    seen = `broke off: ${error instanceof Error ? error.message : String(error)}`;
    // So that the next case knows where the guests are.
    await Promise.allSettled(play.journeys.map((journey) => journey.settle()));
  }
  return { name, what, expected, seen, ok: seen === expected, durationMs: Date.now() - began };
}

/** What a source told of its migration only after the edge had seen for itself that it was over. */
function withLateOutcomes({ edge }: Stage, kept: readonly Kept[]): Promise<Kept[]> {
  return Promise.all(
    kept.map(async (one) => {
      if (one.run.state !== "completed" || one.run.measured !== null) return one;
      const runs = await edge.api.migrations(one.run.planId);
      return { ...one, run: runs.find(({ migrationId }) => migrationId === one.run.migrationId) ?? one.run };
    }),
  );
}

/** Plays the cases on the stage. Returns their results in the order of the cases, and every migration that ended. */
export async function playFaults(
  stage: Stage,
  cases: readonly FaultCase[],
  told: Told,
  signal: AbortSignal,
): Promise<{ results: CaseResult[]; kept: Kept[] }> {
  const kept: Kept[] = [];
  const results = new Map<string, CaseResult>();
  const random = createRandom(SEED);
  const playOn = async (lane: Lane, ones: readonly FaultCase[]): Promise<void> => {
    for (const one of ones) {
      signal.throwIfAborted();
      told.begins(one.name);
      const keep: Play["keep"] = (run, arrival) => void kept.push({ caseName: one.name, run, arrival });
      const keptOf: Play["keptOf"] = (uuid) => kept.findLast(({ run }) => run.vmUuid === uuid)?.run;
      const result = await playOne(one, { edge: stage.edge, lane, signal, random, journeys: [], keep, keptOf });
      results.set(one.name, result);
      told.ends(result);
    }
  };
  const of = (lane: Lane, isAlone: boolean): FaultCase[] =>
    cases.filter((one) => one.lane === lane.name && (one.isAlone ?? false) === isAlone);
  await Promise.all(
    stage.lanes.map(async (lane) => {
      await awaitTelemetry(stage, lane, signal);
      await playOn(lane, of(lane, false));
    }),
  );
  for (const lane of stage.lanes) await playOn(lane, of(lane, true));
  return { results: cases.flatMap(({ name }) => results.get(name) ?? []), kept: await withLateOutcomes(stage, kept) };
}
