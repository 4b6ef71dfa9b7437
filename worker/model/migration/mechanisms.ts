// The mechanisms, each with its model and with where the VM's state lives in its phases. A new one is added here.
import type { Mechanism } from "../wire/common.ts";
import { hybrid } from "./hybrid.ts";
import { postCopy } from "./post-copy.ts";
import { preCopy } from "./pre-copy.ts";
import type { Course, Scenario } from "./scenario.ts";
import { stopAndCopy } from "./stop-and-copy.ts";
import type { MechanismEstimate } from "./types.ts";

type Phase = Omit<MechanismEstimate["phases"][number], "durationMs">;

export type MechanismModel = { mechanism: Mechanism; run: (scenario: Scenario) => Course; phases: Phase[] };

/** Until the switch-over is through, all state is at the source: it survives whatever happens elsewhere. */
const atSource = (name: Phase["name"]): Phase => ({
  name,
  stateAt: "source",
  survivesFailureOf: ["destination", "link"],
});
/** From the start of post-copy each side has something that the other lacks. */
const split = (name: Phase["name"]): Phase => ({ name, stateAt: "both", survivesFailureOf: [] });

const before = [atSource("setup"), atSource("disks"), atSource("rounds")];

export const mechanisms: Record<Mechanism, MechanismModel> = {
  // Post-copy is in the list because `onDeadline` may start it; a phase that never happens is left out of the answer.
  "pre-copy": { mechanism: "pre-copy", run: preCopy, phases: [...before, atSource("switchover"), split("post-copy")] },
  "post-copy": { mechanism: "post-copy", run: postCopy, phases: [...before, split("switchover"), split("post-copy")] },
  hybrid: { mechanism: "hybrid", run: hybrid, phases: [...before, split("switchover"), split("post-copy")] },
  "stop-and-copy": {
    mechanism: "stop-and-copy",
    run: stopAndCopy,
    // Local disks may follow after it.
    phases: [...before, atSource("switchover"), split("post-copy")],
  },
};
