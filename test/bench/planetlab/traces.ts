// Traces for the tests of the PlanetLab benchmark.
import { randomOf } from "../../../worker/model/forecast/random.ts";
import { SAMPLES, type Trace, traceOf } from "../../../scripts/bench/advisor/planetlab/traces.ts";

/** Stretches of whole percentages; the last one lasts to the end of the day. */
export function steady(...stretches: [percent: number, samples?: number][]): Trace {
  const percentages = stretches.flatMap(([percent, samples = SAMPLES]) => Array<number>(samples).fill(percent));
  return traceOf(percentages.slice(0, SAMPLES).join("\n"), "steady");
}

/** A day of VMs that stray around a level of their own, with an hour of nothing now and then. */
export function synthetic(vms: number, seed: number): Trace[] {
  const random = randomOf(seed);
  return Array.from({ length: vms }, () => {
    const level = 40 * random() ** 2;
    let idleUntil = 0;
    const percentages = Array.from({ length: SAMPLES }, (_, at) => {
      if (random() < 0.002) idleUntil = at + 12;
      if (at < idleUntil) return 0;
      return Math.min(100, Math.round(level * (0.5 + random()) + (random() < 0.03 ? 40 : 0)));
    });
    return traceOf(percentages.join("\n"), "synthetic");
  });
}
