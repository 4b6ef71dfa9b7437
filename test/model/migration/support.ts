// Inputs of the cost models: a plain VM, and arbitrary ones.
import fc from "fast-check";
import { MEDIAN } from "../../../worker/model/migration/draws.ts";
import { parametersFor } from "../../../worker/model/migration/parameters.ts";
import { resolveInput } from "../../../worker/model/migration/resolve.ts";
import { scenarioOf } from "../../../worker/model/migration/scenario.ts";
import type { Scenario } from "../../../worker/model/migration/scenario.ts";
import { estimateInput } from "../../../worker/model/migration/types.ts";
import type { EstimateInput } from "../../../worker/model/migration/types.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";

type Raw = Partial<Omit<EstimateInput, "vm" | "link">> & {
  vm?: Partial<EstimateInput["vm"]>;
  link?: Partial<NonNullable<EstimateInput["link"]>>;
};

/** 8 GiB, 2 of them not zero, dirtying 20 MB/s, over 10 GbE, but for what is told. */
export function inputOf({ vm, link, ...rest }: Raw = {}): EstimateInput {
  return estimateInput.parse({
    vm: {
      memoryBytes: 8 * GIB,
      nonzeroBytes: 2 * GIB,
      pageSizeBytes: 4096,
      vcpus: 4,
      cpuUsedCores: 1.5,
      dirtyRateBytesPerSecond: 20e6,
      dirtyRateWindowMs: 1000,
      ...vm,
    },
    link: { bytesPerSecond: 1.1e9, rttMs: 0.2, concurrentMigrations: 0, ...link },
    ...rest,
  });
}

/** The scenario in which everything unknown is at its median. */
export function medianScenario(input: EstimateInput, mechanism: EstimateInput["mechanisms"][number]): Scenario {
  const { known } = resolveInput(input);
  return scenarioOf(known, parametersFor(mechanism, known.parameters), MEDIAN);
}

const memory = fc.record({
  memoryBytes: fc.integer({ min: 64 * MIB, max: 512 * GIB }),
  nonzeroRatio: fc.double({ min: 0, max: 1, noNaN: true }),
});

/** Windows rising, bytes not falling and within the memory. */
const curve = (memoryBytes: number) =>
  fc
    .array(fc.tuple(fc.double({ min: 1, max: 1e4, noNaN: true }), fc.double({ min: 0, max: 0.2, noNaN: true })), {
      maxLength: 6,
    })
    .map((steps) => {
      let windowMs = 0;
      let bytes = 0;
      return steps.map(([ms, ratio]) => {
        windowMs += ms;
        bytes = Math.min(memoryBytes, bytes + ratio * memoryBytes);
        return { windowMs, bytes };
      });
    });

const parameters = fc.record(
  {
    maxBandwidthBytesPerSecond: fc.double({ min: 1e6, max: 1e10, noNaN: true }),
    downtimeLimitMs: fc.integer({ min: 1, max: 5000 }),
    autoConverge: fc.boolean(),
    xbzrle: fc.boolean(),
    multifdChannels: fc.integer({ min: 0, max: 16 }),
    compression: fc.constantFrom("none" as const, "zlib" as const, "zstd" as const),
    postCopyPreempt: fc.boolean(),
    preCopyRounds: fc.integer({ min: 1, max: 100 }),
    postCopyAfterMs: fc.option(fc.integer({ min: 0, max: 1000 })),
    deadlineMs: fc.integer({ min: 1000, max: 86_400_000 }),
    onDeadline: fc.constantFrom("cancel" as const, "force" as const, "post-copy" as const),
  },
  { requiredKeys: [] },
);

/** Any valid input, with fields missing at random. */
export const anyInput: fc.Arbitrary<EstimateInput> = memory.chain(({ memoryBytes, nonzeroRatio }) =>
  fc
    .record(
      {
        hypervisor: fc.constantFrom("kvm", "kvm", "kvm", "xen", "vmware"),
        driver: fc.constantFrom("qmp", "libvirt", "simulated"),
        vm: fc
          .record(
            {
              nonzeroBytes: fc.constant(Math.floor(nonzeroRatio * memoryBytes)),
              pageSizeBytes: fc.constantFrom(4096, 16_384, 2 * MIB),
              vcpus: fc.integer({ min: 1, max: 128 }),
              cpuUsedCores: fc.double({ min: 0, max: 2, noNaN: true }),
              dirtyCurve: curve(memoryBytes),
              dirtyRateBytesPerSecond: fc.double({ min: 0, max: memoryBytes, noNaN: true }),
              workingSetBytes: fc.integer({ min: 0, max: memoryBytes }),
              compressionRatio: fc.double({ min: 1, max: 10, noNaN: true }),
              disks: fc.array(fc.record({ bytes: fc.nat(), shared: fc.boolean() }), { maxLength: 2 }),
            },
            { requiredKeys: [] },
          )
          .map((vm) => ({ ...vm, memoryBytes })),
        link: fc.record(
          {
            bytesPerSecond: fc.double({ min: 1e4, max: 1e11, noNaN: true }),
            rttMs: fc.nat(500),
            concurrentMigrations: fc.nat(10),
          },
          { requiredKeys: ["bytesPerSecond"] },
        ),
        parameters,
        downtimeSloMs: fc.integer({ min: 1, max: 10_000 }),
      },
      { requiredKeys: ["vm"] },
    )
    .map((raw) => estimateInput.parse(raw)),
);

/** A plain QEMU pre-copy: no adaptive option and a day's time. */
export const plainInput: fc.Arbitrary<EstimateInput> = memory.chain(({ memoryBytes, nonzeroRatio }) =>
  fc
    .record({
      dirtyRatio: fc.double({ min: 0, max: 0.1, noNaN: true }),
      dirtyCurve: curve(memoryBytes),
      bytesPerSecond: fc.double({ min: 1e8, max: 2e9, noNaN: true }),
      cap: fc.double({ min: 3e7, max: 2e9, noNaN: true }),
      downtimeLimitMs: fc.integer({ min: 20, max: 2000 }),
      driver: fc.constantFrom("qmp" as const, "simulated" as const),
    })
    .map(({ dirtyRatio, dirtyCurve, bytesPerSecond, cap, downtimeLimitMs, driver }) =>
      inputOf({
        driver,
        vm: {
          memoryBytes,
          nonzeroBytes: Math.floor(nonzeroRatio * memoryBytes),
          dirtyRateBytesPerSecond: dirtyRatio * memoryBytes,
          dirtyCurve: dirtyCurve.map(({ windowMs, bytes }) => ({ windowMs, bytes: bytes * 0.1 })),
        },
        link: { bytesPerSecond },
        parameters: { maxBandwidthBytesPerSecond: cap, downtimeLimitMs, deadlineMs: 86_400_000 },
      }),
    ),
);
