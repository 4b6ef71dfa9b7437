import { describe, expect, test } from "vitest";
import type { RunState } from "../../worker/model/lifecycle.ts";
import { type RunView, nextStep } from "../../worker/model/next-step.ts";
import type { SideView } from "../../worker/model/truth.ts";

const T0 = 1_000_000;
const side = (fields: Partial<SideView> = {}): SideView => ({
  heardAt: T0,
  vmState: null,
  vmStatesAt: null,
  ...fields,
});
const view = (state: RunState, fields: Partial<RunView> = {}): RunView => ({
  state,
  mechanism: "pre-copy",
  stateAt: T0,
  lastEventAt: T0,
  startSent: true,
  hasOutcome: true,
  source: side(),
  destination: side(),
  elsewhere: null,
  ...fields,
});

describe("the next step", () => {
  test.each<[RunState, boolean, string]>([
    ["queued", false, "claim"],
    ["claimed", false, "prepare"],
    ["prepared", false, "start"],
    ["prepared", true, "wait"],
    ["completed", true, "nothing"],
  ])("of %s (start sent: %s) is %s", (state, startSent, step) => {
    expect(nextStep(view(state, { startSent }), T0 + 1).do).toBe(step);
  });

  test.each(["prepared", "pre-copying", "switching", "resuming", "paused", "verifying"] as const)(
    "makes a silent %s lost",
    (state) => {
      expect(nextStep(view(state), T0 + 60_000)).toEqual({ do: "wait", untilMs: T0 + 60_000 });
      expect(nextStep(view(state), T0 + 60_001)).toMatchObject({ do: "signal", signal: "silent" });
    },
  );

  test("gives a run whose hosts are both heard twice the time", () => {
    const now = T0 + 90_000;
    const heard = { source: side({ heardAt: now }), destination: side({ heardAt: now }) };
    expect(nextStep(view("pre-copying", heard), now)).toEqual({ do: "wait", untilMs: T0 + 120_000 });
    expect(nextStep(view("pre-copying", heard), T0 + 120_001)).toMatchObject({ signal: "silent" });
  });

  const here = side({ vmState: "running", vmStatesAt: T0 + 5 });
  const gone = side({ vmState: null, vmStatesAt: T0 + 5 });

  test("completes a verified run only when the VM runs at the destination and is gone at the source", () => {
    const at = (source: SideView, destination: SideView) =>
      nextStep(view("verifying", { source, destination }), T0 + 10).do;
    expect(at(gone, here)).toBe("signal");
    expect(at(here, here)).toBe("wait");
    expect(at(gone, gone)).toBe("wait");
    expect(at(gone, side({ vmState: "inmigrate", vmStatesAt: T0 + 5 }))).toBe("wait");
    expect(at(side({ vmState: "postmigrate", vmStatesAt: T0 + 5 }), here)).toBe("wait");
  });

  test("does not take what was seen before for what is", () => {
    const old = side({ vmState: "running", vmStatesAt: T0 - 1 });
    expect(nextStep(view("verifying", { source: gone, destination: old }), T0 + 10).do).toBe("wait");
    expect(
      nextStep(view("lost", { source: side({ vmState: null, vmStatesAt: T0 - 1 }), destination: here }), T0 + 10).do,
    ).toBe("wait");
  });

  test("waits half a minute for the source's account of a verified run", () => {
    const verified = view("verifying", { source: gone, destination: here, hasOutcome: false });
    expect(nextStep(verified, T0 + 10)).toMatchObject({ do: "wait" });
    expect(nextStep({ ...verified, lastEventAt: T0 + 30_000 }, T0 + 30_000)).toMatchObject({
      signal: "seen-at-destination-only",
    });
  });

  test("ends a lost run by what both hosts say, and by nothing less", () => {
    expect(nextStep(view("lost", { source: gone, destination: here }), T0 + 10)).toMatchObject({
      signal: "seen-at-destination-only",
    });
    expect(nextStep(view("lost", { source: here, destination: gone }), T0 + 10)).toMatchObject({
      signal: "seen-at-source-only",
    });
    expect(nextStep(view("lost", { source: here, destination: here }), T0 + 10).do).toBe("wait");
    expect(nextStep(view("lost", { source: gone, destination: gone }), T0 + 10).do).toBe("wait");
    expect(nextStep(view("lost", { source: here, destination: side() }), T0 + 86_400_000).do).toBe("wait");
  });
});
