// What of the telemetry never reached Drover: counted for good, in a file of its own, and told with every batch.
import path from "node:path";
import { z } from "zod";
import { readJson, writeFileAtomically } from "./files.ts";
import { messageOf, type Log } from "./log.ts";

const count = z.int().min(0);
const lossesFile = z.strictObject({ droppedBatches: count, droppedSamples: count, refusedSamples: count });

/**
 * Since the state folder was made. Dropped: the whole batch was given up, because too much waited or because Drover would
 * never take it. Refused: Drover took the batch and left these samples out.
 */
export type Losses = z.output<typeof lossesFile>;

export type LossCounter = {
  losses: () => Losses;
  /** Counted on the disk when it returns, if the disk takes it; counted in memory in any case. */
  add: (more: Partial<Losses>) => void;
};

/** Opens the count of earlier lives. A file that cannot be read starts it anew, as a counter that was reset. */
export function openLosses(stateDir: string, log: Log): LossCounter {
  const file = path.join(stateDir, "losses.json");
  let losses: Losses = { droppedBatches: 0, droppedSamples: 0, refusedSamples: 0 };
  try {
    losses = readJson(file, lossesFile) ?? losses;
  } catch (error) {
    log("error", "the count of lost telemetry cannot be read; it starts anew", { file, error: messageOf(error) });
  }
  return {
    losses: () => losses,
    add: ({ droppedBatches = 0, droppedSamples = 0, refusedSamples = 0 }) => {
      losses = {
        droppedBatches: losses.droppedBatches + droppedBatches,
        droppedSamples: losses.droppedSamples + droppedSamples,
        refusedSamples: losses.refusedSamples + refusedSamples,
      };
      try {
        writeFileAtomically(file, JSON.stringify(losses), true);
      } catch (error) {
        log("error", "the count of lost telemetry cannot be written", { ...losses, error: messageOf(error) });
      }
    },
  };
}
