// What the operator has run before a VM leaves and after it has arrived, so that what is in it can be made quiet and be let
// go on. Programs of this host with fixed arguments, never through a shell, each bounded in time.
import { spawn } from "node:child_process";
import { setTimeout as wait } from "node:timers/promises";
import { z } from "zod";
import type { VmInventory } from "../../worker/model/wire/inventory.ts";
import { messageOf } from "./log.ts";
import { localState, type Parts } from "./parts.ts";
import { presentSource, type Run, type SourceRun } from "./runs.ts";
import { NAMES_NONE, namesSome, selects, vmSelector } from "./selectors.ts";

/** All hooks before one move together: the destination waits meanwhile, and Drover would think the run lost. */
const BEFORE_MS_MAX = 60_000;
const OUTPUT_CHARS_MAX = 500;
const LAST_WORDS_MS = 100;

/** A program by its full path, and its arguments; `{uuid}` is replaced. */
const program = z
  .array(z.string().max(4096))
  .min(1)
  .max(64)
  .refine(([file]) => file?.startsWith("/") === true, { message: "begins with the full path of a program" });

export const hook = z
  .strictObject({
    name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, "1 to 63 letters, digits, dots, dashes or underscores"),
    ...vmSelector,
    /** On the host that the VM leaves, before its hypervisor is asked. What fails keeps the VM where it is. */
    before: program.optional(),
    /** On the host where the VM is when it is over. What fails is told of. */
    after: program.optional(),
    /** Then it and what it has started is killed, and has failed. */
    timeoutMs: z.int().min(100).max(BEFORE_MS_MAX).default(10_000),
  })
  .refine(namesSome, { message: NAMES_NONE, path: ["vms"] })
  .refine(({ before, after }) => before !== undefined || after !== undefined, { message: "has nothing to run" });
export type Hook = z.output<typeof hook>;

export const hooks = z
  .array(hook)
  .max(16)
  .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, { message: "two hooks of one name" })
  .default([]);

export type Ran = { ok: boolean; durationMs: number; detail: string };

const endOf = (output: string): string => output.trim().slice(-OUTPUT_CHARS_MAX);

/** Runs a program to its end, or kills it with all that it has started when its time is over. Never throws. */
export async function runProgram(
  [file, ...args]: readonly string[],
  { env, timeoutMs, signal }: { env: Record<string, string>; timeoutMs: number; signal: AbortSignal },
): Promise<Ran> {
  const beganAt = performance.now();
  const done = (ok: boolean, detail: string): Ran => ({ ok, durationMs: performance.now() - beganAt, detail });
  if (file === undefined) return done(false, "there is no program");
  // A group of its own, so that all of it can be ended.
  const child = spawn(file, args, { detached: true, stdio: ["ignore", "pipe", "pipe"], env, cwd: "/" });
  let output = "";
  let isLate = false;
  const hear = (part: Buffer): void => void (output = (output + part.toString("utf8")).slice(-4 * OUTPUT_CHARS_MAX));
  child.stdout.on("data", hear);
  child.stderr.on("data", hear);
  const kill = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  };
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const timer = setTimeout(() => {
    isLate = true;
    kill();
  }, timeoutMs);
  signal.addEventListener("abort", kill, { once: true });
  try {
    const { code, by } = await new Promise<{ code: number | null; by: string | null }>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (status, ended) => resolve({ code: status, by: ended }));
    });
    // Its last words may still be on their way; what it has left running is not waited for.
    await Promise.race([closed, wait(LAST_WORDS_MS)]);
    if (isLate) return done(false, `was killed after ${timeoutMs} ms. ${endOf(output)}`.trim());
    if (code === 0) return done(true, endOf(output) || "ended with 0");
    return done(false, `ended with ${code ?? by}. ${endOf(output)}`.trim());
  } catch (error) {
    return done(false, `cannot be executed: ${messageOf(error)}`);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", kill);
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

type When = "before" | "after";

/** What a hook may know. Nothing of the agent's own environment goes to it, in which there may be a token. */
function environmentOf({ command }: Run, when: When, outcome: string): Record<string, string> {
  const { migrationId, vm, fromHostId, toHostId, mechanism } = command;
  return {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    LC_ALL: "C",
    DROVER_HOOK: when,
    DROVER_MIGRATION_ID: migrationId,
    DROVER_VM_UUID: vm.uuid,
    DROVER_VM_NAME: vm.name,
    DROVER_FROM_HOST: fromHostId,
    DROVER_TO_HOST: toHostId,
    DROVER_MECHANISM: mechanism,
    DROVER_OUTCOME: outcome,
  };
}

async function runOne(
  { life, log, outbox }: Parts,
  run: Run,
  { name, ...its }: Hook,
  { when, outcome, timeoutMs }: { when: When; outcome: string; timeoutMs: number },
): Promise<Ran> {
  const { migrationId, fencingToken, vm } = run.command;
  const argv = (its[when] ?? []).map((each) => each.replaceAll("{uuid}", vm.uuid));
  const env = environmentOf(run, when, outcome);
  const ran = await life.hold(() => runProgram(argv, { env, timeoutMs, signal: life.signal }));
  outbox.add(migrationId, { type: "hook", fencingToken, name, when, ...ran });
  log(ran.ok ? "info" : "warn", `hook ${name} ${when} the move`, { migrationId, ...ran });
  return ran;
}

/** The VM as this host's own hypervisor has it: what Drover says of its name and labels could leave a hook out. */
async function vmHere({ driver }: Parts, { command: { vm } }: Run): Promise<VmInventory> {
  return (await driver.inventory()).vms.find(({ uuid }) => uuid === vm.uuid) ?? vm;
}

/** Runs what is to be run before the VM leaves, one after the other. Null, or why it must stay. */
export async function runBefore(parts: Parts, run: SourceRun): Promise<string | null> {
  const all = parts.settings.hooks;
  if (all.length === 0) return null;
  let vm: VmInventory;
  try {
    vm = await vmHere(parts, run);
  } catch (error) {
    return `whether hooks are to be run is not known, for the hypervisor does not answer: ${messageOf(error)}`;
  }
  const until = performance.now() + BEFORE_MS_MAX;
  const begun: string[] = [];
  for (const each of all.filter((one) => selects(one, vm))) {
    // On the disk first: whatever becomes of this agent, what was begun is ended by its `after`.
    begun.push(each.name);
    parts.runs.update<SourceRun>(run, { hooksBegun: [...begun] });
    if (each.before === undefined) continue;
    const timeoutMs = Math.min(each.timeoutMs, until - performance.now());
    if (timeoutMs <= 0) return `hook ${each.name} was not run: the hooks before it took ${BEFORE_MS_MAX} ms`;
    const ran = await runOne(parts, run, each, { when: "before", outcome: "", timeoutMs });
    if (!ran.ok) return `hook ${each.name} before the move: ${ran.detail}`;
  }
  return null;
}

/** Of a migration that did not take the VM away: ends what the hooks before it have begun. Done once. */
export async function runAfterAtSource(parts: Parts, run: SourceRun): Promise<void> {
  const { hooksBegun = [], ending, command } = presentSource(parts.runs, run);
  if (hooksBegun.length === 0) return;
  const owed = parts.settings.hooks.filter(({ name, after }) => after !== undefined && hooksBegun.includes(name));
  const isHere = (await localState(parts, command.vm.uuid)) === "running";
  for (const each of ending === "completed" ? [] : owed) {
    if (isHere) await runOne(parts, run, each, { when: "after", outcome: ending ?? "", timeoutMs: each.timeoutMs });
    else tellNotRun(parts, run, each.name);
  }
  parts.runs.update<SourceRun>(run, { hooksBegun: [] });
}

function tellNotRun({ outbox, log }: Parts, { command: { migrationId, fencingToken } }: Run, name: string): void {
  const detail = "was not run: the VM does not run on this host";
  outbox.add(migrationId, { type: "hook", fencingToken, name, when: "after", ok: false, durationMs: 0, detail });
  log("warn", `hook ${name} after the move ${detail}`, { migrationId });
}

/** Runs what is to be run once the VM has arrived here; also late, as long as it is here. */
export async function runAfterArrival(parts: Parts, run: Run): Promise<void> {
  const all = parts.settings.hooks.filter(({ after }) => after !== undefined);
  if (all.length === 0) return;
  const vm = await vmHere(parts, run);
  const states = await parts.driver.vmStates().catch(() => null);
  const isGone = states !== null && states[vm.uuid] === undefined;
  for (const each of all.filter((one) => selects(one, vm)))
    if (isGone) tellNotRun(parts, run, each.name);
    else await runOne(parts, run, each, { when: "after", outcome: "completed", timeoutMs: each.timeoutMs });
}
