// Every state that a run and its agents can get into, whatever is lost, doubled or late. See test/support/run-exploration.ts.
import { beforeAll, describe, expect, test } from "vitest";
import { type RunState, RUN_STATES, isEnded, nextState } from "../../worker/model/lifecycle.ts";
import {
  type Explored,
  type World,
  explore,
  mayStillArrive,
  runsAtDestination,
  runsAtSource,
  withoutWayOut,
} from "../support/run-exploration.ts";

const EDGE_STATES = {
  "pre-copy": RUN_STATES.filter((state) => state !== "resuming" && state !== "paused"),
  "post-copy": RUN_STATES,
};

describe.each(["pre-copy", "post-copy"] as const)("in every state that a %s can reach", (mode) => {
  let explored: Explored;
  let worlds: World[] = [];
  beforeAll(() => {
    explored = explore(mode);
    worlds = [...explored.worlds.values()];
  });
  const those = (holds: (world: World) => boolean) => worlds.filter(holds).slice(0, 3);

  test("is every state of the lifecycle", () => {
    expect(new Set(worlds.map(({ edge }) => edge))).toEqual(new Set<RunState>(EDGE_STATES[mode]));
    expect(worlds.length).toBeGreaterThan(1000);
  });

  test("the VM runs on one host at most", () => {
    expect(those((world) => runsAtSource(world) && runsAtDestination(world))).toEqual([]);
  });

  test("a completed run has its VM at the destination, whole", () => {
    const isThere = (world: World) => runsAtDestination(world) && !["post-copy", "cut"].includes(world.source);
    expect(those((world) => world.edge === "completed" && !isThere(world))).toEqual([]);
  });

  test("a claim is given back only when nothing of the run can make the VM run at the destination any more", () => {
    const isFree = ({ edge }: World) => edge === "failed" || edge === "cancelled";
    expect(those((world) => isFree(world) && mayStillArrive(world))).toEqual([]);
  });

  test("an end can be reached", () => {
    expect(withoutWayOut(explored).slice(0, 3)).toEqual([]);
  });
});

describe("the exploration finds", () => {
  test("a table that frees a claim by silence", () => {
    const hasty = explore("pre-copy", (state, signal, active) => {
      const next = nextState(state, signal, active);
      return signal === "silent" && next === "lost" ? "failed" : next;
    });
    expect([...hasty.worlds.values()].some((world) => world.edge === "failed" && mayStillArrive(world))).toBe(true);
  });

  test("a table that takes one side's word for the end of a post-copy", () => {
    const trusting = explore("post-copy", (state, signal, active) =>
      signal === "destination-running-post-copy" && nextState(state, signal, active)
        ? "completed"
        : nextState(state, signal, active),
    );
    const isEarly = (world: World) => world.edge === "completed" && world.source === "post-copy";
    expect([...trusting.worlds.values()].some(isEarly)).toBe(true);
  });

  test("a table without a way out of a paused post-copy", () => {
    const stuck = explore("post-copy", (state, signal, active) =>
      state === "paused" ? null : nextState(state, signal, active),
    );
    expect(withoutWayOut(stuck).some(({ edge }) => edge === "paused" && !isEnded(edge))).toBe(true);
  });
});
