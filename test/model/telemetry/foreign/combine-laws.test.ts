import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { combineForeign } from "../../../../worker/model/telemetry/foreign/combine.ts";
import {
  formatCounterState,
  NO_COUNTERS,
  parseCounterState,
} from "../../../../worker/model/telemetry/foreign/counter-state.ts";
import type { ForeignSeries } from "../../../../worker/model/telemetry/foreign/target.ts";
import {
  after,
  AVAILABLE,
  everything,
  NOW,
  SCRAPE,
  series,
  target,
  TOTAL,
  user,
  VM,
} from "../../../support/foreign.ts";

/** One scrape: how long after the one before, and of every series its value, or that it is not there. */
const anyScrapes = fc.array(
  fc.record({
    step: fc.oneof({ weight: 9, arbitrary: fc.constant(SCRAPE) }, fc.integer({ min: 1000, max: 400_000 })),
    values: fc.tuple(
      ...Array.from({ length: 6 }, () =>
        fc.oneof(
          { weight: 12, arbitrary: fc.integer({ min: 0, max: 1000 }) },
          { weight: 1, arbitrary: fc.constant(null) },
          { weight: 1, arbitrary: fc.constant(Number.NaN) },
        ),
      ),
    ),
  }),
  { minLength: 1, maxLength: 25 },
);
const TARGETS = [
  user(0),
  user(1),
  user(2),
  TOTAL,
  AVAILABLE,
  target("libvirt_domain_block_stats_read_bytes_total", { uuid: VM, target_device: "vda" }),
];

/** All samples in the order in which a sender has them: by time, then by series. */
function streamOf(scrapes: readonly { step: number; values: readonly (number | null)[] }[]): ForeignSeries[] {
  let time = 0;
  return scrapes.flatMap(({ step, values }) => {
    time += step;
    return TARGETS.flatMap((of, index) => {
      const value = values[index] ?? null;
      return value === null ? [] : [series(of, [[time, index === 3 ? value + 1000 : value]])];
    });
  });
}

/** Cuts at these places; a body has one series for each target, as it would be sent. */
function bodiesOf(stream: readonly ForeignSeries[], cuts: readonly number[]): ForeignSeries[][] {
  const places = [0, ...cuts.map((cut) => cut % (stream.length + 1)).toSorted((a, b) => a - b), stream.length];
  return places.slice(1).map((end, index) => {
    const part = stream.slice(places[index], end);
    return TARGETS.flatMap((of) => {
      const own = part.filter((one) => one.target === of);
      const whole = {
        target: of,
        times: own.flatMap(({ times }) => times),
        values: own.flatMap(({ values }) => values),
      };
      return own.length === 0 ? [] : [whole];
    });
  });
}

describe("however a stream is cut into bodies", () => {
  test("the samples in the end are the same", () => {
    fc.assert(
      fc.property(anyScrapes, fc.array(fc.nat(), { maxLength: 12 }), (scrapes, cuts) => {
        const stream = streamOf(scrapes);
        expect(everything(after(bodiesOf(stream, cuts)).frame)).toEqual(
          everything(after([bodiesOf(stream, [])].flat()).frame),
        );
      }),
      { seed: 1, numRuns: 1500 },
    );
  });

  test("a body that comes again, at any time later, changes nothing", () => {
    fc.assert(
      fc.property(
        anyScrapes,
        fc.array(fc.nat(), { maxLength: 6 }),
        fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 3 }),
        (scrapes, cuts, replays) => {
          const bodies = bodiesOf(streamOf(scrapes), cuts);
          const replayed = bodies.map((body) => [body]);
          for (const [which, at] of replays) {
            const from = which % bodies.length;
            const again = bodies[from] ?? [];
            replayed[from + (at % (bodies.length - from))]?.push(again);
          }
          expect(everything(after(replayed.flat()).frame)).toEqual(everything(after(bodies).frame));
        },
      ),
      { seed: 2, numRuns: 1500 },
    );
  });

  test("nothing depends on the state being stored in between, nor is the given one touched", () => {
    fc.assert(
      fc.property(anyScrapes, anyScrapes, (before, more) => {
        const { state } = combineForeign(streamOf(before), NO_COUNTERS, NOW);
        const text = formatCounterState(state);
        const stream = streamOf([...before, ...more]).slice(streamOf(before).length);
        const direct = combineForeign(stream, state, NOW);
        const stored = combineForeign(stream, parseCounterState(text), NOW);
        expect(everything(stored.frame)).toEqual(everything(direct.frame));
        expect(formatCounterState(state)).toBe(text);
      }),
      { seed: 3, numRuns: 500 },
    );
  });
});
