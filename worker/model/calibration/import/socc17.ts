// The columns of the data set of Jo, Cho and Egger (SoCC 2017). The set is given out on request only: the units are assumed to
// be the paper's, TT and DT in milliseconds, TD in bytes, `pdr` in distinct pages per second, `max-bandwidth` in bytes per
// second, CPU use in percent of one core.
import { PAGE_BYTES } from "../../units.ts";
import { byWord, numberOf } from "./shape.ts";
import type { Shape } from "./shape.ts";

/** QEMU's `compress-threads` where nothing else is set. */
const COMPRESS_THREADS = 8;

export const socc17: Shape = {
  name: "socc17",
  signature: ["technique", "total_pages"],
  columns: [
    { column: "TT", field: "measured.totalMs", kind: "number" },
    { column: "DT", field: "measured.downtimeMs", kind: "number" },
    { column: "TD", field: "measured.transferredBytes", kind: "number" },
    { column: "total_pages", field: "vm.memoryBytes", kind: "number", times: PAGE_BYTES },
    { column: "zero_pages", field: "aside.zeroBytes", kind: "number", times: PAGE_BYTES },
    { column: "working_set_pages", field: "vm.workingSetBytes", kind: "number", times: PAGE_BYTES },
    { column: "pdr", field: "vm.dirtyRateBytesPerSecond", kind: "number", times: PAGE_BYTES },
    { column: "SRC_vm_cpu", field: "vm.cpuUsedCores", kind: "number", times: 0.01 },
    { column: "max-bandwidth", field: "parameters.maxBandwidthBytesPerSecond", kind: "number" },
  ],
  constants: { hypervisor: "kvm", "vm.pageSizeBytes": PAGE_BYTES },
  technique: byWord("technique", {
    PRE: { mechanism: "pre-copy", fields: {} },
    THR: { mechanism: "pre-copy", fields: { "parameters.autoConverge": true } },
    DLTC: { mechanism: "pre-copy", fields: { "parameters.xbzrle": true } },
    DTC: { mechanism: "pre-copy", fields: { "parameters.compressThreads": COMPRESS_THREADS } },
    POST: { mechanism: "post-copy", fields: {} },
  }),
  refusals: [],
  derive: (fields) => {
    const [total, zero] = [numberOf(fields, "vm.memoryBytes"), numberOf(fields, "aside.zeroBytes")];
    return {
      ...(total === undefined || zero === undefined ? {} : { "vm.nonzeroBytes": total - zero }),
      ...(fields["vm.dirtyRateBytesPerSecond"] === undefined ? {} : { "vm.dirtyRateWindowMs": 1000 }),
    };
  },
};
