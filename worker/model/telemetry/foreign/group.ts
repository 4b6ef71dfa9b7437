// What the series of one target make, time by time.
//
// The value at a time is a function of all samples up to then, whatever bodies they come in: the group holds what has to be
// known of those that came before.
import { metricNamed } from "../catalogue.ts";
import { roundDigits } from "../rounding.ts";
import { addBit, GAP_MS, type Group, hasBit, type Moment, SETTLED, WORD } from "./counter-state.ts";
import type { Target } from "./target.ts";

/** A member that is missing at so many times in a row is gone, and waited for no longer. */
const LOOKBACK = 4;
/** Times at which values may still change, the ones looked back to among them. */
const MOMENTS_MAX = 10;
/** Counters say no more than this. */
const RATE_DIGITS = 6;

/** A counter that falls to no less than this part of what it was has stepped back; it was not reset. */
const STEP_BACK = 0.99;

/** `place`: its member's. */
export type Sample = { place: number; time: number; value: number; target: Target };

/** Where the moments looked back to from the one at `index` start: the nearest before it, none from before a gap. */
function lookback(moments: readonly Moment[], index: number): number {
  const time = moments[index]?.time ?? 0;
  let start = index;
  while (start > 0 && index - start < LOOKBACK && time - (moments[start - 1]?.time ?? 0) <= GAP_MS) start -= 1;
  return start;
}

/** Where the moment of this time stands, made if there is none; -1: it is closed. The moment is the group's own. */
function momentAt({ moments, closedTo }: Group, time: number): number {
  if (time <= closedTo) return -1;
  let index = moments.length;
  while (index > 0 && (moments[index - 1]?.time ?? 0) >= time) index -= 1;
  const known = moments[index];
  if (known?.time === time) moments[index] = { ...known, seen: [...known.seen], gaps: [...known.gaps] };
  else moments.splice(index, 0, { time, sum: Number.NaN, parts: 0, seen: [], gaps: [] });
  return index;
}

/**
 * By how much a counter has risen. After a reset that is what it shows, as Prometheus' `rate` has it; but kernels' CPU times also
 * step back by a tick, and taking years of them for the rise of one interval would be far off.
 */
function rise(before: number, value: number): number {
  if (value >= before) return value - before;
  return value > before * STEP_BACK ? 0 : value;
}

/** What a sample adds: its rate or value, NaN where it only starts the comparison. Over a gap nothing is known. */
function worth(group: Group, sample: Sample, isFirst: boolean): number {
  const { place, time, value, target } = sample;
  const lastTime = group.times[place] ?? -Infinity;
  const lastValue = group.values[place] ?? Number.NaN;
  group.times[place] = Math.max(lastTime, time);
  group.values[place] = target.isCounter ? value : Number.NaN;
  const isNew = time - lastTime > GAP_MS;
  if (!target.isCounter) return isNew && !isFirst ? Number.NaN : value;
  if (isNew) return Number.NaN;
  return (rise(lastValue, value) / (time - lastTime)) * 1000;
}

/** Counted already, or too late to say anything: samples of a counter, and gaps, that are not newer than what is known. */
const isStale = (group: Group, { place, time, value, target }: Sample): boolean =>
  (target.isCounter || Number.isNaN(value)) && time <= (group.times[place] ?? -Infinity);

/** Whether a sample was counted already: at its time, or for a counter at a later one. */
function isKnown(group: Group, moment: Moment | undefined, sample: Sample): boolean {
  if (isStale(group, sample)) return true;
  return moment !== undefined && (hasBit(moment.seen, sample.place) || hasBit(moment.gaps, sample.place));
}

function together(sum: number, added: number, { term }: Target): number {
  if (Number.isNaN(sum)) return added;
  return term?.combine === "max" ? Math.max(sum, added) : sum + added;
}

function take(group: Group, moment: Moment | undefined, sample: Sample | undefined, isFirst: boolean): void {
  // One series may be there twice.
  if (sample === undefined || isKnown(group, moment, sample)) return;
  const { place, value, target } = sample;
  if (Number.isNaN(value)) {
    if (moment !== undefined) addBit(moment.gaps, place);
    return;
  }
  const added = worth(group, sample, isFirst) * (target.term?.factor ?? 1);
  if (moment === undefined) return;
  addBit(moment.seen, place);
  if (Number.isNaN(added) || moment.parts === SETTLED) return;
  moment.parts |= 1 << (target.term?.part ?? 0);
  moment.sum = together(moment.sum, added, target);
}

/** Whether everything is there that was there before: at the last time that says something of it, and is not over. */
function isComplete({ moments, members }: Group, moment: Moment, index: number, start: number): boolean {
  for (let word = 0; word * WORD < members.length; word++) {
    let told = (moment.seen[word] ?? 0) | (moment.gaps[word] ?? 0);
    for (let at = index - 1; at >= start; at--) {
      const before = moments[at];
      if (((before?.seen[word] ?? 0) & ~told) !== 0) return false;
      told |= before?.gaps[word] ?? 0;
    }
  }
  return true;
}

/** The value of a moment, NaN while it has none. */
function valueAt(group: Group, index: number, { term, isCounter }: Target): number {
  const moment = group.moments[index];
  if (moment === undefined || moment.parts !== (1 << (term?.parts ?? 1)) - 1) return Number.NaN;
  const start = lookback(group.moments, index);
  // What was there before the first moment is not known: it is closed already.
  if (start === 0 && index < LOOKBACK && moment.time - group.closedTo <= GAP_MS) return Number.NaN;
  if (!isComplete(group, moment, index, start)) return Number.NaN;
  const kind = metricNamed(group.metric)?.kind;
  // Some senders keep values in decimal, and give them back a little off.
  if (!isCounter) return kind === "bytes" ? Math.round(moment.sum) : moment.sum;
  const rate = roundDigits(moment.sum, RATE_DIGITS);
  // Clocks jitter: a second of waiting a second may come out as a little more.
  return rate > 1 && kind === "ratio" ? 1 : rate;
}

/**
 * Takes samples of one group, sorted by time, into `group`, and gives the values that they make or change. What was taken
 * before changes nothing.
 */
export function advanceGroup(
  group: Group,
  samples: readonly Sample[],
  emit: (time: number, value: number) => void,
): void {
  for (let from = 0; from < samples.length;) {
    const { time, target } = samples[from] ?? { time: 0, target: null };
    let to = from;
    let isNews = false;
    for (let sample = samples[to]; sample?.time === time; sample = samples[++to])
      if (!isStale(group, sample)) isNews = true;
    if (isNews && target !== null) {
      const index = momentAt(group, time);
      const moment = group.moments[index];
      const isFirst = lookback(group.moments, index) === index;
      for (let at = from; at < to; at++) take(group, moment, samples[at], isFirst);
      const value = valueAt(group, index, target);
      if (!Number.isNaN(value)) emit(time, value);
      const over = group.moments.length - MOMENTS_MAX;
      if (over > 0) group.closedTo = group.moments.splice(0, over).at(-1)?.time ?? group.closedTo;
    }
    from = to;
  }
}
