// How fast a guest dirties memory, by `domdirtyrate-calc`. `page-sampling` only: the other modes of QEMU's `calc-dirty-rate` end
// QEMU 7.2 under TCG with a segmentation fault, and with KVM they slow the guest.
import { setTimeout as wait } from "node:timers/promises";
import { MIB, SECOND_MS } from "../../../worker/model/units.ts";
import type { DirtyCurveReport } from "../../../worker/model/wire/telemetry.ts";
import { DriverError } from "../driver.ts";
import { lookAt } from "./domains.ts";
import { numberOf, parseDomstats, type Stats } from "./raw.ts";
import { isJobActive, toVmState } from "./state.ts";
import type { Virsh } from "./virsh.ts";

/** libvirt takes whole seconds, 1 to 60. */
const WINDOWS_S = [1, 2, 4];
/** QEMU leaves out smaller memory blocks. */
const SAMPLED_BYTES_MIN = 128 * MIB;
const MEASURED = 2;
const POLL_MS = 100;
const PATIENCE_MS = 10_000;

/** Running, and no job of libvirt touches it. */
async function isUndisturbed(virsh: Virsh, uuid: string): Promise<boolean> {
  const { domain, job } = await lookAt(virsh, uuid);
  const isRunning = domain !== null && toVmState(domain, false) === "running";
  return isRunning && job !== "arriving" && !isJobActive(job);
}

async function statsOf(virsh: Virsh, uuid: string, group: string): Promise<Stats> {
  const [stats = {}] = parseDomstats(await virsh("domstats", "--raw", group, uuid)).values();
  return stats;
}

/** Distinct bytes dirtied in a window of that many seconds, rounded down to whole MiB a second; null if libvirt would not say. */
async function measure(virsh: Virsh, uuid: string, seconds: number): Promise<number | null> {
  try {
    await virsh("domdirtyrate-calc", uuid, "--seconds", String(seconds), "--mode", "page-sampling");
  } catch (error) {
    // Refused while a calculation is under way that an earlier agent has begun.
    if (error instanceof DriverError && error.reason === "hypervisor-refused") return null;
    throw error;
  }
  await wait(seconds * SECOND_MS);
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await wait(POLL_MS)) {
    const stats = await statsOf(virsh, uuid, "--dirtyrate");
    const rate = numberOf(stats, "dirtyrate.megabytes_per_second");
    const isOurs = numberOf(stats, "dirtyrate.calc_period") === seconds;
    if (numberOf(stats, "dirtyrate.calc_status") === MEASURED && isOurs)
      return rate === null ? null : rate * MIB * seconds;
  }
  return null;
}

/**
 * U(1 s), U(2 s) and U(4 s), in about 8 s; null when the guest does not run, migrates, or is too small to be sampled. A longer
 * window never holds less than a shorter one, so that a smaller figure is sampling noise and raised to the one before.
 */
export async function measureDirtyCurve(virsh: Virsh, uuid: string): Promise<DirtyCurveReport | null> {
  if (!(await isUndisturbed(virsh, uuid))) return null;
  const memoryKib = numberOf(await statsOf(virsh, uuid, "--balloon"), "balloon.maximum");
  if (memoryKib === null || memoryKib * 1024 < SAMPLED_BYTES_MIN) return null;
  const points: [number, number][] = [];
  for (const seconds of WINDOWS_S) {
    const bytes = (await isUndisturbed(virsh, uuid)) ? await measure(virsh, uuid, seconds) : null;
    if (bytes === null) return null;
    points.push([seconds * SECOND_MS, Math.max(bytes, points.at(-1)?.[1] ?? 0)]);
  }
  return { at: Date.now(), method: "page-sampling", resolution_bytes: MIB, points };
}
