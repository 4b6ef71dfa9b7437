// `npm run bench:advisor`: how good the advisor's decisions are, against the published policies. JSON lines on stdout, tables on
// stderr.
import { parseArgs } from "node:util";
import { forecastSections } from "./bench/advisor/forecast-section.ts";
import { planetlabSection } from "./bench/advisor/planetlab/section.ts";
import { say, type Section } from "./bench/advisor/section.ts";

const SECTIONS: readonly Section[] = [planetlabSection, ...forecastSections];
const CASES = SECTIONS.flatMap(({ cases }) => cases);

const HELP = `usage: npm run bench:advisor -- [options]

  --planetlab DIR  folder of the PlanetLab traces, one folder or .tar.gz a day (20110303, …)
  --day DAY        only this day of them; may be given several times
  --case NAME      only the section of this case; may be given several times
  --help           this text

cases: ${CASES.join(", ")}`;

const { values } = parseArgs({
  options: {
    planetlab: { type: "string" },
    day: { type: "string", multiple: true, default: [] },
    case: { type: "string", multiple: true, default: [] },
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
const options = { days: values.day, ...(values.planetlab !== undefined && { planetlab: values.planetlab }) };
for (const { cases, run } of SECTIONS)
  if (values.case.length === 0 || cases.some((name) => values.case.includes(name))) await run(options);
