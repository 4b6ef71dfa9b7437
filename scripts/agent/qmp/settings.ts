// Drover's migration parameters as QEMU's capabilities and parameters. Capabilities must be the same on both sides and set
// before `migrate-incoming` and `migrate`: afterwards QEMU refuses to change them.
import { isPreparedForPostCopy } from "../../../worker/model/migration/in-flight-rules.ts";
import { DriverError, type MigrationSpec } from "../driver.ts";
import { parameterReasons } from "../qemu-parameters.ts";
import type { QmpSettings } from "./config.ts";
import type { Vm } from "./vm.ts";

/** QEMU's word for "no ceiling" in max-postcopy-bandwidth. */
const UNLIMITED = 0;

/** Every capability that Drover uses, on or off, so that nothing is left over from an earlier migration. */
export function capabilitiesOf(spec: MigrationSpec): { capability: string; state: boolean }[] {
  const { parameters } = spec;
  const postCopy = isPreparedForPostCopy(spec);
  const states = {
    events: true,
    // The destination refuses a stream that is not this VM's.
    "validate-uuid": true,
    // The source hears whether the destination could load the VM before it calls the migration completed.
    "return-path": true,
    "auto-converge": parameters.autoConverge,
    xbzrle: parameters.xbzrle,
    multifd: parameters.multifdChannels > 0,
    "postcopy-ram": postCopy,
    "postcopy-preempt": postCopy && parameters.postCopyPreempt,
  };
  return Object.entries(states).map(([capability, state]) => ({ capability, state }));
}

/** Hands QEMU this side's certificates. One left over from an earlier migration goes first: files may have been renewed. */
async function useTls(vm: Vm, directory: string, endpoint: "server" | "client"): Promise<void> {
  const id = `drover-tls-${endpoint}`;
  // Refused when there is none, which is as good.
  await vm.command("object-del", { id }).catch(() => undefined);
  const credentials = { "qom-type": "tls-creds-x509", id, dir: directory, endpoint, "verify-peer": true };
  await vm.command("object-add", credentials);
  await vm.command("migrate-set-parameters", { "tls-creds": id });
}

/** Sets up one side. Throws DriverError with QEMU's reason when it cannot do what is asked. */
export async function configure(
  vm: Vm,
  spec: MigrationSpec,
  { postCopyBytesPerSecond, tlsDirectory }: QmpSettings,
  endpoint: "server" | "client",
): Promise<void> {
  const { parameters } = spec;
  const [reason] = parameterReasons(spec);
  if (reason !== undefined) throw new DriverError("bad-parameters", reason);
  if (tlsDirectory !== undefined) await useTls(vm, tlsDirectory, endpoint);
  // All off first: QEMU checks each combination on the way, and 7.2 has no postcopy-preempt before postcopy-ram.
  const wanted = capabilitiesOf(spec);
  await vm.command("migrate-set-capabilities", { capabilities: wanted.map((each) => ({ ...each, state: false })) });
  await vm.command("migrate-set-capabilities", { capabilities: wanted });
  await vm.command("migrate-set-parameters", {
    "max-bandwidth": Math.round(parameters.maxBandwidthBytesPerSecond),
    "downtime-limit": parameters.downtimeLimitMs,
    "max-postcopy-bandwidth": postCopyBytesPerSecond === undefined ? UNLIMITED : Math.round(postCopyBytesPerSecond),
    ...(parameters.multifdChannels > 0
      ? { "multifd-channels": parameters.multifdChannels, "multifd-compression": parameters.compression }
      : {}),
  });
}
