import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import {
  findGuestMapping,
  parseBusyTicks,
  parseCpuinfo,
  parseMeminfo,
  parseNetDev,
  parsePressure,
  parseStat,
} from "../../../scripts/agent/linux/proc.ts";

const fixture = (name: string): string => readFileSync(path.join(import.meta.dirname, "fixtures", name), "utf8");
const GUEST_BYTES = 256 * 1024 * 1024 + 131_072;

test("a process is read by field number, whatever its name holds", () => {
  expect(parseStat(fixture("stat.txt"))).toEqual({ state: "S", cpuTicks: 246, startTicks: 274_214 });
  const odd = fixture("stat.txt").replace("(qemu-system-x86)", "(a) Z 1 (b)");
  expect(parseStat(odd)).toEqual({ state: "S", cpuTicks: 246, startTicks: 274_214 });
  expect(parseStat("")).toBeNull();
});

test("the guest's memory is found among QEMU's mappings, and its size and residence read", () => {
  expect(findGuestMapping(fixture("smaps.txt"), GUEST_BYTES)).toEqual({
    startAddress: 0x7f32dfe00000,
    sizeBytes: GUEST_BYTES,
    residentBytes: Number(/^7f32dfe0[^]*?^Rss:\s+(\d+) kB/m.exec(fixture("smaps.txt"))?.[1]) * 1024,
    swappedBytes: 0,
  });
});

test("memory that is not one private anonymous mapping is not found, rather than guessed", () => {
  expect(findGuestMapping(fixture("smaps.txt"), 2 * GUEST_BYTES)).toBeNull();
  const shared = fixture("smaps.txt").replace("7f32dfe00000-7f32efe20000 rw-p", "7f32dfe00000-7f32efe20000 rw-s");
  expect(findGuestMapping(shared, GUEST_BYTES)).toBeNull();
  const backed = fixture("smaps.txt").replace(
    "7f32efe20000 rw-p 00000000 00:00 0 ",
    "7f32efe20000 rw-p 00000000 00:01 77 /memfd:ram",
  );
  expect(findGuestMapping(backed, GUEST_BYTES)).toBeNull();
  expect(findGuestMapping("", 0)).toBeNull();
});

test("TCG's translation buffer is never taken for a small guest's memory", () => {
  const mapping = findGuestMapping(fixture("smaps.txt"), 32 * 1024 * 1024);
  expect(mapping?.startAddress).toBe(0x7f32dfe00000);
});

test("busy time leaves out idle and waiting for disks", () => {
  expect(parseBusyTicks("cpu  95534 1 23754 431447 726 2 304 588 9 9\ncpu0 1 1 1 1 1 1 1 1 0 0\n")).toBe(120_183);
  expect(parseBusyTicks("intr 1 2 3\n")).toBeNull();
});

test("memory, pressure, network and processor are read in base units", () => {
  expect(parseMeminfo("MemTotal: 24684084 kB\nMemFree: 1 kB\nMemAvailable:   23944736 kB\n")).toEqual({
    totalBytes: 24_684_084 * 1024,
    availableBytes: 23_944_736 * 1024,
  });
  expect(parseMeminfo("MemTotal: 1 kB\n")).toBeNull();
  expect(parsePressure("some avg10=37.27 avg60=54.99 avg300=44.99 total=3\nfull avg10=0.00")).toBeCloseTo(0.3727);
  expect(parsePressure("")).toBeNull();
  const lines = [
    "Inter-| Receive",
    " face |bytes packets",
    "    lo: 9 1 0 0 0 0 0 0 9 1 0",
    "  eth0: 100 1 0 0 0 0 0 0 7 1 0",
  ];
  expect(parseNetDev(lines.join("\n"))).toEqual({ receivedBytes: 100, transmittedBytes: 7 });
  expect(parseCpuinfo("model name\t: AMD EPYC\nflags\t\t: fpu vme\n\nmodel name\t: other\n")).toEqual({
    model: "AMD EPYC",
    features: ["fpu", "vme"],
  });
  expect(parseCpuinfo("")).toEqual({});
});
