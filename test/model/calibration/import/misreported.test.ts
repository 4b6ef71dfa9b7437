import { describe, expect, test } from "vitest";
import { rules } from "../../../../worker/model/calibration/import/misreported.ts";
import { lab, own, reasonOf, rowOf, socc, thesis } from "./records.ts";
import type { Record_ } from "./records.ts";

describe("what QEMU reports wrongly is never learned from", () => {
  const compressed = { multifdChannels: 4, compression: "zstd", transferredBytes: 3e9 };
  /** By the rule's place in the table: a row it applies to and what is left, and its neighbour to which it does not. */
  const cases: { rule: number; row: Record_; left: Record_; not: Record_; kept: Record_ }[] = [
    {
      rule: 0,
      row: lab({ result: { total_time_s: 0 } }),
      left: { totalMs: null, downtimeMs: 62.5, transferredBytes: 320_000_000 },
      not: lab({ result: { total_time_s: 0.001 } }),
      kept: { totalMs: 1 },
    },
    {
      rule: 1,
      row: thesis({ total_time_ms: "0", downtime_ms: "300" }),
      left: { totalMs: null, downtimeMs: null, transferredBytes: 2_345_678_901 },
      not: thesis(),
      kept: { downtimeMs: 19 },
    },
    {
      rule: 2,
      row: socc({ technique: "POST" }),
      left: { totalMs: 20_000, downtimeMs: null, transferredBytes: 2e9 },
      not: lab({ spec: { mech: "stopcopy" }, result: { downtime_s: 0.005, event_blackout_s: 4 } }),
      kept: { downtimeMs: 4000 },
    },
    {
      rule: 3,
      row: lab({ spec: { mech: "precopy+multifd", multifd_comp: "zstd" } }),
      left: { totalMs: 2500, downtimeMs: 62.5, transferredBytes: null },
      not: lab({ spec: { mech: "precopy+multifd" } }),
      kept: { transferredBytes: 320_000_000 },
    },
    {
      rule: 4,
      row: lab({ result: { lost_work_s: -0.25 } }),
      left: { totalMs: 2500, lostVcpuSeconds: null },
      not: lab({ result: { lost_work_s: -0.05 } }),
      kept: { lostVcpuSeconds: 0 },
    },
    {
      rule: 5,
      row: lab({ converged: false }),
      left: { totalMs: null, downtimeMs: null, transferredBytes: null, lostVcpuSeconds: null },
      not: lab(),
      kept: { totalMs: 2500 },
    },
  ];

  test("every rule has its case", () => expect(cases.map(({ rule }) => rule)).toEqual([...rules.keys()]));

  test.each(cases)("rule $rule", ({ row, left, not, kept }) => {
    expect(rowOf(row).measured).toMatchObject(left);
    expect(rowOf(not).measured).toMatchObject(kept);
  });

  test.each<[string | undefined, Record_, number | null]>([
    ["7.2.22", {}, null],
    ["8.0.9", {}, null],
    ["8.1.0", {}, 3e9],
    ["10.1", {}, 3e9],
    [undefined, {}, null],
    ["8.0.9", { compression: "none" }, 3e9],
    ["8.0.9", { multifdChannels: 0 }, 3e9],
    ["8.0.9", { driver: "simulated" }, 3e9],
  ])("bytes of compressed multifd, QEMU %s %j", (hypervisorVersion, rest, transferredBytes) => {
    const row = rowOf(
      own({ ...compressed, ...(hypervisorVersion === undefined ? {} : { hypervisorVersion }), ...rest }),
    );
    expect(row.measured).toMatchObject({ totalMs: 12_500, transferredBytes });
  });

  test("a run that was given up still says that it did not converge", () => {
    const row = rowOf(own({ converged: "false", totalMs: "", transferredBytes: "" }));
    expect(row.converged).toBe(false);
    expect(Object.values(row.measured)).toEqual([null, null, null, null]);
  });

  test("where nothing trustworthy is left, the rejection says why", () => {
    const reason = reasonOf(thesis({ scenario: "Stop_Copy_4T", total_time_ms: "0", transferred: "" }));
    expect(reason).toMatch(/^nothing measured: /);
    expect(reason).toContain("a pause made before stop-and-copy");
  });
});
