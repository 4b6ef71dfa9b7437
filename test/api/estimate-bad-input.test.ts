// Bad input of the cost models as a caller sees it: 422 with the field and the bound.
import { describe, expect, test } from "vitest";
import { GIB, call } from "../support/api.ts";

type Problem = { issues: { path: string; message: string }[] };
type Part = Record<string, unknown>;

const body = ({ vm, link, ...rest }: { vm?: Part; link?: Part } & Part = {}) => ({
  vm: { memoryBytes: 8 * GIB, nonzeroBytes: 2 * GIB, vcpus: 4, ...vm },
  link: { bytesPerSecond: 1e9, ...link },
  ...rest,
});

const BAD: [input: ReturnType<typeof body>, path: string, bound: string][] = [
  [body({ vm: { memoryBytes: 0 } }), "vm.memoryBytes", ">0"],
  [body({ vm: { nonzeroBytes: 9 * GIB } }), "vm.nonzeroBytes", `${8 * GIB}`],
  [body({ vm: { freeBytes: 9 * GIB } }), "vm.freeBytes", `${8 * GIB}`],
  [body({ vm: { dirtyRateBytesPerSecond: 9 * GIB } }), "vm.dirtyRateBytesPerSecond", `${8 * GIB}`],
  [body({ vm: { disks: [{ bytes: 10, allocatedBytes: 11 }] } }), "vm.disks.0.allocatedBytes", "(10)"],
  [body({ link: { bytesPerSecond: 0 } }), "link.bytesPerSecond", ">0"],
  [body({ link: { bytesPerSecond: -1 } }), "link.bytesPerSecond", ">0"],
  [body({ link: { bytesPerSecond: 999 } }), "link.bytesPerSecond", "1000"],
  [body({ link: { lossRatio: 2 } }), "link.lossRatio", "<=1"],
  [
    body({ parameters: { maxPostCopyBandwidthBytesPerSecond: 1 } }),
    "parameters.maxPostCopyBandwidthBytesPerSecond",
    "1000",
  ],
  [
    body({ parameters: { compressThreads: 2, multifdChannels: 2 } }),
    "parameters.multifdChannels",
    "compressThreads (2)",
  ],
  [body({ hypervisor: "xen", accelerator: "kvm" }), "accelerator", "xen"],
  [body({ hosts: { source: { cores: 2, cpuUsedCores: 3 } } }), "hosts.source.cpuUsedCores", "(2)"],
  [
    body({
      forecast: [
        { startsInMs: 5, durationMs: 5 },
        { startsInMs: 9, durationMs: 5 },
      ],
    }),
    "forecast.1.startsInMs",
    "(10)",
  ],
];

describe("POST /v1/estimates refuses what no model can work with", () => {
  test.each(BAD)("case %#", async (bad, path, bound) => {
    const { status, body: problem } = await call<Problem>("POST", "/v1/estimates", { body: bad });
    expect(status).toBe(422);
    expect(problem.issues.map((issue) => issue.path)).toEqual([path]);
    expect(problem.issues[0]?.message).toContain(bound);
  });

  test("all that is wrong at once", async () => {
    const bad = body({ vm: { nonzeroBytes: 9 * GIB, workingSetBytes: 9 * GIB }, link: { bytesPerSecond: 1 } });
    const { body: problem } = await call<Problem>("POST", "/v1/estimates", { body: bad });
    expect(problem.issues.map((issue) => issue.path)).toEqual([
      "vm.nonzeroBytes",
      "vm.workingSetBytes",
      "link.bytesPerSecond",
    ]);
  });
});

test("a number that JSON can write and no field can hold", async () => {
  const written = JSON.stringify(body()).replace('"vcpus":4', '"cpuUsedCores":1e999');
  const { status, body: problem } = await call<Problem>("POST", "/v1/estimates", { body: written });
  expect(status).toBe(422);
  expect(problem.issues.map((issue) => issue.path)).toEqual(["vm.cpuUsedCores"]);
});

test("several at once: the path says which migration", async () => {
  const migrations = [body(), body({ vm: { nonzeroBytes: 9 * GIB } })];
  const { status, body: problem } = await call<Problem>("POST", "/v1/estimates/several", { body: { migrations } });
  expect(status).toBe(422);
  expect(problem.issues.map((issue) => issue.path)).toEqual(["migrations.1.vm.nonzeroBytes"]);
});
