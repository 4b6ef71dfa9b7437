import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hypervisorCommands } from "../../../worker/model/migration/commands.ts";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import { parametersFor } from "../../../worker/model/migration/parameters.ts";
import { resolveInput } from "../../../worker/model/migration/resolve.ts";
import type { EstimateInput } from "../../../worker/model/migration/types.ts";
import type { Mechanism } from "../../../worker/model/wire/common.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import { anyInput, inputOf } from "./support.ts";

type Raw = NonNullable<Parameters<typeof inputOf>[0]>;

function commandsOf(mechanism: Mechanism, input: EstimateInput) {
  const { known } = resolveInput(input);
  return hypervisorCommands(input, mechanism, parametersFor(mechanism, known.parameters));
}

const capabilitiesOf = (mechanism: Mechanism, raw: Raw, side = "source") => {
  const { qmp } = commandsOf(mechanism, inputOf(raw));
  const set = qmp.find((each) => each.execute === "migrate-set-capabilities" && each.side === side);
  const capabilities = (set?.arguments?.["capabilities"] ?? []) as { capability: string; state: boolean }[];
  return capabilities.map((each) => each.capability);
};
const parametersOf = (mechanism: Mechanism, raw: Raw, side = "source") =>
  commandsOf(mechanism, inputOf(raw)).qmp.find(
    (each) => each.execute === "migrate-set-parameters" && each.side === side,
  )?.arguments ?? {};
const migrateLine = (mechanism: Mechanism, raw: Raw = {}) =>
  commandsOf(mechanism, inputOf(raw)).virsh.find((line) => line.startsWith("virsh migrate --")) ?? "";

describe("QMP", () => {
  test("pre-copy: capabilities and parameters on both sides, then the destination listens, then the source sends", () => {
    const capabilities = {
      capabilities: [
        { capability: "events", state: true },
        { capability: "return-path", state: true },
      ],
    };
    expect(commandsOf("pre-copy", inputOf()).qmp).toEqual([
      { side: "destination", execute: "migrate-set-capabilities", arguments: capabilities },
      { side: "source", execute: "migrate-set-capabilities", arguments: capabilities },
      {
        side: "source",
        execute: "migrate-set-parameters",
        arguments: { "max-bandwidth": 128 * MIB, "downtime-limit": 300 },
      },
      { side: "destination", execute: "migrate-incoming", arguments: { uri: "DESTINATION_URI" } },
      { side: "source", execute: "migrate", arguments: { uri: "DESTINATION_URI" } },
    ]);
  });

  test.each<[Mechanism, string[]]>([
    ["pre-copy", ["migrate-incoming", "migrate"]],
    ["post-copy", ["migrate-incoming", "migrate", "migrate-start-postcopy"]],
    ["hybrid", ["migrate-incoming", "migrate", "query-migrate", "migrate-start-postcopy"]],
    ["stop-and-copy", ["migrate-incoming", "stop", "migrate", "query-migrate", "cont"]],
  ])("%s, in order", (mechanism, expected) => {
    const run = commandsOf(mechanism, inputOf()).qmp.map(({ execute }) => execute);
    expect(run.filter((execute) => !execute.startsWith("migrate-set"))).toEqual(expected);
  });

  test.each<[string, Mechanism, Raw, string[]]>([
    ["auto-converge", "pre-copy", { parameters: { autoConverge: true } }, ["auto-converge"]],
    ["xbzrle", "pre-copy", { parameters: { xbzrle: true } }, ["xbzrle"]],
    ["multifd, which carries no deltas", "pre-copy", { parameters: { xbzrle: true, multifdChannels: 2 } }, ["multifd"]],
    ["compress", "pre-copy", { parameters: { compressThreads: 2 } }, ["compress"]],
    ["compress is gone since 9.1", "pre-copy", { hypervisorVersion: "9.1", parameters: { compressThreads: 2 } }, []],
    ["post-copy", "post-copy", {}, ["postcopy-ram"]],
    ["preempt", "hybrid", { parameters: { postCopyPreempt: true } }, ["postcopy-ram", "postcopy-preempt"]],
    [
      "preempt before 7.1",
      "post-copy",
      { hypervisorVersion: "6.2", parameters: { postCopyPreempt: true } },
      ["postcopy-ram"],
    ],
    ["post-copy at the deadline", "pre-copy", { parameters: { onDeadline: "post-copy" } }, ["postcopy-ram"]],
    [
      "multifd and post-copy before 10.1, or with an unknown version",
      "pre-copy",
      { hypervisorVersion: "10.0.13", parameters: { onDeadline: "post-copy", multifdChannels: 4 } },
      ["postcopy-ram"],
    ],
    [
      "no multifd where it may become post-copy: agents refuse it, whatever the version",
      "pre-copy",
      { hypervisorVersion: "10.1.0", parameters: { onDeadline: "post-copy", multifdChannels: 4 } },
      ["postcopy-ram"],
    ],
  ])("capabilities: %s", (_, mechanism, raw, expected) => {
    expect(capabilitiesOf(mechanism, raw)).toEqual(["events", "return-path", ...expected]);
    expect(capabilitiesOf(mechanism, raw, "destination")).toEqual(capabilitiesOf(mechanism, raw));
  });

  test.each<[string, Mechanism, Raw, Record<string, unknown>]>([
    [
      "the limit asked for, whole bytes",
      "pre-copy",
      { parameters: { maxBandwidthBytesPerSecond: 1e8 + 0.4 } },
      { "max-bandwidth": 1e8 },
    ],
    ["post-copy without a limit", "post-copy", {}, { "max-postcopy-bandwidth": 0 }],
    [
      "post-copy with one",
      "post-copy",
      { parameters: { maxPostCopyBandwidthBytesPerSecond: 5e7 } },
      { "max-postcopy-bandwidth": 5e7 },
    ],
    [
      "a cache of a power of two",
      "pre-copy",
      { parameters: { xbzrle: true, xbzrleCacheBytes: 100 * MIB } },
      { "xbzrle-cache-size": 64 * MIB },
    ],
    [
      "multifd",
      "pre-copy",
      { parameters: { multifdChannels: 4, compression: "zstd" } },
      { "multifd-channels": 4, "multifd-compression": "zstd" },
    ],
    [
      "the switch-over rate since 8.2",
      "pre-copy",
      { hypervisorVersion: "8.2.0" },
      { "avail-switchover-bandwidth": 128 * MIB },
    ],
    [
      "which is the link's where that is slower",
      "pre-copy",
      { hypervisorVersion: "10.0", link: { bytesPerSecond: 1e8, concurrentMigrations: 1 } },
      { "avail-switchover-bandwidth": 5e7 },
    ],
  ])("parameters: %s", (_, mechanism, raw, expected) => {
    expect(parametersOf(mechanism, raw)).toMatchObject(expected);
  });

  test.each(["8.1.9", "7.2.22", undefined, "unknown"])("no switch-over rate with version %s", (hypervisorVersion) => {
    const raw = hypervisorVersion === undefined ? {} : { hypervisorVersion };
    expect(parametersOf("pre-copy", raw)).not.toHaveProperty("avail-switchover-bandwidth");
  });

  test("multifd is set on the destination as on the source", () => {
    const raw = { parameters: { multifdChannels: 4, compression: "zlib" as const } };
    expect(parametersOf("pre-copy", raw, "destination")).toEqual({
      "multifd-channels": 4,
      "multifd-compression": "zlib",
    });
  });
});

describe("virsh", () => {
  test.each<[string, Mechanism, Raw, string]>([
    ["pre-copy", "pre-copy", {}, "--bandwidth 128"],
    ["auto-converge", "pre-copy", { parameters: { autoConverge: true } }, "--auto-converge --bandwidth 128"],
    [
      "xbzrle",
      "pre-copy",
      { parameters: { xbzrle: true, xbzrleCacheBytes: 64 * MIB } },
      `--compressed --comp-methods xbzrle --comp-xbzrle-cache ${64 * MIB} --bandwidth 128`,
    ],
    [
      "multifd",
      "pre-copy",
      { parameters: { multifdChannels: 4, compression: "zstd" } },
      "--parallel --parallel-connections 4 --compressed --comp-methods zstd --bandwidth 128",
    ],
    [
      "forced at the deadline",
      "pre-copy",
      { parameters: { deadlineMs: 60_500, onDeadline: "force" } },
      "--bandwidth 128 --timeout 61 --timeout-suspend",
    ],
    [
      "post-copy at the deadline",
      "pre-copy",
      { parameters: { deadlineMs: 60_000, onDeadline: "post-copy" } },
      "--postcopy --bandwidth 128 --timeout 60 --timeout-postcopy",
    ],
    ["post-copy", "post-copy", {}, "--postcopy --bandwidth 128"],
    ["hybrid", "hybrid", {}, "--postcopy --postcopy-after-precopy --bandwidth 128"],
    [
      "hybrid after a time",
      "hybrid",
      { parameters: { postCopyAfterMs: 20_000 } },
      "--postcopy --bandwidth 128 --timeout 20 --timeout-postcopy",
    ],
    ["libvirt's own limit is none", "pre-copy", { driver: "libvirt" }, ""],
    [
      "local disks",
      "pre-copy",
      { driver: "libvirt", vm: { disks: [{ bytes: GIB, shared: false }] } },
      "--copy-storage-all",
    ],
    [
      "the switch-over rate",
      "pre-copy",
      { hypervisorVersion: "9.0" },
      "--bandwidth 128 --available-switchover-bandwidth 128",
    ],
  ])("%s", (_, mechanism, raw, expected) => {
    const options = `--live --p2p --persistent --undefinesource ${expected}`.trimEnd();
    expect(migrateLine(mechanism, raw)).toBe(`virsh migrate ${options} VM_NAME DESTINATION_LIBVIRT_URI`);
  });

  test("stop-and-copy is a migration that is not live", () => {
    expect(migrateLine("stop-and-copy")).toMatch(/^virsh migrate --p2p /);
  });

  test.each<[Mechanism, Raw, string[]]>([
    ["pre-copy", {}, ["virsh domjobabort VM_NAME  # second shell: if it still runs after 90 s"]],
    ["pre-copy", { parameters: { onDeadline: "force" } }, []],
    ["post-copy", {}, ["virsh migrate-postcopy VM_NAME  # second shell: at once"]],
    ["hybrid", {}, []],
    [
      "hybrid",
      { parameters: { preCopyRounds: 3 } },
      ["virsh migrate-postcopy VM_NAME  # second shell: when 'virsh domjobinfo VM_NAME' says iteration 4"],
    ],
  ])("%s: the downtime first, then the migration, then what is for a second shell", (mechanism, raw, later) => {
    const { virsh } = commandsOf(mechanism, inputOf(raw));
    expect(virsh[0]).toBe("virsh migrate-setmaxdowntime VM_NAME 300");
    expect(virsh.slice(2)).toEqual(later);
  });
});

describe("any recommendation", () => {
  test("comes with commands where there is a hypervisor that takes them, and never with multifd in post-copy before 10.1", () => {
    fc.assert(
      fc.property(anyInput, fc.constantFrom("7.2.22", "9.0", "10.0.13", undefined), (input, hypervisorVersion) => {
        const { recommended } = estimateMigration(
          hypervisorVersion === undefined ? input : { ...input, hypervisorVersion },
        );
        const { qmp = [], virsh = [] } = recommended?.commands ?? {};
        expect(virsh.length > 0).toBe(recommended !== null && input.hypervisor === "kvm");
        const text = JSON.stringify(qmp);
        expect(text.includes('"multifd"') && text.includes('"postcopy-ram"')).toBe(false);
        const set = qmp.filter(({ execute }) => execute === "migrate-set-parameters");
        const numbers = set.flatMap(({ arguments: given }) =>
          Object.values(given ?? {}).filter((value) => typeof value === "number"),
        );
        expect(numbers.every(Number.isInteger)).toBe(true);
      }),
      { numRuns: 100, seed: 5 },
    );
  });

  test("QMP copies no disks: its list is empty where they go along", () => {
    const raw = { driver: "libvirt" as const, vm: { disks: [{ bytes: GIB, shared: false }] } };
    expect(commandsOf("pre-copy", inputOf(raw)).qmp).toEqual([]);
  });
});
