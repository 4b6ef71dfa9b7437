// Wait: a window of the forecast in which the migration does so much less harm that it is worth waiting for.
import { harmOf } from "./recommend.ts";
import { mib } from "./resolve.ts";
import type { Assumption, EstimateAnswer, EstimateInput, EstimateWindow, MechanismEstimate } from "./types.ts";
import { duration, percent, seconds } from "./words.ts";

type Judged = Pick<EstimateAnswer, "estimates" | "recommended">;

/** Estimates an input and recommends; `rough`: in the median scenario only, at a sixtieth of the work. */
export type Judge = (input: EstimateInput, precision: "rough" | "full") => Judged;

/**
 * Less is not worth a wait. 30 %: dirtying is known to about that, so that a smaller difference may be none. 0.2 s of
 * standstill: nobody notices less, while a host that is to be relieved or emptied stays as it is.
 */
const SAVED_RATIO_MIN = 0.3;
const SAVED_SECONDS_MIN = 0.2;

/** A day of hours; later ones are looked at when they are nearer. */
const WINDOWS_MAX = 24;
/** Full estimates spent on the windows that look good in the median scenario. */
const FULL_MAX = 3;

type Choice = { estimate: MechanismEstimate; harm: number };
type Candidate = { window: EstimateWindow; moved: EstimateInput; rough: number };

/**
 * The earliest window of the first 24 in which the least harmful mechanism saves enough against the one recommended now, and
 * which lasts as long as its total at p90. Where everything is refused now, the earliest in which something is not. Null: go now.
 */
export function betterWindow(input: EstimateInput, now: Judged, judge: Judge): EstimateAnswer["wait"] {
  const windows = (input.forecast ?? []).filter(({ startsInMs }) => startsInMs > 0);
  if (windows.length === 0) return null;
  const present = chosen(input, now);
  const roughNow = chosen(input, judge(input, "rough"))?.harm ?? null;
  const earliest = windows.toSorted((a, b) => a.startsInMs - b.startsInMs).slice(0, WINDOWS_MAX);
  const candidates = earliest.flatMap((window): Candidate[] => {
    const moved = inWindow(input, window);
    const choice = chosen(input, judge(moved, "rough"));
    return choice === null || choice.estimate.totalMs.p50 > window.durationMs
      ? []
      : [{ window, moved, rough: choice.harm }];
  });
  const promising = (rough: number) => present === null || roughNow === null || isWorth(rough, roughNow);
  const inTurn = [
    ...candidates.filter(({ rough }) => promising(rough)),
    // The median scenario does not see what may go wrong: the best of the rest gets its turn too.
    ...candidates.filter(({ rough }) => !promising(rough)).toSorted((a, b) => a.rough - b.rough),
  ].slice(0, FULL_MAX);
  const good = inTurn.flatMap((candidate) => answerFor(input, candidate, present, judge) ?? []);
  return good.toSorted((a, b) => a.startsInMs - b.startsInMs)[0] ?? null;
}

function isWorth(then: number, now: number): boolean {
  return now - then >= SAVED_SECONDS_MIN && now - then >= SAVED_RATIO_MIN * now;
}

function chosen({ recoverability }: EstimateInput, { estimates, recommended }: Judged): Choice | null {
  const estimate = estimates.find(({ mechanism }) => mechanism === recommended?.mechanism);
  return estimate === undefined ? null : { estimate, harm: harmOf(estimate, recoverability) };
}

function answerFor(
  input: EstimateInput,
  { window, moved }: Candidate,
  present: Choice | null,
  judge: Judge,
): EstimateAnswer["wait"] {
  const choice = chosen(input, judge(moved, "full"));
  if (choice === null || choice.estimate.totalMs.p90 > window.durationMs) return null;
  if (present !== null && !isWorth(choice.harm, present.harm)) return null;
  const { downtimeMs, totalMs, transferredBytes } = choice.estimate;
  const reason = reasonFor(window, choice, present);
  return { startsInMs: window.startsInMs, downtimeMs, totalMs, transferredBytes, reason };
}

function reasonFor(window: EstimateWindow, { estimate, harm }: Choice, present: Choice | null): string {
  const against =
    present === null
      ? "now every mechanism is refused"
      : `${percent((present.harm - harm) / present.harm)} less than the ${present.harm.toFixed(2)} s of ${present.estimate.mechanism} now`;
  const factors = `dirtying is expected at ${percent(window.dirtyRatio)} of what it is and the link at ${percent(window.linkRatio)}`;
  const figures = `${seconds(estimate.totalMs.p50)} and ${mib(estimate.transferredBytes.p50)} at p50`;
  return `In ${duration(window.startsInMs)} ${estimate.mechanism} does harm worth ${harm.toFixed(2)} s of standstill, ${against}: ${factors}, so that it takes ${figures}; the window lasts ${duration(window.durationMs)}.`;
}

/** The same migration in a window. A factor on what is unknown says nothing: it stays unknown. */
function inWindow(input: EstimateInput, { dirtyRatio, linkRatio }: EstimateWindow): EstimateInput {
  const { vm, link } = input;
  const perWindow = (vm.memoryBytes * 1000) / (vm.dirtyRateWindowMs ?? 1000);
  return {
    ...input,
    vm: {
      ...vm,
      ...(vm.dirtyCurve === undefined
        ? {}
        : {
            dirtyCurve: vm.dirtyCurve.map(({ windowMs, bytes }) => ({
              windowMs,
              bytes: Math.min(vm.memoryBytes, bytes * dirtyRatio),
            })),
          }),
      ...(vm.dirtyRateBytesPerSecond === undefined
        ? {}
        : { dirtyRateBytesPerSecond: Math.min(perWindow, vm.dirtyRateBytesPerSecond * dirtyRatio) }),
    },
    ...(link === undefined ? {} : { link: { ...link, bytesPerSecond: link.bytesPerSecond * linkRatio } }),
  };
}

/** Factors of the forecast that have nothing to be applied to. */
export function forecastAssumptions({ forecast, vm, link }: EstimateInput): Assumption[] {
  const unknown = (field: string, what: string): Assumption => ({
    field: `forecast.${field}`,
    value: 1,
    why: `${what} of now is not given: a factor on it says nothing`,
  });
  const dirty = vm.dirtyRateBytesPerSecond === undefined && (vm.dirtyCurve ?? []).length === 0;
  return [
    ...(dirty && forecast?.some(({ dirtyRatio }) => dirtyRatio !== 1) ? [unknown("dirtyRatio", "the dirty rate")] : []),
    ...(link === undefined && forecast?.some(({ linkRatio }) => linkRatio !== 1)
      ? [unknown("linkRatio", "the link's rate")]
      : []),
  ];
}
