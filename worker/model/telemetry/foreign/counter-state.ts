// What has to be known of a host's former samples to put the next ones together: counters' last values, and which series
// were there at the last times. Kept in the host's state row, hence small.
import { z } from "zod";
import { MINUTE_MS } from "../../units.ts";

/** Over more than this no rate is taken, and nothing from before it is expected any more. */
export const GAP_MS = 5 * MINUTE_MS;

/** Series of one target and collector at one time. Sets of members are bits, 31 to a number. */
export type Moment = {
  time: number;
  /** What its members make so far; NaN: nothing yet. */
  sum: number;
  /** Bits of the parts that are in it. */
  parts: number;
  seen: number[];
  /** Members of which the sender says that they have no value. */
  gaps: number[];
};

/** The series that make one metric of one entity, as one collector tells them. */
export type Group = {
  entity: string;
  metric: string;
  collector: string;
  members: string[];
  places: Map<string, number>;
  /** By member: time and value of its last sample. */
  times: number[];
  values: number[];
  /** The last times, rising. */
  moments: Moment[];
  /** Up to this time moments are closed: nothing of that time is said again. */
  closedTo: number;
};

export type CounterState = {
  groups: ReadonlyMap<string, Group>;
  /** Up to this time groups were forgotten: it is where a new one's closed times end. */
  forgottenTo: number;
};

export const NO_COUNTERS: CounterState = { groups: new Map(), forgottenTo: 0 };

export const WORD = 31;
/** As `parts`: the moment's value was said, and is not made anew. */
export const SETTLED = -1;

export const hasBit = (bits: readonly number[], place: number): boolean =>
  (((bits[Math.floor(place / WORD)] ?? 0) >>> (place % WORD)) & 1) === 1;

export function addBit(bits: number[], place: number): void {
  const word = Math.floor(place / WORD);
  while (bits.length <= word) bits.push(0);
  bits[word] = (bits[word] ?? 0) | (1 << (place % WORD));
}

const bitsOf = (places: Iterable<number>): number[] => {
  const bits: number[] = [];
  for (const place of places) addBit(bits, place);
  return bits;
};

/** The same members at other places: `order[i]` is the former place of member i. */
function reorder(group: Group, order: readonly number[]): Group {
  const pick = <T>(all: readonly T[]): T[] => order.flatMap((place) => all.slice(place, place + 1));
  const moved = (bits: readonly number[]): number[] =>
    bitsOf([...order.keys()].filter((index) => hasBit(bits, order[index] ?? 0)));
  const members = pick(group.members);
  return {
    ...group,
    members,
    places: new Map(members.map((member, place) => [member, place])),
    times: pick(group.times),
    values: pick(group.values),
    moments: group.moments.map((moment) => ({ ...moment, seen: moved(moment.seen), gaps: moved(moment.gaps) })),
  };
}

/** Without the members that are neither in one of its moments nor were seen since `from`; the same group if all are. */
export function dropMembers(group: Group, from: number): Group {
  const oldest = Math.min(from, group.moments[0]?.time ?? from);
  if (group.times.every((time) => time >= oldest)) return group;
  return reorder(
    group,
    [...group.members.keys()].filter((place) => (group.times[place] ?? 0) >= oldest),
  );
}

/** Members in order, each as the number of characters it shares with the one before, and the rest. */
function packNames(names: readonly string[]): string {
  return names
    .map((name, index) => {
      const before = names[index - 1] ?? "";
      let shared = 0;
      while (shared < 35 && shared < name.length && name[shared] === before[shared]) shared += 1;
      return shared.toString(36) + name.slice(shared);
    })
    .join("|");
}

/** Names and their places: of groups that did not change they are the same objects from body to body. */
type Names = Pick<Group, "members" | "places">;

function unpackNames(text: string): Names {
  let before = "";
  const members = text.split("|").map((packed) => {
    before = before.slice(0, Number.parseInt(packed.slice(0, 1), 36)) + packed.slice(1);
    return before;
  });
  return { members, places: new Map(members.map((member, place) => [member, place])) };
}

/** Known names, both ways: a host's stay the same for days. Bounded: when it is full, it starts anew. */
const unpacked = new Map<string, Names>();
const packed = new WeakMap<readonly string[], string>();
const UNPACKED_MAX = 5000;

function namesOf(text: string): Names {
  const known = unpacked.get(text);
  if (known !== undefined) return known;
  const names = unpackNames(text);
  if (unpacked.size >= UNPACKED_MAX) unpacked.clear();
  unpacked.set(text, names);
  packed.set(names.members, text);
  return names;
}

function textOf(members: readonly string[]): string {
  const known = packed.get(members);
  if (known !== undefined) return known;
  const text = packNames(members);
  packed.set(members, text);
  return text;
}

/** JSON has no NaN. */
const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);
const number = z.number().nullable();
const momentSchema = z.union([z.literal(0), z.tuple([z.array(z.int()), z.array(z.int()), z.int(), number])]);
const groupSchema = z.tuple([
  z.string(),
  z.string(),
  /** Place among the windows. */
  z.int(),
  z.string(),
  /** How long before the window's end members were last there; 0: all at its end. */
  z.union([z.literal(0), z.array(z.number())]),
  z.array(number),
  /** What is not said of moments that have all members and can get no more. */
  z.union([z.literal(0), z.array(momentSchema)]),
]);
const stateSchema = z.tuple([
  z.literal(1),
  z.number(),
  /** Closed up to, then times as differences. */
  z.array(z.array(z.number())),
  z.array(z.tuple([z.string(), z.array(groupSchema)])),
]);
type PackedGroup = z.infer<typeof groupSchema>;

/** The times of a group's moments, and where the closed ones end before them. */
const isWindow = (known: readonly number[], { closedTo, moments }: Group): boolean =>
  known[0] === closedTo &&
  known.length === moments.length + 1 &&
  moments.every(({ time }, index) => known[index + 1] === time);

/** As differences. */
const packWindow = (window: readonly number[]): number[] =>
  window.map((time, index) => time - (window[index - 1] ?? 0));

/**
 * Of a moment that has all members there is no more to say, because a member that is new counts from its second sample on;
 * except where it is the first one after a gap.
 */
function packMoments({ members, moments, closedTo }: Group): PackedGroup[6] {
  let isAllSaid = true;
  const details = moments.map((moment, index): z.infer<typeof momentSchema> => {
    const isFirst = moment.time - (moments[index - 1]?.time ?? closedTo) > GAP_MS;
    if (!isFirst && isFull(moment, members.length)) return 0;
    isAllSaid = false;
    return [moment.seen, moment.gaps, moment.parts, orNull(moment.sum)];
  });
  return isAllSaid ? 0 : details;
}

function isFull({ seen, gaps }: Moment, count: number): boolean {
  for (let word = 0, left = count; left > 0; word++, left -= WORD)
    if ((seen[word] ?? 0) !== 2 ** Math.min(left, WORD) - 1 || (gaps[word] ?? 0) !== 0) return false;
  return true;
}

const isSorted = (members: readonly string[]): boolean =>
  members.every((member, index) => index === 0 || (members[index - 1] ?? "") < member);

function sortedGroup(group: Group): Group {
  if (packed.has(group.members) || isSorted(group.members)) return group;
  const { members } = group;
  return reorder(
    group,
    [...members.keys()].toSorted((a, b) => ((members[a] ?? "") < (members[b] ?? "") ? -1 : 1)),
  );
}

function packGroup(group: Group, window: number): PackedGroup {
  const sorted = sortedGroup(group);
  const end = sorted.moments.at(-1)?.time ?? sorted.closedTo;
  return [
    sorted.metric,
    sorted.collector,
    window,
    textOf(sorted.members),
    sorted.times.every((time) => time === end) ? 0 : sorted.times.map((time) => end - time),
    sorted.values.every((value) => Number.isNaN(value)) ? [] : sorted.values.map(orNull),
    packMoments(sorted),
  ];
}

/** As text for the host's state row: about 14 characters a counter, and 60 a metric. */
export function formatCounterState({ groups, forgottenTo }: CounterState): string {
  const windows: number[][] = [];
  const byEntity = new Map<string, PackedGroup[]>();
  for (const [, group] of [...groups].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    let window = windows.findIndex((known) => isWindow(known, group));
    if (window === -1) window = windows.push([group.closedTo, ...group.moments.map(({ time }) => time)]) - 1;
    const known = byEntity.get(group.entity) ?? [];
    known.push(packGroup(group, window));
    byEntity.set(group.entity, known);
  }
  return JSON.stringify([1, forgottenTo, windows.map(packWindow), [...byEntity]]);
}

function unpackGroup(entity: string, packedGroup: PackedGroup, times: readonly number[], closedTo: number): Group {
  const [metric, collector, , text, ages, values, details] = packedGroup;
  const { members, places } = namesOf(text);
  // Moments are copied where they change: those that have all members can share their sets.
  const seen = details === 0 || details.includes(0) ? bitsOf(members.keys()) : [];
  const end = times.at(-1) ?? closedTo;
  return {
    entity,
    metric,
    collector,
    members,
    places,
    times: members.map((_, place) => end - (ages === 0 ? 0 : (ages[place] ?? 0))),
    values: members.map((_, place) => values[place] ?? Number.NaN),
    moments: times.map((time, index): Moment => {
      const detail = details === 0 ? 0 : (details[index] ?? 0);
      return detail === 0 ? { time, sum: Number.NaN, parts: SETTLED, seen, gaps: NO_BITS } : unpackMoment(time, detail);
    }),
    closedTo,
  };
}

function unpackMoment(time: number, [seen, gaps, parts, sum]: Exclude<z.infer<typeof momentSchema>, 0>): Moment {
  return { time, sum: sum ?? Number.NaN, parts, seen, gaps };
}

const NO_BITS: number[] = [];

/** Throws where the text is not what `formatCounterState` gives. */
export function parseCounterState(text: string): CounterState {
  const [, forgottenTo, windows, entities] = stateSchema.parse(JSON.parse(text));
  const groups = new Map<string, Group>();
  const ends = windows.map((steps) => {
    let time = 0;
    return steps.map((step) => (time += step));
  });
  for (const [entity, known] of entities)
    for (const group of known) {
      const [closedTo = 0, ...times] = ends[group[2]] ?? [];
      groups.set(`${entity}/${group[0]}/${group[1]}`, unpackGroup(entity, group, times, closedTo));
    }
  return { groups, forgottenTo };
}
