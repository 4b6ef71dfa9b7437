// The shape in which a host's batches arrive. Hosts send the same series for ever: what follows from their names alone is
// worked out once and recognised afterwards.
import { metricNamed } from "./catalogue.ts";
import { type Column, HOST } from "./frame.ts";
import { hasForgotten, type Known, placeColumns, type Places, type SeriesName } from "./known.ts";
import { type LiveLayout, layoutOf } from "./live.ts";

export type Arrival = {
  /** As they came. */
  names: readonly SeriesName[];
  /** Places in `names` in the order in which columns are stored. */
  order: Int32Array;
  /** How many of them are of the host itself; they come first. */
  hostColumns: number;
  /** What frames with the host's series, and frames with those of VMs, are of; null: there are none. */
  head: LiveLayout | null;
  live: LiveLayout | null;
  /** The series of `Known` for which `places` hold, in stored order. */
  series: readonly SeriesName[];
  places: Places;
};

/** Hosts that are fed by several senders alternate between a few shapes. */
const ARRIVALS_MAX = 4;

const isSame = ({ names }: Arrival, columns: readonly Column[]): boolean =>
  names.length === columns.length &&
  names.every(({ entity, metric }, index) => columns[index]?.metric === metric && columns[index]?.entity === entity);

function before(a: SeriesName, b: SeriesName): number {
  if (a.entity !== b.entity) return a.entity < b.entity ? -1 : 1;
  const first = metricNamed(a.metric)?.number;
  const second = metricNamed(b.metric)?.number;
  if (first !== undefined && second !== undefined) return first - second;
  if (first !== undefined) return -1;
  if (second !== undefined) return 1;
  return a.metric < b.metric ? -1 : 1;
}

/** How these columns arrive, with `known` grown to hold their latest values, and the shapes to be remembered. */
export function recognise(
  arrivals: readonly Arrival[],
  columns: readonly Column[],
  known: Known,
  now: number,
): { arrival: Arrival; known: Known; arrivals: readonly Arrival[] } {
  const found = arrivals.find((arrival) => isSame(arrival, columns));
  const isPlaced = found !== undefined && found.series === known.series && !hasForgotten(known, now);
  if (isPlaced) return { arrival: found, known, arrivals };
  const shape = found ?? shapeOf(columns);
  const ordered = Array.from(shape.order, (place) => shape.names[place] ?? { entity: HOST, metric: "" });
  const placed = placeColumns(known, ordered, now);
  const arrival = { ...shape, series: placed.known.series, places: placed.places };
  const others = arrivals.filter((other) => other !== found).slice(0, ARRIVALS_MAX - 1);
  return { arrival, known: placed.known, arrivals: [arrival, ...others] };
}

function shapeOf(columns: readonly Column[]): Omit<Arrival, "series" | "places"> {
  const names = columns.map(({ entity, metric }) => ({ entity, metric }));
  const order = Int32Array.from([...names.keys()].sort((a, b) => before(names[a] ?? EMPTY, names[b] ?? EMPTY)));
  const ordered = Array.from(order, (place) => names[place] ?? EMPTY);
  const hostColumns = ordered.filter(({ entity }) => entity === HOST).length;
  const layout = (part: readonly SeriesName[]): LiveLayout | null => (part.length === 0 ? null : layoutOf(part));
  return {
    names,
    order,
    hostColumns,
    head: layout(ordered.slice(0, hostColumns)),
    live: layout(ordered.slice(hostColumns)),
  };
}

const EMPTY: SeriesName = { entity: HOST, metric: "" };

/** The columns in stored order. */
export function inOrder({ order }: Arrival, columns: readonly Column[]): Column[] {
  const ordered: Column[] = [];
  for (let index = 0; index < order.length; index++) {
    const column = columns[order[index] ?? 0];
    if (column !== undefined) ordered.push(column);
  }
  return ordered;
}
