/**
 * JSON in one spelling, for hashing: keys in UTF-16 order, no spaces, numbers as ECMAScript prints them (RFC 8785).
 * Properties that are `undefined` are left out, as JSON.stringify does. Throws a TypeError for what JSON cannot say
 * (NaN, infinities, functions, bigint, an undefined value in a list): two different values must never share a hash.
 */
export function canonicalJson(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "number":
      if (!Number.isFinite(value))
        throw new TypeError(`canonicalJson: ${value} is no JSON number: leave the field out`);
      return String(value);
    case "boolean":
      return String(value);
    case "object":
      if (value === null) return "null";
      return Array.isArray(value) ? listJson(value) : objectJson(value as Record<string, unknown>);
    default:
      throw new TypeError(`canonicalJson: a ${typeof value} is no JSON: pass plain data only`);
  }
}

// Plans have megabytes of it: one string that grows costs a third of lists that are joined.
function listJson(list: readonly unknown[]): string {
  let text = "[";
  for (let index = 0; index < list.length; index++) text += (index === 0 ? "" : ",") + canonicalJson(list[index]);
  return `${text}]`;
}

function objectJson(value: Record<string, unknown>): string {
  let text = "{";
  for (const key of Object.keys(value).sort()) {
    const field = value[key];
    if (field === undefined) continue;
    text += `${text.length === 1 ? "" : ","}${JSON.stringify(key)}:${canonicalJson(field)}`;
  }
  return `${text}}`;
}
