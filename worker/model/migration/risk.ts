// What post-copy risks: while each side holds pages that the other lacks, the VM survives the failure of neither host.
import type { MechanismModel } from "./mechanisms.ts";
import type { Course } from "./scenario.ts";
import type { Assumption, EstimateInput, MechanismEstimate } from "./types.ts";

type Risk = NonNullable<MechanismEstimate["risk"]>;

/** Failures a year, by what fails. */
export type FailureRates = { source: number; destination: number; link: number };

const YEAR_MS = 365.25 * 86_400_000;

/**
 * Not given. A host is lost to its hardware, kernel or power about once a year in fleets that publish figures (half of that to
 * twice). A path between two hosts is cut for longer than a TCP connection lives more often: maintenance and failures of the
 * NICs, cables and switches on it, a few times a year.
 */
const FAILURES_PER_YEAR = { host: 1, link: 4 };

/**
 * A link that loses packets is on its way to failing: each per cent lost counts as a hundred times the rate. Nobody has
 * measured this; it makes loss matter long before it stops a TCP stream.
 */
const RATE_PER_LOSS_RATIO = 10_000;

/** The rates of both hosts and the link, a prior where one is not given. */
export function failureRates({ hosts, link }: Pick<EstimateInput, "hosts" | "link">): FailureRates {
  const path = link?.failuresPerYear ?? FAILURES_PER_YEAR.link;
  return {
    source: hosts?.source?.failuresPerYear ?? FAILURES_PER_YEAR.host,
    destination: hosts?.destination?.failuresPerYear ?? FAILURES_PER_YEAR.host,
    link: path * (1 + RATE_PER_LOSS_RATIO * (link?.lossRatio ?? 0)),
  };
}

/** Mean time, ms, that the courses of a mechanism spend in phases that survive no failure. */
export function exposureMs(phases: MechanismModel["phases"], courses: readonly Course[]): number {
  const exposed = phases.filter(({ survivesFailureOf }) => survivesFailureOf.length === 0);
  const sum = courses.reduce((all, course) => all + exposed.reduce((ms, { name }) => ms + course.phaseMs[name], 0), 0);
  return sum / courses.length;
}

/**
 * 1 − exp(−Σ rates × time): the probability that a host or the link fails in that time, failures being independent and as
 * frequent at any moment. Null where there is no such time: a failure then costs time, and the VM goes on at the source.
 */
export function riskOf(exposedMs: number, rates: FailureRates): Risk | null {
  if (exposedMs <= 0) return null;
  const perYear = rates.source + rates.destination + rates.link;
  const hosts = shareOf((rates.source + rates.destination) / perYear);
  return {
    failureProbability: failureProbability(exposedMs, perYear),
    lost: `A failure of either host (${hosts} of it) loses the VM; one of the link pauses it (postcopy-paused) until the migration is recovered.`,
  };
}

/** The probability of at least one failure in that time. */
export function failureProbability(timeMs: number, failuresPerYear: number): number {
  return -Math.expm1((-failuresPerYear * timeMs) / YEAR_MS);
}

/** Priors that stand in for rates not given. Only for what may become post-copy: nothing else depends on them. */
export function riskAssumptions({ hosts, link }: Pick<EstimateInput, "hosts" | "link">): Assumption[] {
  const host = (side: "source" | "destination"): Assumption[] =>
    hosts?.[side]?.failuresPerYear === undefined
      ? [
          {
            field: `hosts.${side}.failuresPerYear`,
            value: FAILURES_PER_YEAR.host,
            why: "not given: a host fails about once a year; half and twice that are as common",
          },
        ]
      : [];
  const path: Assumption[] =
    link?.failuresPerYear === undefined
      ? [
          {
            field: "link.failuresPerYear",
            value: FAILURES_PER_YEAR.link,
            why: "not given: a path between hosts is cut some times a year; may be off by a factor of three",
          },
        ]
      : [];
  const loss: Assumption[] =
    link?.lossRatio === undefined
      ? [{ field: "link.lossRatio", value: null, why: "not given: taken to lose nothing" }]
      : [];
  return [...host("source"), ...host("destination"), ...path, ...loss];
}

function shareOf(ratio: number): string {
  return Number.isFinite(ratio) ? `${Math.round(ratio * 100)} %` : "0 %";
}
