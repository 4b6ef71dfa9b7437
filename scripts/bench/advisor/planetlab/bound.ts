// A lower bound of the energy of any policy: at every control step the cheapest hosts that could hold all VMs and do their work.
import { G4, G5, type Machine, machineOf } from "./machines.ts";
import { SAMPLES, STEP_SECONDS, type Trace } from "./traces.ts";
import { type Accounting, setDemands, type SimVm, worldOf } from "./world.ts";

/** Parts into which the weighings of sizes cut a host. */
const PARTS_MAX = 20;

/**
 * kWh from the first control step to the last, hosts switched at no cost and VMs moved at will. Per step: at least so many hosts as
 * the memory of all VMs needs (bound by dual feasible functions, in `strict` only), enough of them for the MIPS that are wanted,
 * and power of each kind by the straight line from idle that lies under its whole table. VMs that vanish are left out once gone.
 * Steps are joined by the trapezoid that the benchmark uses.
 */
export function boundKwh(traces: readonly Trace[], { idleVmsVanish, memoryCounts }: Accounting, hosts: number): number {
  let { vms } = worldOf(traces, hosts);
  const counts = { g4: Math.ceil(hosts / 2), g5: Math.floor(hosts / 2) };
  const hostsMin = memoryCounts ? hostsByMemory(vms, machineOf(0).memoryMegabytes) : 0;
  let joules = 0;
  let before = 0;
  for (let step = 1; step < SAMPLES; step++) {
    setDemands(vms, step * STEP_SECONDS + 0.1);
    if (idleVmsVanish) vms = vms.filter(({ demand }) => demand > 0);
    const wanted = vms.reduce((sum, { demand }) => sum + Math.min(demand, G5.coreMips), 0);
    const watts = cheapest(wanted, hostsMin, counts);
    if (step > 1) joules += ((before + watts) / 2) * STEP_SECONDS;
    before = watts;
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
  return Math.ceil(Math.max(...sums) - 1e-9);
}

/** Watts a MIPS above idle, of the line from idle under the whole table. */
function slopeOf({ watts, cores, coreMips }: Machine): number {
  const idle = watts[0] ?? 0;
  return Math.min(...watts.slice(1).map((at, tenth) => (at - idle) / (((tenth + 1) / 10) * cores * coreMips)));
}

const mipsOf = ({ cores, coreMips }: Machine): number => cores * coreMips;
const SLOPES = { g4: slopeOf(G4), g5: slopeOf(G5) };

/** Over every number of G5 hosts, the fewest G4 hosts that go with it; work goes where it costs least. */
function cheapest(wanted: number, hostsMin: number, counts: { g4: number; g5: number }): number {
  let best = Number.POSITIVE_INFINITY;
  for (let g5 = 0; g5 <= counts.g5; g5++) {
    const missing = Math.max(0, wanted - g5 * mipsOf(G5)) / mipsOf(G4);
    const g4 = Math.max(hostsMin - g5, Math.ceil(missing), 0);
    if (g4 > counts.g4) continue;
    const onG5 = Math.min(wanted, g5 * mipsOf(G5));
    const idle = g5 * (G5.watts[0] ?? 0) + g4 * (G4.watts[0] ?? 0);
    best = Math.min(best, idle + onG5 * SLOPES.g5 + (wanted - onG5) * SLOPES.g4);
  }
  return best;
}
