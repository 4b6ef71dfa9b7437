// Migration parameters: what the drivers do when they are told nothing.
import type { DriverName, Mechanism } from "../wire/common.ts";
import type { MigrationParameters } from "../wire/command.ts";
import { MIB } from "../units.ts";

/** What a driver does with a parameter that was left out. */
export type DriverDefaults = Omit<MigrationParameters, "maxBandwidthBytesPerSecond" | "deadlineMs"> & {
  /** Null: unlimited, as fast as the link. */
  maxBandwidthBytesPerSecond: number | null;
};

const QEMU_DEFAULTS: DriverDefaults = {
  maxBandwidthBytesPerSecond: 128 * MIB,
  downtimeLimitMs: 300,
  autoConverge: false,
  xbzrle: false,
  multifdChannels: 0,
  compression: "none",
  postCopyPreempt: false,
  preCopyRounds: 1,
  postCopyAfterMs: null,
  onDeadline: "cancel",
};

/** QEMU's own defaults; libvirt lifts QEMU's bandwidth limit. The deadline has no default of the driver's: see `defaultDeadlineMs`. */
export function driverDefaults(driver: DriverName): DriverDefaults {
  return driver === "libvirt" ? { ...QEMU_DEFAULTS, maxBandwidthBytesPerSecond: null } : { ...QEMU_DEFAULTS };
}

/** DESIGN section 5: max(90 s, three times the first round), within what a deadline may be. */
export function defaultDeadlineMs(nonzeroBytes: number, bytesPerSecond: number): number {
  return Math.min(86_400_000, Math.max(90_000, Math.ceil((3000 * nonzeroBytes) / bytesPerSecond)));
}

/**
 * The parameters with which a mechanism is run: QEMU before 10.1 refuses multifd together with what may become post-copy. The
 * same object where nothing changes.
 */
export function parametersFor(mechanism: Mechanism, parameters: MigrationParameters): MigrationParameters {
  const { multifdChannels, onDeadline, postCopyAfterMs } = parameters;
  const mayPostCopy =
    mechanism === "post-copy" ||
    mechanism === "hybrid" ||
    (mechanism === "pre-copy" && (onDeadline === "post-copy" || postCopyAfterMs !== null));
  return mayPostCopy && multifdChannels > 0 ? { ...parameters, multifdChannels: 0 } : parameters;
}
