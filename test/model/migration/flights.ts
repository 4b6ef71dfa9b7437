// Running migrations: what their sources report of them, and what was predicted and approved.
import { forecastInFlight } from "../../../worker/model/migration/in-flight.ts";
import type { InFlightRun } from "../../../worker/model/migration/in-flight.ts";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import type { MechanismEstimate } from "../../../worker/model/migration/types.ts";
import type { Mechanism } from "../../../worker/model/wire/common.ts";
import type { Progress } from "../../../worker/model/wire/event.ts";
import { GIB } from "../../../worker/model/units.ts";
import { inputOf } from "./support.ts";

export const MB = 1e6;
/** 100 MB/s and 300 ms: under 30 MB it switches over. */
export const RATE = 100 * MB;

export type Overrides = {
  mechanism?: Mechanism;
  parameters?: Partial<InFlightRun["parameters"]>;
  limits?: Partial<InFlightRun["limits"]>;
  raisedAtMs?: number;
};

export function runOf({ mechanism = "pre-copy", parameters, limits, ...rest }: Overrides = {}): InFlightRun {
  const input = inputOf({
    mechanisms: [mechanism],
    parameters: { maxBandwidthBytesPerSecond: RATE, deadlineMs: 600_000, ...parameters },
  });
  const [predicted] = estimateMigration(input).estimates as [MechanismEstimate];
  return {
    mechanism,
    predicted,
    parameters: {
      maxBandwidthBytesPerSecond: RATE,
      downtimeLimitMs: 300,
      autoConverge: false,
      xbzrle: false,
      multifdChannels: 0,
      compression: "none",
      postCopyPreempt: false,
      preCopyRounds: 1,
      postCopyAfterMs: null,
      deadlineMs: 600_000,
      onDeadline: "cancel",
      ...parameters,
    },
    limits: { downtimeMsMax: 900, bandwidthBytesPerSecondMax: 1e9, postCopyPermitted: false, ...limits },
    ...rest,
  };
}

export const look = (of: Partial<Progress> = {}): Progress => ({
  iteration: 2,
  totalBytes: 8 * GIB,
  remainingBytes: 200 * MB,
  transferredBytes: 2 * GIB,
  throughputBytesPerSecond: RATE,
  phase: "pre-copy",
  elapsedMs: 30_000,
  ...of,
});

export const forecast = (history: Progress[], run: InFlightRun, nowMs?: number) => {
  const answer = forecastInFlight(history, run, nowMs);
  if (answer === null) throw new Error("nothing was forecast");
  return answer;
};
