// How fast a guest dirties memory. `page-sampling` only: the other two modes of `calc-dirty-rate` end QEMU 7.2 under TCG with
// a segmentation fault, and with KVM they slow the guest.
import { setTimeout as wait } from "node:timers/promises";
import { MIB, SECOND_MS } from "../../../worker/model/units.ts";
import type { DirtyCurveReport } from "../../../worker/model/wire/telemetry.ts";
import { DriverError } from "../driver.ts";
import { dirtyRateAnswer } from "./answers.ts";
import { neverRan, type Vm } from "./vm.ts";

/** `calc-time` is whole seconds, at least one. */
const WINDOWS_S = [1, 2, 4];
/** Of 512 to 4096 a GiB that QEMU allows: halves the error. */
const PAGES_PER_GIB = 4096;
/** QEMU leaves out smaller memory blocks. */
const SAMPLED_BYTES_MIN = 128 * MIB;
const POLL_MS = 30;
const PATIENCE_MS = 10_000;

const IDLE = new Set(["none", "completed", "failed", "cancelled"]);

/** Running, and no migration touches it: reading the memory of an incoming or post-copied guest could block for ever. */
export async function isUndisturbed(vm: Vm): Promise<boolean> {
  if (neverRan(vm.descriptor())) return false;
  const truth = await vm.truth();
  return truth.running && IDLE.has(truth.migration.status ?? "none");
}

/** Distinct bytes dirtied in a window of that many seconds, rounded down to whole MiB a second; null if QEMU would not say. */
async function measure(vm: Vm, seconds: number): Promise<number | null> {
  try {
    await vm.command("calc-dirty-rate", {
      "calc-time": seconds,
      mode: "page-sampling",
      "sample-pages": PAGES_PER_GIB,
    });
  } catch (error) {
    // Refused while a calculation is under way that an earlier agent has begun.
    if (error instanceof DriverError && error.reason === "hypervisor-refused") return null;
    throw error;
  }
  await wait(seconds * SECOND_MS);
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await wait(POLL_MS)) {
    const answer = await vm.query(dirtyRateAnswer, "query-dirty-rate");
    if (answer.status === "measured") return (answer["dirty-rate"] ?? 0) * MIB * seconds;
  }
  return null;
}

/**
 * U(1 s), U(2 s) and U(4 s), in about 7 s; null when the guest does not run, migrates, or is too small to be sampled. A longer
 * window never holds less than a shorter one, so that a smaller figure is sampling noise and raised to the one before.
 */
export function measureDirtyCurve(vm: Vm): Promise<DirtyCurveReport | null> {
  return vm.alone(async () => {
    if (vm.descriptor().vm.memoryBytes < SAMPLED_BYTES_MIN) return null;
    const points: [number, number][] = [];
    for (const seconds of WINDOWS_S) {
      const bytes = (await isUndisturbed(vm)) ? await measure(vm, seconds) : null;
      if (bytes === null) return null;
      points.push([seconds * SECOND_MS, Math.max(bytes, points.at(-1)?.[1] ?? 0)]);
    }
    return { at: Date.now(), method: "page-sampling", resolution_bytes: MIB, points };
  });
}
