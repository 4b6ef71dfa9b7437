// Drover's own columns: flat, named like the fields of an estimate, base units.
import { mechanism } from "../../wire/common.ts";
import { CALIBRATED } from "../types.ts";
import { byWord } from "./shape.ts";
import type { Column, Shape } from "./shape.ts";

const of = (prefix: string, kind: Column["kind"], names: readonly string[]): Column[] =>
  names.map((column) => ({ column, field: prefix + column, kind }));

export const drover: Shape = {
  name: "drover",
  signature: ["mechanism"],
  columns: [
    ...of("measured.", "number", CALIBRATED),
    // Absent: it has been completed.
    ...of("", "boolean", ["converged"]),
    ...of("", "time", ["at"]),
    // The VM: many moves of one say much the same.
    ...of("", "text", ["subject"]),
    ...of("vm.", "number", [
      "memoryBytes",
      "nonzeroBytes",
      "pageSizeBytes",
      "vcpus",
      "cpuUsedCores",
      "dirtyRateBytesPerSecond",
      "dirtyRateWindowMs",
      "workingSetBytes",
      "compressionRatio",
      "deltaHitRatio",
      "freeBytes",
    ]),
    ...of("vm.", "text", ["dirtyMethod"]),
    ...of("vm.", "data", ["dirtyCurve", "disks"]),
    { column: "linkBytesPerSecond", field: "link.bytesPerSecond", kind: "number" },
    ...of("link.", "number", ["rttMs", "concurrentMigrations", "lossRatio"]),
    ...of("parameters.", "number", [
      "maxBandwidthBytesPerSecond",
      "maxPostCopyBandwidthBytesPerSecond",
      "downtimeLimitMs",
      "xbzrleCacheBytes",
      "multifdChannels",
      "compressThreads",
      "preCopyRounds",
      "postCopyAfterMs",
      "deadlineMs",
    ]),
    ...of("parameters.", "boolean", ["autoConverge", "xbzrle", "postCopyPreempt"]),
    ...of("parameters.", "text", ["compression", "onDeadline"]),
    ...of("", "text", ["hypervisor", "driver", "hypervisorVersion", "accelerator", "resumedBy"]),
  ],
  constants: {},
  technique: byWord(
    "mechanism",
    Object.fromEntries(mechanism.options.map((name) => [name, { mechanism: name, fields: {} }])),
  ),
  refusals: [],
};
