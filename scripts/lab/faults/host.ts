// What a site runs its guests on: QEMUs that the agent drives itself, or a libvirt of its own.
import { randomUUID } from "node:crypto";
import path from "node:path";
import { GIB, MIB } from "../../../worker/model/units.ts";
import type { AgentConfig } from "../../agent/config.ts";
import { readDescriptor } from "../../agent/qmp/descriptor.ts";
import { findProcess } from "../../agent/qmp/process.ts";
import type { Guest } from "../build-guest.ts";
import { startLibvirt, startLibvirtGuest } from "../libvirt.ts";
import { endGuests, labHostConfig, serialFile, startGuest, type LabHost, type LabVm } from "../machine.ts";

/** Loopback under TCG, destination with untouched memory: measured 1.1 GB/s at the most. */
const LOOPBACK_BYTES_PER_SECOND = 1.1e9;
const CORES = 4;
const MEMORY_BYTES = 2 * GIB;
/** Slow enough for a post-copy to be met on its way. */
const POST_COPY_BYTES_PER_SECOND = 6 * MIB;

export type SiteHost = {
  /** The agent's settings for it. */
  driver: AgentConfig["driver"];
  /** Starts a guest, which is up when its serial line says `FILLED`. Returns its UUID. */
  boot: (vm: LabVm) => Promise<string>;
  /** Where a guest writes its serial line here. */
  serialFile: (uuid: string) => string;
  /** Whether a process here holds the guest, running or not. */
  holds: (uuid: string) => Promise<boolean>;
  /** Ends its guests, and what runs them. */
  stop: () => Promise<void>;
};

/** Where the qmp driver of a site keeps what it knows of its guests. */
export const qmpDirectory = (folder: string): string => path.join(folder, "vms");

export function qmpHost(guest: Guest, folder: string): SiteHost {
  const directory = qmpDirectory(folder);
  const host: LabHost = {
    directory,
    cores: CORES,
    memoryBytes: MEMORY_BYTES,
    migrationBytesPerSecond: LOOPBACK_BYTES_PER_SECOND,
  };
  return {
    driver: labHostConfig(guest, host),
    boot: async (vm) => (await startGuest(guest, host, vm)).vm.uuid,
    serialFile: (uuid) => serialFile(directory, uuid),
    holds: async (uuid) => {
      const known = readDescriptor(directory, uuid);
      return known !== null && (await findProcess(known)) !== null;
    },
    stop: () => endGuests(directory),
  };
}

/** `index` tells its ports from those of the other libvirts on this machine. */
export async function libvirtHost(guest: Guest, folder: string, index: number): Promise<SiteHost> {
  const host = await startLibvirt(path.dirname(folder), path.basename(folder), index);
  const { virsh } = host;
  return {
    driver: {
      ...host.config,
      cores: CORES,
      memoryBytes: MEMORY_BYTES,
      migrationBytesPerSecond: LOOPBACK_BYTES_PER_SECOND,
      postCopyBytesPerSecond: POST_COPY_BYTES_PER_SECOND,
      measureNonzero: true,
    },
    boot: async ({ name, memoryMib, work }) => {
      const uuid = randomUUID();
      await startLibvirtGuest(host, guest, { uuid, name, memoryMib, work });
      return uuid;
    },
    serialFile: host.serialFile,
    holds: async (uuid) => (await virsh("list", "--uuid")).includes(uuid),
    stop: host.stop,
  };
}
