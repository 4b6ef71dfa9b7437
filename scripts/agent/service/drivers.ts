// The drivers of this build. Each is loaded when it is asked for: what an agent never uses takes none of its memory.
import { z } from "zod";
import type { DriverName } from "../../../worker/model/wire/common.ts";
import { ConfigError, type Settings } from "../config.ts";
import type { Driver } from "../driver.ts";
import { describeIssues } from "../issues.ts";

const drivers: Record<DriverName, (config: Settings["driver"]) => Promise<Driver>> = {
  libvirt: async (config) => {
    const { libvirtConfig } = await import("../libvirt/config.ts");
    return (await import("../libvirt/driver.ts")).createLibvirtDriver(libvirtConfig.parse(config));
  },
  qmp: async (config) => {
    const { qmpConfig } = await import("../qmp/config.ts");
    return (await import("../qmp/driver.ts")).createQmpDriver(qmpConfig.parse(config));
  },
  simulated: async (config) => (await import("../simulated/driver.ts")).createSimulatedDriver(config),
};

/** Throws ConfigError with every wrong field of the driver's settings, DriverError when its hypervisor cannot be reached at all. */
export async function openDriver({ driver }: Settings): Promise<Driver> {
  try {
    return await drivers[driver.name](driver);
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    throw new ConfigError(`the settings of driver ${driver.name} are wrong: ${describeIssues(error)}`);
  }
}
