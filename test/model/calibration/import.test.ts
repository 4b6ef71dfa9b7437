import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { knownShapes, shapeNameOf } from "../../../worker/model/calibration/import/index.ts";
import { cloud, GIB, lab, own, read, reasonOf, rowOf, socc, thesis } from "./import/records.ts";
import type { Record_ } from "./import/records.ts";

describe("Drover's own columns", () => {
  test("text and numbers say the same", () => {
    const typed = {
      mechanism: "hybrid",
      totalMs: 12_500,
      downtimeMs: 40.5,
      transferredBytes: 3e9,
      lostVcpuSeconds: 0.25,
      converged: true,
      at: 1_795_399_200_000,
      subject: "db-01",
      memoryBytes: 8 * GIB,
      nonzeroBytes: 2 * GIB,
      vcpus: 4,
      cpuUsedCores: 1.5,
      dirtyRateBytesPerSecond: 2e7,
      dirtyRateWindowMs: 1000,
      workingSetBytes: GIB,
      linkBytesPerSecond: 1.1e9,
      rttMs: 0.2,
      concurrentMigrations: 1,
      maxBandwidthBytesPerSecond: 134_217_728,
      downtimeLimitMs: 300,
      autoConverge: false,
      xbzrle: true,
      multifdChannels: 0,
      compression: "none",
      preCopyRounds: 2,
      accelerator: "kvm",
      resumedBy: "agents",
      hypervisorVersion: "9.2.0",
      driver: "qmp",
    };
    const row = rowOf(typed);
    expect(row).toEqual({
      line: 1,
      at: 1_795_399_200_000,
      subject: "db-01",
      measured: { totalMs: 12_500, downtimeMs: 40.5, transferredBytes: 3e9, lostVcpuSeconds: 0.25 },
      converged: true,
      input: {
        hypervisor: "kvm",
        driver: "qmp",
        hypervisorVersion: "9.2.0",
        accelerator: "kvm",
        resumedBy: "agents",
        vm: {
          memoryBytes: 8 * GIB,
          nonzeroBytes: 2 * GIB,
          vcpus: 4,
          cpuUsedCores: 1.5,
          workingSetBytes: GIB,
          dirtyRateBytesPerSecond: 2e7,
          dirtyRateWindowMs: 1000,
        },
        link: { bytesPerSecond: 1.1e9, rttMs: 0.2, concurrentMigrations: 1 },
        parameters: {
          maxBandwidthBytesPerSecond: 134_217_728,
          downtimeLimitMs: 300,
          autoConverge: false,
          xbzrle: true,
          multifdChannels: 0,
          compression: "none",
          preCopyRounds: 2,
        },
        mechanisms: ["hybrid"],
      },
    });
    const text = Object.fromEntries(Object.entries(typed).map(([name, value]) => [name, ` ${String(value)} `]));
    expect(rowOf(text)).toEqual(row);
  });

  test("what a row leaves empty is unknown, and what the file does not say is told with it", () => {
    const { input, at, measured, converged } = rowOf(own({ nonzeroBytes: "", vcpus: null, id: "mine" }));
    expect(input).toEqual({
      hypervisor: "kvm",
      driver: "libvirt",
      mechanisms: ["pre-copy"],
      parameters: {},
      vm: { memoryBytes: 8 * GIB },
    });
    expect({ at, converged }).toEqual({ at: null, converged: true });
    expect(measured).toEqual({ totalMs: 12_500, downtimeMs: null, transferredBytes: null, lostVcpuSeconds: null });
  });

  test("curves and disks come with JSON lines", () => {
    const dirtyCurve = [{ windowMs: 1000, bytes: 4e7 }];
    const disks = [{ bytes: 4e10, shared: true }];
    expect(rowOf(own({ dirtyCurve, disks })).input.vm).toEqual({ memoryBytes: 8 * GIB, dirtyCurve, disks });
  });

  test.each([
    ["2026-11-23T02:00:00Z", 1_795_399_200_000],
    ["2026-11-23T03:00:00.250+01:00", 1_795_399_200_250],
    ["1795399200000", 1_795_399_200_000],
  ])("at %s", (at, expected) => expect(rowOf(own({ at })).at).toBe(expected));
});

describe("bad rows are rejected one by one, with column, figure and bound", () => {
  test.each<[string, Record_, string]>([
    [
      "unknown mechanism",
      { mechanism: "live" },
      'mechanism: is "live", must be one of pre-copy, post-copy, hybrid, stop-and-copy',
    ],
    ["no mechanism", { mechanism: "" }, "mechanism: is missing, must be one of"],
    ["nothing measured", { totalMs: "" }, "nothing measured: total time, downtime, bytes or lost work is needed"],
    ["NaN", { totalMs: "NaN" }, 'totalMs: is "NaN", must be a finite number'],
    ["not a number", { memoryBytes: "8 GiB" }, 'memoryBytes: is "8 GiB", must be a finite number'],
    ["hexadecimal", { memoryBytes: "0x10" }, "must be a finite number"],
    ["too large for a number", { memoryBytes: "1e400" }, "must be a finite number"],
    ["a number where an object stands", { totalMs: { ms: 5 } }, "must be a finite number"],
    ["a negative time", { totalMs: -1 }, "totalMs: Too small: expected number to be >=0"],
    ["negative bytes", { transferredBytes: "-5" }, ">=0"],
    ["a negative rate", { dirtyRateBytesPerSecond: -1 }, "dirtyRateBytesPerSecond: "],
    ["memory 0", { memoryBytes: 0 }, "memoryBytes: Too small: expected number to be >0"],
    ["no memory", { memoryBytes: "" }, "memoryBytes: is missing"],
    ["half a byte", { memoryBytes: 4096.5 }, "memoryBytes: "],
    [
      "more non-zero than there is",
      { nonzeroBytes: 9 * GIB },
      `nonzeroBytes: is ${9 * GIB}, must be at most vm.memoryBytes (${8 * GIB})`,
    ],
    [
      "more dirtied than there is",
      { dirtyRateBytesPerSecond: 1e13 },
      "dirtyRateBytesPerSecond: is 10000000000000, must be at most",
    ],
    ["no bandwidth", { linkBytesPerSecond: 0 }, "linkBytesPerSecond (link.bytesPerSecond): "],
    ["a link of which only the delay is known", { rttMs: 1 }, "linkBytesPerSecond (link.bytesPerSecond): is missing"],
    ["neither true nor false", { xbzrle: "perhaps" }, 'xbzrle: is "perhaps", must be `true` or `false`'],
    ["a word that is none of them", { compression: "lzma" }, "compression: "],
    ["a curve in a CSV cell", { dirtyCurve: "[]" }, "dirtyCurve: "],
    [
      "a time without its offset",
      { at: "2026-11-23 02:00" },
      'at: is "2026-11-23 02:00", must be a number of milliseconds',
    ],
    ["a day that is none", { at: "2026-13-40T00:00:00Z" }, "must be a date that exists"],
    ["before all time", { at: -1 }, "at: is out of all time"],
  ])("%s", (_, rest, reason) => {
    expect(reasonOf(own(rest))).toContain(reason);
    expect(read(own(), own(rest), own())).toMatchObject({ rows: [{ line: 1 }, { line: 3 }], rejected: [{ line: 2 }] });
  });

  test("more zero pages than pages", () => {
    expect(reasonOf(socc({ zero_pages: "524289" }))).toContain("vm.nonzeroBytes: Too small");
  });
});

describe("shapes", () => {
  test.each([
    ["drover", own()],
    ["qemu-lab", lab()],
    ["qemu-thesis", thesis()],
    ["openstack", cloud()],
    ["socc17", socc()],
  ])("%s is recognised by its columns", (name, record) => expect(shapeNameOf(record)).toBe(name));

  test("a record of no shape is rejected with what would be understood", () => {
    expect(shapeNameOf({ a: 1 })).toBeNull();
    expect(reasonOf({ a: 1 })).toContain("socc17 has technique, total_pages");
  });

  test("what is understood can be listed", () => {
    expect(knownShapes.map(({ name }) => name)).toEqual(["drover", "qemu-lab", "qemu-thesis", "openstack", "socc17"]);
    expect(knownShapes[4]?.columns).toContain("working_set_pages");
    for (const { columns } of knownShapes) expect(new Set(columns).size).toBe(columns.length);
  });

  test("no shape reads what a migration ended with, or the lab's workload, as an input", () => {
    const truth = /^(final|result|events|at_cap)|^spec\.(fill|content|ws_|rate|hot|seq|threads)/;
    const columns = knownShapes.find(({ name }) => name === "qemu-lab")?.columns ?? [];
    expect(columns.filter((column) => truth.test(column)).toSorted()).toEqual([
      "result",
      "result.event_blackout_s",
      "result.lost_work_s",
      "result.ram_transferred_bytes",
      "result.total_time_s",
    ]);
  });
});

describe("laws", () => {
  const cell = fc.oneof(
    fc.constantFrom("", "NaN", "-1", "0", "1e9", "true", "pre-copy", "none", "completed", null),
    fc.double(),
    fc.string(),
    fc.boolean(),
  );
  const changed = fc
    .tuple(
      fc.constantFrom(own(), thesis(), cloud(), socc(), lab(), { a: 1 }),
      fc.dictionary(fc.constantFrom(...knownShapes.flatMap(({ columns }) => columns)), cell, { maxKeys: 4 }),
    )
    .map(([record, changes]): Record_ => ({ ...record, ...changes }));

  test("nothing is dropped: every record is a row or a rejection, in order", () => {
    fc.assert(
      fc.property(fc.array(changed, { maxLength: 8 }), (records) => {
        const { rows, rejected } = read(...records);
        const lines = [...rows, ...rejected].map(({ line }) => line).toSorted((a, b) => a - b);
        expect(lines).toEqual(records.map((_, index) => index + 1));
        expect(rejected.every(({ reason }) => reason !== "")).toBe(true);
      }),
      { seed: 3 },
    );
  });

  test("what is accepted is measured in finite figures from 0 on, and has one mechanism", () => {
    fc.assert(
      fc.property(changed, (record) => {
        for (const { measured, converged, input } of read(record).rows) {
          const figures = Object.values(measured).filter((value) => value !== null);
          expect(figures.every((value) => Number.isFinite(value) && value >= 0)).toBe(true);
          expect(figures.length > 0).toBe(converged);
          expect(input.mechanisms).toHaveLength(1);
        }
      }),
      { seed: 4 },
    );
  });
});
