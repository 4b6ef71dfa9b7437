// Rows of a published thesis: QEMU's own counters after each migration, of which nothing was measured before. What a
// collector would have known is the size of the memory alone.
import { PAGE_BYTES } from "../../units.ts";
import type { Fields, Shape, Technique } from "./shape.ts";

/** By how a scenario's name starts; the longer start first. */
const SCENARIOS: readonly (Technique & { start: string })[] = [
  { start: "Precopy", mechanism: "pre-copy", fields: {} },
  { start: "Autoconverge", mechanism: "pre-copy", fields: { "parameters.autoConverge": true } },
  // Pre-copy until the time in the name's end, in seconds: as many rounds as that takes.
  { start: "Postcopy_Late", mechanism: "hybrid", fields: { "parameters.preCopyRounds": 100 } },
  { start: "Postcopy", mechanism: "post-copy", fields: {} },
  { start: "Stop_Copy", mechanism: "stop-and-copy", fields: {} },
];

function techniqueOf(word: string): Technique | null {
  const scenario = SCENARIOS.find(({ start }) => word.startsWith(start));
  if (scenario === undefined) return null;
  const seconds = scenario.mechanism === "hybrid" ? /_(\d+)s$/.exec(word)?.[1] : undefined;
  const after: Fields = seconds === undefined ? {} : { "parameters.postCopyAfterMs": Number(seconds) * 1000 };
  return { mechanism: scenario.mechanism, fields: { ...scenario.fields, ...after } };
}

export const qemuThesis: Shape = {
  name: "qemu-thesis",
  signature: ["scenario", "status", "total_time_ms", "ram_total"],
  columns: [
    { column: "total_time_ms", field: "measured.totalMs", kind: "number" },
    { column: "downtime_ms", field: "measured.downtimeMs", kind: "number" },
    { column: "transferred", field: "measured.transferredBytes", kind: "number" },
    { column: "ram_total", field: "vm.memoryBytes", kind: "number" },
  ],
  constants: {
    hypervisor: "kvm",
    driver: "qmp",
    hypervisorVersion: "10.1",
    accelerator: "kvm",
    resumedBy: "hypervisor",
    "vm.pageSizeBytes": PAGE_BYTES,
  },
  technique: { column: "scenario", words: SCENARIOS.map(({ start }) => `${start}…`), of: techniqueOf },
  refusals: [{ column: "status", isNot: "completed", reason: "only completed runs are counted to their end" }],
};
