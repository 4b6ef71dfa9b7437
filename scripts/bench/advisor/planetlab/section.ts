// Consolidation on the PlanetLab traces: Drover against the published policies, as published and as a real cluster would allow.
import { report } from "../../report.ts";
import { type BenchOptions, say, type Section } from "../section.ts";
import { boundKwh } from "./bound.ts";
import { drover } from "./drover.ts";
import { HOSTS } from "./machines.ts";
import type { Result } from "./meters.ts";
import { PEERS } from "./peers.ts";
import { simulate } from "./simulate.ts";
import { daysIn, readDay } from "./traces.ts";
import { type Accounting, CLOUDSIM, STRICT } from "./world.ts";

const CASES = [
  { name: "planetlab-cloudsim", accounting: CLOUDSIM },
  { name: "planetlab-strict", accounting: STRICT },
] as const;
const POLICIES = [...PEERS.map((policy) => ({ policy, peer: true })), { policy: drover(), peer: false }];
const METRICS = [
  { metric: "energyKwh", unit: "kWh" },
  { metric: "migrations", unit: "migrations" },
  { metric: "slav", unit: "ratio" },
  { metric: "esv", unit: "kWh" },
] as const;

type Row = { case: string; day: string; policy: string; peer: boolean; result: Result; boundKwh: number };

export const planetlabSection: Section = { cases: CASES.map(({ name }) => name), run };

function run({ planetlab, days }: BenchOptions): void {
  if (planetlab === undefined) {
    say("planetlab: left out; --planetlab DIR names the folder of the traces (20110303.tar.gz, …).");
    return;
  }
  const found = daysIn(planetlab);
  const missing = days.filter((day) => !found.includes(day));
  if (missing.length > 0 || found.length === 0) {
    say(
      `planetlab: left out; ${planetlab} holds ${found.join(", ") || "no day"}${missing.length > 0 ? `, not ${missing.join(", ")}` : ""}.`,
    );
    return;
  }
  const wanted = days.length === 0 ? found : days;
  for (const { name, accounting } of CASES) {
    say(`${name}: ${rulesOf(accounting)}`);
    const rows = wanted.flatMap((day) => rowsOf(name, accounting, planetlab, day));
    const all = [...rows, ...medians(rows)];
    all.forEach(reportRow);
    all.forEach(printRow);
  }
}

/** What the accounting lets pass and charges, in words. */
function rulesOf(rules: Accounting): string {
  return [
    rules.idleVmsVanish ? "VMs at zero demand vanish" : "VMs at zero demand stay",
    rules.memoryCounts ? "configured memory counts at every placement" : "memory counts at the first placement only",
    rules.doublePlans ? "a VM may be planned twice in a step" : "a VM is planned once in a step",
    rules.idleHostsDraw ? "a host with idle VMs draws idle power" : "a host whose VMs want nothing draws nothing",
    rules.bootSeconds === 0
      ? "boots are free"
      : `a boot takes ${rules.bootSeconds} s at peak power, before the VMs come`,
  ].join("; ");
}

function rowsOf(name: string, accounting: Accounting, folder: string, day: string): Row[] {
  const traces = readDay(folder, day);
  const bound = boundKwh(traces, accounting, HOSTS);
  return POLICIES.map(({ policy, peer }) => {
    const result = simulate(traces, policy, accounting);
    return { case: name, day, policy: policy.name, peer, result, boundKwh: bound };
  });
}

/** Of every figure by itself, over the days. */
function medians(rows: readonly Row[]): Row[] {
  return [...Map.groupBy(rows, ({ policy }) => policy).values()].flatMap((ofPolicy) => {
    const [first] = ofPolicy;
    if (first === undefined || ofPolicy.length < 2) return [];
    const result = { ...first.result };
    for (const { metric } of METRICS) result[metric] = median(ofPolicy.map((row) => row.result[metric]));
    return [{ ...first, day: "median", result, boundKwh: median(ofPolicy.map((row) => row.boundKwh)) }];
  });
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[sorted.length / 2 - 1] ?? 0)) / 2;
}

const gapOf = ({ result, boundKwh: bound }: Row): number => result.energyKwh / bound - 1;

function reportRow(row: Row): void {
  const { day, policy, result } = row;
  const figure = (metric: string, value: number, unit: string): void =>
    report({
      bench: "advisor",
      case: row.case,
      day,
      policy,
      metric,
      value,
      unit,
      ...(row.peer && { peer: true }),
    });
  for (const { metric, unit } of METRICS) figure(metric, result[metric], unit);
  figure("energyOverBoundRatio", gapOf(row), "ratio");
}

function printRow(row: Row): void {
  const { energyKwh, migrations, slav, esv } = row.result;
  say(
    [
      row.day.padEnd(8),
      row.policy.padEnd(11),
      `${energyKwh.toFixed(1).padStart(7)} kWh`,
      `${(gapOf(row) * 100).toFixed(1).padStart(6)} % over the bound of ${row.boundKwh.toFixed(1)} kWh`,
      `${migrations.toFixed(0).padStart(6)} migrations`,
      `SLAV ${slav.toExponential(2)}`,
      `ESV ${esv.toExponential(2)}`,
    ].join("  "),
  );
}
