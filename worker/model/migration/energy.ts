// Energy of a migration, both hosts together, beyond not migrating.
import type { PowerModel } from "../wire/inventory.ts";
import { COMPRESS_BYTES_PER_SECOND, ENERGY, MIGRATION_CPU } from "./priors.ts";
import type { Course, Scenario } from "./scenario.ts";
import type { Assumption, EstimateInput } from "./types.ts";

/** A host's power at equal steps of load from idle to all cores busy, and how busy it is without the migration. */
export type HostPower = { watts: readonly number[]; cores: number; cpuUsedCores: number };

/** From the power models of both hosts, or linear in what is sent. */
export type EnergyModel = { from: "power"; source: HostPower; destination: HostPower } | { from: "traffic" };

/** A stretch of a migration: seconds of one core at either end, spread evenly over its duration. */
export type Stretch = { durationMs: number; sendCoreSeconds: number; receiveCoreSeconds: number };

type Note = (field: string, value: Assumption["value"], why: string) => void;
type Host = NonNullable<NonNullable<EstimateInput["hosts"]>["source"]>;

/** Which model the input allows; the note says which. A host without a power model is taken to be like the other. */
export function resolveEnergy({ hosts }: EstimateInput, note: Note): EnergyModel {
  const known = hosts?.source?.power ?? hosts?.destination?.power;
  if (known === undefined) {
    note(
      "hosts.source.power",
      null,
      `not given: energy by traffic, ${ENERGY.joulesPerMegabyte} J/MB and ${ENERGY.joulesFixed} J, as measured on hosts of 2011`,
    );
    return { from: "traffic" };
  }
  note("energyJoules", "power models", "by the processor time of sending and receiving, from the hosts' power models");
  const resolve = (side: "source" | "destination") => hostPower(hosts?.[side] ?? {}, side, known, note);
  return { from: "power", source: resolve("source"), destination: resolve("destination") };
}

function hostPower(host: Host, side: string, other: PowerModel, note: Note): HostPower {
  if (host.power === undefined) note(`hosts.${side}.power`, null, "not given: like the other host's");
  if (host.cores === undefined) note(`hosts.${side}.cores`, ENERGY.hostCores, "not given: two sockets of sixteen");
  const cores = host.cores ?? ENERGY.hostCores;
  const guess = cores * ENERGY.hostCpuRatio;
  if (host.cpuUsedCores === undefined) note(`hosts.${side}.cpuUsedCores`, guess, "not given: four tenths busy");
  const power = host.power ?? other;
  const watts = "tableWatts" in power ? power.tableWatts : [power.idleWatts, power.peakWatts];
  return { watts, cores, cpuUsedCores: Math.min(cores, host.cpuUsedCores ?? guess) };
}

/** Watts at a load of 0…1: straight lines between the steps. */
export function wattsAt(watts: readonly number[], load: number): number {
  const position = Math.min(1, Math.max(0, load)) * (watts.length - 1);
  const below = watts[Math.floor(position)] ?? 0;
  return below + ((watts[Math.ceil(position)] ?? below) - below) * (position % 1);
}

/** ∫ P(u + du) − P(u) over the stretches, of both hosts; no more cores than are free are taken. Joules. */
export function powerJoules(source: HostPower, destination: HostPower, stretches: readonly Stretch[]): number {
  let joules = 0;
  for (const { durationMs, sendCoreSeconds, receiveCoreSeconds } of stretches) {
    joules += extraJoules(source, durationMs, sendCoreSeconds);
    joules += extraJoules(destination, durationMs, receiveCoreSeconds);
  }
  return joules;
}

function extraJoules({ watts, cores, cpuUsedCores }: HostPower, durationMs: number, coreSeconds: number): number {
  if (durationMs <= 0) return 0;
  const used = cpuUsedCores / cores;
  const more = (coreSeconds * 1000) / (durationMs * cores);
  return ((wattsAt(watts, used + more) - wattsAt(watts, used)) * durationMs) / 1000;
}

/** Linear in what is sent (Liu et al., HPDC 2011); joules. */
export function trafficJoules(bytes: number): number {
  return ENERGY.joulesPerMegabyte * (bytes / 1e6) + ENERGY.joulesFixed;
}

/** Of one course, `diskBytes` being all that was sent of the disks. */
export function energyJoules(scenario: Scenario, course: Course, diskBytes: number): number {
  const { energy, energyFactor } = scenario;
  if (energy.from === "traffic") return trafficJoules(course.wireBytes + diskBytes) * energyFactor;
  return powerJoules(energy.source, energy.destination, stretchesOf(scenario, course, diskBytes)) * energyFactor;
}

/** The copy of the disks, and all that follows: rates within these are nearly even. */
function stretchesOf(scenario: Scenario, course: Course, diskBytes: number): Stretch[] {
  const { disks, rounds, switchover, "post-copy": resume } = course.phaseMs;
  const memory = stretchOf(course.wireBytes, rounds + switchover + resume);
  if (Number.isFinite(scenario.compressBytesPerSecond)) {
    const kind = scenario.parameters.compression;
    const perByte = 1 / COMPRESS_BYTES_PER_SECOND[kind === "none" ? "threads" : kind];
    memory.sendCoreSeconds += course.pages * scenario.pageBytes * perByte;
    memory.receiveCoreSeconds += course.pages * scenario.pageBytes * perByte * MIGRATION_CPU.decompressRatio;
  }
  // Disks copied after the switch-over go beside the memory.
  return disks > 0
    ? [stretchOf(diskBytes, disks), memory]
    : [memory, stretchOf(diskBytes, rounds + switchover + resume)];
}

function stretchOf(bytes: number, durationMs: number): Stretch {
  const { sendCores, receiveCores, bytesPerSecond } = MIGRATION_CPU;
  return {
    durationMs,
    sendCoreSeconds: (bytes / bytesPerSecond) * sendCores,
    receiveCoreSeconds: (bytes / bytesPerSecond) * receiveCores,
  };
}
