// The systemd unit of an agent, as text. Nothing is read or done here.
import path from "node:path";
import type { Settings } from "../config.ts";
import { qmpConfig } from "../qmp/config.ts";
import { libvirtConfig } from "../libvirt/config.ts";
import { NODE_ENVIRONMENT, NODE_FLAGS } from "./flags.ts";

/** Where the agent is a service's own user. */
export const OWN_USER = "drover-agent";
/** Everything that runs in the unit's control group, which under libvirt and in the simulation is the agent and what it asks with. */
const MEMORY_MAX = "256M";
const CREDENTIAL = "agent.json";
const STATE_ROOT = "/var/lib/";

/** What a guest's QEMU, started by the agent as root, may need beyond a plain user. */
const QEMU_CAPABILITIES = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_IPC_LOCK",
  "CAP_KILL",
  "CAP_NET_ADMIN",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SYS_NICE",
  "CAP_SYS_PTRACE",
  "CAP_SYS_RESOURCE",
];
/** To read guests' pages out of another user's QEMU. */
const READING_CAPABILITIES = ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"];

/** What a driver asks of the unit. */
export type Needs = {
  user: string;
  /** Groups besides the user's own. */
  groups: string[];
  capabilities: string[];
  /** Besides `stateDir`, to be written. */
  folders: string[];
  /**
   * QEMUs are started by the agent, outlive it and stay in its control group: neither a limit on memory nor what a restart does
   * may touch them, and they need devices.
   */
  startsGuests: boolean;
};

/** `ownerOf`: who owns a folder; null: it is not there. */
export function needsOf({ driver }: Settings, ownerOf: (folder: string) => string | null): Needs {
  const plain = { user: OWN_USER, groups: [], capabilities: [], folders: [], startsGuests: false };
  if (driver.name === "libvirt") {
    const { measureNonzero, directory } = libvirtConfig.parse(driver);
    const folders = [directory];
    if (measureNonzero) return { ...plain, user: "root", folders, capabilities: READING_CAPABILITIES };
    return { ...plain, groups: ["libvirt"], folders };
  }
  if (driver.name === "qmp") {
    const { directory, machines } = qmpConfig.parse(driver);
    const user = ownerOf(directory) ?? "root";
    const usesKvm = machines.some((each) => each.arguments.some((word) => /\bkvm\b/.test(word)));
    return {
      user,
      groups: user !== "root" && usesKvm ? ["kvm"] : [],
      capabilities: user === "root" ? QEMU_CAPABILITIES : [],
      folders: [directory],
      startsGuests: true,
    };
  }
  return plain;
}

export type UnitPlan = {
  node: string;
  agentFile: string;
  configFile: string;
  settings: Settings;
  needs: Needs;
};

/** A word of a unit's line: quoted where it must be, and specifiers taken literally. */
export function quoteWord(word: string): string {
  const literal = word.replaceAll("%", "%%");
  return /^[\w@:,./=+%-]+$/.test(literal) ? literal : `"${literal.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}

/** A word of a command line, in which variables are taken literally too. */
const quoteArgument = (word: string): string => quoteWord(word).replaceAll("$", "$$$$");

const isUnder = (folder: string, root: string): boolean => `${path.resolve(folder)}/`.startsWith(root);

/** Folders that systemd makes and gives to the user, relative to `/var/lib`, and those that are there already. */
export function foldersOf({ settings, needs }: Pick<UnitPlan, "settings" | "needs">): {
  made: string[];
  open: string[];
} {
  const { stateDir } = settings;
  const all = [stateDir, ...needs.folders.filter((folder) => !isUnder(folder, `${path.resolve(stateDir)}/`))];
  const isMade = (folder: string): boolean =>
    isUnder(folder, STATE_ROOT) && path.resolve(folder) !== "/var/lib" && (folder === stateDir || !needs.startsGuests);
  return {
    made: all.filter(isMade).map((folder) => path.relative(STATE_ROOT, path.resolve(folder))),
    open: all.filter((folder) => !isMade(folder)).map((folder) => path.resolve(folder)),
  };
}

/** What no driver needs, and what only those can do without that start no guests. */
function hardening({ startsGuests, capabilities }: Needs, privateTmp: boolean): string[] {
  const always = [
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    `PrivateTmp=${privateTmp ? "yes" : "no"}`,
    `CapabilityBoundingSet=${capabilities.join(" ")}`,
    `RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK${startsGuests ? " AF_PACKET AF_VSOCK" : ""}`,
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectHostname=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "UMask=0077",
  ];
  const alone = [
    `MemoryMax=${MEMORY_MAX}`,
    "MemorySwapMax=0",
    "TasksMax=256",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectKernelTunables=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
  ];
  return startsGuests ? [...always, "TasksMax=infinity", "OOMPolicy=continue"] : [...always, ...alone];
}

/** The unit's text. Its paths are absolute. */
export function unitText(plan: UnitPlan): string {
  const { node, agentFile, configFile, settings, needs } = plan;
  const { made, open } = foldersOf(plan);
  const command = [node, ...NODE_FLAGS, agentFile, "run", "--config"].map(quoteArgument);
  const inTmp = [settings.stateDir, settings.policyFile, settings.stopFile, agentFile, ...needs.folders].some(
    (file) => isUnder(file, "/tmp/") || isUnder(file, "/var/tmp/"),
  );
  const reachesTmp = inTmp || JSON.stringify(settings.driver).includes('"/tmp/');
  const line = (name: string, values: readonly string[]): string[] =>
    values.length === 0 ? [] : [`${name}=${values.join(" ")}`];
  return [
    "# Written by drover-agent install; systemctl edit drover-agent adds to it.",
    "[Unit]",
    `Description=Drover agent of host ${settings.hostId}`,
    "Wants=network-online.target",
    `After=network-online.target time-sync.target${settings.driver.name === "libvirt" ? " libvirtd.service virtqemud.service" : ""}`,
    "",
    "[Service]",
    "Type=exec",
    // The configuration stays root's own: the service gets a copy that nobody else can read.
    `LoadCredential=${CREDENTIAL}:${configFile.replaceAll("%", "%%")}`,
    "EnvironmentFile=-/etc/drover/agent.env",
    ...NODE_ENVIRONMENT.map((setting) => `Environment=${setting}`),
    `ExecStart=${command.join(" ")} \${CREDENTIALS_DIRECTORY}/${CREDENTIAL}`,
    `User=${needs.user}`,
    ...line("SupplementaryGroups", needs.groups),
    ...line("StateDirectory", made.map(quoteWord)),
    "StateDirectoryMode=0700",
    ...line("ReadWritePaths", open.map(quoteWord)),
    "Restart=always",
    "RestartSec=5",
    // Wrong usage or configuration: another start would end the same way.
    "RestartPreventExitStatus=2",
    // The agent itself ends within seconds; a virsh or a QEMU that it started goes on.
    "KillMode=process",
    "TimeoutStopSec=20",
    ...hardening(needs, !needs.startsGuests && !reachesTmp),
    "",
    "[Install]",
    "WantedBy=multi-user.target",
    "",
  ].join("\n");
}
