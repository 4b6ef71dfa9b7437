// The PlanetLab traces: a day is a folder or an archive of files, one a VM, 288 whole percentages a file, 5 minutes apart.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gunzipSync } from "node:zlib";

export const SAMPLES = 288;
export const STEP_SECONDS = 300;
/** Work begins so long after the machines are there; the control steps keep this offset. */
export const OFFSET_SECONDS = 0.1;

/** Shares of the VM's own size, with the last one doubled so that the end can be interpolated. */
export type Trace = Float64Array;

/** The days in a folder: 20110303, … */
export function daysIn(folder: string): string[] {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const days = names.flatMap((name) => /^(\d{8})(\.tar\.gz)?$/.exec(name)?.[1] ?? []);
  return [...new Set(days)].toSorted();
}

/** In order of the files' names, because the order decides which trace gets which size of VM. */
export function readDay(folder: string, day: string): Trace[] {
  const archive = join(folder, `${day}.tar.gz`);
  const files = existsSync(archive) ? filesOfTar(gunzipSync(readFileSync(archive))) : filesOf(join(folder, day));
  return files.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(({ name, text }) => traceOf(text, name));
}

export function traceOf(text: string, name: string): Trace {
  const shares = text
    .trim()
    .split(/\s+/)
    .map((percent) => Number(percent) / 100);
  if (shares.length < SAMPLES || shares.some((share) => !(share >= 0 && share <= 1)))
    throw new Error(`${name} is not a trace: ${SAMPLES} percentages from 0 to 100 are expected`);
  const trace = new Float64Array(SAMPLES + 1);
  trace.set(shares.slice(0, SAMPLES));
  trace[SAMPLES] = trace[SAMPLES - 1] ?? 0;
  return trace;
}

type TextFile = { name: string; text: string };

const filesOf = (folder: string): TextFile[] =>
  readdirSync(folder).map((name) => ({ name, text: readFileSync(join(folder, name), "latin1") }));

/** The plain files of a ustar archive. */
function filesOfTar(bytes: Buffer): TextFile[] {
  const files: TextFile[] = [];
  for (let at = 0; at + 512 <= bytes.length;) {
    const field = (from: number, length: number) => bytes.toString("latin1", at + from, at + from + length);
    const name = field(0, 100).replace(/\0.*$/s, "");
    if (name === "") break;
    const length = Number.parseInt(field(124, 12), 8);
    const kind = field(156, 1);
    if (kind === "0" || kind === "\0")
      files.push({ name: basename(name), text: bytes.toString("latin1", at + 512, at + 512 + length) });
    at += 512 + Math.ceil(length / 512) * 512;
  }
  return files;
}
