// How the machine's hardware does: memory errors, heat, disks of arrays. What a machine does not tell is null, never 0.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export type Hardware = {
  /** Memory errors since boot that were put right, and that were not, by EDAC; null: no memory controller tells. */
  eccCorrected: number | null;
  eccUncorrected: number | null;
  /** Of the hottest sensor. */
  temperatureCelsius: number | null;
  /** Share of the members of md arrays that have failed or are missing; null: there is no array. */
  diskFailedRatio: number | null;
};

/** A sensor that nothing is connected to shows 127 °C or more; nothing that still works is as hot. */
const CELSIUS_MAX = 125;
const MILLI = 1000;

async function namesIn(folder: string, pattern: RegExp): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => pattern.test(name)).map((name) => join(folder, name));
}

/** A whole number that a file holds; null: it holds none, or is not there. */
async function numberIn(file: string): Promise<number | null> {
  const text = await readFile(file, "utf8").catch(() => "");
  return /^-?\d+\s*$/.test(text) ? Number(text) : null;
}

/** null where one of them is not known: a sum over fewer would look like a counter that fell. */
const sumOf = (counts: readonly (number | null)[]): number | null =>
  counts.length === 0 ? null : counts.reduce((sum, count) => (sum === null || count === null ? null : sum + count), 0);

/**
 * `/proc/mdstat` (md(4)): members marked `(F)`, or as many as `[configured/active]` says are missing, of all members. Null: no
 * array.
 */
export function parseMdstat(text: string): number | null {
  const arrays = text.split(/^(?=\S)/m).filter((block) => /^md\S* : /.test(block));
  let [failed, members] = [0, 0];
  for (const block of arrays) {
    const listed = block.match(/\S+\[\d+\](\([A-Z]\))*/g) ?? [];
    const [configured = 0, active = 0] = /\[(\d+)\/(\d+)\]/.exec(block)?.slice(1).map(Number) ?? [];
    failed += Math.max(listed.filter((member) => member.includes("(F)")).length, configured - active);
    members += Math.max(listed.length, configured);
  }
  return members === 0 ? null : failed / members;
}

async function hottestSensor(folder: string): Promise<number | null> {
  const chips = await namesIn(folder, /^hwmon\d+$/);
  const files = (await Promise.all(chips.map((chip) => namesIn(chip, /^temp\d+_input$/)))).flat();
  const celsius = (await Promise.all(files.map(numberIn)))
    .filter((value) => value !== null)
    .map((value) => value / MILLI)
    .filter((value) => value <= CELSIUS_MAX);
  return celsius.length === 0 ? null : Math.max(...celsius);
}

/** `root`: where `/sys` and `/proc` are. */
export async function readHardware(root = "/"): Promise<Hardware> {
  const controllers = await namesIn(join(root, "sys/devices/system/edac/mc"), /^mc\d+$/);
  const count = async (name: string): Promise<number | null> =>
    sumOf(await Promise.all(controllers.map((controller) => numberIn(join(controller, name)))));
  const [eccCorrected, eccUncorrected, temperatureCelsius, mdstat] = await Promise.all([
    count("ce_count"),
    count("ue_count"),
    hottestSensor(join(root, "sys/class/hwmon")),
    readFile(join(root, "proc/mdstat"), "utf8").catch(() => ""),
  ]);
  return { eccCorrected, eccUncorrected, temperatureCelsius, diskFailedRatio: parseMdstat(mdstat) };
}
