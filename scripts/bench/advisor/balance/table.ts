// The balance figures as a table on stderr: one line a policy.
import { reported } from "../../report.ts";

const COLUMNS: [heading: string, metric: string, render: (value: number) => string][] = [
  ["imbalance", "imbalance", (value) => value.toFixed(4)],
  ["gap", "gapRatio", (value) => `${(100 * value).toFixed(1)} %`],
  ["moves", "moves", (value) => value.toFixed(0)],
  ["GiB", "movedBytes", (value) => (value / 2 ** 30).toFixed(0)],
  ["peers dominated", "peersDominated", (value) => value.toFixed(0)],
  ["of", "peersActing", (value) => value.toFixed(0)],
  ["CPU ms", "cpuMs", (value) => value.toFixed(0)],
  ["watcher", "watcherDeviation", (value) => value.toFixed(3)],
  ["pve", "pveImbalance", (value) => value.toFixed(4)],
  ["cloudstack", "cloudstackImbalance", (value) => value.toFixed(3)],
  ["xo hosts", "xoHosts", (value) => value.toFixed(0)],
  ["rules broken", "rulesBroken", (value) => value.toFixed(0)],
];

/** Everything that was reported of clusters of this size; what only a solver says comes last. */
export function printBalance(hosts: number): void {
  const figures = reported.filter((row) => row.case === "balance" && row.hosts === hosts);
  const policies = [...new Set(figures.map(({ policy }) => policy ?? ""))].filter((policy) => policy !== "highs");
  const rows = policies.map((policy) => {
    const valueOf = (metric: string) => figures.find((row) => row.policy === policy && row.metric === metric)?.value;
    return [
      policy,
      ...COLUMNS.map(([, metric, render]) => {
        const value = valueOf(metric);
        return value === undefined ? "" : render(value);
      }),
    ];
  });
  const lines = [[`${hosts} hosts`, ...COLUMNS.map(([heading]) => heading)], ...rows];
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? [];
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  for (const line of lines) console.error(line.map(pad).join("  ").trimEnd());
  for (const { metric, value, unit } of figures.filter(({ policy }) => policy === "highs"))
    console.error(`highs: ${metric} ${value.toPrecision(4)} ${unit}`);
  console.error("");
}
