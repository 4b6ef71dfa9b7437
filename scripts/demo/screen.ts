// Where the demo writes: a terminal with live lines, a plain stream without escape codes, or JSON lines.

export type Screen = {
  /** Something that happened, for programs; shown with --json only. */
  event: (name: string, data: Record<string, unknown>) => void;
  title: (text: string) => void;
  lines: (lines: string[]) => void;
  /** Lines that replace the ones shown live before. Shown on a terminal only. */
  live: (lines: string[]) => void;
  /** What a stream without live lines is told instead. */
  note: (text: string) => void;
  /** The live lines stay as they are. */
  settle: () => void;
};

type Output = { write: (text: string) => unknown; isTTY?: boolean; columns?: number };

const BOLD = "\u001b[1m";
const PLAIN = "\u001b[0m";
const CLEAR_LINE = "\u001b[2K";
const up = (lines: number): string => (lines > 0 ? `\u001b[${lines}A` : "");

const quiet = (): void => {};

function jsonScreen(output: Output, now: () => number): Screen {
  const event: Screen["event"] = (name, data) =>
    void output.write(`${JSON.stringify({ event: name, at: now(), ...data })}\n`);
  return { event, title: quiet, lines: quiet, live: quiet, note: quiet, settle: quiet };
}

function plainScreen(output: Output): Screen {
  const lines: Screen["lines"] = (all) => void output.write(all.map((line) => `${line}\n`).join(""));
  return {
    event: quiet,
    title: (text) => lines(["", text, ""]),
    lines,
    live: quiet,
    note: (text) => lines([text]),
    settle: quiet,
  };
}

function terminalScreen(output: Output): Screen {
  let shown = 0;
  // A line that wraps would take two, and moving up would miss.
  const fit = (line: string): string => line.slice(0, (output.columns || 80) - 1);
  const settle = (): void => {
    shown = 0;
  };
  const lines: Screen["lines"] = (all) => {
    settle();
    output.write(all.map((line) => `${line}\n`).join(""));
  };
  return {
    event: quiet,
    title: (text) => lines(["", `${BOLD}${text}${PLAIN}`, ""]),
    lines,
    live: (all) => {
      output.write(up(shown) + all.map((line) => `${CLEAR_LINE}${fit(line)}\n`).join(""));
      shown = all.length;
    },
    note: quiet,
    settle,
  };
}

export function createScreen(output: Output, json: boolean, now: () => number): Screen {
  if (json) return jsonScreen(output, now);
  return output.isTTY === true ? terminalScreen(output) : plainScreen(output);
}
