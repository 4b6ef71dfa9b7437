// Drover's migration parameters as the arguments of `virsh migrate`, and the addresses that the two sides give each other.
import { isPreparedForPostCopy } from "../../../worker/model/migration/in-flight-rules.ts";
import { MIB } from "../../../worker/model/units.ts";
import { DriverError, type MigrationSpec } from "../driver.ts";
import { parameterReasons } from "../qemu-parameters.ts";
import { hostAddress, type LibvirtSettings } from "./config.ts";

/** libvirt counts bandwidth in MiB/s, of which it needs one at least; rounded down, for it is a ceiling. */
export const toMibPerSecond = (bytesPerSecond: number): string => String(Math.floor(bytesPerSecond / MIB));

/** What libvirt has no words for, each with what to change. */
export function libvirtReasons(spec: MigrationSpec): string[] {
  const { maxBandwidthBytesPerSecond, xbzrle, multifdChannels, postCopyPreempt } = spec.parameters;
  const reasons = parameterReasons(spec);
  if (maxBandwidthBytesPerSecond < MIB)
    reasons.push(
      `maxBandwidthBytesPerSecond is ${maxBandwidthBytesPerSecond}; libvirt takes whole MiB/s: allow ${MIB}`,
    );
  if (xbzrle && multifdChannels > 0)
    reasons.push(`xbzrle and ${multifdChannels} multifd channels exclude each other in libvirt: choose one`);
  if (postCopyPreempt) reasons.push("libvirt has no flag for postcopy-preempt: set postCopyPreempt to false");
  return reasons;
}

const inBrackets = (address: string): string => (address.includes(":") ? `[${address}]` : address);

/** What the destination tells the source: names only, so that no word of others becomes a URI of libvirt's. */
export const toMigrationUri = ({ address, migrateAddress }: LibvirtSettings): string =>
  `libvirt:${address}${migrateAddress === undefined ? "" : `?memory=${migrateAddress}`}`;

/** libvirt's own URIs of a destination, by this host's settings. Throws DriverError `bad-uri` for anything else. */
export function readMigrationUri(
  migrationUri: string,
  { destinationUri }: LibvirtSettings,
): { desturi: string; migrateuri: string | null; address: string } {
  const [, address, memory] = /^libvirt:([^?]*)(?:\?memory=(.*))?$/.exec(migrationUri) ?? [];
  const isGood = (name: string): boolean => hostAddress.safeParse(name).success;
  if (address === undefined || !isGood(address) || (memory !== undefined && !isGood(memory)))
    throw new DriverError("bad-uri", `${migrationUri} is not what a libvirt driver has prepared`);
  return {
    desturi: destinationUri.replace("{address}", () => inBrackets(address)),
    migrateuri: memory === undefined ? null : `tcp://${inBrackets(memory)}`,
    address,
  };
}

function optionsOf({ parameters }: MigrationSpec): string[] {
  const { autoConverge, xbzrle, multifdChannels, compression } = parameters;
  const methods = [...(xbzrle ? ["xbzrle"] : []), ...(compression === "none" ? [] : [compression])];
  return [
    ...(autoConverge ? ["--auto-converge"] : []),
    ...(methods.length > 0 ? ["--compressed", "--comp-methods", methods.join(",")] : []),
    ...(multifdChannels > 0 ? ["--parallel", "--parallel-connections", String(multifdChannels)] : []),
  ];
}

/**
 * What of `virsh migrate` does not depend on the destination. `persistent`: the VM has a definition on its host, which goes with
 * it. Without `--live` libvirt stops the guest first: that is stop-and-copy. `--timeout` is never used: the agent steers.
 */
export function migrateOptions(spec: MigrationSpec, settings: LibvirtSettings, persistent: boolean): string[] {
  const [reason] = libvirtReasons(spec);
  if (reason !== undefined) throw new DriverError("bad-parameters", reason);
  const { postCopyBytesPerSecond, tls } = settings;
  const ceiling =
    postCopyBytesPerSecond === undefined ? [] : ["--postcopy-bandwidth", toMibPerSecond(postCopyBytesPerSecond)];
  // Post-copy has a ceiling of its own. A fast link would be through with pre-copy before libvirt could be told to turn it over.
  const bandwidth = spec.mechanism === "post-copy" ? MIB : spec.parameters.maxBandwidthBytesPerSecond;
  return [
    "--abort-on-error",
    ...(spec.mechanism === "stop-and-copy" ? [] : ["--live"]),
    ...(persistent ? ["--persistent", "--undefinesource"] : []),
    "--bandwidth",
    toMibPerSecond(bandwidth),
    ...(isPreparedForPostCopy(spec) ? ["--postcopy", ...ceiling] : []),
    ...optionsOf(spec),
    ...(tls ? ["--tls"] : []),
  ];
}

/** The arguments after `virsh -c URI`. A post-copy is resumed with the options that it was begun with. */
export function migrateArguments(
  uuid: string,
  options: readonly string[],
  migrationUri: string,
  settings: LibvirtSettings,
  resume = false,
): string[] {
  const { desturi, migrateuri, address } = readMigrationUri(migrationUri, settings);
  return [
    "migrate",
    "--p2p",
    ...options,
    ...(options.includes("--tls") ? ["--tls-destination", address] : []),
    ...(resume ? ["--postcopy-resume"] : []),
    "--domain",
    uuid,
    "--desturi",
    desturi,
    ...(migrateuri === null ? [] : ["--migrateuri", migrateuri]),
  ];
}
