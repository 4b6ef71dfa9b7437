// Stop-and-copy: the VM stands still from the command to the end.
import { switchOver } from "./endings.ts";
import { qemuRounds } from "./rounds.ts";
import type { Course, Scenario } from "./scenario.ts";

/**
 * Memory is sent once, capped as in pre-copy but for the last part, with the VM stopped before anything else: setup and copy
 * are downtime. A deadline does not cut it short; `recommendMechanism` refuses it where it cannot end in time.
 */
export function stopAndCopy(scenario: Scenario): Course {
  const end = qemuRounds(scenario, { rounds: 1, untilMs: Number.POSITIVE_INFINITY, standing: true });
  const copied = switchOver(scenario, end, "vm-stopped");
  const { setup, disks, rounds, switchover } = copied.phaseMs;
  const standing = rounds + switchover;
  return {
    ...copied,
    preparationMs: disks,
    downtimeMs: setup + standing,
    phaseMs: { setup, disks, rounds: 0, switchover: standing, "post-copy": 0 },
    lostVcpuSeconds: 0,
    rounds: [],
  };
}
