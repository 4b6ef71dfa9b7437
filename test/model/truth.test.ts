// Where a VM is that no agent reports of any more, and a post-copy between its two hosts.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type RunState, RUN_STATES, isEnded, nextState, signalOf } from "../../worker/model/lifecycle.ts";
import { type RunView, nextStep } from "../../worker/model/next-step.ts";
import type { SideView } from "../../worker/model/truth.ts";
import { SIGNALS } from "../support/signals.ts";

const T0 = 1_000_000;
const head = { hostId: "hv-1", bootId: "b", sequence: 1, at: 1, fencingToken: 1 };
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

describe("a VM that is not where a lost run could have it", () => {
  const later = T0 + 31_000;
  const seen = (vmState: SideView["vmState"], vmStatesAt = later) => side({ vmState, vmStatesAt });
  const elsewhere = { hostId: "hv-9", vmState: "running" as const, vmStatesAt: later };
  const step = (fields: Partial<RunView>) => nextStep(view("lost", fields), later + 10);

  test("on both hosts: nothing is decided, people are told", () => {
    const both = step({ source: seen("running"), destination: seen("running") });
    expect(both).toMatchObject({ do: "wait", note: { kind: "seen-two-hosts" } });
    expect(JSON.stringify(both)).toContain("the source and on the destination. Stop one of them at once.");
  });

  test("on a host of the run and a third one: the same", () => {
    expect(step({ source: seen("running"), destination: seen(null), elsewhere })).toMatchObject({
      note: { kind: "seen-two-hosts", why: expect.stringContaining("hv-9") },
    });
  });

  test("on both only because one has not reported since the switch: nobody is alarmed", () => {
    const early = T0 + 5;
    expect(step({ source: seen("running", early), destination: seen("running") })).not.toHaveProperty("note");
    expect(step({ source: seen("postmigrate", early), destination: seen("inmigrate") })).not.toHaveProperty("note");
  });

  test("on neither: nothing is decided, people are told how it stands", () => {
    expect(step({ source: seen("postmigrate"), destination: seen(null) })).toMatchObject({
      do: "wait",
      note: { kind: "seen-nowhere", why: expect.stringContaining("source postmigrate, destination without it") },
    });
  });

  test("on a third host, once both hosts of the run are without it", () => {
    expect(step({ source: seen(null), destination: seen("shutoff"), elsewhere })).toMatchObject({
      signal: "seen-elsewhere",
    });
    expect(step({ source: seen(null), destination: side(), elsewhere })).toEqual({
      do: "wait",
      untilMs: expect.any(Number),
    });
    const old = { ...elsewhere, vmStatesAt: T0 - 1 };
    expect(step({ source: seen(null), destination: seen(null), elsewhere: old })).toMatchObject({
      note: { kind: "seen-nowhere" },
    });
    expect(isEnded(nextState("lost", "seen-elsewhere", true) ?? "lost")).toBe(true);
  });

  test("where it runs only by a report older than the other host's: it may have died since, so another is waited for", () => {
    const older = seen("running", later - 15_000);
    expect(step({ source: seen(null), destination: older }).do).toBe("wait");
    expect(step({ source: seen(null, later - 20_000), destination: older })).toMatchObject({
      signal: "seen-at-destination-only",
    });
    expect(step({ source: older, destination: seen(null) }).do).toBe("wait");
  });

  test("any reports: no end without fresh words of both hosts", () => {
    const anySide = fc.record({
      heardAt: fc.constant(T0),
      vmState: fc.constantFrom("running" as const, "postmigrate" as const, "inmigrate" as const, null),
      vmStatesAt: fc.constantFrom(null, T0 - 1, T0, T0 + 5, later),
    });
    fc.assert(
      fc.property(anySide, anySide, fc.option(anySide), (source, destination, third) => {
        const sighting = third === null ? null : { hostId: "hv-9", ...third };
        const next = nextStep(view("lost", { source, destination, elsewhere: sighting }), later + 10);
        const isHeard = (source.vmStatesAt ?? 0) >= T0 && (destination.vmStatesAt ?? 0) >= T0;
        expect(next.do === "signal" && !isHeard).toBe(false);
      }),
    );
  });
});

describe("a paused post-copy", () => {
  const states = ["resuming", "paused"] as const;
  test.each(states)("%s: goes on, completes, or is lost; nothing else", (state) => {
    const next = new Set(SIGNALS.map((signal) => nextState(state, signal, true)));
    next.delete(null);
    expect([...next].toSorted()).toEqual(["lost", state === "paused" ? "resuming" : "paused", "verifying"].toSorted());
  });

  test("whose destination's process is gone is lost: no link brings the VM back", () => {
    expect(nextState("paused", "destination-failed", true)).toBe("lost");
  });

  test("that was lost from sight is what its source's progress says, and never copies again", () => {
    const progress = {
      iteration: 1,
      remainingBytes: 1,
      transferredBytes: 1,
      elapsedMs: 1,
      phase: "post-copy" as const,
    };
    const event = { ...head, type: "progress" as const, progress };
    expect(signalOf(event, "source")).toBe("link-back");
    expect(signalOf({ ...event, paused: true }, "source")).toBe("link-lost");
    expect(signalOf({ ...event, progress: { ...progress, phase: "pre-copy" } }, "source")).toBe("progress");
    expect(signalOf(event, "destination")).toBeNull();
    expect(nextState("lost", "link-back", true)).toBe("resuming");
    expect(nextState("lost", "link-lost", true)).toBe("paused");
    for (const state of RUN_STATES) expect(nextState(state, "progress", true)).toBeNull();
  });

  test("steering moves no run", () => {
    expect(signalOf({ ...head, type: "steered", what: "downtime-limit", by: "agent", why: "" }, "source")).toBeNull();
  });
});
