// Where webhooks may be sent: https, to public addresses only. What a name resolves to is judged by the same rules.
import ipaddr from "ipaddr.js";

/** What an installation allows besides public https. `networks`: CIDRs; `names`: exact, or `.suffix` for all below it. */
export type AllowedAddresses = {
  /** A developer's machine: plain http and loopback. */
  local: boolean;
  networks: readonly string[];
  names: readonly string[];
};

/** A host that is an address in whatever spelling, or a name that is to be resolved; or why neither. */
export type UrlVerdict = { ok: "address" | "name"; url: URL; host: string } | { refused: string };

/** Names that never lead out of a network, by their last label or labels (RFC 2606, 6761, 6762, 8375 and what is used). */
const PRIVATE_SUFFIXES = [
  "localhost",
  "local",
  "localdomain",
  "internal",
  "intranet",
  "private",
  "corp",
  "home",
  "lan",
  "home.arpa",
  "test",
  "invalid",
  "onion",
  "arpa",
];

/** Azure's metadata service, the one such address in a public range. */
const METADATA = ["168.63.129.16"];

const URL_LENGTH_MAX = 2048;

/** Reads a setting: CIDRs, addresses, names and `.suffixes`, separated by commas. Throws with what cannot be read. */
export function readAllowed(text: string): Pick<AllowedAddresses, "networks" | "names"> {
  const parts = text.split(",").flatMap((part) => part.trim().toLowerCase() || []);
  const networks: string[] = [];
  const names: string[] = [];
  for (const part of parts) {
    if (ipaddr.isValidCIDR(part)) networks.push(part);
    else if (ipaddr.isValid(part)) networks.push(`${part}/${part.includes(":") ? 128 : 32}`);
    else if (/^\.?[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(part)) names.push(part);
    else throw new Error(`${part} is neither a network, an address nor a name`);
  }
  return { networks, names };
}

/** Why a target of that URL is refused, or its host. Pure: a name's addresses are judged by `judgeAddress` once they are known. */
export function judgeUrl(text: string, allowed: AllowedAddresses): UrlVerdict {
  if (text.length > URL_LENGTH_MAX) return { refused: `the URL is longer than ${URL_LENGTH_MAX} characters` };
  if (!URL.canParse(text)) return { refused: "this is not a URL" };
  const url = new URL(text);
  // The parser has made decimal, octal and hexadecimal IPv4 hosts dotted ones, and names punycode in lower case.
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "");
  if (url.username !== "" || url.password !== "")
    return { refused: "a user or password in the URL would be seen in logs: receivers verify the signature" };
  const isAddress = ipaddr.isValid(host);
  const isOwnMachine = allowed.local && (isAddress ? isLoopbackAddress(host) : host === "localhost");
  if (isOwnMachine && /^https?:$/.test(url.protocol)) return { ok: "address", url, host };
  if (url.protocol !== "https:") return { refused: "only https is sent to" };
  const why = isAddress ? judgeAddress(host, allowed) : judgeName(host, allowed);
  return why === null ? { ok: isAddress ? "address" : "name", url, host } : { refused: why };
}

const isAllowedName = (host: string, { names }: AllowedAddresses): boolean =>
  names.some((name) => (name.startsWith(".") ? host.endsWith(name) : host === name));

function judgeName(host: string, allowed: AllowedAddresses): string | null {
  if (isAllowedName(host, allowed)) return null;
  if (!host.includes(".")) return `${host} is a name of a local network`;
  const suffix = PRIVATE_SUFFIXES.find((one) => host.endsWith(`.${one}`));
  return suffix === undefined ? null : `${host} is a name of a local network (.${suffix})`;
}

/** Whether a host need not be resolved to be sent to: the operator has named it. */
export const isNamed = (host: string, allowed: AllowedAddresses): boolean => isAllowedName(host, allowed);

type Address = ReturnType<typeof ipaddr.parse>;

/** Of an IPv6 address that carries an IPv4 one (mapped, 6to4, NAT64) the IPv4 one is meant. */
function meantBy(address: Address): Address {
  if (!(address instanceof ipaddr.IPv6)) return address;
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

const isLoopbackAddress = (text: string): boolean => meantBy(ipaddr.parse(text)).range() === "loopback";

/** Why nothing is sent to this address, or null. Only global unicast is; tunnels that carry another address inside are not. */
export function judgeAddress(text: string, allowed: AllowedAddresses): string | null {
  if (!ipaddr.isValid(text)) return `${text} is not an address`;
  const address = meantBy(ipaddr.parse(text));
  if (allowed.networks.some((network) => isWithin(address, network))) return null;
  const range = address.range();
  if (range === "loopback" && allowed.local) return null;
  if (METADATA.includes(address.toString())) return `${text} is a metadata service`;
  const isGlobal = address instanceof ipaddr.IPv4 || isWithin(address, "2000::/3");
  return range === "unicast" && isGlobal ? null : `${text} is not a public address (${range})`;
}

function isWithin(address: Address, network: string): boolean {
  const [base, bits] = ipaddr.parseCIDR(network);
  return base.kind() === address.kind() && address.match(base, bits);
}
