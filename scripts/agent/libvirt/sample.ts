// One moment's figures of this host and its VMs, by catalogue name. What libvirt does not give is absent, never 0.
import { SECOND_MS } from "../../../worker/model/units.ts";
import type { DirtyCurveReport } from "../../../worker/model/wire/telemetry.ts";
import type { DriverSample } from "../driver.ts";
import { createHeld } from "../linux/held.ts";
import { estimateNonzeroBytes } from "../linux/memory.ts";
import { createDirtyRates, createRates, present, sampleMachine, sumOf, type Figures } from "../linux/sample.ts";
import { isJobActive } from "./state.ts";
import { lookAt, readDomains } from "./domains.ts";
import type { Libvirt } from "./libvirt.ts";
import { findQemu, guestMemory } from "./process.ts";
import { numberOf, parseDomstats, type Stats } from "./raw.ts";

const NANOSECONDS = 1e9;
const KIB = 1024;
const SAMPLED = ["running", "paused"];
const GROUPS = ["--cpu-total", "--balloon", "--vcpu", "--interface", "--block"];

/** The sum of a figure over `net.0.…`, `net.1.…`; null where there is none, or one of them is not given. */
function sumOver(stats: Stats, group: string, count: string, figure: string): number | null {
  const members = numberOf(stats, `${group}.${count}`) ?? 0;
  let sum = 0;
  for (let index = 0; index < members; index++) {
    const value = numberOf(stats, `${group}.${index}.${figure}`);
    if (value === null) return null;
    sum += value;
  }
  return members === 0 ? null : sum;
}

type Rate = (name: string, counter: number | null, atMs?: number) => number | null;

/** `domstats` as figures; `rate` turns a counter into its rise a second. */
export function figuresOf(stats: Stats, rate: Rate): Figures {
  const vcpus = numberOf(stats, "vcpu.current");
  const busy = rate("vcpu time", sumOver(stats, "vcpu", "current", "time"));
  const waiting = rate("vcpu delay", sumOver(stats, "vcpu", "current", "delay"));
  const rss = numberOf(stats, "balloon.rss");
  // The guest's own counters are as old as its last word: without one they say nothing, and between two the same.
  const saidAtMs = (numberOf(stats, "balloon.last-update") ?? 0) * SECOND_MS;
  const guest = (figure: string): number | null =>
    saidAtMs === 0 ? null : rate(figure, numberOf(stats, `balloon.${figure}`), saidAtMs);
  const swappedIn = guest("swap_in");
  return present({
    cpu_used_cores: busy === null ? null : busy / NANOSECONDS,
    cpu_steal_ratio: waiting === null || vcpus === null ? null : Math.min(1, waiting / NANOSECONDS / vcpus),
    memory_used_bytes: rss === null ? null : rss * KIB,
    swap_in_bytes_per_second: swappedIn === null ? null : swappedIn * KIB,
    page_fault_rate: guest("major_fault"),
    network_receive_bytes_per_second: rate("received", sumOver(stats, "net", "count", "rx.bytes")),
    network_transmit_bytes_per_second: rate("sent", sumOver(stats, "net", "count", "tx.bytes")),
    disk_read_bytes_per_second: rate("read", sumOver(stats, "block", "count", "rd.bytes")),
    disk_write_bytes_per_second: rate("written", sumOver(stats, "block", "count", "wr.bytes")),
  });
}

/** Of a guest that runs and that nothing moves: reading memory that is missing would wait for it to arrive. */
async function nonzeroBytes(
  { looks: { virsh } }: Libvirt,
  uuid: string,
  stats: Stats,
  nowMs: number,
): Promise<number | null> {
  const { job } = await lookAt(virsh, uuid);
  if (job === "arriving" || isJobActive(job)) return null;
  const [pid, memoryKib] = [await findQemu(uuid), numberOf(stats, "balloon.maximum")];
  const mapping = pid === null || memoryKib === null ? null : await guestMemory(pid, memoryKib * KIB);
  return pid === null || mapping === null ? null : estimateNonzeroBytes(pid, mapping, nowMs);
}

/** Guests whose pages are read at one moment: each takes some 20 ms, and a look by virsh. */
const READ_AT_ONCE = 4;

export type Sampler = {
  sample: () => Promise<DriverSample>;
  /** Hands over the newest curve of a VM, from which its dirty rate is taken. */
  noteCurve: (uuid: string, curve: DirtyCurveReport) => void;
};

/** `root`: where the machine's `/sys` and its arrays are. */
export function createSampler(libvirt: Libvirt, root = "/"): Sampler {
  const {
    looks: { virsh },
    settings,
  } = libvirt;
  const rates = createRates();
  const curves = createDirtyRates();
  const held = createHeld<number>(READ_AT_ONCE);
  let known = new Set<string>();

  const forgetAllBut = (present: Set<string>): void => {
    for (const uuid of known)
      if (!present.has(uuid)) {
        for (const each of [rates, curves, held]) each.forget(uuid);
      }
    known = present;
  };
  const sampleVm = async (uuid: string, isRunning: boolean, stats: Stats): Promise<Figures> => {
    const nowMs = Date.now();
    const rate: Rate = (name, counter, atMs = nowMs) => rates.rate(`${uuid} ${name}`, counter, atMs);
    const read = (): Promise<number | null> => nonzeroBytes(libvirt, uuid, stats, nowMs);
    const nonzero = settings.measureNonzero && isRunning ? await held.of(uuid, nowMs, read) : null;
    return {
      ...figuresOf(stats, rate),
      ...present({ memory_nonzero_bytes: nonzero, memory_dirty_bytes_per_second: curves.rate(uuid, nowMs) }),
    };
  };
  return {
    sample: async () => {
      held.begin(Date.now());
      // Without waiting for a VM whose monitor is busy: it must not cost the others their figures.
      const text = await virsh("domstats", "--raw", "--nowait", "--list-active", ...GROUPS);
      const [stats, domains] = [parseDomstats(text), await readDomains(virsh)];
      forgetAllBut(new Set(domains.map(({ uuid }) => uuid)));
      const figures = await Promise.all(
        domains
          .filter(({ state }) => SAMPLED.includes(state))
          .map(async ({ uuid, name, state }): Promise<[string, Figures]> => {
            const own = stats.get(name);
            return [uuid, own === undefined ? {} : await sampleVm(uuid, state === "running", own)];
          }),
      );
      const vms = Object.fromEntries(figures);
      const host = settings.scope === "vms" ? sumOf(Object.values(vms)) : await sampleMachine(rates.rate, root);
      return { host, vms };
    },
    noteCurve: curves.note,
  };
}
