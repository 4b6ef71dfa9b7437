// Latest values and averages made anew from stored samples, as the write path would have made them.
import type { Frame } from "./frame.ts";
import { advance, advanceCurves, type Known, NOTHING_KNOWN, placeColumns } from "./known.ts";

/**
 * What is known at `now` after the frames, which come in the order of time, one an hour or finer. It agrees with what was
 * advanced batch by batch wherever samples came in order and none was corrected: a late sample is left out there, and counts
 * here. Frames of 24 h hold every series that is still remembered; an average needs the last 3 h only, after which a value
 * weighs 2^-36. Dirty curves are not among samples: those of `curves` (the old `Known`) are taken over.
 */
export function rebuildKnown(frames: readonly Frame[], curves: Known["curves"], now: number): Known {
  let known: Known = { ...NOTHING_KNOWN, curves: advanceCurves(curves, new Map(), now) };
  for (const frame of frames) {
    const placed = placeColumns(known, frame.columns, now);
    known = advance(placed.known, frame, placed.places, 0);
  }
  // Without the room of series that turned out to have no sample.
  return placeColumns(known, [], now).known;
}
