// What the libvirt driver needs of this host.
import { connect } from "node:net";
import { DriverError } from "../../driver.ts";
import { readVersion } from "../../libvirt/capabilities.ts";
import { libvirtConfig, type LibvirtSettings } from "../../libvirt/config.ts";
import { createVirsh } from "../../libvirt/virsh.ts";
import { readText } from "../../linux/text.ts";
import { messageOf } from "../../log.ts";
import { fail, ok, warn, type Finding } from "./finding.ts";
import { folderFinding } from "./host.ts";
import { kvmFinding, nonzeroFinding, userfaultfdFinding } from "./kernel.ts";

const LIBVIRT_MAJOR_MIN = 9;
/** Where libvirt takes others in over TLS. */
const TLS_PORT = 16_514;
const CONNECT_MS_MAX = 3000;

/** What to do about libvirt's words. */
export function remedyFor(complaint: string, { uri, virsh }: Pick<LibvirtSettings, "uri" | "virsh">): string {
  if (/is not on this host/.test(complaint))
    return `apt-get install libvirt-clients, or set virsh to where ${virsh} is`;
  if (/authentication|Permission denied|access denied/i.test(complaint))
    return "usermod --append --groups libvirt for the agent's user, or run it as root";
  if (/No such file|Connection refused|socket/i.test(complaint))
    return "install libvirt-daemon and start it: systemctl enable --now libvirtd";
  return `virsh -c ${uri} version shows the same`;
}

async function versionFindings(settings: LibvirtSettings): Promise<Finding[]> {
  try {
    const { libvirt, hypervisor } = readVersion(await createVirsh(settings)("version"));
    const found = `${settings.uri}: libvirt ${libvirt ?? "of unknown version"}, ${hypervisor ?? "no hypervisor"}`;
    return Number.parseInt(libvirt ?? "", 10) < LIBVIRT_MAJOR_MIN
      ? [warn("libvirt", found, `${LIBVIRT_MAJOR_MIN}.0 or later is what is tested: upgrade it`)]
      : [ok("libvirt", found)];
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    return [fail("libvirt", messageOf(error), remedyFor(messageOf(error), settings))];
  }
}

function isListening(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: CONNECT_MS_MAX });
    const end = (isThere: boolean) => () => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once("connect", end(true)).once("timeout", end(false)).once("error", end(false));
  });
}

async function incomingFinding({ address, destinationUri }: LibvirtSettings): Promise<Finding | null> {
  if (!destinationUri.startsWith("qemu+tls://{address}/")) return null;
  return (await isListening(address, TLS_PORT))
    ? ok("incoming", `libvirt listens at ${address}, port ${TLS_PORT}`)
    : warn(
        "incoming",
        `nothing listens at ${address}, port ${TLS_PORT}: no other host's libvirt can reach this one's`,
        "systemctl enable --now libvirtd-tls.socket (virtproxyd-tls.socket), with certificates in /etc/pki/libvirt",
      );
}

export async function libvirtFindings(config: unknown): Promise<Finding[]> {
  const settings = libvirtConfig.parse(config);
  const [incoming, sysctl] = [await incomingFinding(settings), await readText("/proc/sys/vm/unprivileged_userfaultfd")];
  return [
    ...(await versionFindings(settings)),
    folderFinding("driver's folder", settings.directory),
    kvmFinding(false),
    ...(incoming === null ? [] : [incoming]),
    // libvirt gives QEMU a user of its own.
    userfaultfdFinding(sysctl, false),
    ...(settings.measureNonzero ? [nonzeroFinding(process.getuid?.() === 0, false, null)] : []),
  ];
}
