// A program of the system on a free port of loopback with a folder of its own; ended by its process id and nothing else.
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { until } from "../until.ts";

export type Running = {
  url: string;
  /** The end of what it wrote to stdout and stderr. */
  log: () => string;
  /** SIGTERM, then SIGKILL; its folder is removed. */
  stop: () => Promise<void>;
};

/** Programs, and Debian's packages of them. */
const PACKAGES = {
  prometheus: "prometheus",
  vmagent: "victoria-metrics",
  "prometheus-node-exporter": "prometheus-node-exporter",
  "prometheus-libvirt-exporter": "prometheus-libvirt-exporter",
  "prometheus-alertmanager": "prometheus-alertmanager",
} as const;
export type Program = keyof typeof PACKAGES;

/** Those that send telemetry or are scraped for it. */
const OF_TELEMETRY: readonly Program[] = [
  "prometheus",
  "vmagent",
  "prometheus-node-exporter",
  "prometheus-libvirt-exporter",
];

const READY_MS_MAX = 30_000;
const END_MS_MAX = 10_000;

function isThere(program: Program): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Why the programs cannot be started here, and how to get them; null: they are all there. In CI what is missing is an
 * error, so that no test is left out unseen.
 */
export function whyNoSenders(programs: readonly Program[] = OF_TELEMETRY): string | null {
  const missing = programs.filter((program) => !isThere(program));
  if (missing.length === 0) return null;
  const packages = missing.map((program) => PACKAGES[program]).join(" ");
  const why = `${missing.join(", ")} missing: apt-get install -y --no-install-recommends ${packages}`;
  if (process.env["CI"]) throw new Error(why);
  return why;
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer().once("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => done(typeof address === "object" && address ? address.port : 0));
    });
  });
}

export type Start = {
  program: Program;
  /** Its arguments, when it shall listen on `port` and may write to `folder`. */
  args: (port: number, folder: string) => string[];
  /** What it answers with 200 when it is ready. */
  readyPath: string;
};

export async function startProgram({ program, args, readyPath }: Start): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), `drover-${program}-`));
  const logFile = join(folder, "log");
  const output = openSync(logFile, "w");
  const port = await freePort();
  const child = spawn(program, args(port, folder), { cwd: folder, stdio: ["ignore", output, output] });
  closeSync(output);
  // Whatever ends this process, the child does not outlive it.
  const orphaned = (): void => void child.kill("SIGKILL");
  process.once("exit", orphaned);
  let failure: Error | null = null;
  child.once("error", (error) => (failure = error));
  const url = `http://127.0.0.1:${port}`;
  const log = (): string => readFileSync(logFile, "utf8").slice(-2000);
  const stop = async (): Promise<void> => {
    await end(child);
    process.removeListener("exit", orphaned);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const hasEnded = () => failure !== null || child.exitCode !== null || child.signalCode !== null;
    const answers = async () => (hasEnded() ? null : (await fetch(`${url}${readyPath}`)).ok);
    if ((await until(answers, (ok) => ok !== false, READY_MS_MAX)) === null) throw new Error("it ended");
  } catch (error) {
    const said = log();
    await stop();
    throw new Error(`${program} did not start: ${said}`, { cause: failure ?? error });
  }
  return { url, log, stop };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), END_MS_MAX);
  await exit;
  clearTimeout(late);
}
