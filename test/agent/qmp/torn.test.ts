// QEMU is asked for run state and migration one after the other, and what it says may change in between.
import { expect, onTestFinished, test } from "vitest";
import { courseOf } from "../../../scripts/agent/qmp/state.ts";
import { Vm } from "../../../scripts/agent/qmp/vm.ts";
import { listen } from "./fake-qmp.ts";

const UUID = "c0000000-0000-4000-8000-000000000001";
const OUT = {
  migrationId: "m1",
  mechanism: "pre-copy" as const,
  preCopyRounds: 1,
  startedAtMs: 1000,
  stoppedAtMs: null,
  completedAtMs: null,
  stoppedByDriver: false,
  postCopy: false,
  throttleRatioMax: 0,
};

type Moment = { runState: string; migration: Record<string, unknown> };

const COPYING: Moment = { runState: "running", migration: { status: "active" } };
const DONE: Moment = { runState: "postmigrate", migration: { status: "completed", "total-time": 4200 } };
const PULLED: Moment = { runState: "finish-migrate", migration: { status: "postcopy-active" } };
const BACK: Moment = { runState: "running", migration: { status: "failed" } };
const STOPPED: Moment = { runState: "finish-migrate", migration: { status: "active" } };

/** A VM that is as it was before for the first question, and as it is afterwards from the second on. */
async function changing(before: Moment, after: Moment): Promise<Vm> {
  let asked = 0;
  const qmpSocket = await listen(({ execute, id }) => {
    const { runState, migration } = asked++ === 0 ? before : after;
    const status = { status: runState, running: runState === "running" };
    return [{ id, return: execute === "query-migrate" ? migration : status }];
  });
  const machine = { uuid: UUID, name: "guest", vcpus: 1, memoryBytes: 2 ** 27 };
  const vm = new Vm("/nowhere", { vm: machine, argv: ["qemu"], qmpSocket, pidFile: "", logFile: "" });
  onTestFinished(() => vm.client.close());
  return vm;
}

test.each([
  ["is through", COPYING, DONE, "completed"],
  ["is through, seen stopped before", STOPPED, DONE, "completed"],
  ["goes over to post-copy", COPYING, PULLED, "stopped"],
  ["fails and lets the guest run again", STOPPED, BACK, "failed"],
] as const)(
  "a migration that %s between two questions is never taken for failed first",
  async (_, before, after, end) => {
    const vm = await changing(before, after);
    const torn = courseOf(await vm.truth(), OUT);
    expect(["active", "settling", end]).toContain(torn);
    expect(courseOf(await vm.truth(), OUT)).toBe(end);
  },
);
