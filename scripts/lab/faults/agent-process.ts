// One agent as a process of its own, from the file that operators install. It is ended and paused by its own process id.
import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseStat, TICKS_PER_SECOND } from "../../agent/linux/proc.ts";

const START_MS_MAX = 30_000;
const STOP_MS_MAX = 10_000;

export type LogLine = { level: string; msg: string; [field: string]: unknown };

/** Over all lives of the agent. */
export type Usage = { cpuSeconds: number; memoryBytesMax: number; aliveMs: number };

export type AgentProcess = {
  /** What it has logged, over all of its lives. */
  readonly log: readonly LogLine[];
  start: () => Promise<void>;
  /** SIGKILL: as a crash. Resolves when the process is gone. */
  kill: () => Promise<void>;
  /** SIGSTOP and SIGCONT. */
  pause: () => void;
  resume: () => void;
  /** SIGTERM, and SIGKILL to one that does not go. It cannot be started any more. */
  stop: () => Promise<void>;
  usage: () => Usage;
};

type Life = { child: ChildProcess; pid: number; startedAt: number; gone: Promise<void>; isGone: boolean };

function parseLine(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return { level: "text", msg: line };
  }
}

/** What the kernel says of a process that lives; null: it does not. */
function usageOf({ pid, startedAt }: Life): Usage | null {
  try {
    const stat = parseStat(readFileSync(`/proc/${pid}/stat`, "utf8"));
    const peakKib = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    if (stat === null || peakKib === undefined) return null;
    const cpuSeconds = stat.cpuTicks / TICKS_PER_SECOND;
    return { cpuSeconds, memoryBytesMax: Number(peakKib) * 1024, aliveMs: Date.now() - startedAt };
  } catch {
    return null;
  }
}

const NOTHING: Usage = { cpuSeconds: 0, memoryBytesMax: 0, aliveMs: 0 };

const added = (a: Usage, b: Usage | null): Usage => ({
  cpuSeconds: a.cpuSeconds + (b?.cpuSeconds ?? 0),
  memoryBytesMax: Math.max(a.memoryBytesMax, b?.memoryBytesMax ?? 0),
  aliveMs: a.aliveMs + (b?.aliveMs ?? 0),
});

function begin(file: string, configFile: string, onLine: (line: LogLine) => void): Life {
  const child = spawn(process.execPath, [file, "run", "--config", configFile], { stdio: ["ignore", "ignore", "pipe"] });
  const { pid, stderr } = child;
  if (pid === undefined || stderr === null) throw new Error(`${file} could not be started`);
  createInterface({ input: stderr }).on("line", (line) => onLine(parseLine(line)));
  const life: Life = { child, pid, startedAt: Date.now(), gone: Promise.resolve(), isGone: false };
  life.gone = new Promise((resolve) =>
    child.once("exit", () => {
      life.isGone = true;
      resolve();
    }),
  );
  return life;
}

async function within(what: string, timeoutMs: number, done: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${timeoutMs} ms`)), timeoutMs);
  });
  await Promise.race([done, late]).finally(() => clearTimeout(timer));
}

export function createAgentProcess(file: string, configFile: string): AgentProcess {
  const log: LogLine[] = [];
  let life: Life | null = null;
  let past = NOTHING;
  let isOver = false;

  const end = async (signal: "SIGKILL" | "SIGTERM"): Promise<void> => {
    const ending = life;
    if (ending === null) return;
    past = added(past, usageOf(ending));
    life = null;
    if (ending.isGone) return;
    ending.child.kill("SIGCONT");
    ending.child.kill(signal);
    await within(`the end of agent ${ending.pid}`, STOP_MS_MAX, ending.gone).catch(() => ending.child.kill("SIGKILL"));
    await ending.gone;
  };
  return {
    log,
    start: async () => {
      if (isOver) throw new Error("the lab is ending: no agent is started any more");
      let ready = (): void => undefined;
      const isReady = new Promise<void>((resolve) => (ready = resolve));
      life = begin(file, configFile, (line) => {
        log.push(line);
        if (line.msg === "the agent runs") ready();
      });
      const died = life.gone.then(() => {
        throw new Error(`an agent ended at its start: ${JSON.stringify(log.slice(-3))}`);
      });
      died.catch(() => undefined);
      await within("the start of an agent", START_MS_MAX, Promise.race([isReady, died]));
    },
    kill: () => end("SIGKILL"),
    pause: () => void life?.child.kill("SIGSTOP"),
    resume: () => void life?.child.kill("SIGCONT"),
    stop: () => {
      isOver = true;
      return end("SIGTERM");
    },
    usage: () => added(past, life === null ? null : usageOf(life)),
  };
}
