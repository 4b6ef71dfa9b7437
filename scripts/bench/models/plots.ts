// Predicted against measured as SVG: one picture a quantity, a point a migration, its interval as a bar.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Predicted } from "./predict.ts";
import type { Track } from "./rows.ts";

type Set = { name: string; track: Track; rows: Predicted[] };
type Of = "totalMs" | "bytes" | "downtimeMs" | "lostVcpuSeconds";

const SIZE = 420;
const EDGE = 56;
const COLOURS: Record<string, string> = {
  "pre-copy": "#1f6feb",
  "post-copy": "#d1242f",
  hybrid: "#8250df",
  "stop-and-copy": "#1a7f37",
};
const PLOTS: { of: Of; title: string; unit: string }[] = [
  { of: "totalMs", title: "Total time", unit: "ms" },
  { of: "bytes", title: "Bytes sent", unit: "B" },
  { of: "downtimeMs", title: "Downtime", unit: "ms" },
];

/** Writes one file a case, track and quantity; a file whose points are fewer than three is not made. */
export function writePlots(folder: string, sets: readonly Set[]): void {
  mkdirSync(folder, { recursive: true });
  for (const { name, track, rows } of sets)
    for (const plot of PLOTS) {
      const svg = draw(`${plot.title}, ${name}, ${track}`, plot.unit, points(rows, plot.of));
      if (svg !== null) writeFileSync(join(folder, `${name}-${track}-${plot.of}.svg`), svg);
    }
}

type Point = { x: number; y: number; low: number; high: number; mechanism: string };

/** More would hide each other: then every n-th. */
const POINTS_MAX = 250;

function points(rows: readonly Predicted[], of: Of): Point[] {
  const step = Math.ceil(rows.length / POINTS_MAX);
  const shown = rows.filter((_, index) => index % step === 0);
  return shown.flatMap(({ row, drover }) => {
    const quantity = drover[of];
    const x = row.measured[of];
    if (row.disturbed || quantity === null || x === null || x <= 0 || quantity.p10 <= 0) return [];
    return [{ x, y: quantity.p50, low: quantity.p10, high: quantity.p90, mechanism: row.mechanism }];
  });
}

function draw(title: string, unit: string, all: readonly Point[]): string | null {
  if (all.length < 3) return null;
  const values = all.flatMap(({ x, low, high }) => [x, low, high]);
  const from = Math.floor(Math.log10(Math.min(...values)));
  const to = Math.ceil(Math.log10(Math.max(...values)));
  const at = (value: number) => ((Math.log10(value) - from) / (to - from)) * (SIZE - 2 * EDGE);
  const px = (value: number) => (EDGE + at(value)).toFixed(1);
  const py = (value: number) => (SIZE - EDGE - at(value)).toFixed(1);
  const decades = Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index));
  const grid = decades.flatMap((value) => [
    `<path d="M${px(value)} ${EDGE}V${SIZE - EDGE}M${EDGE} ${py(value)}H${SIZE - EDGE}" stroke="#d0d7de"/>`,
    `<text x="${px(value)}" y="${SIZE - EDGE + 16}" text-anchor="middle">${label(value)}</text>`,
    `<text x="${EDGE - 6}" y="${py(value)}" text-anchor="end" dominant-baseline="middle">${label(value)}</text>`,
  ]);
  const marks = all.map(({ x, y, low, high, mechanism }) => {
    const colour = COLOURS[mechanism] ?? "#57606a";
    return `<path d="M${px(x)} ${py(low)}V${py(high)}" stroke="${colour}" stroke-opacity=".35"/><circle cx="${px(x)}" cy="${py(y)}" r="2.5" fill="${colour}"/>`;
  });
  const mechanisms = [...new Set(all.map(({ mechanism }) => mechanism))];
  const key = mechanisms.map(
    (mechanism, index) =>
      `<circle cx="${EDGE + 10}" cy="${EDGE + 12 + 15 * index}" r="3" fill="${COLOURS[mechanism] ?? "#57606a"}"/><text x="${EDGE + 18}" y="${EDGE + 16 + 15 * index}">${mechanism}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIZE} ${SIZE}" font-family="sans-serif" font-size="11">`,
    `<rect width="${SIZE}" height="${SIZE}" fill="#fff"/>`,
    `<text x="${SIZE / 2}" y="24" text-anchor="middle" font-size="14">${title}</text>`,
    ...grid,
    `<path d="M${EDGE} ${SIZE - EDGE}L${SIZE - EDGE} ${EDGE}" stroke="#57606a" stroke-dasharray="4 3"/>`,
    ...marks,
    ...key,
    `<text x="${SIZE / 2}" y="${SIZE - 12}" text-anchor="middle">measured, ${unit}</text>`,
    `<text transform="translate(14 ${SIZE / 2}) rotate(-90)" text-anchor="middle">predicted, p10 to p90, ${unit}</text>`,
    "</svg>\n",
  ].join("\n");
}

function label(value: number): string {
  return value >= 1 && value < 1e5 ? String(value) : value.toExponential(0).replace("+", "");
}
