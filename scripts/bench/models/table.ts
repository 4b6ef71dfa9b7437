// The accuracy table of docs/models.md, between its two marks.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { Figure } from "../report.ts";

const BEGIN = "<!-- accuracy:begin -->";
const END = "<!-- accuracy:end -->";

type Line = { name: string; mechanism: string; metric: string; peer: string; wanted: [string, string]; show: Show };
type Show = (value: number) => string;

const percent: Show = (value) => `${(100 * value).toFixed(1)} %`;
const plain: Show = (value) => value.toPrecision(3);
const ms: Show = (value) => `${value.toFixed(1)} ms`;
const inSeconds: Show = (value) => `${(value / 1000).toFixed(2)} s`;

const line = (
  name: string,
  [mechanism, metric, peer]: [string, string, string],
  show: Show,
  ...wanted: [string, string]
): Line => ({
  name,
  mechanism,
  metric,
  peer,
  wanted,
  show,
});

const LAB: Line[] = [
  line("pre-copy, total: median error", ["pre-copy", "totalApeMedian", "geometric"], percent, "≤ 8 %", "≤ 5 %"),
  line("pre-copy, bytes: median error", ["pre-copy", "bytesApeMedian", "geometric"], percent, "≤ 5 %", "≤ 2 %"),
  line(
    "pre-copy, blackout: median absolute error",
    ["pre-copy", "downtimeAbsErrorMsMedian", "constant"],
    ms,
    "≤ 0.7 × constant",
    "≤ 0.6 × constant",
  ),
  line("pre-copy, blackout: pinball loss", ["pre-copy", "downtimePinball", "constant"], ms, "30 % lower", ""),
  line("pre-copy, recall of converging", ["pre-copy", "recallConverges", "geometric"], percent, "≥ 80 %", ""),
  line("pre-copy, recall of not converging", ["pre-copy", "recallNot", "geometric"], percent, "≥ 80 %", ""),
  line("pre-copy, Brier score", ["pre-copy", "brier", "geometric"], plain, "lower", ""),
  line("pre-copy, total in p10…p90", ["pre-copy", "coverageRatio", "geometric"], percent, "75…88 %", ""),
  line("pre-copy, interval score of total", ["pre-copy", "intervalScore", "geometric"], inSeconds, "lower", ""),
  line("pre-copy, bytes in p10…p90", ["pre-copy", "bytesCoverageRatio", "geometric"], percent, "", ""),
  line("pre-copy, blackout in p10…p90", ["pre-copy", "downtimeCoverageRatio", ""], percent, "", ""),
  line("post-copy, total: median error", ["post-copy", "totalApeMedian", "naive"], percent, "≤ 9 %", "≤ 5 %"),
  line("hybrid, total: median error", ["hybrid", "totalApeMedian", "naive"], percent, "≤ 9 %", "≤ 5 %"),
  line("stop-and-copy, total: median error", ["stop-and-copy", "totalApeMedian", "naive"], percent, "≤ 8 %", "≤ 5 %"),
  line("stop-and-copy, blackout: median error", ["stop-and-copy", "downtimeApeMedian", ""], percent, "≤ 8 %", "≤ 5 %"),
  line("post-copy, work lost: median error", ["post-copy", "lostWorkApeMedian", ""], percent, "≤ 40 %", ""),
];

const OTHERS: [title: string, name: string, mechanism: string][] = [
  ["qemu-thesis, pre-copy", "qemu-thesis", "pre-copy"],
  ["qemu-thesis, post-copy", "qemu-thesis", "post-copy"],
  ["qemu-thesis, hybrid", "qemu-thesis", "hybrid"],
  ["qemu-thesis, stop-and-copy", "qemu-thesis", "stop-and-copy"],
  ["openstack, pre-copy", "openstack", "pre-copy"],
];

/** Markdown of the figures that the accuracy is promised in. */
export function accuracyTable(figures: readonly Figure[]): string {
  const value = (name: string, track: string, mechanism: string, metric: string, peer?: string) =>
    figures.find(
      (each) =>
        each.case === name &&
        each.track === track &&
        each.mechanism === mechanism &&
        each.metric === metric &&
        each.peer === peer,
    )?.value;
  const cell = (show: Show, of: number | undefined, wanted = "") =>
    of === undefined ? "–" : `${show(of)}${wanted === "" ? "" : ` (${wanted})`}`;
  const rows = LAB.map(({ name, mechanism, metric, peer, wanted, show }) => {
    const theirs = metric === "downtimeAbsErrorMsMedian" ? "downtimeConstantErrorMsMedian" : metric;
    return [
      name,
      peer === "" ? "–" : `${peer}: ${cell(show, value("qemu-lab", "collector", mechanism, theirs, peer))}`,
      cell(show, value("qemu-lab", "collector", mechanism, metric), wanted[0]),
      cell(show, value("qemu-lab", "oracle", mechanism, metric), wanted[1]),
    ];
  });
  const others = OTHERS.map(([title, name, mechanism]) => {
    const track = name === "openstack" ? "collector" : "oracle";
    const of = (metric: string, peer?: string) => cell(percent, value(name, track, mechanism, metric, peer));
    return [title, of("totalApeMedian", "geometric"), of("totalApeMedian"), of("bytesApeMedian"), of("coverageRatio")];
  });
  const table = (head: string[], body: string[][]) =>
    [head, head.map(() => "---"), ...body].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  return [
    table(["qemu-lab, undisturbed rows", "peer, same inputs", "Drover, collector", "Drover, oracle"], rows),
    table(["other data", "geometric: total", "Drover: total", "Drover: bytes", "Drover: total in p10…p90"], others),
  ].join("\n\n");
}

/** Puts the table where it belongs; a file without the marks stays as it is. */
export function writeTable(file: string, figures: readonly Figure[]): void {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) return;
  writeFileSync(file, `${text.slice(0, from + BEGIN.length)}\n\n${accuracyTable(figures)}\n\n${text.slice(to)}`);
}
