// Figures as JSON lines on stdout and as a table on stderr.

export type Figure = {
  bench: string;
  case: string;
  /** Of the cost models: what was known before, and which mechanism or group of rows. */
  track?: string;
  mechanism?: string;
  /** Of forecasts: of what load, from how many steps of history, how many steps ahead, by which forecaster. */
  load?: string;
  historySteps?: number;
  horizon?: number;
  forecaster?: string;
  /** Of the advisor: which day of traces, or how large a cluster, and who decided. */
  day?: string;
  hosts?: number;
  vms?: number;
  strategy?: string;
  policy?: string;
  metric: string;
  value: number;
  unit: string;
  /** Of the agent: the driver that was used. */
  driver?: string;
  /** Not Drover: which peer, or that the policy named is one. */
  peer?: string | true;
};

const rows: Figure[] = [];

/** All that was reported so far. */
export const reported: readonly Figure[] = rows;

export function report(figure: Figure): void {
  rows.push(figure);
  console.log(JSON.stringify({ ...figure, value: Number(figure.value.toPrecision(4)) }));
}

/** `only`: the figures of this case, in place of all. */
export function printTable(only?: string): void {
  const shown = only === undefined ? rows : rows.filter((row) => row.case === only);
  const cells = shown.map((row) => [
    row.bench,
    row.case,
    row.track ?? row.load ?? row.day ?? "",
    row.mechanism ?? row.forecaster ?? row.policy ?? row.driver ?? "",
    row.historySteps?.toString() ?? "",
    row.horizon?.toString() ?? "",
    row.metric,
    row.value.toPrecision(4),
    row.unit,
    row.peer === true ? "peer" : (row.peer ?? ""),
  ]);
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  for (const row of cells)
    console.error(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
}

/** CPU milliseconds a call, after a warm-up. */
export function cpuMs(times: number, act: () => unknown): number {
  for (let warm = 0; warm < Math.max(1, times / 5); warm++) act();
  const before = process.cpuUsage();
  for (let turn = 0; turn < times; turn++) act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / times;
}
