// Loops whose rounds send all that the round before dirtied: Xen's and ESXi's, which no driver runs yet.
import { ZERO_SCAN_BYTES_PER_SECOND } from "./priors.ts";
import type { RoundsEnd } from "./rounds.ts";
import type { Scenario } from "./scenario.ts";
import type { StopRule } from "./types.ts";

/** What a full-pass loop decides after a round: stop and why, or what is to be sent next. */
type Verdict = { stopRule: StopRule } | { normalBytes: number; slowedRatio: number };
type AfterRound = (round: number, sentBytes: number, dirtiedBytes: number) => Verdict;

/** Rounds at line rate, every one sending what was dirtied during the one before, until `after` stops it. */
export function fullPassRounds(scenario: Scenario, after: AfterRound): { end: RoundsEnd; stopRule: StopRule } {
  const end: RoundsEnd = {
    stop: "threshold",
    elapsedMs: 0,
    normalBytes: scenario.nonzeroBytes,
    unsentBytes: 0,
    zeroBytes: scenario.memoryBytes - scenario.nonzeroBytes,
    wireBytes: 0,
    pages: 0,
    zeroPages: 0,
    lostVcpuSeconds: 0,
    rounds: [],
  };
  for (let round = 1; ; round++) {
    const sent = end.normalBytes;
    const bytes = sent * scenario.wirePerNormalByte + end.zeroBytes * scenario.wirePerZeroByte;
    const seconds = bytes / scenario.rates.lineBytesPerSecond + end.zeroBytes / ZERO_SCAN_BYTES_PER_SECOND;
    const durationMs = seconds * 1000;
    end.rounds.push({ bytes, durationMs });
    end.elapsedMs += durationMs;
    end.wireBytes += bytes;
    end.pages += sent / scenario.pageBytes;
    end.zeroPages += end.zeroBytes / scenario.pageBytes;
    const dirtied = Math.min(scenario.nonzeroBytes, scenario.dirtied(durationMs));
    const verdict = after(round, sent, dirtied);
    const slowed = "stopRule" in verdict ? 0 : verdict.slowedRatio;
    const lostCores = scenario.cpuUsedCores * Math.min(1, scenario.brownoutRatio + slowed);
    end.lostVcpuSeconds += (lostCores * durationMs) / 1000;
    end.zeroBytes = 0;
    if ("stopRule" in verdict) return { end: { ...end, normalBytes: dirtied }, stopRule: verdict.stopRule };
    end.normalBytes = verdict.normalBytes;
  }
}

const XEN = { roundsMax: 5, dirtyPages: 50 };

/** Xen's default policy: five rounds at most, or fewer than 50 dirty pages. No bandwidth limit, no downtime target. */
export function fewRounds(scenario: Scenario) {
  return fullPassRounds(scenario, (round, _, dirtied) => {
    if (dirtied < XEN.dirtyPages * scenario.pageBytes) return { stopRule: "dirty-pages" };
    if (round >= XEN.roundsMax) return { stopRule: "max-rounds" };
    return { normalBytes: dirtied, slowedRatio: 0 };
  });
}

/** ESXi switches over when the rest takes about half a second; SDPS slows the vCPUs where rounds do not shrink by a quarter. */
const VMWARE = { switchSeconds: 0.5, shrinkTo: 0.75 };

/** Stun during page send: a guest that dirties faster than is sent is slowed until it does not. */
export function forcedRounds(scenario: Scenario) {
  let slowed = false;
  const small = VMWARE.switchSeconds * scenario.rates.lineBytesPerSecond;
  return fullPassRounds(scenario, (_, sent, dirtied) => {
    if (dirtied <= small) return { stopRule: slowed ? "forced-convergence" : "downtime-limit" };
    const allowed = Math.min(dirtied, VMWARE.shrinkTo * sent);
    slowed ||= allowed < dirtied;
    return { normalBytes: allowed, slowedRatio: 1 - allowed / dirtied };
  });
}
