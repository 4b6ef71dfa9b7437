// A lower bound of the energy of any policy: at every control step the cheapest hosts that could hold all VMs and do their work.
import { G4, G5, type Machine, machineOf } from "./machines.ts";
import { OFFSET_SECONDS, SAMPLES, STEP_SECONDS, type Trace } from "./traces.ts";
import { type Accounting, setDemands, type SimVm, worldOf } from "./world.ts";

/** Parts into which the weighings of sizes cut a host. */
const PARTS_MAX = 20;

/**
 * kWh from the first control step to the last of any policy that gives every VM what it wants; hosts are switched and VMs moved at
 * no cost. At any time: as many hosts as the memory of all VMs needs (`strict` only), as many as the MIPS need, fractions of hosts
 * allowed, and power by the straight line from idle under a kind's whole table. That power is convex in the MIPS, and those lie
 * over the straight line between two steps, so the power of their mean at both ends is no more than what a frame draws.
 */
export function boundKwh(traces: readonly Trace[], { idleVmsVanish, memoryCounts }: Accounting, hosts: number): number {
  let { vms } = worldOf(traces, hosts);
  const counts = { g4: Math.ceil(hosts / 2), g5: Math.floor(hosts / 2) };
  const hostsMin = memoryCounts ? hostsByMemory(vms, machineOf(0).memoryMegabytes) : 0;
  let joules = 0;
  let before: number | null = null;
  for (let step = 1; step < SAMPLES; step++) {
    setDemands(vms, step * STEP_SECONDS + OFFSET_SECONDS);
    if (idleVmsVanish) vms = vms.filter(({ demand }) => demand > 0);
    const wanted = vms.reduce((sum, { demand }) => sum + Math.min(demand, G5.coreMips), 0);
    if (before !== null) joules += wattsMin((before + wanted) / 2, hostsMin, counts) * STEP_SECONDS;
    before = wanted;
  }
  return joules / 3.6e6;
}

/**
 * Fewest hosts by memory. A size x of a host counts u(x) = x if x·(k + 1) is whole, else floor((k + 1)·x) / k: no host can hold more
 * than 1 of that, whatever its VMs (Fekete and Schepers 2001). The largest sum over k = 1 … 20, and of the sizes themselves.
 */
export function hostsByMemory(vms: readonly Pick<SimVm, "memoryMegabytes">[], hostMegabytes: number): number {
  const sizes = vms.map(({ memoryMegabytes }) => memoryMegabytes / hostMegabytes);
  const sums = [sizes.reduce((sum, size) => sum + size, 0)];
  for (let k = 1; k <= PARTS_MAX; k++)
    sums.push(
      sizes.reduce((sum, size) => sum + (Number.isInteger(size * (k + 1)) ? size : Math.floor((k + 1) * size) / k), 0),
    );
  return Math.max(0, Math.ceil(Math.max(...sums) - 1e-9));
}

/** Watts a MIPS above idle, of the line from idle under the whole table. */
function slopeOf({ watts, cores, coreMips }: Machine): number {
  const idle = watts[0] ?? 0;
  return Math.min(...watts.slice(1).map((at, tenth) => (at - idle) / (((tenth + 1) / 10) * cores * coreMips)));
}

const mipsOf = ({ cores, coreMips }: Machine): number => cores * coreMips;
const SLOPES = { g4: slopeOf(G4), g5: slopeOf(G5) };

/** Least watts: work goes to G5 first, which take it for less. The least lies where one of the limits begins to bind. */
function wattsMin(wanted: number, hostsMin: number, counts: { g4: number; g5: number }): number {
  const [small, big] = [mipsOf(G4), mipsOf(G5)];
  const turns = [0, counts.g5, hostsMin, wanted / big, hostsMin - counts.g4, (wanted - counts.g4 * small) / big];
  turns.push((wanted - hostsMin * small) / (big - small));
  let least = Number.POSITIVE_INFINITY;
  for (const g5 of turns.map((turn) => Math.min(counts.g5, Math.max(0, turn)))) {
    const onG5 = Math.min(wanted, g5 * big);
    const g4 = Math.max(hostsMin - g5, (wanted - onG5) / small, 0);
    if (g4 > counts.g4 + 1e-9) continue;
    const idle = g5 * (G5.watts[0] ?? 0) + g4 * (G4.watts[0] ?? 0);
    least = Math.min(least, idle + onG5 * SLOPES.g5 + (wanted - onG5) * SLOPES.g4);
  }
  return least;
}
