// A guest's serial line, read while it is written: what the guest itself saw of its migration.
import { closeSync, openSync, readSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

/** Receive times are this exact; the guest's counter rises every 10 ms. */
const POLL_MS = 4;
const CHUNK_BYTES = 65_536;

/** `H <counter> <guest's monotonic ns> <damaged pages>`, and when it was read. */
export type Beat = { counter: number; guestMs: number; damagedPages: number; atMs: number };

/** Null for any other line. */
export function parseBeat(line: string, atMs: number): Beat | null {
  const match = /^H (\d+) (\d+) (\d+)\r?$/.exec(line);
  if (match === null) return null;
  return { counter: Number(match[1]), guestMs: Number(match[2]) / 1e6, damagedPages: Number(match[3]), atMs };
}

export type SerialReader = {
  readonly beats: readonly Beat[];
  /** Resolves once the line was read; rejects after `timeoutMs` with the last of what was. */
  waitFor: (line: string, timeoutMs: number) => Promise<void>;
  /** Resolves once the guest has counted this far. */
  waitForBeats: (count: number, timeoutMs: number) => Promise<void>;
  /** Reads what is left, then stops. */
  close: () => void;
};

/** Follows a file that may not exist yet. */
export function readSerial(file: string): SerialReader {
  const beats: Beat[] = [];
  const lines: string[] = [];
  const buffer = Buffer.alloc(CHUNK_BYTES);
  let handle: number | null = null;
  let rest = "";

  const read = (): void => {
    try {
      handle ??= openSync(file, "r");
    } catch {
      return;
    }
    for (let bytes = readSync(handle, buffer); bytes > 0; bytes = readSync(handle, buffer)) {
      const atMs = Date.now();
      const parts = (rest + buffer.toString("latin1", 0, bytes)).split("\n");
      rest = parts.pop() ?? "";
      for (const line of parts) {
        const beat = parseBeat(line, atMs);
        if (beat === null) lines.push(line.trim());
        else beats.push(beat);
      }
    }
  };
  const timer = setInterval(read, POLL_MS);

  const until = async (what: string, timeoutMs: number, isThere: () => boolean): Promise<void> => {
    for (const deadline = Date.now() + timeoutMs; !isThere(); await wait(POLL_MS))
      if (Date.now() > deadline)
        throw new Error(
          `${file}: no ${what} within ${timeoutMs} ms; last lines: ${lines.slice(-3).join(" | ") || "none"}`,
        );
  };
  return {
    beats,
    waitFor: (line, timeoutMs) => until(line, timeoutMs, () => lines.includes(line)),
    waitForBeats: (count, timeoutMs) => until(`${count} beats`, timeoutMs, () => beats.length >= count),
    close: () => {
      clearInterval(timer);
      read();
      if (handle !== null) closeSync(handle);
      handle = null;
    },
  };
}

/** How one guest's life went over from one serial line to the next. `problems`: what must never happen. */
export type Continuity = { problems: string[]; lastCounter: number; firstCounter: number; blackoutMs: number };

/**
 * Compares what the source's line said with what the destination's says. The counter must go on where it stopped: a beat may be
 * cut off at the stop, so that one may be missing; none may come twice, and it never goes back.
 */
export function compareBeats(source: readonly Beat[], destination: readonly Beat[]): Continuity {
  const [last, first] = [source.at(-1), destination[0]];
  if (last === undefined || first === undefined)
    return {
      problems: [`no beats ${last === undefined ? "on the source" : "at the destination"}`],
      lastCounter: last?.counter ?? -1,
      firstCounter: first?.counter ?? -1,
      blackoutMs: Number.NaN,
    };
  const problems = [...lineProblems("source", source), ...lineProblems("destination", destination)];
  const step = first.counter - last.counter;
  if (step < 1) problems.push(`beat ${first.counter} came at the destination after ${last.counter} at the source`);
  if (step > 2) problems.push(`${step - 1} beats are missing between ${last.counter} and ${first.counter}`);
  return { problems, lastCounter: last.counter, firstCounter: first.counter, blackoutMs: first.atMs - last.atMs };
}

/** What is wrong with one line by itself. */
export function lineProblems(side: string, beats: readonly Beat[]): string[] {
  const broken = beats.filter((beat, index) => index > 0 && beat.counter !== (beats[index - 1]?.counter ?? 0) + 1);
  const damaged = beats.at(-1)?.damagedPages ?? 0;
  return [
    ...broken.slice(0, 3).map((beat) => `beat ${beat.counter} at the ${side} does not follow the one before it`),
    ...(damaged > 0 ? [`the guest found ${damaged} pages damaged at the ${side}`] : []),
  ];
}
