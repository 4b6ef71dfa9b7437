// The lab's guest: a stock Debian kernel and our own init, built once and kept under the state folder.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";

/** The Debian package that depends on the newest kernel for clouds: small, and with a serial console. */
const KERNEL_PACKAGE = "linux-image-cloud-amd64";

const PACKAGES: Record<string, string> = {
  "qemu-system-x86_64": "qemu-system-x86",
  gcc: "gcc libc6-dev",
  cpio: "cpio",
  dpkg: "dpkg",
  "apt-get": "apt",
};

export type Guest = { kernel: string; initrd: string };

/** The tools of the list that this machine lacks. */
export function missingTools(tools: string[] = Object.keys(PACKAGES)): string[] {
  const folders = (process.env["PATH"] ?? "").split(":");
  return tools.filter((tool) => !folders.some((folder) => existsSync(path.join(folder, tool))));
}

/** One sentence that says how to get them. */
export function installHint(missing: string[]): string {
  const packages = missing.map((tool) => PACKAGES[tool] ?? tool).join(" ");
  return `the lab needs ${missing.join(", ")}: apt-get install -y --no-install-recommends ${packages}`;
}

function run(program: string, args: string[], cwd: string, input?: string): Buffer {
  try {
    return execFileSync(program, args, {
      cwd,
      stdio: ["pipe", "pipe", "pipe"],
      ...(input === undefined ? {} : { input }),
    });
  } catch (error) {
    const said = error instanceof Error && "stderr" in error ? String(error.stderr).trim().slice(-500) : String(error);
    throw new Error(`${program} ${args.join(" ")} failed: ${said}`, { cause: error });
  }
}

/** Runs the work in a folder that becomes `target` only when all of it succeeded. */
function buildOnce(target: string, work: (folder: string) => void): void {
  if (existsSync(target)) return;
  mkdirSync(path.dirname(target), { recursive: true });
  const folder = mkdtempSync(`${target}.`);
  try {
    work(folder);
    renameSync(folder, target);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function fetchKernel(folder: string): void {
  const depends = run("apt-cache", ["depends", KERNEL_PACKAGE], folder).toString();
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error(`apt knows no ${KERNEL_PACKAGE}: run apt-get update, on Debian for amd64`);
  run("apt-get", ["download", name], folder);
  const archive = readdirSync(folder).find((file) => file.endsWith(".deb"));
  if (archive === undefined) throw new Error(`apt-get download ${name} left no package`);
  run("dpkg", ["-x", archive, "unpacked"], folder);
  const boot = path.join(folder, "unpacked", "boot");
  const kernel = readdirSync(boot).find((file) => file.startsWith("vmlinuz-"));
  if (kernel === undefined) throw new Error(`${archive} holds no kernel`);
  copyFileSync(path.join(boot, kernel), path.join(folder, "vmlinuz"));
  for (const each of ["unpacked", archive]) rmSync(path.join(folder, each), { recursive: true });
}

function buildInitrd(folder: string, source: string): void {
  run("gcc", ["-O2", "-static", "-o", "init", source], folder);
  const archive = run("cpio", ["-o", "-H", "newc", "--quiet"], folder, "init\n");
  writeFileSync(path.join(folder, "initrd.img"), archive);
}

/**
 * Builds what is missing: the kernel is fetched once, the init is compiled when its source changed. Throws with the command to
 * run when a tool is missing.
 */
export function buildGuest(stateDir: string): Guest {
  const missing = missingTools();
  if (missing.length > 0) throw new Error(installHint(missing));
  const source = path.join(import.meta.dirname, "guest", "init.c");
  const version = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16);
  const kernelFolder = path.resolve(stateDir, "lab", "kernel");
  const initFolder = path.resolve(stateDir, "lab", `init-${version}`);
  buildOnce(kernelFolder, fetchKernel);
  buildOnce(initFolder, (folder) => buildInitrd(folder, source));
  return { kernel: path.join(kernelFolder, "vmlinuz"), initrd: path.join(initFolder, "initrd.img") };
}

/** Why real guests cannot run here, or null. Asks QEMU itself, since a broken one is as good as none. */
export function whyNoLab(): string | null {
  const missing = missingTools();
  if (missing.length > 0) return installHint(missing);
  const asked = spawnSync("qemu-system-x86_64", ["--version"]);
  return asked.status === 0 ? null : "qemu-system-x86_64 --version fails on this machine";
}
