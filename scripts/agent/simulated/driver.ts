// The simulated hypervisor as a driver of the agent.
import { z } from "zod";
import type { Driver } from "../driver.ts";
import { connectWorld } from "./client.ts";
import type { SimulatedHypervisor } from "./world.ts";

/** The `driver` of an agent's configuration. */
export const simulatedDriverConfig = z.strictObject({
  name: z.literal("simulated"),
  /** Which of the world's hosts this is. */
  host: z.string().min(1),
  /** The unix socket at which the world is served. */
  socket: z.string().min(1),
});

/** A driver for one host of a world. Closing it leaves the world as it is. */
export function simulatedDriver(hypervisor: SimulatedHypervisor, hostId: string): Driver {
  return {
    name: "simulated",
    handshake: "agents",
    now: hypervisor.now,
    ...hypervisor.host(hostId),
    announce: async () => "by-hypervisor",
    close: async () => {},
  };
}

/**
 * Connects to a world that another process serves. Throws a ZodError for a configuration that is not
 * `simulatedDriverConfig`, DriverError `unreachable` when nobody serves a world there.
 */
export async function createSimulatedDriver(config: unknown): Promise<Driver> {
  const { host, socket } = simulatedDriverConfig.parse(config);
  const hypervisor = await connectWorld(socket);
  return { ...simulatedDriver(hypervisor, host), close: hypervisor.close };
}
