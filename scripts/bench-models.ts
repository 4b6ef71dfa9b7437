// `npm run bench:models -- --data FOLDER [--docs FOLDER]`: predicted against measured on real migrations. Every row is predicted
// by models that were calibrated without the rows of its configuration or scenario. JSON lines on stdout, a table on stderr.
// With `--docs` the plots and the table of models.md in that folder are made anew.
import { parseArgs } from "node:util";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { cpuMs, printTable, report, reported } from "./bench/report.ts";
import { figuresOf } from "./bench/models/figures.ts";
import { labRows } from "./bench/models/lab.ts";
import { openstackRows } from "./bench/models/openstack.ts";
import { writePlots } from "./bench/models/plots.ts";
import { predictAll } from "./bench/models/predict.ts";
import type { Predicted } from "./bench/models/predict.ts";
import type { Row, Track } from "./bench/models/rows.ts";
import { writeTable } from "./bench/models/table.ts";
import { thesisRows } from "./bench/models/thesis.ts";
import { estimateMigration } from "../worker/model/migration/index.ts";
import { estimateInput } from "../worker/model/migration/types.ts";

const { values } = parseArgs({ options: { data: { type: "string" }, docs: { type: "string" } } });
if (values.data === undefined || !existsSync(values.data)) {
  console.error("usage: npm run bench:models -- --data FOLDER [--docs FOLDER]");
  console.error("FOLDER holds qemu-lab/migrations.jsonl, qemu-thesis/*.csv or openstack/migrations.csv.");
  process.exit(2);
}
const tracks: Track[] = ["collector", "oracle"];
const rows: Row[] = [...labRows(values.data), ...thesisRows(values.data), ...openstackRows(values.data)];
if (rows.length === 0) {
  console.error(`no migrations found in ${values.data}`);
  process.exit(2);
}

/** The options of a mechanism and the scenarios of a case have figures of their own; a mechanism without options has them already. */
const isMechanism = (group: string) => ["post-copy", "postcopy", "hybrid", "stopcopy"].includes(group);

const predicted: { name: string; track: Track; rows: Predicted[] }[] = [];
for (const [name, ofCase] of Map.groupBy(rows, (row) => row.case))
  for (const track of tracks) {
    const all = predictAll(ofCase, track);
    if (all.length === 0) continue;
    predicted.push({ name, track, rows: all });
    const judged = (mechanism: string, part: Predicted[]) =>
      figuresOf(name, track, mechanism, part).forEach((figure) => report(figure));
    for (const [mechanism, part] of Map.groupBy(all, ({ row }) => row.mechanism)) judged(mechanism, part);
    for (const [group, part] of Map.groupBy(all, ({ row }) => row.group)) if (!isMechanism(group)) judged(group, part);
  }

const four = estimateInput.parse({
  vm: { memoryBytes: 2 ** 33, nonzeroBytes: 2 ** 31, vcpus: 4, dirtyRateBytesPerSecond: 4e7 },
  link: { bytesPerSecond: 1.177e9 },
});
const value = cpuMs(500, () => estimateMigration(four));
report({ bench: "models", case: "four mechanisms", metric: "cpuMs", value, unit: "ms" });
if (values.docs !== undefined) {
  writePlots(join(values.docs, "plots"), predicted);
  writeTable(join(values.docs, "models.md"), reported);
}
printTable();
