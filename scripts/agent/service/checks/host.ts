// What the agent itself needs of its host: files, a folder that takes its state, ports, a Node that is new enough.
import { accessSync, constants, existsSync, statfsSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { MIB } from "../../../../worker/model/units.ts";
import type { Settings } from "../../config.ts";
import { holderOf } from "../../lock.ts";
import { messageOf } from "../../log.ts";
import { isStopped, policyWarning, readPolicy } from "../../policy.ts";
import { SPOOL_BYTES_MAX } from "../../spool.ts";
import { fail, ok, warn, type Finding } from "./finding.ts";

const NODE_MAJOR_MIN = 20;
/** Ledger, runs and events of a busy host. */
const STATE_BYTES_MIN = 16 * MIB;

const user = (): string => (process.getuid?.() === 0 ? "root" : `user ${process.getuid?.() ?? "unknown"}`);

export function nodeFinding(version: string): Finding {
  const about = "node";
  return Number.parseInt(version, 10) >= NODE_MAJOR_MIN
    ? ok(about, `version ${version}`)
    : fail(about, `version ${version} is too old`, `install Node ${NODE_MAJOR_MIN} or later`);
}

export function policyFindings({ policyFile, stopFile }: Settings): Finding[] {
  const state = readPolicy(policyFile);
  const about = "local policy";
  const findings: Finding[] = [];
  if (state.kind === "unreadable")
    findings.push(fail(about, state.detail, "correct it: until then everything is refused"));
  else if (existsSync(policyFile)) findings.push(ok(about, `${policyFile}: ${state.policy.mode}`));
  else
    findings.push(
      warn(about, `there is no ${policyFile}: the agent only observes`, "write one with a mode to let VMs in or out"),
    );
  const warning = policyWarning(policyFile);
  if (warning !== null) findings.push(warn(about, "it protects nothing", warning));
  if (isStopped(stopFile))
    findings.push(
      warn(
        "STOP file",
        `${stopFile} exists, or its folder is hidden: nothing new is started`,
        "remove it when it has served",
      ),
    );
  return findings;
}

/** The folder, or what there is of the way to it. */
function nearest(folder: string): string {
  let here = path.resolve(folder);
  while (!existsSync(here) && path.dirname(here) !== here) here = path.dirname(here);
  return here;
}

/** Whether this user can make files in the folder, or the folder itself. */
export function folderFinding(about: string, folder: string): Finding {
  const here = nearest(folder);
  try {
    accessSync(here, constants.W_OK | constants.X_OK);
    return ok(about, here === path.resolve(folder) ? `${folder} can be written` : `${folder} will be made`);
  } catch (error) {
    return fail(
      about,
      `${user()} cannot write ${here}: ${messageOf(error)}`,
      `make ${folder} and give it to the agent's user, or run the agent as its owner`,
    );
  }
}

export function diskFinding(stateDir: string, freeBytes: number): Finding {
  const [about, free] = ["disk", `${Math.floor(freeBytes / MIB)} MiB are free for ${stateDir}`];
  if (freeBytes < STATE_BYTES_MIN)
    return fail(about, `${free}: commands and events may not be kept`, `free ${STATE_BYTES_MIN / MIB} MiB at least`);
  const wantedBytes = SPOOL_BYTES_MAX + STATE_BYTES_MIN;
  if (freeBytes < wantedBytes)
    return warn(
      about,
      `${free}: samples of an outage may not fit, the spool takes up to ${SPOOL_BYTES_MAX / MIB} MiB`,
      `free ${wantedBytes / MIB} MiB`,
    );
  return ok(about, free);
}

/** A hook that cannot be run keeps its VMs where they are. */
export function hookFindings(hooks: Settings["hooks"]): Finding[] {
  return hooks.flatMap(({ name, before, after }) =>
    [before?.[0], after?.[0]].flatMap((file) => {
      if (file === undefined) return [];
      const about = `hook ${name}`;
      try {
        accessSync(file, constants.X_OK);
        return [ok(about, `${file} can be executed`)];
      } catch (error) {
        return [fail(about, messageOf(error), `make ${file} executable for the agent's user`)];
      }
    }),
  );
}

/** Why nothing can listen there; null: it can. */
function whyNot(host: string, port: number): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve(error));
    server.listen(port, host.replaceAll(/[[\]]/g, ""), () => server.close(() => resolve(null)));
  });
}

/** `isRunning`: the agent itself has the port then. */
export async function portFinding(
  about: string,
  { listenHost, port }: { listenHost: string; port: number },
  isRunning: boolean,
): Promise<Finding> {
  const place = `${listenHost}, port ${port === 0 ? "any" : port}`;
  const error = await whyNot(listenHost, port);
  if (error === null) return ok(about, `${place}: free`);
  if (error.code === "EADDRINUSE")
    return isRunning
      ? ok(about, `${place}: in use, and the agent runs`)
      : fail(about, `${place}: another process has it`, "end that process, or set another port");
  if (error.code === "EADDRNOTAVAIL" || error.code === "ENOTFOUND")
    return fail(about, `${place}: ${listenHost} is no address of this host`, "set listenHost to one that is");
  return fail(about, `${place}: ${messageOf(error)}`, "set another listenHost or port, above 1023 without root");
}

export async function hostFindings(settings: Settings): Promise<Finding[]> {
  const { stateDir, peer, webhook, hooks } = settings;
  const holder = holderOf(stateDir);
  const { bavail, bsize } = statfsSync(nearest(stateDir));
  return [
    nodeFinding(process.versions.node),
    ...policyFindings(settings),
    folderFinding("state", stateDir),
    diskFinding(stateDir, bavail * bsize),
    ok("agent", holder === null ? "none runs on this state folder" : `process ${holder} runs`),
    await portFinding("peer port", peer, holder !== null),
    ...(webhook === undefined ? [] : [await portFinding("webhook port", webhook, holder !== null)]),
    ...hookFindings(hooks),
  ];
}
