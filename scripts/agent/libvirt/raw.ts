// Parsers of virsh's plain output. Pure: tested on recorded answers of libvirt 9.0.

export type Stats = Record<string, string>;

/** `domstats --raw`: figures by domain name. Throws on a line that is none. */
export function parseDomstats(text: string): Map<string, Stats> {
  const domains = new Map<string, Stats>();
  let stats: Stats | null = null;
  for (const line of text.split("\n")) {
    const name = /^Domain: '(.*)'$/.exec(line)?.[1];
    if (name !== undefined) domains.set(name, (stats = {}));
    else if (line.trim() !== "") {
      const [key, value] = splitAt(line, "=");
      if (stats === null || key === null) throw new Error(`no line of domstats: ${line.slice(0, 200)}`);
      stats[key] = value;
    }
  }
  return domains;
}

/** `domjobinfo --rawstats`: `Job type: 2`, then `memory_total: 168165376` and so on; the type under `type`. */
export function parseJobInfo(text: string): Stats {
  const stats: Stats = {};
  for (const line of text.split("\n")) {
    const [key, value] = splitAt(line, ":");
    if (key !== null) stats[key === "Job type" ? "type" : key] = value;
  }
  return stats;
}

function splitAt(line: string, separator: string): [string | null, string] {
  const at = line.indexOf(separator);
  return at < 0 ? [null, ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
}

/** A whole number of one of the figures; null where libvirt does not give it. */
export function numberOf(stats: Stats, key: string): number | null {
  const value = stats[key];
  return value !== undefined && /^\d+$/.test(value) ? Number(value) : null;
}

export type Listed = { uuid: string; name: string };

/** `list --uuid --name`: a UUID and a name a line; the name may hold spaces. */
export function parseList(text: string): Listed[] {
  return text.split("\n").flatMap((line) => {
    const found = /^([0-9a-f-]{36})\s+(.*?)\s*$/.exec(line);
    return found?.[1] === undefined || found[2] === undefined ? [] : [{ uuid: found[1], name: found[2] }];
  });
}

/** Names, one a line, as `--name` gives them. */
export const parseNames = (text: string): string[] =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");

/** `Name:   value` lines of `nodeinfo` and `version`. */
export function parseFields(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split("\n").flatMap((line) => {
      const [key, value] = splitAt(line, ":");
      return key === null ? [] : [[key, value]];
    }),
  );
}

/** Free pages of every size over all nodes, `freepages --all`: page size in bytes to a count. */
export function parseFreePages(text: string): Map<number, number> {
  const pages = new Map<number, number>();
  for (const [, size, count] of text.matchAll(/^(\d+)KiB: (\d+)$/gm)) {
    const bytes = Number(size) * 1024;
    pages.set(bytes, (pages.get(bytes) ?? 0) + Number(count));
  }
  return pages;
}
