import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type RunState,
  RUN_STATES,
  type Signal,
  isEnded,
  isPastNoReturn,
  nextState,
  signalOf,
} from "../../worker/model/lifecycle.ts";
import { SIGNALS } from "../support/signals.ts";
import type { MigrationEvent } from "../../worker/model/wire/event.ts";

const path = (...signals: Signal[]): (RunState | null)[] => {
  let state: RunState | null = "queued";
  return signals.map((signal) => (state = state === null ? null : nextState(state, signal, false)));
};

describe("the table", () => {
  test("takes a pre-copy from queued to completed", () => {
    expect(
      path(
        "claim",
        "prepare-sent",
        "prepared",
        "accepted",
        "source-stopped",
        "destination-running",
        "source-completed",
        "seen-at-destination-only",
      ),
    ).toEqual(["claimed", "preparing", "prepared", "pre-copying", "switching", "verifying", "verifying", "completed"]);
  });

  test("takes a post-copy through a lost link to completed", () => {
    const before = path(
      "claim",
      "prepare-sent",
      "prepared",
      "accepted",
      "source-stopped",
      "destination-running-post-copy",
    );
    expect(before.at(-1)).toBe("resuming");
    expect(nextState("resuming", "link-lost", true)).toBe("paused");
    expect(nextState("paused", "link-back", true)).toBe("resuming");
    expect(nextState("resuming", "source-completed", true)).toBe("verifying");
  });

  test.each(["completed", "failed", "cancelled"] as const)("%s is an end: nothing moves it", (state) => {
    for (const signal of SIGNALS) expect(nextState(state, signal, false)).toBeNull();
  });

  test("cancelling and failing cost nothing only before the source was told to start", () => {
    const free = RUN_STATES.filter((state) => nextState(state, "cancel-untouched", false) === "cancelled");
    expect(free).toEqual(["queued", "claimed", "preparing"]);
  });

  test("silence ends a run only where nothing has touched the VM", () => {
    const after = Object.fromEntries(RUN_STATES.map((state) => [state, nextState(state, "silent", false)]));
    const { preparing, ...others } = after;
    expect(preparing).toBe("failed");
    expect(new Set(Object.values(others))).toEqual(new Set([null, "lost"]));
  });

  test("past the point of no return nothing but completion, truth or a person ends a run", () => {
    const enders = RUN_STATES.filter((state) => isPastNoReturn(state, true)).flatMap((state) =>
      SIGNALS.filter((signal) => {
        const next = nextState(state, signal, true);
        return next !== null && isEnded(next);
      }),
    );
    expect(new Set(enders)).toEqual(
      new Set([
        "seen-at-destination-only",
        "seen-at-source-only",
        "seen-elsewhere",
        "resolved-at-destination",
        "resolved-at-source",
        "resolved-elsewhere",
        "resolved-nowhere",
        "source-refused",
      ]),
    );
  });

  test("every state that is no end has a way out, and `lost` always leads to one", () => {
    for (const state of RUN_STATES.filter((candidate) => !isEnded(candidate)))
      expect(SIGNALS.some((signal) => nextState(state, signal, false) !== null)).toBe(true);
    expect(nextState("lost", "resolved-at-source", true)).toBe("failed");
    expect(nextState("lost", "resolved-at-destination", true)).toBe("completed");
  });

  test("no order of signals, however often they come, completes a run without a sight of the VM at the destination or a person", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...SIGNALS), { maxLength: 40 }), fc.boolean(), (signals, postCopy) => {
        let state: RunState = "queued";
        const completedBy = signals.filter((signal) => {
          const next = nextState(state, signal, postCopy);
          state = next ?? state;
          return next === "completed";
        });
        return completedBy.every((signal) => ["seen-at-destination-only", "resolved-at-destination"].includes(signal));
      }),
    );
  });
});

const head = { hostId: "hv-1", bootId: "b", sequence: 1, at: 1, fencingToken: 1 };
const failure = { reason: "hypervisor", detail: "reset" };

describe("an agent's event", () => {
  test.each<[MigrationEvent, "source" | "destination", Signal | null]>([
    [{ ...head, type: "prepared", migrationUri: "tcp:a:1", peerUrl: "http://a" }, "destination", "prepared"],
    [{ ...head, type: "prepared", migrationUri: "tcp:a:1", peerUrl: "http://a" }, "source", null],
    [{ ...head, type: "accepted" }, "destination", null],
    [{ ...head, type: "switched", side: "source", postCopy: true }, "source", "source-stopped"],
    [{ ...head, type: "switched", side: "destination", postCopy: false }, "destination", "destination-running"],
    [
      { ...head, type: "switched", side: "destination", postCopy: true },
      "destination",
      "destination-running-post-copy",
    ],
    [{ ...head, type: "completed", outcome: {} }, "destination", null],
    [{ ...head, type: "failed", ...failure, vmState: "running" }, "source", "source-failed"],
    [{ ...head, type: "failed", ...failure, vmState: "shutoff" }, "source", "source-failed-vm-unknown"],
    [{ ...head, type: "failed", ...failure }, "source", "source-failed-vm-unknown"],
    [{ ...head, type: "failed", ...failure, vmState: "running" }, "destination", "destination-failed"],
  ])("%j of the %s means %s", (event, sender, signal) => {
    expect(signalOf(event, sender)).toBe(signal);
  });
});
