// Several guests in one plan, and a network that harms what agents and edge tell each other.
import type { PlanParameters } from "../../../../worker/model/placement/types.ts";
import type { MigrationRun } from "../../../../worker/model/run.ts";
import { MIB } from "../../../../worker/model/units.ts";
import { arrived, type FaultCase } from "../case.ts";
import { guestOf, outcome, runsOf, setOut, type Play } from "../play.ts";

/** Slow enough for two to meet, though a busy machine begins the one some seconds after the other. */
const COPY: Partial<PlanParameters> = { mechanisms: ["pre-copy"], bandwidthBytesPerSecondMax: 6 * MIB };
const AT_ONCE = 2;
const TWO_AT_ONCE: Partial<PlanParameters> = {
  concurrencyPerHost: AT_ONCE,
  concurrencyIntoHost: AT_ONCE,
  concurrencyPerLink: AT_ONCE,
};
const HARSH = { delayMsMax: 200, lifeMsMax: 4000, dropRatio: 0.25 };

/** When the source's hypervisor took the migration, and when its guest stopped there: the time of copying. */
async function copying({ edge }: Play, { migrationId }: MigrationRun): Promise<{ from: number; to: number }> {
  const events = await edge.api.timeline(migrationId);
  const at = (type: string): number => events.find((event) => event.type === type)?.at ?? Number.NaN;
  return { from: at("accepted"), to: at("switched") };
}

async function together(play: Play, count: number): Promise<string> {
  const moving = await setOut(play, play.lane.guests.slice(0, count), { ...COPY, ...TWO_AT_ONCE });
  const said = await outcome(play, moving);
  const runs = await runsOf(play, moving);
  const spans = await Promise.all(runs.map((run) => copying(play, run)));
  const waves = Map.groupBy(moving.plan.content.moves, ({ wave }) => wave);
  const inWaves = [...waves.values()].map((moves) => moves.map(({ n }) => spans[n - 1] ?? { from: 0, to: 0 }));
  const beside = inWaves.every(
    (wave) => Math.max(...wave.map(({ from }) => from)) < Math.min(...wave.map(({ to }) => to)),
  );
  const inTurn = inWaves.every(
    (wave, index) =>
      index === 0 ||
      Math.min(...wave.map(({ from }) => from)) > Math.max(...(inWaves[index - 1] ?? []).map(({ to }) => to)),
  );
  const sizes = inWaves.map(({ length }) => length).join(" + ");
  return `${sizes} ${beside ? "beside each other" : "not beside each other"}${inTurn ? "" : ", waves not in turn"}; ${said}`;
}

async function harshNetwork(play: Play): Promise<string> {
  const { lane, random } = play;
  for (const { proxy } of lane.sites) proxy.set({ ...HARSH, random });
  try {
    const said = await outcome(play, await setOut(play, [guestOf(lane, "lone")], COPY));
    const counts = lane.sites.map(({ proxy }) => proxy.counts());
    const happened = (["dropped", "delayed", "cut"] as const).filter((each) => counts.some((count) => count[each] > 0));
    return `${happened.join(", ")}; ${said}`;
  } finally {
    for (const { proxy } of lane.sites) proxy.set(null);
  }
}

export const severalCases: FaultCase[] = [
  {
    name: "waves",
    lane: "calm",
    what: "three guests by one approval, two at a time",
    expected: `2 + 1 beside each other; 3 × ${arrived("pre-copy")}`,
    run: (play) => together(play, 3),
  },
  {
    name: "parallel",
    lane: "calm",
    what: "two guests at once",
    expected: `2 beside each other; 2 × ${arrived("pre-copy")}`,
    run: (play) => together(play, 2),
  },
  {
    name: "harsh-network",
    lane: "rough",
    what: "answers of the edge are dropped and delayed, connections cut, for both agents",
    expected: `dropped, delayed, cut; ${arrived("pre-copy")}`,
    run: harshNetwork,
  },
];
