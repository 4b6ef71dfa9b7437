// `npm run bench:advisor`: how good the advisor's decisions are, against the published policies. JSON lines on stdout, tables on
// stderr.
import { parseArgs } from "node:util";
import { forecastSections } from "./bench/advisor/forecast-section.ts";
import { balanceSection } from "./bench/advisor/balance/section.ts";
import { planetlabSection } from "./bench/advisor/planetlab/section.ts";
import { say, type Section } from "./bench/advisor/section.ts";
import { speedSection } from "./bench/advisor/speed/section.ts";

const SECTIONS: readonly Section[] = [planetlabSection, balanceSection, speedSection, ...forecastSections];
const CASES = SECTIONS.flatMap(({ cases }) => cases);

const HELP = `usage: npm run bench:advisor -- [options]

  --planetlab DIR  folder of the PlanetLab traces, one folder or .tar.gz a day (20110303, …)
  --day DAY        only this day of them; may be given several times
  --hosts N,N      sizes of generated clusters (balance: 10,100,1000; speed: 100,1000)
  --seed N         of generated clusters; 1 unless given
  --case NAME      only the section of this case; may be given several times
  --help           this text

cases: ${CASES.join(", ")}`;

const { values } = parseArgs({
  options: {
    planetlab: { type: "string" },
    day: { type: "string", multiple: true, default: [] },
    case: { type: "string", multiple: true, default: [] },
    hosts: { type: "string", default: "" },
    seed: { type: "string", default: "1" },
    help: { type: "boolean" },
  },
});
if (values.help) {
  say(HELP);
  process.exit(0);
}
const unknown = values.case.filter((name) => !CASES.includes(name));
if (unknown.length > 0) {
  say(`no such case: ${unknown.join(", ")}; there are ${CASES.join(", ")}`);
  process.exit(2);
}
const hosts = values.hosts
  .split(",")
  .filter((text) => text !== "")
  .map(Number);
const seed = Number(values.seed);
if ([...hosts, seed].some((value) => !Number.isInteger(value) || value < 1)) {
  say("--hosts and --seed take whole numbers from 1 on");
  process.exit(2);
}
const options = {
  hosts,
  seed,
  days: values.day,
  ...(values.planetlab !== undefined && { planetlab: values.planetlab }),
};
for (const { cases, run } of SECTIONS)
  if (values.case.length === 0 || cases.some((name) => values.case.includes(name))) await run(options);
