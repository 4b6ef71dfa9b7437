// What forecasts, and alarms that ask them, are worth on the PlanetLab traces.
import { printTable } from "../report.ts";
import { benchAlarms } from "./alarms.ts";
import { benchForecast } from "./forecast.ts";
import { say, type Section } from "./section.ts";

const sectionOf = (name: string, run: (options: { planetlab: string }) => void): Section => ({
  cases: [name],
  run: ({ planetlab }) => {
    if (planetlab === undefined) {
      say(`${name}: needs the PlanetLab traces, give their folder with --planetlab`);
      return;
    }
    run({ planetlab });
    printTable(name);
  },
});

export const forecastSections: readonly Section[] = [
  sectionOf("forecast", benchForecast),
  sectionOf("alarms", benchAlarms),
];
