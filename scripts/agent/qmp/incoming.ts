// The destination's side of a migration.
import { createServer, type AddressInfo } from "node:net";
import { DriverError, type IncomingState, type MigrationSpec } from "../driver.ts";
import { migrateAnswer } from "./answers.ts";
import { QmpError } from "./client.ts";
import type { QmpSettings } from "./config.ts";
import { readDescriptor, removeDescriptor, type Descriptor } from "./descriptor.ts";
import { launch } from "./machine.ts";
import { findProcess, killAndProve, logTail } from "./process.ts";
import { configure } from "./settings.ts";
import { neverRan, type Vm } from "./vm.ts";

const START_TIMEOUT_MS = 20_000;
const LOAD_TIMEOUT_MS = 60_000;
const RESUME_TIMEOUT_MS = 30_000;
const KILL_TIMEOUT_MS = 10_000;
const PAUSE_TIMEOUT_MS = 10_000;
const POLL_MS = 5;
const RECOVER_POLL_MS = 100;
const STATUS_TIMEOUT_MS = 1500;

const inBrackets = (address: string): string => (address.includes(":") ? `[${address}]` : address);

/** Listens on a port that QEMU finds. Returns the URI for the source. */
async function listen(vm: Vm, address: string): Promise<string> {
  await vm.command("migrate-incoming", { uri: `tcp:${inBrackets(address)}:0` });
  const port = await vm.until("the port of the incoming migration", START_TIMEOUT_MS, POLL_MS, async () => {
    const answer = await vm.query(migrateAnswer, "query-migrate");
    return answer["socket-address"]?.find((each) => each.type === "inet")?.port ?? null;
  });
  return `tcp:${inBrackets(address)}:${port}`;
}

/**
 * Starts the incoming side with its VM not to run. `open` gives the VM of a descriptor that has just been written. What was
 * started is killed again when anything fails.
 */
export async function prepareIncoming(
  settings: QmpSettings,
  spec: MigrationSpec,
  open: (uuid: string) => Vm,
): Promise<{ migrationUri: string }> {
  const left = readDescriptor(settings.directory, spec.vm.uuid);
  if (left !== null) {
    if (!neverRan(left) || (await findProcess(left)) !== null)
      throw new DriverError("already-here", `this host already has VM ${spec.vm.uuid}`);
    removeDescriptor(settings.directory, left);
  }
  const { state: _, ...machine } = spec.vm;
  await launch(settings, machine, { migrationId: spec.migrationId });
  const vm = open(spec.vm.uuid);
  try {
    await vm.client.open(START_TIMEOUT_MS);
    await configure(vm, spec, settings, "server");
    return { migrationUri: await listen(vm, settings.address) };
  } catch (error) {
    const said = await logTail(vm.descriptor().logFile);
    await abandonIncoming(vm);
    removeDescriptor(settings.directory, vm.descriptor());
    const reason = error instanceof DriverError ? error.reason : "not-started";
    throw new DriverError(
      reason,
      [error instanceof Error ? error.message : String(error), said].filter(Boolean).join(": "),
    );
  }
}

export async function observeIncoming(vm: Vm): Promise<IncomingState> {
  const known = vm.descriptor();
  if ((await findProcess(known)) === null)
    return { state: "failed", detail: `the QEMU process has ended: ${await logTail(known.logFile)}` };
  const truth = await vm.truth();
  if (truth.running) return { state: "running" };
  return { state: truth.runState === "inmigrate" ? "listening" : "loaded", detail: truth.migration.status ?? "none" };
}

type Incoming = NonNullable<Descriptor["incoming"]>;

/**
 * Waits until the VM is loaded, so that QEMU runs it because of this `cont` and not by itself, then lets it run. Returns when
 * QEMU says that it resumed. A DriverError means that the guest did not run; any other error, that it may have.
 */
export async function continueIncoming(vm: Vm): Promise<{ resumedAtMs: number }> {
  const known = vm.descriptor().incoming;
  if (known === undefined) throw new DriverError("not-incoming", `VM ${vm.uuid} has not come here by a migration`);
  if (known.resumedAtMs !== undefined) return { resumedAtMs: known.resumedAtMs };
  const ready = await vm.until("the VM being loaded", LOAD_TIMEOUT_MS, POLL_MS, async () => {
    const state = await observeIncoming(vm);
    if (state.state === "failed") throw new DriverError("incoming-failed", state.detail ?? "");
    return state.state === "listening" ? null : state.state;
  });
  if (ready === "loaded") await sendCont(vm, known);
  try {
    return await vm.until("the guest running", RESUME_TIMEOUT_MS, POLL_MS, () => resumedAt(vm));
  } catch (error) {
    throw uncertain(error);
  }
}

const uncertain = (cause: unknown): Error =>
  new Error(`the guest may have run here: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });

async function resumedAt(vm: Vm): Promise<{ resumedAtMs: number } | null> {
  if (!(await vm.truth()).running) return null;
  const now = vm.descriptor().incoming;
  // The event is lost when the agent went down between `cont` and it; then this moment is the best known.
  const resumedAtMs = now?.resumedAtMs ?? Date.now();
  if (now !== undefined && now.resumedAtMs === undefined) vm.setIncoming({ ...now, resumedAtMs });
  return { resumedAtMs };
}

async function sendCont(vm: Vm, known: Incoming): Promise<void> {
  vm.setIncoming({ ...known, continuedAtMs: Date.now() });
  try {
    await vm.command("cont");
  } catch (error) {
    if (!(error instanceof DriverError && error.reason === "hypervisor-refused")) throw uncertain(error);
    vm.setIncoming(known);
    throw error;
  }
}

/**
 * Listens anew for the source of a post-copy. QEMU does so only when it knows that the link is lost, which it may learn long after
 * the source (a silent peer keeps a TCP connection alive): so it is told.
 */
export async function recoverIncoming(vm: Vm, address: string): Promise<{ migrationUri: string }> {
  const before = await migrationStatus(vm);
  if (before !== null && !before.startsWith("postcopy-"))
    throw new DriverError("not-paused", `the incoming migration is ${before}: there is nothing to recover`);
  // Refused where the link breaks by itself meanwhile, which is as good.
  if (before !== "postcopy-paused") await vm.urgent("migrate-pause").catch(() => undefined);
  let why = "";
  const migrationUri = await vm
    .until("post-copy being paused", PAUSE_TIMEOUT_MS, RECOVER_POLL_MS, async () => {
      // Which port QEMU itself would find it says in band only.
      const uri = `tcp:${inBrackets(address)}:${await freePort(address)}`;
      try {
        await vm.urgent("migrate-recover", { uri });
        return uri;
      } catch (error) {
        if (!(error instanceof DriverError && error.reason === "hypervisor-refused")) throw error;
        why = error.message;
        return null;
      }
    })
    .catch((error: unknown) => {
      if (error instanceof DriverError && error.reason === "timeout")
        throw new DriverError("timeout", `${error.message}: ${why}`);
      throw error;
    });
  return { migrationUri };
}

/** Null: QEMU does not answer. A device or an emulated processor that waits for a page of the guest holds the lock that it needs. */
async function migrationStatus(vm: Vm): Promise<string | null> {
  try {
    const answer = await vm.client.execute("query-migrate", {}, STATUS_TIMEOUT_MS);
    return migrateAnswer.parse(answer).status ?? "none";
  } catch (error) {
    if (error instanceof QmpError && error.kind === "timeout") return null;
    throw error;
  }
}

function freePort(address: string): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: address, port: 0 }, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Kills an incoming side that never ran, and proves it dead. Refuses one that may have run: only its own agent knows better. */
export async function abandonIncoming(vm: Vm): Promise<void> {
  const known = vm.descriptor();
  const id = await findProcess(known);
  if (id === null) return;
  if (!neverRan(known))
    throw new DriverError("already-running", `VM ${vm.uuid} has been let run here: it is not killed`);
  const running = await vm.truth().then(
    (truth) => truth.running,
    // Silent or already gone: without a `cont` from here it cannot run.
    () => false,
  );
  if (running) throw new DriverError("already-running", `VM ${vm.uuid} runs here: it is not killed`);
  await killAndProve(id, KILL_TIMEOUT_MS);
}
