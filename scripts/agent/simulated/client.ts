// The other end of daemon.ts: the same hypervisor, in another process.
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { z } from "zod";
import { DriverError } from "../driver.ts";
import { systemClock } from "./config.ts";
import { simulatedAnswer } from "./daemon.ts";
import type { HostOperations, Inspection, SimulatedHypervisor } from "./world.ts";

type Waiting = { resolve: (result: unknown) => void; reject: (error: Error) => void };
type Call = (hostId: string | null, method: string, parameters: unknown[]) => Promise<unknown>;

const METHODS = [
  "inventory",
  "vmStates",
  "sample",
  "dirtyCurve",
  "preflight",
  "prepareIncoming",
  "observeIncoming",
  "continueIncoming",
  "abandonIncoming",
  "startOutgoing",
  "observeOutgoing",
  "setDowntimeLimit",
  "setBandwidth",
  "startPostCopy",
  "forceSwitchover",
  "cancelOutgoing",
  "recoverIncoming",
  "recoverOutgoing",
  "releaseSource",
  "continueSource",
] as const satisfies (keyof HostOperations)[];

/** Calls over one connection, which is made anew by the next call after it was lost. */
function createCaller(socketPath: string): { call: Call; close: () => void } {
  const waiting = new Map<number, Waiting>();
  let socket: Socket | null = null;
  let lastId = 0;
  const lose = (lost: Socket): void => {
    if (socket !== lost) return;
    socket = null;
    for (const { reject } of waiting.values())
      reject(
        new DriverError("unreachable", `the simulated hypervisor at ${socketPath} is gone: is its process running?`),
      );
    waiting.clear();
  };
  const open = (): Socket => {
    const opened = connect(socketPath);
    opened.on("error", () => lose(opened));
    opened.on("close", () => lose(opened));
    const lines = createInterface({ input: opened });
    lines.on("error", () => lose(opened));
    lines.on("line", (line) => {
      const answer = simulatedAnswer.parse(JSON.parse(line));
      const waiter = waiting.get(answer.id);
      waiting.delete(answer.id);
      if ("error" in answer) waiter?.reject(new DriverError(answer.error.reason, answer.error.detail));
      else waiter?.resolve(answer.result);
    });
    return opened;
  };
  return {
    call: (hostId, method, parameters) =>
      new Promise((resolve, reject) => {
        const id = ++lastId;
        waiting.set(id, { resolve, reject });
        socket ??= open();
        socket.write(`${JSON.stringify({ id, hostId, method, parameters })}\n`);
      }),
    close: () => socket?.destroy(),
  };
}

const simulatedTime = z.strictObject({ startAt: z.number(), timeScale: z.number() });

/** Throws DriverError `unreachable` when nobody serves a world there. */
export async function connectWorld(socketPath: string): Promise<SimulatedHypervisor> {
  const { call, close } = createCaller(socketPath);
  const time = simulatedTime.parse(await call(null, "time", []));
  return {
    // Both processes are on one machine and so read one wall clock.
    now: () => time.startAt + (systemClock.now() - time.startAt) * time.timeScale,
    time,
    host: (hostId) =>
      // Same names and parameters on both sides: the daemon performs what is asked here.
      Object.fromEntries(
        METHODS.map((method) => [method, (...parameters: unknown[]) => call(hostId, method, parameters)]),
      ) as HostOperations,
    fault: async (fault) => void (await call(null, "fault", [fault])),
    inspect: async (uuid) => (await call(null, "inspect", [uuid])) as Inspection,
    close: async () => close(),
  };
}
