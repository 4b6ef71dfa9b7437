// CPU loads of PlanetLab's VMs: a day an archive, a file a VM, a whole percentage a line, every 300 s.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

export type Day = { day: string; vms: { name: string; ratios: number[] }[] };

const BLOCK = 512;
const SIZE_AT = 124;
const TYPE_AT = 156;

/** Every day in a folder of `<day>.tar.gz`; loads as ratios of the VM's CPU, VMs by name. */
export function planetlabDays(folder: string): Day[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".tar.gz"))
    .toSorted()
    .map((name) => ({
      day: name.slice(0, -".tar.gz".length),
      vms: filesOf(gunzipSync(readFileSync(join(folder, name))))
        .map(({ path, text }) => ({
          name: path,
          ratios: text
            .trim()
            .split(/\s+/)
            .map((line) => Number(line) / 100),
        }))
        .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    }));
}

/** Regular files of a tar archive (POSIX.1-1988, "ustar": a header of 512 bytes, then the content in blocks of 512). */
function filesOf(archive: Buffer): { path: string; text: string }[] {
  const files: { path: string; text: string }[] = [];
  for (let at = 0; at + BLOCK <= archive.length && archive[at] !== 0;) {
    const field = (from: number, length: number): string =>
      archive.toString("utf8", at + from, at + from + length).replace(/\0.*$/s, "");
    const size = Number.parseInt(field(SIZE_AT, 12), 8);
    const isFile = ["0", ""].includes(field(TYPE_AT, 1));
    if (isFile) files.push({ path: field(0, 100), text: archive.toString("utf8", at + BLOCK, at + BLOCK + size) });
    at += BLOCK * (1 + Math.ceil(size / BLOCK));
  }
  return files;
}
