// `drover-agent install`: a systemd unit for this agent, checked before it is written. Nothing is started.
import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Settings } from "../config.ts";
import { writeFileAtomically } from "../files.ts";
import type { InstallOptions } from "./command-line.ts";
import { foldersOf, needsOf, OWN_USER, unitText, type UnitPlan } from "./unit.ts";

const UNIT_FILE = "/etc/systemd/system/drover-agent.service";
/** LoadCredential came with it. */
const SYSTEMD_MIN = 247;

type Say = (line: string) => void;

/** What a program printed; null: it is not here, or it failed. */
function output(program: string, ...args: string[]): string | null {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return null;
  }
}

/** Null: the folder is not there. */
function ownerOf(folder: string): string | null {
  const uid = statSync(folder, { throwIfNoEntry: false })?.uid;
  if (uid === undefined) return null;
  return output("getent", "passwd", String(uid))?.split(":")[0] ?? "root";
}

const HIDDEN = ["/home/", "/root/", "/run/user/"];

/** Why such a unit could not work here, each with what to do. */
export function problemsOf({ node, agentFile, configFile, settings, needs }: UnitPlan): string[] {
  const { stateDir, policyFile, stopFile } = settings;
  const files: [string, string][] = [
    ["node", node],
    ["the agent's file", agentFile],
    ["stateDir", stateDir],
    ["policyFile", policyFile],
    ["stopFile", stopFile],
    ...needs.folders.map((folder): [string, string] => ["driver.directory", folder]),
  ];
  const problems = files.flatMap(([name, file]) => {
    if (!path.isAbsolute(file)) return [`${name} is ${file}: a service needs an absolute path`];
    if (/\p{Cc}/u.test(file)) return [`${name} holds a control character: rename it`];
    const hidden = HIDDEN.find((root) => file.startsWith(root));
    return hidden === undefined
      ? []
      : [`${name} is ${file}, and a service does not see ${hidden}: move it, to /usr/local or /var/lib`];
  });
  if (/\p{Cc}/u.test(configFile)) problems.push("the configuration's name holds a control character: rename it");
  if (agentFile.endsWith(".ts")) problems.push(`${agentFile} is not the bundled agent: npm run build:agent makes it`);
  return problems;
}

/** Who could change what the service runs. */
function warningsOf({ node, agentFile }: UnitPlan): string[] {
  return [node, agentFile].flatMap((file) => {
    const { mode, uid } = statSync(file);
    if (uid === 0 && (mode & 0o022) === 0) return [];
    return [`${file} can be changed by others than root: chown root:root ${file} && chmod go-w ${file}`];
  });
}

/** What `systemd-analyze verify` has against the text; null: nothing, or there is none here. */
export function verifyUnit(text: string): string | null {
  const folder = mkdtempSync(path.join(tmpdir(), "drover-unit-"));
  try {
    const file = path.join(folder, path.basename(UNIT_FILE));
    writeFileSync(file, text);
    const { error, status, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", file], { encoding: "utf8" });
    if (error !== undefined) return null;
    const own = stderr.split("\n").filter((line) => line.includes(path.basename(UNIT_FILE)));
    return status === 0 && own.length === 0 ? null : own.join("\n") || stderr.trim();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

type Step = { says: string; act: () => void };

function run(program: string, ...args: string[]): Step {
  return { says: [program, ...args].join(" "), act: () => void execFileSync(program, args, { stdio: "inherit" }) };
}

function userSteps({ user, groups }: UnitPlan["needs"]): Step[] {
  const joined = groups.length === 0 ? [] : ["--groups", groups.join(",")];
  if (output("id", "-u", user) === null)
    return user === OWN_USER
      ? [
          run(
            "useradd",
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/usr/sbin/nologin",
            ...joined,
            user,
          ),
        ]
      : [];
  return joined.length === 0 || user === "root" ? [] : [run("usermod", "--append", ...joined, user)];
}

/** Folders that systemd does not make by itself. */
function folderSteps(plan: UnitPlan): Step[] {
  const { user } = plan.needs;
  return foldersOf(plan)
    .open.filter((folder) => !existsSync(folder))
    .map((folder) => ({
      says: `make ${folder} for ${user}`,
      act: () => {
        mkdirSync(folder, { recursive: true, mode: 0o700 });
        const [uid, gid] = [output("id", "-u", user), output("id", "-g", user)];
        if (uid !== null && gid !== null) chownSync(folder, Number(uid), Number(gid));
      },
    }));
}

function stepsOf(plan: UnitPlan, text: string): Step[] {
  const write = {
    says: `write ${UNIT_FILE}`,
    act: () => writeFileAtomically(UNIT_FILE, text, true, 0o644),
  };
  // Where systemd does not run (an image being built) it reads units when it starts.
  const reload = existsSync("/run/systemd/system") ? [run("systemctl", "daemon-reload")] : [];
  return [...userSteps(plan.needs), ...folderSteps(plan), write, ...reload];
}

/** Why this cannot be done here and now; null: it can. */
function obstacle(plan: UnitPlan): string | null {
  const version = Number.parseInt(/^systemd (\d+)/.exec(output("systemctl", "--version") ?? "")?.[1] ?? "", 10);
  if (Number.isNaN(version))
    return "there is no systemd here: start drover-agent run by what starts services on this host";
  if (version < SYSTEMD_MIN) return `systemd ${version} is too old: ${SYSTEMD_MIN} or later is needed`;
  if (process.getuid?.() !== 0) return "only root may install a service: use sudo, or --print and --dry-run";
  const { user } = plan.needs;
  if (user !== OWN_USER && output("id", "-u", user) === null)
    return `there is no user ${user}: make it, or leave out --user`;
  return null;
}

/** Returns the exit code: 0 done or shown, 1 refused with the reason. */
export function install(configFile: string, settings: Settings, { mode, user }: InstallOptions, say: Say): number {
  const complain = (line: string): void => void process.stderr.write(`${line}\n`);
  const needs = needsOf(settings, ownerOf);
  const isThere = (group: string): boolean => output("getent", "group", group) !== null;
  for (const group of needs.groups.filter((each) => !isThere(each)))
    complain(`warning: there is no group ${group} on this host; the agent's user may not reach what belongs to it`);
  const plan: UnitPlan = {
    node: process.execPath,
    agentFile: realpathSync(process.argv[1] ?? ""),
    configFile: path.resolve(configFile),
    settings,
    needs: { ...needs, user: user ?? needs.user, groups: needs.groups.filter(isThere) },
  };
  const problems = problemsOf(plan);
  const text = unitText(plan);
  const complaint = problems.length > 0 ? null : verifyUnit(text);
  if (complaint !== null) problems.push(`systemd would not take the unit: ${complaint}`);
  for (const warning of warningsOf(plan)) complain(`warning: ${warning}`);
  if (problems.length > 0) {
    for (const problem of problems) complain(`error: ${problem}`);
    return 1;
  }
  if (mode === "print") {
    say(text.trimEnd());
    return 0;
  }
  if (mode === "dry-run") {
    for (const { says } of stepsOf(plan, text)) say(`would ${says}`);
    say(`\n${text.trimEnd()}`);
    return 0;
  }
  const reason = obstacle(plan);
  if (reason !== null) {
    complain(`error: ${reason}`);
    return 1;
  }
  for (const { says, act } of stepsOf(plan, text)) {
    say(says);
    act();
  }
  say("installed; systemctl enable --now drover-agent starts it, journalctl -u drover-agent shows its log");
  return 0;
}
