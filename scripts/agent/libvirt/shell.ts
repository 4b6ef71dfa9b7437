// One virsh that is asked many things, in place of a process for each: a tenth of the CPU. For what is looked at all the time and
// decides nothing about a migration under way: it answers one question after the other, and a hypervisor that is slow with one
// of them holds up the rest.
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { DriverError } from "../driver.ts";
import { createMutex } from "../life.ts";
import type { LibvirtSettings } from "./config.ts";
import { ENGLISH, TIMEOUT_MS, toComplaint, toDriverError, type Virsh } from "./virsh.ts";

const PROMPT = "virsh # ";
/** What a word may hold: nothing that virsh's own reading of a line could take for something else. */
const WORD = /^[\w./:=-]+$/;

/** It connects anew by itself, but what it says then belongs to no question. */
const LOST = /Disconnected from|Failed to reconnect/;

type Answer = { stdout: string; stderr: string };

/** A running virsh and what it has said since it was asked last. */
type Session = { child: ChildProcessWithoutNullStreams; said: Answer; ended: string | null; wake: () => void };

function start({ virsh, uri }: Pick<LibvirtSettings, "virsh" | "uri">): Session {
  const child = spawn(virsh, ["-q", "-c", uri], { env: ENGLISH });
  const session: Session = { child, said: { stdout: "", stderr: "" }, ended: null, wake: () => undefined };
  const end = (why: string) => (): void => {
    session.ended ??= why;
    session.wake();
  };
  child.once("error", end(`${virsh} is not on this host: install libvirt's clients`));
  child.once("exit", end(`${virsh} has ended`));
  // Whoever writes to one that has ended hears of it by its end.
  child.stdin.on("error", () => undefined);
  for (const stream of ["stdout", "stderr"] as const)
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      session.said[stream] += text;
      session.wake();
    });
  return session;
}

/**
 * What it answered between the marks, once the last has come on both streams; null: it has not yet. On stdout virsh repeats every
 * line that it is given, after a prompt and with what its line editor makes of a long one; a mark itself begins a line.
 */
export function answerOf({ stdout, stderr }: Answer, mark: string): Answer | null {
  const begin = `\n${mark}-begin`;
  const [from, to] = [stdout.indexOf(begin), stdout.indexOf(`\n${mark}-end`)];
  const complaintEnd = stderr.indexOf(`error: ${mark}-end`);
  if (from < 0 || to < 0 || complaintEnd < 0) return null;
  const lines = stdout.slice(from + begin.length, to).split("\n");
  return {
    stdout: lines.filter((line) => !line.startsWith(PROMPT)).join("\n"),
    stderr: stderr.slice(0, complaintEnd),
  };
}

const silent = (why: string, stderr: string): DriverError =>
  new DriverError("hypervisor-silent", [why, toComplaint(stderr)].filter((part) => part !== "").join(": "));

async function ask(session: Session, line: string, mark: string): Promise<Answer> {
  session.said = { stdout: "", stderr: "" };
  session.child.stdin.write(`echo ${mark}-begin; ${line}\necho --err ${mark}-end\necho ${mark}-end\n`);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    session.wake();
  }, TIMEOUT_MS);
  try {
    for (;;) {
      const answer = answerOf(session.said, mark);
      if (answer !== null) return answer;
      if (session.ended !== null)
        throw new DriverError("hypervisor-silent", `${session.ended}: ${session.said.stderr}`);
      if (isLate) throw toDriverError(line, "", true);
      await new Promise<void>((resolve) => (session.wake = resolve));
    }
  } finally {
    clearTimeout(timer);
  }
}

export type Shell = { virsh: Virsh; close: () => void };

/** Starts its virsh with the first question, and another after one that ended or did not answer in time. */
export function createShell(settings: Pick<LibvirtSettings, "virsh" | "uri">): Shell {
  const oneByOne = createMutex();
  let session: Session | null = null;
  let serial = 0;
  const close = (): void => {
    session?.child.kill("SIGKILL");
    session = null;
  };
  const put = (line: string): Promise<Answer> =>
    oneByOne(async () => {
      if (session === null || session.ended !== null) session = start(settings);
      try {
        const answer = await ask(session, line, `drover-${++serial}`);
        if (LOST.test(answer.stderr)) throw silent("libvirt was lost", answer.stderr);
        return answer;
      } catch (error) {
        close();
        throw error;
      }
    });
  const several: Virsh["several"] = async (...commands) => {
    const answer = await put(commands.join("; "));
    const error = toDriverError(commands[0] ?? "", answer.stderr, false);
    if (error.reason === "hypervisor-silent") throw error;
    return answer;
  };
  const one = async (command: string, ...args: string[]): Promise<string> => {
    const odd = args.find((word) => !WORD.test(word));
    if (odd !== undefined) throw new DriverError("hypervisor-refused", `${JSON.stringify(odd)} cannot be asked for`);
    const { stdout, stderr } = await put([command, ...args].join(" "));
    if (/^error: /m.test(stderr)) throw toDriverError(command, stderr, false);
    return stdout;
  };
  return { virsh: Object.assign(one, { several }), close };
}
