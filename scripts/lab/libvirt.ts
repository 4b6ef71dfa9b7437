// Several libvirts on one machine: each daemon has a mount namespace of its own, in which its folders lie where it looks for
// them, a UUID of a host of its own, and ports of its own. Needs root. Ends only what it started, by pid.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { LibvirtConfig } from "../agent/libvirt/config.ts";
import { createVirsh, type Virsh } from "../agent/libvirt/virsh.ts";
import type { Guest } from "./build-guest.ts";
import { missingTools } from "./build-guest.ts";
import type { Workload } from "./machine.ts";

const START_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 20_000;
const POLL_MS = 50;
/** Each daemon's share of libvirt's own range for migrations. */
const FIRST_PORT = 49_152;
const PORTS = 32;

/** Where the daemon looks, by the names of the folders that stand in for it. */
const FOLDERS = {
  run: "/run/libvirt",
  lib: "/var/lib/libvirt",
  log: "/var/log/libvirt",
  etc: "/etc/libvirt",
  cache: "/var/cache/libvirt",
};

/** The guests' QEMU, by the name that it has on every host. */
const EMULATOR = `${FOLDERS.lib}/drover/qemu`;

/**
 * libvirt gives guests whole MiB, and QEMU before 9.0 under TCG (commit 03bfc2188f) loses writes that it should send again: where
 * memory is a multiple of 256 KiB it clears dirty bits and the processors do not know. Guests died of it; this size avoids it.
 */
const ODD_KIB = 128;

/** Adds that to what libvirt asks for: `-m 144` in MiB, or `-m size=147456k`, and its backend's size in bytes. */
const EMULATOR_SCRIPT = `#!/bin/sh
for argument in "$@"; do
  shift
  case "$argument" in *'"id":"pc.ram","size":'*)
    head=\${argument%%'"size":'*}'"size":' rest=\${argument#*'"size":'} size=\${rest%%[!0-9]*}
    argument=$head$((size + ${ODD_KIB} * 1024))\${rest#"$size"} ;;
  esac
  case "$before $argument" in
    "-m size="*k) argument=\${argument%k} argument=size=$((\${argument#size=} + ${ODD_KIB}))k ;;
    "-m "*) argument=$((argument * 1024 + ${ODD_KIB}))k ;;
  esac
  before=$argument
  set -- "$@" "$argument"
done
exec /usr/bin/qemu-system-x86_64 "$@"
`;

/** Arguments: the daemon's folder. What is mounted here is seen by the daemon and its guests alone. */
const IN_NAMESPACE = [
  ...Object.entries(FOLDERS).map(
    ([name, place]) => `mkdir -p ${place} && mount --bind "$1/${name}" ${place} || exit 1`,
  ),
  'exec libvirtd -f /etc/libvirt/libvirtd.conf --pid-file "$1/pid"',
].join("\n");

/** Why libvirt cannot run here, or null. `isSoftware`: packages are missing, which installing them would change. */
export function whyNoLibvirt(): { reason: string; isSoftware: boolean } | null {
  const missing = missingTools(["libvirtd", "virsh", "unshare", "qemu-system-x86_64"]);
  if (missing.length > 0)
    return {
      reason: `libvirt needs ${missing.join(", ")}: apt-get install -y --no-install-recommends libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86`,
      isSoftware: true,
    };
  if (process.getuid?.() !== 0) return { reason: "a libvirt of its own needs root", isSoftware: false };
  const asked = spawnSync("unshare", ["-m", "--propagation", "private", "mount", "--bind", "/tmp", "/tmp"]);
  return asked.status === 0 ? null : { reason: "this machine permits no mount namespaces", isSoftware: false };
}

function writeSettings(folder: string, index: number): void {
  for (const each of [...Object.keys(FOLDERS), "sock", "lib/drover", "log/qemu"])
    mkdirSync(path.join(folder, each), { recursive: true });
  writeFileSync(path.join(folder, "lib/drover/qemu"), EMULATOR_SCRIPT, { mode: 0o755 });
  const daemon = {
    host_uuid: randomUUID(),
    unix_sock_dir: path.join(folder, "sock"),
    auth_unix_rw: "none",
    log_outputs: `2:file:${path.join(folder, "libvirtd.log")}`,
  };
  const first = FIRST_PORT + index * PORTS;
  const qemu = {
    security_driver: "none",
    user: "root",
    group: "root",
    dynamic_ownership: 0,
    remember_owner: 0,
    namespaces: [],
    cgroup_controllers: [],
    stdio_handler: "file",
    migration_port_min: first,
    migration_port_max: first + PORTS - 1,
  };
  for (const [file, settings] of Object.entries({ libvirtd: daemon, qemu })) {
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`);
    writeFileSync(path.join(folder, "etc", `${file}.conf`), lines.join(""));
  }
}

export type LibvirtHost = {
  name: string;
  virsh: Virsh;
  /** Settings of the driver for this host; others reach it in the same parent folder. */
  config: LibvirtConfig;
  /** The file of a guest's serial line on this host. */
  serialFile: (uuid: string) => string;
  /** Ends its guests and the daemon. */
  stop: () => Promise<void>;
};

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), END_TIMEOUT_MS);
  await ended;
  clearTimeout(late);
}

/** Guests that outlived their daemon, by the pid files that it wrote. */
function endGuestProcesses(folder: string): void {
  const directory = path.join(folder, "run", "qemu");
  const files = existsSync(directory) ? readdirSync(directory).filter((name) => name.endsWith(".pid")) : [];
  for (const file of files) {
    const pid = Number(readFileSync(path.join(directory, file), "utf8"));
    const command = existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, "utf8") : "";
    if (command.includes(`guest=${file.slice(0, -".pid".length)}`)) process.kill(pid, "SIGKILL");
  }
}

async function answers(virsh: Virsh, child: ChildProcess, folder: string): Promise<void> {
  for (const deadline = Date.now() + START_TIMEOUT_MS; ; await wait(POLL_MS)) {
    const problem = await virsh("version").then(
      () => null,
      (error: Error) => error.message,
    );
    if (problem === null) return;
    const log = path.join(folder, "libvirtd.log");
    const said = existsSync(log) ? readFileSync(log, "utf8").slice(-2000) : "";
    if (child.exitCode !== null) throw new Error(`libvirtd has ended with ${child.exitCode}: ${said}`);
    if (Date.now() > deadline) throw new Error(`libvirtd does not answer: ${problem}; ${said}`);
  }
}

/** Starts the daemon of one host under `<parent>/<name>`; `index` tells its ports from the others'. */
export async function startLibvirt(parent: string, name: string, index: number): Promise<LibvirtHost> {
  const folder = path.join(parent, name);
  writeSettings(folder, index);
  const uriOf = (host: string): string => `qemu+unix:///system?socket=${parent}/${host}/sock/libvirt-sock`;
  const args = ["-m", "--propagation", "private", "sh", "-c", IN_NAMESPACE, "sh", folder];
  const child = spawn("unshare", args, { stdio: "ignore" });
  const virsh = createVirsh({ virsh: "virsh", uri: uriOf(name) });
  const stop = async (): Promise<void> => {
    const running = await virsh("list", "--uuid").catch(() => "");
    for (const uuid of running.split("\n").filter((line) => line.trim() !== ""))
      await virsh("destroy", uuid.trim()).catch(() => undefined);
    await endProcess(child);
    endGuestProcesses(folder);
  };
  try {
    await answers(virsh, child, folder);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name,
    virsh,
    config: {
      name: "libvirt",
      uri: uriOf(name),
      directory: path.join(folder, "driver"),
      address: name,
      destinationUri: uriOf("{address}"),
      migrateAddress: "127.0.0.1",
      scope: "vms",
    },
    serialFile: (uuid) => path.join(folder, "lib", "drover", `${uuid}.serial`),
    stop,
  };
}

export type LibvirtGuest = { uuid: string; name: string; memoryMib: number; work: Workload; persistent?: boolean };

const commandLine = ({ filledMib, nonzeroRatio, workingSetMib, pagesPerSecond }: Workload): string =>
  [
    "console=ttyS0 quiet panic=-1 tsc=reliable",
    `drover.fill=${filledMib} drover.nonzero=${Math.round(nonzeroRatio * 100)}`,
    `drover.set=${workingSetMib} drover.rate=${pagesPerSecond}`,
  ].join(" ");

/** A guest under TCG: nested KVM is often broken where a lab runs. Its serial line is a file on whichever host it is. */
export const domainXml = (guest: Guest, { uuid, name, memoryMib, work }: LibvirtGuest): string =>
  `<domain type='qemu'>
  <name>${name}</name>
  <uuid>${uuid}</uuid>
  <memory unit='MiB'>${memoryMib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>
    <kernel>${guest.kernel}</kernel>
    <initrd>${guest.initrd}</initrd>
    <cmdline>${commandLine(work)}</cmdline>
  </os>
  <features><tcg><tb-cache unit='MiB'>64</tb-cache></tcg></features>
  <cpu mode='custom' match='exact' check='none'><model>qemu64</model></cpu>
  <devices>
    <emulator>${EMULATOR}</emulator>
    <serial type='file'><source path='${FOLDERS.lib}/drover/${uuid}.serial'/></serial>
    <memballoon model='virtio'/>
  </devices>
</domain>
`;

/** Starts a guest. It is up when its serial line says `FILLED`. */
export async function startLibvirtGuest(host: LibvirtHost, guest: Guest, vm: LibvirtGuest): Promise<void> {
  const file = `${host.serialFile(vm.uuid)}.xml`;
  writeFileSync(file, domainXml(guest, vm));
  if (vm.persistent === true) {
    await host.virsh("define", file);
    await host.virsh("start", vm.uuid);
  } else await host.virsh("create", file);
}
