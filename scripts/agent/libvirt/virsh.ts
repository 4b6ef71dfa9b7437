// Everything that is asked of libvirt goes through `virsh`: an argument array that no shell sees, plain English, bounded time.
import { execFile } from "node:child_process";
import { DriverError } from "../driver.ts";
import type { LibvirtSettings } from "./config.ts";

const TIMEOUT_MS = 15_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** virsh as a child of its own must be told the same. */
export const ENGLISH = { ...process.env, LC_ALL: "C" };

/**
 * Runs one command and returns what it printed. Throws DriverError: `unknown-vm` when libvirt has no such domain,
 * `hypervisor-silent` when there was no answer in time or no libvirt, else `hypervisor-refused` with libvirt's words.
 */
export type Virsh = (command: string, ...args: string[]) => Promise<string>;

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
  if (killed) return new DriverError("hypervisor-silent", `virsh ${command}: no answer within ${TIMEOUT_MS} ms`);
  if (UNKNOWN.test(complaint)) return new DriverError("unknown-vm", complaint);
  const reason = SILENT.test(complaint) ? "hypervisor-silent" : "hypervisor-refused";
  return new DriverError(reason, `virsh ${command}: ${complaint || "failed without a reason"}`);
}

export function createVirsh({ virsh, uri }: Pick<LibvirtSettings, "virsh" | "uri">): Virsh {
  return (command, ...args) =>
    new Promise((resolve, reject) => {
      const limits = { timeout: TIMEOUT_MS, killSignal: "SIGKILL" as const, maxBuffer: OUTPUT_BYTES_MAX };
      const child = execFile(
        virsh,
        ["-c", uri, command, ...args],
        { env: ENGLISH, ...limits },
        (error, stdout, stderr) => {
          if (error === null) return resolve(stdout);
          if (error.code === "ENOENT")
            return reject(
              new DriverError("hypervisor-silent", `${virsh} is not on this host: install libvirt's clients`),
            );
          reject(toDriverError(command, stderr, error.killed ?? false));
        },
      );
      // Nothing may wait for an answer to a question: virsh asks none without input.
      child.stdin?.end();
    });
}
