// Taking in what other collectors send: bodies of many hosts, each host's part stored whole or not at all.
import type { Deps } from "../env.ts";
import { AppError, type Refusal } from "../errors.ts";
import type { Principal } from "../model/principal.ts";
import { combineForeign } from "../model/telemetry/foreign/combine.ts";
import type { ForeignBody } from "../model/telemetry/foreign/prometheus.ts";
import type { ForeignSeries } from "../model/telemetry/foreign/target.ts";
import { REFUSED_MAX } from "../model/telemetry/ingest.ts";
import type { HostTelemetry } from "../model/telemetry/stored.ts";
import { type Decision, writeHosts } from "./host-writes.ts";

/** Hosts that are written at once. */
const GROUP = 50;

export type ForeignAnswer = {
  /** Samples taken. */
  stored: number;
  refusedSamples: number;
  /** The same, where a refusal of what is no sample (an exemplar) counts as one. */
  refusedCount: number;
  /** The first of them. */
  refused: Refusal[];
  /** Some were of hosts that the token may not act for. */
  isForeign: boolean;
};

type HostAnswer = { stored: number; refused: Refusal[] };

/**
 * Stores what is good in a body and says what is not. The same body again changes nothing. A part of the hosts may be stored
 * when it ends with `busy`: the sender sends all of it again.
 */
export async function storeForeign(deps: Deps, principal: Principal, body: ForeignBody): Promise<ForeignAnswer> {
  const refused: Refusal[] = [...body.refused];
  const byHost = new Map<string, ForeignSeries[]>();
  for (const series of body.series) {
    const of = byHost.get(series.target.host);
    if (of === undefined) byHost.set(series.target.host, [series]);
    else of.push(series);
  }
  const foreign = principal.hostId === null ? [] : [...byHost.keys()].filter((host) => host !== principal.hostId);
  let stored = 0;
  const hosts = [...byHost.keys()].filter((host) => !foreign.includes(host));
  for (let start = 0; start < hosts.length; start += GROUP) {
    const group = hosts.slice(start, start + GROUP);
    const answers = await writeGroup(deps, principal, group, byHost);
    for (const host of group) {
      const answer = answers.get(host);
      if (answer === undefined) refused.push(refusalOf(byHost, host, `no host ${host} is registered`));
      else if (answer === "foreign") foreign.push(host);
      else {
        stored += answer.stored;
        refused.push(...answer.refused);
      }
    }
  }
  for (const host of foreign) refused.push(refusalOf(byHost, host, `this token may not act for ${host}`));
  const refusedCount = refused.reduce((sum, { samples }) => sum + Math.max(1, samples), 0);
  deps.counts.telemetry.stored += stored;
  deps.counts.telemetry.refused += refusedCount;
  const refusedSamples = refused.reduce((sum, { samples }) => sum + samples, 0);
  return {
    stored,
    refusedSamples,
    refusedCount,
    refused: refused.slice(0, REFUSED_MAX).map(shortened),
    isForeign: foreign.length > 0,
  };
}

/** Names and values of labels are as long as a sender likes. */
const TEXT_MAX = 300;
const shortened = ({ series, reason, samples }: Refusal): Refusal => ({
  series: series.slice(0, TEXT_MAX),
  reason: reason.slice(0, TEXT_MAX),
  samples,
});

function refusalOf(byHost: ReadonlyMap<string, ForeignSeries[]>, host: string, reason: string): Refusal {
  return { series: host, reason, samples: (byHost.get(host) ?? []).reduce((sum, { times }) => sum + times.length, 0) };
}

async function writeGroup(
  deps: Deps,
  principal: Principal,
  hosts: readonly string[],
  byHost: ReadonlyMap<string, ForeignSeries[]>,
): Promise<Map<string, HostAnswer | "foreign">> {
  const now = deps.now();
  const names = await vmNames(deps, hosts, byHost);
  const decide = (host: HostTelemetry): Decision<HostAnswer | "foreign"> => {
    if (principal.cluster !== null && principal.cluster !== host.cluster) return { answer: "foreign", input: null };
    const vmNamed = (name: string): string | null => names.get(host.hostId)?.get(name) ?? null;
    const combined = combineForeign(byHost.get(host.hostId) ?? [], host.counters, now, { vmNamed });
    const counters = combined.state === host.counters ? null : combined.state;
    const answer = { stored: combined.accepted, refused: combined.refused };
    const isNothing = combined.frame.times.length === 0 && counters === null;
    const input = { frame: combined.frame, curves: NO_CURVES, batch: null, counters, heard: null };
    return { answer, input: isNothing ? null : input };
  };
  try {
    return (await writeHosts(deps, hosts, decide)).answers;
  } catch (error) {
    if (!(error instanceof AppError) || error.fault.code !== "too_much") throw error;
    const [first = ""] = hosts;
    if (hosts.length === 1)
      return new Map([[first, { stored: 0, refused: [refusalOf(byHost, first, error.fault.detail)] }]]);
    // Which of them it is of, halving tells; the others must not go without.
    const half = Math.ceil(hosts.length / 2);
    const before = await writeGroup(deps, principal, hosts.slice(0, half), byHost);
    const after = await writeGroup(deps, principal, hosts.slice(half), byHost);
    return new Map([...before, ...after]);
  }
}

const NO_CURVES = new Map<string, never>();

/** Names of VMs that one VM of its host alone has, where a series tells no uuid. */
async function vmNames(
  deps: Deps,
  hosts: readonly string[],
  byHost: ReadonlyMap<string, ForeignSeries[]>,
): Promise<Map<string, Map<string, string>>> {
  const names = new Map<string, Map<string, string>>();
  for (const host of hosts) {
    if (!byHost.get(host)?.some(({ target }) => target.vmName !== null)) continue;
    const vms = await deps.store.hosts.vms({ cluster: null, hostId: host, uuid: null, after: null, limit: 10_000 });
    const uuids = Map.groupBy(vms, ({ inventory }) => inventory.name);
    names.set(
      host,
      new Map(Array.from(uuids).flatMap(([name, [vm, other]]) => (vm && !other ? [[name, vm.uuid]] : []))),
    );
  }
  return names;
}

/** What a sender is told whose protocol knows no partial success. */
export function assertAllStored(answer: ForeignAnswer): void {
  if (answer.refusedCount > 0) throw new AppError({ code: "samples_refused", ...answer });
}
