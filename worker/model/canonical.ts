/**
 * JSON in one spelling, for hashing: keys in UTF-16 order, no spaces, numbers as ECMAScript prints them (RFC 8785).
 * Properties that are `undefined` are left out, as JSON.stringify does. Throws a TypeError for what JSON cannot say
 * (NaN, infinities, functions, bigint, an undefined value in a list): two different values must never share a hash.
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError(`canonicalJson: ${value} is no JSON number: leave the field out`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object") {
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, field]) => `${JSON.stringify(key)}:${canonicalJson(field)}`);
    return `{${fields.join(",")}}`;
  }
  throw new TypeError(`canonicalJson: a ${typeof value} is no JSON: pass plain data only`);
}
