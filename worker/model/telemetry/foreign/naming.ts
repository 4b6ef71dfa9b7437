// Names under which series that no table knows are stored: their own, in Drover's alphabet.
import type { Label } from "./remote-write.ts";

const NAME_MAX = 128;
const HASH_DIGITS = 7;

/** FNV-1a over UTF-16 units, in base 36: tells apart what looks the same after cutting. */
export function shortHash(text: string): string {
  let hash = -2_128_831_035;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 16_777_619);
  return (hash >>> 0).toString(36).padStart(HASH_DIGITS, "0");
}

/** In the alphabet of metric names; dots become underscores, as everywhere where OpenTelemetry's names become Prometheus'. */
function baseName(name: string): string {
  const clean = name.replaceAll(/[^a-zA-Z0-9_:]/g, "_").replace(/^_+(?=_)/, "");
  return /^[a-zA-Z_]/.test(clean) ? clean : `_${clean}`;
}

/**
 * `name`, or `name:value_value` with the values of its labels in the order of the labels' names. A short hash of the whole
 * is appended where that could be another series' name too: where a character was replaced, something cut, or the values
 * cannot be told from each other again. Labels with the same values under other names are the same: a metric has one set.
 */
export function storedName(name: string, labels: readonly Label[]): string {
  const base = baseName(name);
  const told = labels.filter(([, value]) => value !== "").toSorted(([a], [b]) => (a < b ? -1 : Number(a > b)));
  const isNameLost = base !== name.replaceAll(".", "_");
  if (told.length === 0 && !isNameLost && base.length <= NAME_MAX) return base;
  const values = told.map(([, value]) => value.replaceAll(/[^a-zA-Z0-9_:]/g, "_"));
  const isLost =
    isNameLost ||
    told.length < labels.length ||
    told.some(([, value], index) => value !== values[index] || (told.length > 1 && value.includes("_")));
  const whole = told.length === 0 ? base : `${base}:${values.join("_")}`;
  if (!isLost && whole.length <= NAME_MAX) return whole;
  const hash = shortHash(JSON.stringify([name, labels.toSorted(([a], [b]) => (a < b ? -1 : Number(a > b)))]));
  return `${whole.slice(0, NAME_MAX - HASH_DIGITS - 1)}_${hash}`.replace(/^__+/, "_");
}
