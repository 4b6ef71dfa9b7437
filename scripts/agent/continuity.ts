// Whether the network follows a VM that was moved: its new place is announced by the destination, and whether its address
// answers is looked at from the host that it has left, across the network that had to learn it. Nothing here undoes a move.
import { execFile } from "node:child_process";
import { connect } from "node:net";
import { promisify } from "node:util";
import { z } from "zod";
import { messageOf } from "./log.ts";
import type { Parts } from "./parts.ts";
import type { DestinationRun, SourceRun } from "./runs.ts";
import { NAMES_NONE, namesSome, selects, vmSelector } from "./selectors.ts";

/** Time between two attempts, and for one of them, ms. */
const RETRY_MS = 500;
const ATTEMPT_MS = 2000;

/** A name or an address, and nothing that a program could take for an option. */
const address = z
  .string()
  .regex(/^[A-Za-z0-9:][A-Za-z0-9._:-]{0,252}$/, "a host name or an IP address without brackets");

export const addressCheck = z
  .strictObject({
    ...vmSelector,
    check: z.enum(["ping", "tcp"]),
    address,
    /** Of `tcp`. */
    port: z.int().min(1).max(65_535).optional(),
    /** How long after the move it may take until the VM answers. */
    withinMs: z.int().min(500).max(60_000).default(10_000),
  })
  .refine(namesSome, { message: NAMES_NONE, path: ["vms"] })
  .refine(({ check, port }) => (check === "tcp") === (port !== undefined), {
    message: "goes with `tcp`, and only with it",
    path: ["port"],
  });
export type AddressCheck = z.output<typeof addressCheck>;

export const addressChecks = z.array(addressCheck).max(64).default([]);

const nameOf = ({ check, address: where, port }: AddressCheck): string =>
  port === undefined ? `${check} ${where}` : `${check} ${where}:${port}`;

/** Null: it answers; else why not. */
async function ask({ check, address: where, port }: AddressCheck, timeoutMs: number): Promise<string | null> {
  if (check === "ping") {
    const seconds = String(Math.max(1, Math.ceil(timeoutMs / 1000)));
    return promisify(execFile)("ping", ["-n", "-c", "1", "-W", seconds, where], { timeout: timeoutMs + 500 }).then(
      () => null,
      (error: unknown) => (messageOf(error).includes("ENOENT") ? "there is no program ping" : "no answer"),
    );
  }
  return new Promise((resolve) => {
    const socket = connect({ host: where, port: port ?? 0 });
    const end = (why: string | null): void => {
      socket.destroy();
      resolve(why);
    };
    socket.setTimeout(timeoutMs, () => end(`no answer in ${Math.round(timeoutMs)} ms`));
    socket.once("connect", () => end(null));
    socket.once("error", (error) => end(messageOf(error)));
  });
}

type Seen = { answered: boolean; elapsedMs: number; detail: string };

/** Asks until it answers or its time is over; null: the agent is being stopped first. */
async function look({ life }: Parts, check: AddressCheck): Promise<Seen | null> {
  const beganAt = performance.now();
  for (let attempt = 1; ; attempt++) {
    const leftMs = check.withinMs - (performance.now() - beganAt);
    const why = await ask(check, Math.max(100, Math.min(ATTEMPT_MS, leftMs)));
    const elapsedMs = performance.now() - beganAt;
    if (why === null) return { answered: true, elapsedMs, detail: `answered at attempt ${attempt}` };
    if (life.isStopping()) return null;
    if (elapsedMs + RETRY_MS >= check.withinMs)
      return { answered: false, elapsedMs, detail: `${why}, in ${attempt} attempts` };
    await life.sleep(RETRY_MS);
  }
}

/** Looks at every address that is configured for a VM which has left this host. False: the agent is being stopped first. */
export async function checkAddresses(parts: Parts, { command }: SourceRun): Promise<boolean> {
  const wanted = parts.settings.addressChecks.filter((check) => selects(check, command.vm));
  const looks = await Promise.all(
    wanted.map(async (check) => {
      const seen = await look(parts, check);
      if (seen !== null) tell(parts, command, nameOf(check), seen);
      return seen !== null;
    }),
  );
  return looks.every((isDone) => isDone);
}

function tell(
  { outbox, log }: Parts,
  { migrationId, fencingToken, vm }: SourceRun["command"],
  name: string,
  seen: Seen,
) {
  outbox.add(migrationId, { type: "address-checked", fencingToken, name, ...seen });
  if (seen.answered) return log("info", "a moved VM answers", { migrationId, name, ...seen });
  const trouble = `${vm.name} does not answer after its move; it runs at its destination all the same`;
  return log("warn", trouble, { migrationId, name, ...seen });
}

/** Has the VM's new place announced, so that switches send its frames here. */
export async function announce({ driver, outbox, log }: Parts, { command }: DestinationRun): Promise<void> {
  const { migrationId, fencingToken, vm } = command;
  try {
    const how = await driver.announce(vm.uuid);
    outbox.add(migrationId, { type: "announced", fencingToken, how });
  } catch (error) {
    const detail = messageOf(error).slice(0, 2000);
    log("warn", "a VM's new place could not be announced", { migrationId, detail });
    outbox.add(migrationId, { type: "announced", fencingToken, how: "failed", detail });
  }
}
