// `npm run bench:telemetry`: what taking in, keeping and reading samples costs, against Prometheus and VictoriaMetrics where they
// are installed. JSON lines on stdout, progress and a table on stderr. Machines are shared: compare ratios within one run.
import { parseArgs } from "node:util";
import { printTable } from "./bench/report.ts";
import { type Bench, say, wants } from "./bench/telemetry/bench.ts";
import { heapSection } from "./bench/telemetry/heap-section.ts";
import { remoteWriteSections } from "./bench/telemetry/remote-write.ts";
import { retentionSection } from "./bench/telemetry/retention.ts";
import { attempt, nativeSections } from "./bench/telemetry/sections.ts";
import { DEFAULT_SEED } from "./bench/telemetry/workload.ts";

const SECTIONS = [...nativeSections, retentionSection, ...remoteWriteSections, heapSection];
const CASES = [...new Set(SECTIONS.flatMap(({ cases }) => cases))];
/** Samples older than 48 h are refused. */
const STEPS_MAX = 9600;

const HELP = `usage: npm run bench:telemetry -- [options]

The reference workload is 200 hosts of 260 series, one scrape in 15 s, 240 scrapes: 12.48 M samples.

  --hosts N     hosts (200)
  --steps N     scrapes (240)
  --seed N      another fleet of the same kind (${DEFAULT_SEED})
  --case NAME   only this case; may be given several times
  --no-peers    Drover only
  --help        this text

cases: ${CASES.join(", ")}

Peers are found on PATH, or where PROMETHEUS and VICTORIA_METRICS say. CPU is that of the server's process, of workerd as a
whole for Drover. A load is preceded by about a hundred bodies of other hosts, unmeasured.`;

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}

function whole(name: string, text: string | undefined, otherwise: number, max: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > max) fail(`--${name} must be a whole number from 1 to ${max}`);
  return value;
}

const { values } = parseArgs({
  options: {
    hosts: { type: "string" },
    steps: { type: "string" },
    seed: { type: "string" },
    case: { type: "string", multiple: true },
    "no-peers": { type: "boolean" },
    help: { type: "boolean" },
  },
});
if (values.help) {
  console.error(HELP);
  process.exit(0);
}
const unknown = values.case?.filter((name) => !CASES.includes(name)) ?? [];
if (unknown.length > 0) fail(`no such case: ${unknown.join(", ")}; there are ${CASES.join(", ")}`);

const bench: Bench = {
  seed: whole("seed", values.seed, DEFAULT_SEED, 2 ** 31),
  hosts: whole("hosts", values.hosts, 200, 900),
  steps: whole("steps", values.steps, 240, STEPS_MAX),
  only: values.case === undefined ? null : new Set(values.case),
  withPeers: values["no-peers"] !== true,
};
for (const { cases, run } of SECTIONS) {
  const wanted = cases.filter((name) => wants(bench, name));
  if (wanted.length === 0) continue;
  const began = performance.now();
  say(`… ${wanted.join(", ")}`);
  await attempt(wanted.join(", "), () => run(bench));
  say(`  ${((performance.now() - began) / 1000).toFixed(1)} s`);
}
printTable();
process.exit();
