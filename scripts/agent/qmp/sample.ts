// One moment's figures of this host and its VMs, by catalogue name. What cannot be read is absent, never 0.
import { readFile } from "node:fs/promises";
import type { DirtyCurveReport } from "../../../worker/model/wire/telemetry.ts";
import { DriverError, type DriverSample } from "../driver.ts";
import { estimateNonzeroBytes } from "../linux/memory.ts";
import { createMutex } from "../life.ts";
import { createHeld } from "../linux/held.ts";
import { TICKS_PER_SECOND, findGuestMapping, parseResidentBytes, parseStat, type Mapping } from "../linux/proc.ts";
import { createDirtyRates, createRates, present, sampleMachine, sumOf, type Figures } from "../linux/sample.ts";
import { readTextSync } from "../linux/text.ts";
import { blockStatsAnswer, cpusAnswer, statusAnswer } from "./answers.ts";
import type { QmpSettings } from "./config.ts";
import { isUndisturbed } from "./dirty.ts";
import { LIST_MS, type ProcessId } from "./process.ts";
import { neverRan, type Vm } from "./vm.ts";

export type Sampler = {
  sample: (vms: Vm[]) => Promise<DriverSample>;
  /** Hands over the newest curve of a VM, from which its dirty rate is taken. */
  noteCurve: (uuid: string, curve: DirtyCurveReport) => void;
  forget: (uuid: string) => void;
};

/** What a process has busied its virtual processors with so far; null: one of the threads is gone. */
function ticksOf(pid: number, threads: readonly number[]): number | null {
  let sum = 0;
  for (const thread of threads) {
    const stat = parseStat(readTextSync(`/proc/${pid}/task/${thread}/stat`) ?? "");
    if (stat === null) return null;
    sum += stat.cpuTicks;
  }
  return sum;
}

async function vcpuThreads(vm: Vm): Promise<number[]> {
  const cpus = await vm.query(cpusAnswer, "query-cpus-fast");
  return cpus.map((each) => each["thread-id"]);
}

async function diskBytes(vm: Vm): Promise<{ read: number; written: number } | null> {
  const drives = await vm.query(blockStatsAnswer, "query-blockstats");
  if (drives.length === 0) return null;
  const sum = (pick: (stats: (typeof drives)[number]["stats"]) => number): number =>
    drives.reduce((total, each) => total + pick(each.stats), 0);
  return { read: sum((stats) => stats.rd_bytes), written: sum((stats) => stats.wr_bytes) };
}

/** Where the guest's memory lies in its process; null when it cannot be told. The kernel walks all of it for the answer. */
export async function guestMemory(vm: Vm, id: ProcessId): Promise<Mapping | null> {
  const smaps = await readFile(`/proc/${id.pid}/smaps`, "utf8").catch(() => "");
  return findGuestMapping(smaps, vm.descriptor().vm.memoryBytes);
}

const residentBytesOf = (pid: number): number | null => parseResidentBytes(readTextSync(`/proc/${pid}/statm`) ?? "");

/** The guest's memory when it was last looked at, and what the whole process had resident then. */
type Memory = { mapping: Mapping; processBytes: number };

async function lookAtMemory(vm: Vm, id: ProcessId): Promise<Memory | null> {
  const [mapping, processBytes] = [await guestMemory(vm, id), residentBytesOf(id.pid)];
  return mapping === null || processBytes === null ? null : { mapping, processBytes };
}

/** Resident bytes of the guest now: in a process of QEMU, hardly anything else grows or shrinks. */
function guestResidentBytes(pid: number, { mapping, processBytes }: Memory): number | null {
  const nowBytes = residentBytesOf(pid);
  if (nowBytes === null) return null;
  return Math.min(mapping.sizeBytes, Math.max(0, mapping.residentBytes + nowBytes - processBytes));
}

/** Guests whose pages are read at one moment: each takes some 20 ms. */
const READ_AT_ONCE = 4;

/** What takes more than a question to QEMU: looked at now and then, or worked out from what was seen then. */
function createLooks(settings: QmpSettings) {
  const threads = createHeld<number[]>(Number.POSITIVE_INFINITY);
  const memories = createHeld<Memory>(Number.POSITIVE_INFINITY);
  const nonzero = createHeld<number>(READ_AT_ONCE);
  const all = [threads, memories, nonzero];
  // The answers are long.
  const oneByOne = createMutex();
  return {
    begin: (nowMs: number) => all.forEach((held) => held.begin(nowMs)),
    forget: (uuid: string) => all.forEach((held) => held.forget(uuid)),
    cpuTicks: async (vm: Vm, { pid, startTicks }: ProcessId, nowMs: number): Promise<number | null> => {
      const key = `${vm.uuid} ${startTicks}`;
      const known = await threads.of(key, nowMs, () => vcpuThreads(vm));
      const ticks = known === null ? null : ticksOf(pid, known);
      // One was unplugged: they are asked for anew.
      if (ticks === null) threads.forget(key);
      return ticks;
    },
    memory: async (vm: Vm, id: ProcessId, nowMs: number): Promise<Figures> => {
      const key = `${vm.uuid} ${id.startTicks}`;
      const memory = await memories.of(key, nowMs, () => oneByOne(() => lookAtMemory(vm, id)));
      if (memory === null) return {};
      const read = async () => ((await isUndisturbed(vm)) ? estimateNonzeroBytes(id.pid, memory.mapping, nowMs) : null);
      return present({
        memory_used_bytes: guestResidentBytes(id.pid, memory),
        memory_nonzero_bytes: settings.measureNonzero ? await nonzero.of(key, nowMs, read) : null,
      });
    },
  };
}

/** `root`: where the machine's `/sys` and its arrays are. */
export function createSampler(settings: QmpSettings, root = "/"): Sampler {
  const rates = createRates();
  const curves = createDirtyRates();
  const looks = createLooks(settings);

  const sampleVm = async (vm: Vm): Promise<Figures> => {
    const id = await vm.process(LIST_MS);
    if (id === null || neverRan(vm.descriptor())) return {};
    const { status } = await vm.query(statusAnswer, "query-status");
    if (status !== "running" && status !== "paused") return {};
    const [ticks, disk] = [await looks.cpuTicks(vm, id, Date.now()), await diskBytes(vm)];
    const nowMs = Date.now();
    const cpuTicks = rates.rate(`${vm.uuid} cpu`, ticks, nowMs);
    return {
      ...(await looks.memory(vm, id, nowMs)),
      ...present({
        cpu_used_cores: cpuTicks === null ? null : cpuTicks / TICKS_PER_SECOND,
        memory_dirty_bytes_per_second: curves.rate(vm.uuid, nowMs),
        disk_read_bytes_per_second: rates.rate(`${vm.uuid} read`, disk?.read ?? null, nowMs),
        disk_write_bytes_per_second: rates.rate(`${vm.uuid} written`, disk?.written ?? null, nowMs),
      }),
    };
  };

  return {
    sample: async (vms) => {
      // A VM that ends or falls silent meanwhile must not cost the others their figures.
      const unless = (error: unknown): Figures => {
        if (error instanceof DriverError) return {};
        throw error;
      };
      looks.begin(Date.now());
      const figures = await Promise.all(
        vms.map(async (vm): Promise<[string, Figures]> => [vm.uuid, await sampleVm(vm).catch(unless)]),
      );
      const known = Object.fromEntries(figures);
      return {
        host: settings.scope === "vms" ? sumOf(Object.values(known)) : await sampleMachine(rates.rate, root),
        vms: known,
      };
    },
    noteCurve: curves.note,
    forget: (uuid) => {
      curves.forget(uuid);
      rates.forget(uuid);
      looks.forget(uuid);
    },
  };
}
