// What a guest loses to remote page faults while its memory arrives: a fluid model of its progress and of the push.
import type { DirtyCurve } from "./dirty-curve.ts";

/** How the pages that the guest is going to touch arrive. */
export type Arrival = {
  /** Distinct bytes that the guest touches in so much time of its own. */
  touched: DirtyCurve;
  /** Of what it touches, the share that is missing at first. */
  missingRatio: number;
  /** Bytes that the push has to send until none of that is missing; Infinity: there is no push. */
  pushUntilBytes: number;
  /** Bytes pushed so many milliseconds after the start; never falls. */
  pushed: (ms: number) => number;
  /** The push is through, and no page is missing. */
  endMs: number;
  pageBytes: number;
  /** One fault, from the touch to the page. */
  faultMs: number;
  /** Threads that can run on while one waits for a page. */
  threads: number;
};

export type Stall = {
  remoteFaults: number;
  /** By how much the guest's own time is behind the clock at the end: one that stood still all the time lost all of it. */
  lostMs: number;
};

/** Steps of the same length over the phase: the loss is wrong by less than one of them. */
const STEPS = 16;

/**
 * Guest time τ against the clock t. A thread that touches first h = dA/dτ pages in a unit of its time, a share m of them
 * missing, waits `faultMs` at each: dτ/dt = 1 / (1 + h·m·faultMs/threads), a renewal argument. m falls in proportion to what was
 * pushed. A guest that is behind asks for page after page: it stands still until nearly all that it uses is there.
 */
export function stallOf(arrival: Arrival): Stall {
  const { touched, pushed, endMs, pageBytes } = arrival;
  const perPage = arrival.faultMs / arrival.threads;
  const missingAt = (ms: number) => arrival.missingRatio * Math.max(0, 1 - pushed(ms) / arrival.pushUntilBytes);
  const step = endMs / STEPS;
  let missing = missingAt(0);
  let guestMs = 0;
  let touchedBytes = 0;
  let lostMs = 0;
  let remoteFaults = 0;
  for (let index = 1; index <= STEPS && missing > 0; index++) {
    const after = missingAt(index * step);
    const mean = (missing + after) / 2;
    const touchedIfRunning = Math.max(0, touched(guestMs + step) - touchedBytes);
    const faultsIfRunning = (mean * touchedIfRunning) / pageBytes;
    const ranRatio = step / (step + faultsIfRunning * perPage);
    guestMs += step * ranRatio;
    touchedBytes += touchedIfRunning * ranRatio;
    lostMs += step * (1 - ranRatio);
    remoteFaults += faultsIfRunning * ranRatio;
    missing = after;
  }
  return { remoteFaults, lostMs };
}

/** Demand paging alone: every missing page that the guest touches in `guestMs` of its own time is asked for. */
export function stallOnDemand({ touched, missingRatio, pageBytes, faultMs, threads }: Arrival, guestMs: number): Stall {
  const remoteFaults = (missingRatio * touched(guestMs)) / pageBytes;
  return { remoteFaults, lostMs: (remoteFaults * faultMs) / threads };
}
