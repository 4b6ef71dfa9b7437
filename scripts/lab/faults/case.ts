// What a fault case is.
import type { Play } from "./play.ts";

/**
 * `calm`: three quiet guests; `busy`: a quiet guest and one that dirties its memory faster than a slow link sends it; `rough`:
 * a quiet guest whose agents and network are harmed; `libvirt`: as `busy`, on two libvirts.
 */
export type LaneName = "calm" | "busy" | "rough" | "libvirt";

export type FaultCase = {
  name: string;
  /** Where it plays. The cases of a lane play one after the other, the lanes beside each other. */
  lane: LaneName;
  /** What is done, for people. */
  what: string;
  /** What must be seen, word by word. */
  expected: string;
  /** It takes the edge away from everybody, so that it plays when the others are through. */
  isAlone?: boolean;
  /** Plays and says what was seen. What it throws was not expected. */
  run: (play: Play) => Promise<string>;
};

/** What every migration comes to that nothing keeps from it. */
export const arrived = (how: string): string => `${how} completed, guest at destination, unbroken`;
