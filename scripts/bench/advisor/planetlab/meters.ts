// CPU sharing, and what the benchmark counts: energy, SLA violation and migrations.
import { wattsOf } from "./machines.ts";
import type { Accounting, SimHost, World } from "./world.ts";

/** What a migrating VM loses at its source, and costs at its destination. */
const MIGRATION_SHARE = 0.1;

export type Result = {
  energyKwh: number;
  migrations: number;
  boots: number;
  /** Time of hosts that gave less than was wanted, of the time in which they were active. */
  slatah: number;
  /** MIPS·s missing while migrating, of all that were wanted. */
  pdm: number;
  slav: number;
  /** kWh × SLAV. */
  esv: number;
  /** MIPS·s missing for any reason, of all that were wanted. */
  overallViolation: number;
  /** Mean missing share of the stretches in which anything was missing. */
  averageViolation: number;
  activeHostHours: number;
  vmsLeft: number;
};

export type Meters = {
  at: number | null;
  joules: number;
  bootJoules: number;
  boots: number;
  migrations: number;
  activeSeconds: number;
  violatedSeconds: number;
  requested: number;
  allocated: number;
  missingInMigration: number;
  shortfalls: number;
  shortfallShares: number;
};

export const newMeters = (): Meters => ({
  at: null,
  joules: 0,
  bootJoules: 0,
  boots: 0,
  migrations: 0,
  activeSeconds: 0,
  violatedSeconds: 0,
  requested: 0,
  allocated: 0,
  missingInMigration: 0,
  shortfalls: 0,
  shortfallShares: 0,
});

/** Closes the stretch since the last event, whose loads must still be in place, and shares the CPU anew. */
export function advance(
  meters: Meters,
  { hosts }: World,
  accounting: Accounting,
  setDemand: () => void,
  at: number,
): void {
  const seconds = meters.at === null ? 0 : at - meters.at;
  if (seconds > 0) for (const host of hosts) countSla(meters, host, seconds);
  const before = hosts.map(({ used, on }) => ({ used, on }));
  setDemand();
  let joules = 0;
  for (const host of hosts) {
    share(host);
    const was = before[host.id];
    if (was === undefined || seconds === 0) continue;
    if (accounting.idleHostsDraw ? !was.on : was.used === 0) continue;
    const from = wattsOf(host.machine, loadOf(was.used, host));
    joules += (from + (wattsOf(host.machine, loadOf(host.used, host)) - from) / 2) * seconds;
  }
  meters.joules += joules;
  meters.at = at;
}

/** Rounding may carry a full host over 1. */
export function loadOf(used: number, { mips }: SimHost): number {
  const load = used / mips;
  return load > 1 && load < 1.01 ? 1 : load;
}

/** Stretches count with the figures at their beginning. */
function countSla(meters: Meters, host: SimHost, seconds: number): void {
  if (host.used > 0) {
    meters.activeSeconds += seconds;
    if (host.used < host.requested) meters.violatedSeconds += seconds;
  }
  for (const vm of host.vms) {
    if (vm.host !== host) continue;
    meters.requested += vm.asked * seconds;
    meters.allocated += vm.allocated * seconds;
    if (!(vm.allocated < vm.asked)) continue;
    meters.shortfalls++;
    meters.shortfallShares += (vm.asked - vm.allocated) / vm.asked;
    if (vm.migrating) meters.missingInMigration += (vm.asked - vm.allocated) * seconds;
  }
}

/**
 * Shares a host's MIPS: every VM up to one core, in order of arrival; scaled down evenly, to whole MIPS, where that is too much.
 * A VM on its way out gets nine tenths and is charged in full, one on its way in costs a tenth.
 */
export function share(host: SimHost): void {
  const { coreMips } = host.machine;
  let free = host.mips;
  let total = 0;
  let fits = true;
  for (const vm of host.vms) {
    const capped = Math.min(vm.demand, coreMips);
    const charged = vm.host === host ? capped : capped * MIGRATION_SHARE;
    total += charged;
    if (free >= charged) free -= charged;
    else fits = false;
  }
  const scale = host.mips / total;
  host.used = 0;
  host.requested = 0;
  host.on = host.vms.length > 0;
  for (const vm of host.vms) {
    const capped = Math.min(vm.demand, coreMips);
    let given = fits ? capped : capped * scale;
    if (vm.host !== host) given *= MIGRATION_SHARE;
    else if (vm.migrating) given *= 1 - MIGRATION_SHARE;
    if (!fits) given = Math.floor(given);
    if (vm.host === host) {
      vm.allocated = given;
      vm.asked = vm.demand;
      if (vm.migrating) given /= 1 - MIGRATION_SHARE;
    }
    host.used += given;
    host.requested += vm.demand;
  }
}

export function resultOf(meters: Meters, vmsLeft: number): Result {
  const energyKwh = (meters.joules + meters.bootJoules) / 3.6e6;
  const slatah = meters.violatedSeconds / meters.activeSeconds;
  const pdm = meters.missingInMigration / meters.requested;
  return {
    energyKwh,
    migrations: meters.migrations,
    boots: meters.boots,
    slatah,
    pdm,
    slav: slatah * pdm,
    esv: energyKwh * slatah * pdm,
    overallViolation: (meters.requested - meters.allocated) / meters.requested,
    averageViolation: meters.shortfalls === 0 ? 0 : meters.shortfallShares / meters.shortfalls,
    activeHostHours: meters.activeSeconds / 3600,
    vmsLeft,
  };
}
