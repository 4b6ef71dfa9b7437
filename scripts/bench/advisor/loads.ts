// CPU loads for benches of forecasts: single PlanetLab VMs, and hosts of twenty of them.
import { randomOf } from "../../../worker/model/forecast/random.ts";
import { daysIn, readDay, SAMPLES } from "./planetlab/traces.ts";

/** On these days constants were chosen; what is published was measured on the others. */
const CHOSEN_ON = ["20110303", "20110306"];
const VMS_A_HOST = 20;
/** Single VMs a day: they are many, and alike. */
const VMS_A_DAY = 100;

export type LoadOptions = {
  /** Folder of the PlanetLab traces. */
  planetlab: string;
  /** Shuffles VMs into hosts. */
  seed?: number;
  /** The days on which constants were chosen, in place of the others. */
  chosenOn?: boolean;
};

/** A day's ratios every five minutes, of VMs and of hosts of equal VMs drawn at random within the day. */
export function loadsOf({ planetlab, seed = 7, chosenOn = false }: LoadOptions): Record<"host" | "vm", number[][]> {
  const days = daysIn(planetlab).filter((day) => CHOSEN_ON.includes(day) === chosenOn);
  if (days.length === 0) throw new Error(`no ${chosenOn ? "chosen" : "held-out"} day of PlanetLab in ${planetlab}`);
  const host: number[][] = [];
  const vm: number[][] = [];
  for (const day of days) {
    const random = randomOf(seed);
    const shuffled = readDay(planetlab, day)
      .map((trace) => ({ ratios: [...trace.subarray(0, SAMPLES)], key: random() }))
      .toSorted((a, b) => a.key - b.key)
      .map(({ ratios }) => ratios);
    vm.push(...shuffled.slice(0, VMS_A_DAY));
    for (let first = 0; first + VMS_A_HOST <= shuffled.length; first += VMS_A_HOST) {
      const group = shuffled.slice(first, first + VMS_A_HOST);
      const sumAt = (step: number): number => group.reduce((sum, ratios) => sum + (ratios[step] ?? 0), 0);
      host.push((group[0] ?? []).map((_, step) => sumAt(step) / VMS_A_HOST));
    }
  }
  return { host, vm };
}
