// Loops whose rounds send all that the round before dirtied: Xen's and ESXi's, which no driver runs yet.
import { ZERO_SCAN_BYTES_PER_SECOND } from "./priors.ts";
import type { RoundsEnd } from "./rounds.ts";
import type { Scenario } from "./scenario.ts";
import type { StopRule } from "./types.ts";

/** What a full-pass loop decides after a round: whether to stop and why; how far the guest was slowed in it, and what it then dirtied. */
type Verdict = { stopRule?: StopRule; normalBytes?: number; slowedRatio?: number };
type AfterRound = (round: number, sentBytes: number, dirtiedBytes: number, durationMs: number) => Verdict;

/** Rounds listed one by one; later ones are summed in the last. */
const ROUNDS_LISTED = 64;

/** Rounds at full rate, every one sending what was dirtied during the one before, until `after` stops it. */
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
    gainedSeconds: 0,
    rounds: [],
  };
  for (let round = 1; ; round++) {
    const sent = end.normalBytes;
    const bytes = sent * scenario.wirePerNormalByte + end.zeroBytes * scenario.wirePerZeroByte;
    const seconds = bytes / scenario.rates.roundsBytesPerSecond + end.zeroBytes / ZERO_SCAN_BYTES_PER_SECOND;
    const durationMs = seconds * 1000;
    list(end, bytes, durationMs);
    end.elapsedMs += durationMs;
    end.wireBytes += bytes;
    end.pages += sent / scenario.pageBytes;
    end.zeroPages += end.zeroBytes / scenario.pageBytes;
    const dirtied = Math.min(scenario.dirtiedMaxBytes, scenario.dirtied(durationMs));
    const { stopRule, normalBytes = dirtied, slowedRatio = 0 } = after(round, sent, dirtied, durationMs);
    const lostCores = scenario.cpuUsedCores * Math.min(1, scenario.brownoutRatio + slowedRatio);
    end.lostVcpuSeconds += (lostCores * durationMs) / 1000;
    end.zeroBytes = 0;
    end.normalBytes = normalBytes;
    if (stopRule !== undefined) return { end, stopRule };
  }
}

function list({ rounds }: RoundsEnd, bytes: number, durationMs: number): void {
  const last = rounds.at(-1);
  if (last === undefined || rounds.length < ROUNDS_LISTED) {
    rounds.push({ bytes, durationMs });
    return;
  }
  last.bytes += bytes;
  last.durationMs += durationMs;
}

/** When Xen stops the VM: the three classic rules; a null `memoryFactor` is none. */
type XenPolicy = { roundsMax: number; dirtyPages: number; memoryFactor: number | null };

/**
 * `libxl`: today's default policy, 5 rounds or fewer than 50 dirty pages. `libxc`: that of the save code which migration stream
 * v2 replaced in Xen 4.6, 29 rounds, fewer than 50 dirty pages, or three times the memory sent.
 */
export const XEN_POLICIES = {
  libxl: { roundsMax: 5, dirtyPages: 50, memoryFactor: null },
  libxc: { roundsMax: 29, dirtyPages: 50, memoryFactor: 3 },
} satisfies Record<string, XenPolicy>;
export type XenPolicyName = keyof typeof XEN_POLICIES;

/**
 * Xen's rounds. The rule named is the first of dirty pages, rounds and total sent that holds; there is no bandwidth limit and
 * no downtime target, so that what a hot VM has left may be anything.
 */
export function xenRounds(scenario: Scenario): { end: RoundsEnd; stopRule: StopRule } {
  const { roundsMax, dirtyPages, memoryFactor }: XenPolicy = XEN_POLICIES[scenario.xenPolicy];
  const sentMax = (memoryFactor ?? Number.POSITIVE_INFINITY) * scenario.memoryBytes;
  let total = scenario.memoryBytes - scenario.nonzeroBytes;
  return fullPassRounds(scenario, (round, sent, dirtied) => {
    total += sent;
    if (dirtied < dirtyPages * scenario.pageBytes) return { stopRule: "dirty-pages" };
    if (round >= roundsMax) return { stopRule: "max-rounds" };
    if (total > sentMax) return { stopRule: "total-sent" };
    return {};
  });
}

/** ESXi switches over when the rest takes about half a second; SDPS keeps dirtying just under what is sent meanwhile. */
export const SDPS = { switchSeconds: 0.5, paceRatio: 0.9 };

/**
 * Stun during page send: every round dirties at most `paceRatio` of what it sends. Where the guest dirties D and R is sent, that
 * takes 1 − `paceRatio` × R/D of the vCPUs' time; more where the working set is nearly all dirty by then.
 */
export function sdpsRounds(scenario: Scenario): { end: RoundsEnd; stopRule: StopRule } {
  let slowed = false;
  const small = SDPS.switchSeconds * scenario.rates.lineBytesPerSecond;
  const stop = (): StopRule => (slowed ? "forced-convergence" : "downtime-limit");
  return fullPassRounds(scenario, (_, sent, dirtied, durationMs) => {
    if (dirtied <= small) return { stopRule: stop() };
    const normalBytes = Math.min(dirtied, SDPS.paceRatio * sent);
    slowed ||= normalBytes < dirtied;
    const slower = { normalBytes, slowedRatio: 1 - speedFor(scenario, durationMs, normalBytes) };
    return normalBytes <= small ? { ...slower, stopRule: stop() } : slower;
  });
}

/** The share of its speed at which a guest dirties no more than `bytes` in that time: U(speed × duration), by bisection. */
function speedFor({ dirtied }: Scenario, durationMs: number, bytes: number): number {
  let [low, high] = [0, 1];
  if (dirtied(durationMs) <= bytes) return 1;
  for (let step = 0; step < 20; step++) {
    const speed = (low + high) / 2;
    if (dirtied(speed * durationMs) > bytes) high = speed;
    else low = speed;
  }
  return low;
}
