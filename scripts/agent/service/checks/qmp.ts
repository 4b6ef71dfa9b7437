// What the qmp driver needs of this host.
import { accessSync, constants, existsSync } from "node:fs";
import { networkInterfaces } from "node:os";
import path from "node:path";
import { readText, readTextSync } from "../../linux/text.ts";
import { messageOf } from "../../log.ts";
import { qmpConfig, type MachineTemplate, type QmpSettings } from "../../qmp/config.ts";
import { listDescriptors, type Descriptor } from "../../qmp/descriptor.ts";
import { askBinary } from "../../qmp/host.ts";
import { findProcess } from "../../qmp/process.ts";
import { tlsCheck } from "../../qmp/tls.ts";
import { fail, ok, type Finding } from "./finding.ts";
import { folderFinding } from "./host.ts";
import { kvmFinding, nonzeroFinding, userfaultfdFinding } from "./kernel.ts";

const CLIENT_FILES = ["client-cert.pem", "client-key.pem"];

async function machineFinding({ type, binary }: MachineTemplate): Promise<Finding> {
  const { version, machineTypes } = await askBinary(binary);
  const about = `machine ${type}`;
  if (version === undefined && machineTypes.length === 0)
    return fail(about, `${binary} cannot be executed`, "install qemu-system, or set binary to where it is");
  return machineTypes.includes(type)
    ? ok(about, `${binary} ${version ?? "of unknown version"}`)
    : fail(about, `${binary} ${version ?? ""} does not have it`, `${binary} -machine help lists what it has`);
}

/** As the destination of a migration, and as its source, which shows a certificate too. */
async function tlsFindings(settings: QmpSettings): Promise<Finding[]> {
  const { tlsDirectory } = settings;
  if (tlsDirectory === undefined) return [];
  const { ok: isUsable, detail } = await tlsCheck(settings, Date.now());
  const missing = CLIENT_FILES.filter((name) => readTextSync(path.join(tlsDirectory, name)) === null);
  const asSource = missing.map((name) => `${name} cannot be read, and this host could send nothing`);
  return isUsable !== false && missing.length === 0
    ? [ok("TLS", detail)]
    : [
        fail(
          "TLS",
          [...(isUsable === false ? [detail] : []), ...asSource].join("; "),
          `put it right in ${tlsDirectory}`,
        ),
      ];
}

/** Only looked at: a monitor serves one client, and that is the agent. */
async function guestFindings(vms: readonly Descriptor[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  let running = 0;
  for (const vm of vms) {
    if ((await findProcess(vm)) === null) continue;
    running += 1;
    try {
      accessSync(vm.qmpSocket, constants.R_OK | constants.W_OK);
    } catch (error) {
      const remedy = "run the agent as the user who starts VMs, or start QEMU with -qmp unix:…";
      findings.push(fail(`VM ${vm.vm.name}`, `its monitor cannot be opened: ${messageOf(error)}`, remedy));
    }
  }
  return [ok("VMs", `${running} of ${vms.length} descriptors have their process`), ...findings];
}

async function directoryFindings({ directory }: QmpSettings): Promise<Finding[]> {
  const folder = folderFinding("driver's folder", directory);
  if (folder.level === "fail" || !existsSync(directory)) return [folder];
  try {
    return [folder, ...(await guestFindings(listDescriptors(directory)))];
  } catch (error) {
    return [folder, fail("VMs", messageOf(error), "correct or remove the file")];
  }
}

function addressFinding({ address }: QmpSettings): Finding {
  const own = Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map((one) => one.address));
  const isNumeric = /^[\d.]+$|:/.test(address);
  return !isNumeric || own.includes(address.replaceAll(/[[\]]/g, ""))
    ? ok("address", `migrations arrive at ${address}`)
    : fail("address", `${address} is no address of this host; it has ${own.join(", ")}`, "set address to one of them");
}

export async function qmpFindings(config: unknown): Promise<Finding[]> {
  const settings = qmpConfig.parse(config);
  const isRoot = process.getuid?.() === 0;
  const usesKvm = settings.machines.some((each) => each.arguments.some((word) => /\bkvm\b/.test(word)));
  return [
    ...(await Promise.all(settings.machines.map(machineFinding))),
    ...(await directoryFindings(settings)),
    addressFinding(settings),
    ...(await tlsFindings(settings)),
    ...(usesKvm ? [kvmFinding(true)] : []),
    userfaultfdFinding(await readText("/proc/sys/vm/unprivileged_userfaultfd"), isRoot),
    ...(settings.measureNonzero
      ? [nonzeroFinding(isRoot, true, await readText("/proc/sys/kernel/yama/ptrace_scope"))]
      : []),
  ];
}
