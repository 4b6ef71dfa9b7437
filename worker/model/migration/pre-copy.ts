// Pre-copy, by the stop rule of the hypervisor.
import { atDeadline, switchOver, untilDeadlineMs } from "./endings.ts";
import { sdpsRounds, xenRounds } from "./full-pass.ts";
import { qemuRounds } from "./rounds.ts";
import type { Course, Scenario } from "./scenario.ts";

export function preCopy(scenario: Scenario): Course {
  switch (scenario.hypervisor) {
    case "kvm":
      return qemuPreCopy(scenario);
    case "xen": {
      const { end, stopRule } = xenRounds(scenario);
      return switchOver(scenario, end, stopRule, stopRule === "dirty-pages");
    }
    case "vmware": {
      const { end, stopRule } = sdpsRounds(scenario);
      return switchOver(scenario, end, stopRule);
    }
  }
}

function qemuPreCopy(scenario: Scenario): Course {
  const end = qemuRounds(scenario, { rounds: Number.POSITIVE_INFINITY, untilMs: untilDeadlineMs(scenario) });
  return end.stop === "threshold" ? switchOver(scenario, end, "downtime-limit") : atDeadline(scenario, end);
}
