// Serves a simulated world over a unix socket with JSON lines, so that agents are processes of their own: an agent that is
// killed leaves its hypervisor running, as in life.
import { rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { z } from "zod";
import { DriverError } from "../driver.ts";
import type { Fault, SimulatedHypervisor } from "./world.ts";

/** One call: an operation of a host, or `time`, `fault`, `inspect` of the world. */
export const simulatedCall = z.strictObject({
  id: z.int(),
  hostId: z.string().nullable(),
  method: z.string(),
  parameters: z.array(z.unknown()),
});

export const simulatedAnswer = z.union([
  z.strictObject({ id: z.int(), result: z.unknown() }),
  z.strictObject({ id: z.int(), error: z.strictObject({ reason: z.string(), detail: z.string() }) }),
]);
export type SimulatedAnswer = z.infer<typeof simulatedAnswer>;

async function perform(hypervisor: SimulatedHypervisor, call: z.infer<typeof simulatedCall>): Promise<unknown> {
  const { hostId, method, parameters } = call;
  if (hostId === null) {
    if (method === "time") return hypervisor.time;
    // Both ends are this project: the parameters are those of the interface.
    if (method === "fault") return hypervisor.fault(parameters[0] as Fault);
    if (method === "inspect") return hypervisor.inspect(String(parameters[0]));
  } else {
    const host = hypervisor.host(hostId);
    const operation = Object.hasOwn(host, method) ? host[method as keyof typeof host] : undefined;
    if (operation !== undefined) return (operation as (...all: unknown[]) => Promise<unknown>)(...parameters);
  }
  throw new DriverError("unknown-method", `the simulated hypervisor has no method ${method}`);
}

async function answer(hypervisor: SimulatedHypervisor, line: string): Promise<SimulatedAnswer> {
  const call = simulatedCall.parse(JSON.parse(line));
  try {
    return { id: call.id, result: (await perform(hypervisor, call)) ?? null };
  } catch (error) {
    const reason = error instanceof DriverError ? error.reason : "internal";
    return { id: call.id, error: { reason, detail: error instanceof Error ? error.message : String(error) } };
  }
}

/** Listens at `socketPath` (an old socket there is replaced) until `close`. */
export async function serveWorld(
  hypervisor: SimulatedHypervisor,
  socketPath: string,
): Promise<{ close: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    // A client that was killed: its calls are answered to nobody.
    socket.on("error", () => socket.destroy());
    const lines = createInterface({ input: socket });
    lines.on("error", () => socket.destroy());
    lines.on("line", (line) => {
      answer(hypervisor, line).then(
        (answered) => socket.writable && socket.write(`${JSON.stringify(answered)}\n`),
        () => socket.destroy(),
      );
    });
  });
  rmSync(socketPath, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  return {
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
