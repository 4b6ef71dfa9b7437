// Where a VM really is, by what hosts report of it: the judge of a run that nobody reports of any more (DESIGN section 7).
import type { VmState } from "./wire/inventory.ts";

/** What is seen of one side: when its host was last heard and how the VM stood there then. */
export type SideView = { heardAt: number | null; vmState: VmState | null; vmStatesAt: number | null };

/** The VM as a host reports it that has no part in the run. */
export type Sighting = { hostId: string; vmState: VmState | null; vmStatesAt: number | null };

export type Sides = { source: SideView; destination: SideView; elsewhere: Sighting | null };

type Seen = Pick<SideView, "vmState" | "vmStatesAt">;

/** Only what was reported from that moment on counts: before it the VM may have been anywhere. */
const isFresh = (seen: Seen, since: number): boolean => (seen.vmStatesAt ?? 0) >= since;
export const runsAt = (seen: Seen, since: number): boolean => isFresh(seen, since) && seen.vmState === "running";
export const goneAt = (seen: Seen, since: number): boolean =>
  isFresh(seen, since) && (seen.vmState === null || seen.vmState === "shutoff");

/** `two-hosts` and `nowhere` need a person; `unknown`: not all that matters was reported yet, or the VM is on its way. */
export type Whereabouts = {
  at: "source" | "destination" | "elsewhere" | "two-hosts" | "nowhere" | "unknown";
  why: string;
};

/**
 * Hosts report every 15 s: a switch between the report of one and that of the other looks like two VMs, or like none. After this
 * time without word of a switch it is one.
 */
const SETTLED_MS = 30_000;

type Place = { at: "source" | "destination" | "elsewhere"; name: string; why: string; seen: Seen };

/** Where it ran while the other side still had a part of it, it may have died with that. */
const isNewest = (seen: Seen, { source, destination }: Sides): boolean =>
  (seen.vmStatesAt ?? 0) >= Math.max(source.vmStatesAt ?? 0, destination.vmStatesAt ?? 0);

function placesOf({ source, destination, elsewhere }: Sides, since: number): Place[] {
  const only = (where: string) => `Both hosts report: the VM runs at the ${where} only.`;
  const places: Place[] = [
    { at: "source", name: "the source", why: only("source"), seen: source },
    { at: "destination", name: "the destination", why: only("destination"), seen: destination },
  ];
  if (elsewhere !== null) {
    const { hostId } = elsewhere;
    const why = `Hosts report: the VM runs on ${hostId}, and on neither host of the run.`;
    places.push({ at: "elsewhere", name: hostId, why, seen: elsewhere });
  }
  return places.filter(({ seen }) => runsAt(seen, since));
}

/** What the hosts' reports since that moment say together. */
export function whereabouts(sides: Sides, since: number): Whereabouts {
  const { source, destination } = sides;
  const places = placesOf(sides, since);
  const told = `${sideOf("source", source, since)}, ${sideOf("destination", destination, since)}`;
  const unknown: Whereabouts = { at: "unknown", why: `The hosts' reports do not settle it: ${told}.` };
  const isGone = {
    source: goneAt(destination, since),
    destination: goneAt(source, since),
    elsewhere: goneAt(source, since) && goneAt(destination, since),
  };
  const [only, ...others] = places;
  if (only !== undefined && others.length === 0)
    return isGone[only.at] && (only.at === "elsewhere" || isNewest(only.seen, sides))
      ? { at: only.at, why: only.why }
      : unknown;
  const settled = since + SETTLED_MS;
  if (only !== undefined) {
    const names = placesOf(sides, settled).map(({ name }) => name);
    const why = `Hosts report: the VM runs on ${names.join(" and on ")}. Stop one of them at once.`;
    return names.length > 1 ? { at: "two-hosts", why } : unknown;
  }
  if (!isFresh(source, settled) || !isFresh(destination, settled)) return unknown;
  return { at: "nowhere", why: `Both hosts report, and the VM runs on neither: ${told}.` };
}

function sideOf(name: string, seen: SideView, since: number): string {
  if (!isFresh(seen, since)) return `${name} not heard since`;
  return `${name} ${seen.vmState ?? "without it"}`;
}
