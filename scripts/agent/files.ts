// State on disk: whole files replaced at once, read back only through a schema. Synchronous on purpose: between a decision
// and its record nothing else can run.
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { createHash } from "node:crypto";
import path from "node:path";
import type { z } from "zod";

export function ensureFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
}

/** Replaces the file in one step; a reader and a crash see the old content or the new. `durable`: it is on the disk when this returns. */
export function writeFileAtomically(file: string, content: string | Uint8Array, durable: boolean, mode = 0o600): void {
  const temporary = `${file}.new`;
  const handle = openSync(temporary, "w", mode);
  try {
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    for (let done = 0; done < bytes.length;) done += writeSync(handle, bytes, done);
    if (durable) fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(temporary, file);
  if (!durable) return;
  const folder = openSync(path.dirname(file), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** The file's content through its schema; null when there is no such file. Throws on anything that does not fit. */
export function readJson<T>(file: string, schema: z.ZodType<T>): T | null {
  if (!existsSync(file)) return null;
  return schema.parse(JSON.parse(readFileSync(file, "utf8")));
}

/** Names of the finished files in a folder that end so, sorted. */
export function listFiles(folder: string, ending: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .sort();
}

export function removeFile(file: string): void {
  if (existsSync(file)) unlinkSync(file);
}

/** Milliseconds since the file was last written. */
export function fileAgeMs(file: string, nowMs: number): number {
  return nowMs - statSync(file).mtimeMs;
}

/** A name for the file of an id that came from outside: it can never leave its folder. */
export function fileNameFor(id: string): string {
  return /^[A-Za-z0-9_-]{1,64}$/.test(id) ? `${id}.json` : `x.${createHash("sha256").update(id).digest("hex")}.json`;
}
