// From a series' name and labels to what it is in Drover: of which host or VM, which metric, and how it counts.
import { operatorId, vmUuid } from "../../wire/common.ts";
import { HOST } from "../frame.ts";
import { COLLECTOR_PREFIXES, type Condition, type Term, TERMS } from "./mapping-tables.ts";
import { shortHash, storedName } from "./naming.ts";
import type { Label } from "./remote-write.ts";

/** Which labels (or attributes) name the host and the VM. null: the usual ones, below. */
export type LabelSettings = {
  /** All series are of this host, whatever their labels say. */
  host: string | null;
  hostLabel: string | null;
  /** Its value is the VM's uuid in any case of letters, or else the VM's name. */
  vmLabel: string | null;
  vmNameLabel: string | null;
  /** Labels that tell no series from another, as those that a fleet's Prometheus adds to all: they are no part of names. */
  ignoredLabels: readonly string[];
};

export const USUAL_LABELS: LabelSettings = {
  host: null,
  hostLabel: null,
  vmLabel: null,
  vmNameLabel: null,
  ignoredLabels: [],
};

/** What a series is. Targets of known series are shared: equal ones are mostly one object. */
export type Target = {
  host: string;
  /** HOST or the VM's uuid; "" with `vmName` set where only its name is known. */
  entity: string;
  vmName: string | null;
  /** The catalogue's name, or the name to store it under. */
  metric: string;
  /** null: it is stored as it is. */
  term: Term | null;
  /** Which of a term's series it is. */
  member: string;
  isCounter: boolean;
  /** Which series are put together with it; "": it is stored as it is. */
  group: string;
};

export const groupKey = ({ entity, metric, term }: Pick<Target, "entity" | "metric" | "term">): string =>
  term === null ? "" : `${entity}/${metric}/${term.collector}`;

export type ForeignSeries = {
  target: Target;
  /** In ms since 1970. */
  times: readonly number[];
  /** NaN: the sender says that there is no value at that time. May be infinite. */
  values: readonly number[];
};

/** What is not taken, of how many samples, and why. */
export type ForeignRefusal = { series: string; reason: string; samples: number };

/** Refusals that are told one by one. */
const REFUSALS_MAX = 1000;

/** Adds to the refusals of a body: several of one series for one reason, and all beyond the first thousand, as one. */
export function refuse(refusals: ForeignRefusal[], refusal: ForeignRefusal): void {
  const last = refusals.at(-1);
  const isSame = last?.series === refusal.series && last.reason === refusal.reason;
  if (last !== undefined && (isSame || refusals.length > REFUSALS_MAX)) last.samples += refusal.samples;
  else if (refusals.length < REFUSALS_MAX) refusals.push({ ...refusal });
  else refusals.push({ series: "others", reason: "further refusals are counted only", samples: refusal.samples });
}

/** Where names and labels are from: `resource` ones hold for many series, and are not part of a stored name unless listed. */
export type Described = { name: string; labels: readonly Label[]; resource: readonly Label[] };

const HOST_LABELS = ["host", "host.name", "instance", "host.id"];
const VM_LABELS = ["uuid", "vm", "vm_uuid", "vm.id", "vm.uuid"];
const VM_NAME_LABELS = ["vm_name", "vm.name"];
/** What says from where a series was scraped. */
const SCRAPE_LABELS = ["job", "instance", "service.name", "service.namespace", "service.instance.id"];
/** Attributes of a resource that tell nothing of one of its series. */
const RESOURCE_ONLY = /^(host|os|telemetry|process|cloud|deployment|webengine)\.|^service\.version$/;
/** Members are kept from body to body: long ones by their hash. */
const MEMBER_MAX = 48;

const termsBySource = new Map<string, Term[]>();
for (const term of TERMS) termsBySource.set(term.source, [...(termsBySource.get(term.source) ?? []), term]);

type Lookup = (name: string) => string | undefined;

/** Values by name; what the series says goes before what its resource says. An empty value is none. */
function lookupOf({ labels, resource }: Described): Lookup {
  const values = new Map([...resource, ...labels].filter(([, value]) => value !== ""));
  return (name) => values.get(name);
}

const firstOf = (lookup: Lookup, names: readonly string[]): string | undefined =>
  names.map(lookup).find((value) => value !== undefined);

/** Without the port, and an IPv6 address without its brackets. */
const withoutPort = (instance: string): string => instance.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
const portOf = (instance: string): string => /:(\d+)$/.exec(instance)?.[1] ?? "";

type HostName = { host: string; label: string | null };

/** The host's id and the label that says it, or null where the series names none. */
function hostOf(lookup: Lookup, settings: LabelSettings): HostName | null {
  if (settings.host !== null) return { host: settings.host, label: null };
  const names = settings.hostLabel === null ? HOST_LABELS : [settings.hostLabel];
  const label = names.find((name) => lookup(name) !== undefined);
  return label === undefined ? null : { host: withoutPort(lookup(label) ?? ""), label };
}

/** node_exporter's own `uuid` is that of file systems, libvirt's `domain` is the VM's name. */
function vmLabels(name: string, settings: LabelSettings): { ids: readonly string[]; names: readonly string[] } {
  const isNode = name.startsWith("node_");
  const usualIds = isNode ? VM_LABELS.filter((label) => label !== "uuid") : VM_LABELS;
  const usualNames = name.startsWith("libvirt_") ? ["domain", ...VM_NAME_LABELS] : VM_NAME_LABELS;
  return {
    ids: settings.vmLabel === null ? usualIds : [settings.vmLabel],
    names: settings.vmNameLabel === null ? usualNames : [settings.vmNameLabel],
  };
}

type Entity = { entity: string; vmName: string | null; used: string[] };

/** Which VM, or that it is the host; `used`: the labels that say so. */
function entityOf(name: string, lookup: Lookup, settings: LabelSettings): Entity {
  const { ids, names } = vmLabels(name, settings);
  const used = [...ids, ...names];
  const said = ids.map(lookup).filter((value) => value !== undefined);
  const uuid = said.map((value) => value.toLowerCase()).find((value) => vmUuid.safeParse(value).success);
  if (uuid !== undefined) return { entity: uuid, vmName: null, used };
  const vmName = firstOf(lookup, names) ?? said[0] ?? null;
  return { entity: HOST, vmName, used };
}

function holds({ labels, in: allowed, unless }: Condition, lookup: Lookup): boolean {
  const value = firstOf(lookup, labels) ?? "";
  return (allowed === undefined || allowed.includes(value)) && !(unless !== undefined && unless.test(value));
}

function termOf(name: string, lookup: Lookup, isVm: boolean): Term | null {
  const fitting = (term: Term): boolean =>
    (term.scope === "vm") === isVm && term.where.every((condition) => holds(condition, lookup));
  return termsBySource.get(name)?.find(fitting) ?? null;
}

/** Members are joined by spaces, and bars when they are stored. */
const escaped = (character: string): string => `%${character.codePointAt(0)?.toString(16)};`;

/** The labels by which a term's series differ, so that no other label (a replica's, say) makes two of one. */
function memberOf(term: Term, lookup: Lookup): string {
  const told = term.by.map((names) => firstOf(lookup, names) ?? "");
  // A term of a target of several sources is told by its source, those of one by their labels alone.
  const isShared = TERMS.filter(({ metric, collector }) => metric === term.metric && collector === term.collector);
  const source = new Set(isShared.map(({ source: name }) => name)).size > 1 ? [term.source] : [];
  const text = [...source, ...told].map((part) => part.replaceAll(/[^\w.:/-]/gu, escaped)).join(" ");
  return text.length <= MEMBER_MAX ? text : `${text.slice(0, MEMBER_MAX - 8)}~${shortHash(text)}`;
}

/** The labels that are part of a stored name: without those that say the host and the VM. */
function ownLabels(
  { name, labels, resource }: Described,
  { host, label: hostLabel }: HostName,
  used: readonly string[],
): Label[] {
  const isOneExporter = COLLECTOR_PREFIXES.some((prefix) => name.startsWith(prefix));
  const isOwn = ([label]: Label): boolean =>
    label !== hostLabel && !used.includes(label) && !(isOneExporter && SCRAPE_LABELS.includes(label));
  // Of an instance that is the host, the port tells one exporter from another.
  const shortened = ([label, value]: Label): Label =>
    label === "instance" && withoutPort(value) === host ? ["port", portOf(value)] : [label, value];
  return [
    ...resource.filter(([label]) => !RESOURCE_ONLY.test(label)),
    ...(isOneExporter ? labels : labels.map(shortened)),
  ]
    .filter(isOwn)
    .filter(([label, value]) => label !== "port" || value !== "");
}

function problemOf({ name, labels }: Described, host: HostName | null, settings: LabelSettings): string | null {
  if (name === "") return "it has no name";
  if (new Set(labels.map(([label]) => label)).size < labels.length) return "a label is there twice";
  if (host === null) return `no label names its host: ${settings.hostLabel ?? HOST_LABELS.join(", ")} was looked for`;
  return operatorId.safeParse(host.host).success ? null : `${host.host} cannot be the id of a host`;
}

/** As it is told to the sender: in Prometheus' notation, the resource left out. */
export function describe({ name, labels }: Described): string {
  if (labels.length === 0) return name;
  return `${name}{${labels.map(([label, value]) => `${label}=${JSON.stringify(value)}`).join(",")}}`;
}

const texts = new Map<string, string>();
const TEXTS_MAX = 20_000;

/** The same object for the same text: thousands of remembered series have one host, VM or metric. */
function shared(text: string): string {
  const known = texts.get(text);
  if (known !== undefined) return known;
  if (texts.size >= TEXTS_MAX) texts.clear();
  texts.set(text, text);
  return text;
}

/**
 * What a series is; a text says why it cannot be taken. `isCumulative`: its values only rise, or nothing is known about
 * that (Prometheus says no types).
 */
export function targetOf(described: Described, settings: LabelSettings, isCumulative = true): Target | string {
  const lookup = lookupOf(described);
  const hostName = hostOf(lookup, settings);
  const problem = problemOf(described, hostName, settings);
  if (hostName === null || problem !== null) return problem ?? "it has no host";
  const { entity: said, vmName, used } = entityOf(described.name, lookup, settings);
  const entity = shared(said);
  const term = termOf(described.name, lookup, entity !== HOST || vmName !== null);
  const own = ownLabels(described, hostName, [...used, ...settings.ignoredLabels]);
  const metric = term?.metric ?? shared(storedName(described.name, own));
  return {
    host: shared(hostName.host),
    entity,
    vmName,
    metric,
    term,
    member: term === null ? "" : memberOf(term, lookup),
    isCounter: term !== null && term.isCounter && isCumulative,
    group: groupKey({ entity, metric, term }),
  };
}
