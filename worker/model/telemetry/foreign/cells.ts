// The frame that a body makes of one host, while it is filled. Bodies of many hosts fill thousands of columns with a value or two
// each, and garbage counts against an isolate's memory as well: the values of many columns stand in one array.
import type { Column, Frame } from "../frame.ts";

/** Values of the frame of one body, gaps among them: every series has one for each time of any. */
const FRAME_VALUES_MAX = 2 ** 22;

/** Values of one stored series, gaps as NaN; of two at one time the later stands. */
export type Cell = {
  entity: string;
  metric: string;
  /** By row, of the first rows. */
  values: Float64Array;
  /** Of further rows: row and value in turns; null: none. */
  more: number[] | null;
  isEmpty: boolean;
};

export type Cells = {
  all: Cell[];
  /** By entity and metric: a key of both would be a text to be made for every series. */
  byEntity: Map<string, Map<string, Cell>>;
  /** Of the rows, in the order in which they were met. */
  times: number[];
  rows: Map<number, number>;
  /** The row asked for last. */
  row: number;
  /** Rows for which columns have room. */
  width: number;
  /** Of the last ones, and how much of it is taken. */
  room: Float64Array;
  taken: number;
};

/** Columns that get their room together. */
const ROOM_CELLS = 64;

/** `width`: how many times there may well be; more are no error. */
export const createCells = (width: number): Cells => ({
  all: [],
  byEntity: new Map(),
  times: [],
  rows: new Map(),
  row: 0,
  width,
  room: NO_ROOM,
  taken: 0,
});

const NO_ROOM = new Float64Array();

function takeRoom(cells: Cells): Float64Array {
  const { all, width } = cells;
  if ((all.length + ROOM_CELLS) * width > FRAME_VALUES_MAX) return NO_ROOM;
  if (cells.taken + width > cells.room.length) {
    cells.room = new Float64Array(ROOM_CELLS * width).fill(Number.NaN);
    cells.taken = 0;
  }
  cells.taken += width;
  return cells.room.subarray(cells.taken - width, cells.taken);
}

export function cellOf(cells: Cells, entity: string, metric: string): Cell {
  let ofEntity = cells.byEntity.get(entity);
  if (ofEntity === undefined) cells.byEntity.set(entity, (ofEntity = new Map()));
  const known = ofEntity.get(metric);
  if (known !== undefined) return known;
  const cell = { entity, metric, values: takeRoom(cells), more: null, isEmpty: true };
  ofEntity.set(metric, cell);
  cells.all.push(cell);
  return cell;
}

function rowOf(cells: Cells, time: number): number {
  if (cells.times[cells.row] === time) return cells.row;
  let row = cells.times[cells.row + 1] === time ? cells.row + 1 : cells.rows.get(time);
  if (row === undefined) {
    row = cells.times.push(time) - 1;
    cells.rows.set(time, row);
  }
  cells.row = row;
  return row;
}

export function put(cells: Cells, cell: Cell, time: number, value: number): void {
  const row = rowOf(cells, time);
  cell.isEmpty = false;
  if (row < cell.values.length) cell.values[row] = value;
  else (cell.more ??= []).push(row, value);
}

/** Without the columns into which nothing was put. null: it would be too large. */
export function frameOf({ all, times, width }: Cells): Frame | null {
  const full = all.filter((cell) => !cell.isEmpty);
  if (times.length * full.length > FRAME_VALUES_MAX) return null;
  const isRising = times.every((time, row) => row === 0 || (times[row - 1] ?? 0) < time);
  if (isRising && times.length === width && full.every(({ values }) => values.length === width))
    return { times, columns: full.map(({ entity, metric, values }): Column => ({ entity, metric, values })) };
  const order = [...times.keys()].toSorted((a, b) => (times[a] ?? 0) - (times[b] ?? 0));
  const places = new Int32Array(order.length);
  order.forEach((row, place) => (places[row] = place));
  return {
    times: order.map((row) => times[row] ?? 0),
    columns: full.map((cell) => ({ entity: cell.entity, metric: cell.metric, values: inOrder(cell, places) })),
  };
}

/** `places`: where each row stands in the frame. */
function inOrder({ values, more }: Cell, places: Int32Array): Float64Array {
  const sorted = new Float64Array(places.length).fill(Number.NaN);
  for (let row = 0; row < values.length && row < places.length; row++)
    sorted[places[row] ?? 0] = values[row] ?? Number.NaN;
  for (let at = 0; more !== null && at < more.length; at += 2) sorted[places[more[at] ?? 0] ?? 0] = more[at + 1] ?? 0;
  return sorted;
}
