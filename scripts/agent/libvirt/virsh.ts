// Everything that is asked of libvirt goes through `virsh`: an argument array that no shell sees, plain English, bounded time.
import { execFile } from "node:child_process";
import { DriverError } from "../driver.ts";
import type { LibvirtSettings } from "./config.ts";

/** For one question. */
export const TIMEOUT_MS = 15_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** virsh as a child of its own must be told the same. */
export const ENGLISH = { ...process.env, LC_ALL: "C" };

export type Virsh = {
  /**
   * Runs one command and returns what it printed. Throws DriverError: `unknown-vm` when libvirt has no such domain,
   * `hypervisor-silent` when there was no answer in time or no libvirt, else `hypervisor-refused` with libvirt's words.
   */
  (command: string, ...args: string[]): Promise<string>;
  /**
   * Runs several commands in one process; virsh itself takes them apart. Returns what they printed and complained of, each of
   * them may have failed. Throws `hypervisor-silent` only. Never to be given anything that came from outside unchecked.
   */
  several: (...commands: string[]) => Promise<{ stdout: string; stderr: string }>;
};

const UNKNOWN = /failed to get domain|Domain not found/;
const SILENT = /failed to connect to the hypervisor|Cannot recv data|client socket is closed|End of file while reading/;

/** `error: ` lines without their head, one after the other. */
export function toComplaint(stderr: string): string {
  return stderr
    .split("\n")
    .map((line) => line.replace(/^error: /, "").trim())
    .filter((line) => line !== "")
    .join("; ");
}

export function toDriverError(command: string, stderr: string, killed: boolean): DriverError {
  const complaint = toComplaint(stderr);
  if (killed)
    return new DriverError(
      "hypervisor-silent",
      `virsh ${command} was ended without an answer; ${TIMEOUT_MS} ms are its limit`,
    );
  if (UNKNOWN.test(complaint)) return new DriverError("unknown-vm", complaint);
  const reason = SILENT.test(complaint) ? "hypervisor-silent" : "hypervisor-refused";
  return new DriverError(reason, `virsh ${command}: ${complaint || "failed without a reason"}`);
}

type Ran = { stdout: string; stderr: string; error: DriverError | null };

function run({ virsh, uri }: Pick<LibvirtSettings, "virsh" | "uri">, args: string[]): Promise<Ran> {
  const limits = { timeout: TIMEOUT_MS, killSignal: "SIGKILL" as const, maxBuffer: OUTPUT_BYTES_MAX };
  return new Promise((resolve) => {
    const child = execFile(virsh, ["-c", uri, ...args], { env: ENGLISH, ...limits }, (error, stdout, stderr) => {
      if (error === null) return resolve({ stdout, stderr, error });
      const missing = new DriverError("hypervisor-silent", `${virsh} is not on this host: install libvirt's clients`);
      const failure = toDriverError(args[0] ?? "", stderr, error.killed === true || typeof error.signal === "string");
      resolve({ stdout, stderr, error: error.code === "ENOENT" ? missing : failure });
    });
    // Nothing may wait for an answer to a question: virsh asks none without input.
    child.stdin?.end();
  });
}

export function createVirsh(settings: Pick<LibvirtSettings, "virsh" | "uri">): Virsh {
  const one = async (command: string, ...args: string[]): Promise<string> => {
    const { stdout, error } = await run(settings, [command, ...args]);
    if (error !== null) throw error;
    return stdout;
  };
  const several: Virsh["several"] = async (...commands) => {
    const { stdout, stderr, error } = await run(settings, [commands.join("; ")]);
    if (error?.reason === "hypervisor-silent") throw error;
    return { stdout, stderr };
  };
  return Object.assign(one, { several });
}
