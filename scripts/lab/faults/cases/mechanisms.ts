// Every mechanism, undisturbed.
import type { PlanParameters } from "../../../../worker/model/placement/types.ts";
import { MIB } from "../../../../worker/model/units.ts";
import { arrived, type FaultCase } from "../case.ts";
import { guestOf, outcome, setOut, type Play } from "../play.ts";

const moved =
  (guest: string, stated: Partial<PlanParameters>) =>
  async (play: Play): Promise<string> =>
    outcome(play, await setOut(play, [guestOf(play.lane, guest)], stated));

export const mechanismCases: FaultCase[] = [
  {
    name: "pre-copy",
    lane: "calm",
    what: "a pre-copy that converges",
    expected: arrived("pre-copy"),
    run: moved("calm-1", { mechanisms: ["pre-copy"], bandwidthBytesPerSecondMax: 32 * MIB }),
  },
  {
    name: "steered",
    lane: "busy",
    what: "a pre-copy that does not converge goes over to post-copy at its deadline",
    expected: arrived("pre-copy into post-copy"),
    run: moved("busy", {
      mechanisms: ["pre-copy"],
      bandwidthBytesPerSecondMax: 16 * MIB,
      downtimeLimitMs: 20,
      deadlineMs: 8000,
      onDeadline: "post-copy",
    }),
  },
  {
    name: "hybrid",
    lane: "busy",
    what: "one round of pre-copy, then post-copy",
    expected: arrived("hybrid into post-copy"),
    run: moved("busy", { mechanisms: ["hybrid"], bandwidthBytesPerSecondMax: 24 * MIB, downtimeLimitMs: 20 }),
  },
  {
    name: "stop-and-copy",
    lane: "busy",
    what: "the guest stands still for the whole copy",
    expected: arrived("stop-and-copy"),
    run: moved("steady", {
      mechanisms: ["stop-and-copy"],
      bandwidthBytesPerSecondMax: 64 * MIB,
      downtimeSloMs: 60_000,
    }),
  },
  {
    name: "post-copy",
    lane: "busy",
    what: "post-copy from the start",
    expected: arrived("post-copy"),
    run: moved("steady", { mechanisms: ["post-copy"] }),
  },
];
