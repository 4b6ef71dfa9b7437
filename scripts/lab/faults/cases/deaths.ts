// What dies, stops or freezes in mid-copy, and what becomes of the guest.
import { setTimeout as sleep } from "node:timers/promises";
import type { PlanParameters } from "../../../../worker/model/placement/types.ts";
import { MIB } from "../../../../worker/model/units.ts";
import { readDescriptor } from "../../../agent/qmp/descriptor.ts";
import { findProcess, killAndProve } from "../../../agent/qmp/process.ts";
import { arrived, type FaultCase } from "../case.ts";
import { qmpDirectory } from "../host.ts";
import { guestOf, midCopy, onlyRun, outcome, setOut, until, type Moving, type Play } from "../play.ts";

export const copyAt = (bytesPerSecond: number): Partial<PlanParameters> => ({
  mechanisms: ["pre-copy"],
  bandwidthBytesPerSecondMax: bytesPerSecond,
});
/** Slow enough for a copy to be caught in its middle, and to be still under way after that. */
const SLOW = copyAt(8 * MIB);
/** For a copy that does not come to its end. */
const ENDLESS = copyAt(4 * MIB);
const BEGUN_BYTES = MIB;
const KILL_MS_MAX = 10_000;
const DOWN_MS = 1500;
/** After the switch-over has begun: so long the guest waits for an agent that does not answer. */
const FROZEN_MS = 2500;
const SWITCH_MS_MAX = 60_000;
const BEATS_WITHOUT_EDGE = 50;
const BEATS_MS_MAX = 60_000;

async function caught(play: Play, guest: string, stated = SLOW): Promise<Moving & { migrationId: string }> {
  const moving = await setOut(play, [guestOf(play.lane, guest)], stated);
  const { migrationId } = await midCopy(play, moving, BEGUN_BYTES);
  return { ...moving, migrationId };
}

async function killDestination(play: Play): Promise<string> {
  const moving = await caught(play, "steady", ENDLESS);
  for (const uuid of moving.journeys.keys()) {
    const known = readDescriptor(qmpDirectory(moving.to.folder), uuid);
    const id = known === null ? null : await findProcess(known);
    if (id === null) throw new Error("there is no QEMU at the destination that could be killed");
    await killAndProve(id, KILL_MS_MAX);
  }
  return outcome(play, moving);
}

export const restartSourceAgent =
  (guest: string, stated = SLOW) =>
  async (play: Play): Promise<string> => {
    const moving = await caught(play, guest, stated);
    const { agent } = moving.from;
    await agent.kill();
    await sleep(DOWN_MS);
    await agent.start();
    const said = await outcome(play, moving);
    const taken = agent.log.filter(
      ({ msg, migrationId }) => msg === "a migration is taken up again" && migrationId === moving.migrationId,
    );
    return `taken up again ${taken.length} time; ${said}`;
  };

/** Only its source can cancel what its destination receives already. */
export async function cancelInMidCopy(play: Play, guest: string, stated = ENDLESS): Promise<string> {
  const moving = await caught(play, guest, stated);
  await play.edge.api.cancel(moving.migrationId, "called off by the lab");
  const said = await outcome(play, moving);
  const events = await play.edge.api.timeline(moving.migrationId);
  const told = events.findLast(({ type, hostId }) => type === "cancelled" && hostId === moving.from.hostId);
  return `${told === undefined ? "not " : ""}told by the source; ${said}`;
}

/** Frozen in mid-copy, and still frozen when the source asks for the guest to be let run. */
async function freezeDestinationAgent(play: Play): Promise<string> {
  const moving = await caught(play, "lone");
  const { agent } = moving.to;
  agent.pause();
  try {
    await until(
      play,
      SWITCH_MS_MAX,
      () => "the source has not stopped",
      async () => {
        const { state } = await onlyRun(play, moving);
        if (state === "verifying" || state === "completed")
          throw new Error("it was through before the agent was frozen");
        return state === "switching" ? true : null;
      },
    );
    await sleep(FROZEN_MS);
  } finally {
    agent.resume();
  }
  const said = await outcome(play, moving);
  const [journey] = moving.journeys.values();
  const waitedMs = (await journey?.settle())?.blackoutMs ?? 0;
  return `the guest ${waitedMs >= FROZEN_MS ? "waited" : "did not wait"} for it; ${said}`;
}

async function stopEdge(play: Play): Promise<string> {
  const { edge } = play;
  const moving = await caught(play, "calm-1");
  await edge.stop();
  const [journey] = moving.journeys.values();
  const alone = await journey?.arrival.waitForBeats(BEATS_WITHOUT_EDGE, BEATS_MS_MAX).then(
    () => "arrived without the edge",
    () => "did not arrive without the edge",
  );
  await edge.start();
  await edge.runSchedule();
  return `${alone}; ${await outcome(play, moving)}`;
}

/** What `cancelInMidCopy` must come to, and `restartSourceAgent`. */
export const CANCELLED = "told by the source; pre-copy cancelled, guest at source, unbroken";
export const TAKEN_UP = `taken up again 1 time; ${arrived("pre-copy")}`;

export const deathCases: FaultCase[] = [
  {
    name: "cancelled",
    lane: "busy",
    what: "cancelled in mid-copy",
    expected: CANCELLED,
    run: (play) => cancelInMidCopy(play, "steady"),
  },
  {
    name: "destination-killed",
    lane: "busy",
    what: "the destination's QEMU is killed in mid-copy",
    expected: "pre-copy failed (hypervisor), guest at source, unbroken",
    run: killDestination,
  },
  {
    name: "agent-restarted",
    lane: "rough",
    what: "the source's agent is killed in mid-copy and started again",
    expected: TAKEN_UP,
    run: restartSourceAgent("lone"),
  },
  {
    name: "agent-frozen",
    lane: "rough",
    what: "the destination's agent is frozen in mid-copy and until 2.5 s after the guest has stopped",
    expected: `the guest waited for it; ${arrived("pre-copy")}`,
    run: freezeDestinationAgent,
  },
  {
    name: "edge-stopped",
    lane: "calm",
    what: "the edge is stopped in mid-copy and started again on the same state",
    expected: `arrived without the edge; ${arrived("pre-copy")}`,
    isAlone: true,
    run: stopEdge,
  },
];
