import { expect, test } from "vitest";
import { checkEstimateInput } from "../../../worker/model/migration/index.ts";
import { GIB } from "../../../worker/model/units.ts";
import { inputOf } from "./support.ts";

test("an ordinary input has no problems", () => {
  expect(checkEstimateInput(inputOf())).toEqual([]);
});

test.each([
  ["more non-zero memory than memory", { vm: { nonzeroBytes: 9 * GIB } }, "vm.nonzeroBytes", `${8 * GIB}`],
  ["a working set beyond the memory", { vm: { workingSetBytes: 9 * GIB } }, "vm.workingSetBytes", `${8 * GIB}`],
  ["pages that are no power of two", { vm: { pageSizeBytes: 5000 } }, "vm.pageSizeBytes", "power of two"],
  ["more cores used than twice the vCPUs", { vm: { cpuUsedCores: 9 } }, "vm.cpuUsedCores", "(8)"],
  [
    "more distinct bytes in a window than there are",
    { vm: { dirtyRateBytesPerSecond: 1e10 } },
    "vm.dirtyRateBytesPerSecond",
    "distinct",
  ],
  ["a link slower than a modem", { link: { bytesPerSecond: 10 } }, "link.bytesPerSecond", "1000"],
  [
    "a bandwidth of nothing",
    { parameters: { maxBandwidthBytesPerSecond: 1 } },
    "parameters.maxBandwidthBytesPerSecond",
    "1000",
  ],
  [
    "post-copy after the deadline",
    { parameters: { postCopyAfterMs: 5000, deadlineMs: 4000 } },
    "parameters.postCopyAfterMs",
    "4000",
  ],
  ["a mechanism twice", { mechanisms: ["hybrid" as const, "hybrid" as const] }, "mechanisms.1", "twice"],
])("%s: the field and the bound", (_, raw, path, bound) => {
  const problems = checkEstimateInput(inputOf(raw));
  expect(problems.map((problem) => problem.path)).toEqual([path]);
  expect(problems[0]?.message).toContain(bound);
});

test.each([
  [
    "bytes that fall",
    [
      [1000, 5e6],
      [2000, 4e6],
    ],
    "vm.dirtyCurve.1.bytes",
  ],
  [
    "windows that do not rise",
    [
      [1000, 5e6],
      [1000, 6e6],
    ],
    "vm.dirtyCurve.1.windowMs",
  ],
  ["more than the memory", [[1000, 5e12]], "vm.dirtyCurve.0.bytes"],
])("a dirty curve with %s", (_, points, path) => {
  const dirtyCurve = points.map(([windowMs = 0, bytes = 0]) => ({ windowMs, bytes }));
  expect(checkEstimateInput(inputOf({ vm: { dirtyCurve } })).map((problem) => problem.path)).toEqual([path]);
});
