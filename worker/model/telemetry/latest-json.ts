// Latest values as JSON. A fleet's are tens of thousands, which as objects would take several times as long.
import { createJsonBytes, type JsonBytes } from "../json-bytes.ts";
import { HOST } from "./frame.ts";
import { type Known, type SeriesName, sixDigits } from "./known.ts";

/** Where the series of each entity stand, in the order in which entities come first. */
type Entity = { entity: string; places: number[] };

/** Layouts are remembered longer than they take to be read. */
const entitiesOf = new WeakMap<readonly SeriesName[], Entity[]>();

function entitiesIn(series: readonly SeriesName[]): Entity[] {
  const known = entitiesOf.get(series);
  if (known !== undefined) return known;
  const places = new Map<string, number[]>();
  series.forEach(({ entity }, place) => {
    const of = places.get(entity);
    if (of === undefined) places.set(entity, [place]);
    else of.push(place);
  });
  const entities = Array.from(places, ([entity, of]) => ({ entity, places: of }));
  entitiesOf.set(series, entities);
  return entities;
}

const encoder = new TextEncoder();
const COMMA = encoder.encode(",");
const END = encoder.encode("]");
const NOTHING = new Uint8Array();

/** The beginning of a metric's reading; null: the metric is not wanted. */
type NameOf = (metric: string) => Uint8Array | null;

function namesOf(isWanted: (metric: string) => boolean): NameOf {
  const names = new Map<string, Uint8Array | null>();
  return (metric) => {
    const known = names.get(metric);
    if (known !== undefined) return known;
    const name = isWanted(metric) ? encoder.encode(`${JSON.stringify(metric)}:[`) : null;
    names.set(metric, name);
    return name;
  };
}

/** Readings at these places; what stands before the first of them is written only where there is one. */
function writeReadings(
  out: JsonBytes,
  known: Known,
  places: readonly number[],
  nameOf: NameOf,
  start: string,
): boolean {
  let isFirst = true;
  let before = 0;
  let timeText: Uint8Array = NOTHING;
  for (const place of places) {
    const time = known.times[place] ?? 0;
    const name = time === 0 ? null : nameOf(known.series[place]?.metric ?? "");
    if (name === null) continue;
    if (isFirst) out.text(start);
    else out.raw(COMMA);
    isFirst = false;
    out.raw(name);
    // Most have the time of the one before.
    if (time !== before) timeText = encoder.encode(`${time},`);
    before = time;
    out.raw(timeText);
    out.number(known.values[place] ?? 0);
    out.raw(COMMA);
    out.number(sixDigits(known.averages[place] ?? 0));
    out.raw(END);
  }
  return !isFirst;
}

/** What `latestOf` gives, as JSON. */
function writeLatest(out: JsonBytes, known: Known, nameOf: NameOf): void {
  const entities = entitiesIn(known.series);
  out.text('{"host":{');
  for (const { entity, places } of entities) if (entity === HOST) writeReadings(out, known, places, nameOf, "");
  out.text('},"vms":{');
  const curves = new Map(nameOf("memory_dirty_bytes_per_second") === null ? [] : known.curves);
  let before = "";
  const end = (uuid: string): void => {
    const curve = curves.get(uuid);
    curves.delete(uuid);
    out.text(curve === undefined ? "}}" : `},"curve":${JSON.stringify(curve)}}`);
    before = ",";
  };
  for (const { entity, places } of entities) {
    if (entity === HOST) continue;
    const start = `${before}${JSON.stringify(entity)}:{"metrics":{`;
    if (writeReadings(out, known, places, nameOf, start)) end(entity);
  }
  for (const uuid of curves.keys()) {
    out.text(`${before}${JSON.stringify(uuid)}:{"metrics":{`);
    end(uuid);
  }
  out.text("}}");
}

/** About what a reading takes, and its share of what stands around it. */
const READING_BYTES = 64;

/** What `latestOf` gives of one host, as JSON in UTF-8. */
export function latestJson(known: Known, isWanted: (metric: string) => boolean): Uint8Array<ArrayBuffer> {
  const out = createJsonBytes(256 + known.series.length * READING_BYTES);
  writeLatest(out, known, namesOf(isWanted));
  return out.take().slice();
}

/** A host of a page; `latest`: its `latestJson`. */
export type LatestOfHost = { hostId: string; cluster: string; heardAt: number | null; latest: Uint8Array };

/** A page of hosts with their latest values, as JSON in UTF-8. `next`: the cursor of the page after it. */
export function latestPageJson(hosts: readonly LatestOfHost[], next: string | null): Uint8Array<ArrayBuffer> {
  const out = createJsonBytes(256 + hosts.reduce((sum, { latest }) => sum + latest.length + 256, 0));
  out.text('{"items":[');
  hosts.forEach(({ latest, ...host }, index) => {
    out.text(`${index === 0 ? "" : ","}${JSON.stringify(host).slice(0, -1)},"latest":`);
    out.block(latest);
    out.text("}");
  });
  out.text(`],"next":${JSON.stringify(next)}}`);
  return out.take();
}
