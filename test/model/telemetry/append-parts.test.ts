import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Append,
  appendFrame,
  formatTails,
  type StoredPart,
  type Tail,
} from "../../../worker/model/telemetry/append.ts";
import { type Arrival, inOrder, recognise } from "../../../worker/model/telemetry/arrival.ts";
import { PART_BYTES_MAX, chunkId, chunkKey, hourOf } from "../../../worker/model/telemetry/chunk-id.ts";
import type { Frame } from "../../../worker/model/telemetry/frame.ts";
import { NOTHING_KNOWN } from "../../../worker/model/telemetry/known.ts";
import { LIVE_VALUES_MAX } from "../../../worker/model/telemetry/live.ts";
import { chunkFrame, type StoredChunk } from "../../../worker/model/telemetry/stored-chunk.ts";
import { anyBatches, joined, samplesOf } from "./any-live.ts";
import { VM_A } from "./any-packed.ts";

const HOST_NUMBER = 7;
const HOUR_MS = 3_600_000;
const T0 = 1_795_399_200_000;

type Rows = Map<number, StoredChunk>;

/** Appends as the store does; false: a chunk is not of the revision that it must have. */
function put(rows: Rows, appends: readonly Append[]): boolean {
  for (const { id, revision, head, live } of appends) {
    const row = rows.get(id) ?? { id, revision: 0, head: null, live: null, packed: null };
    if (revision !== null && revision !== row.revision) return false;
    const added = (old: Uint8Array | null, bytes: Uint8Array | null): Uint8Array | null =>
      bytes === null ? old : joined([old ?? new Uint8Array(), bytes]);
    rows.set(id, { ...row, revision: row.revision + 1, head: added(row.head, head), live: added(row.live, live) });
  }
  return true;
}

function arrived(frame: Frame): { frame: Frame; arrival: Arrival } {
  const { arrival } = recognise([], frame.columns, NOTHING_KNOWN, frame.times[0] ?? 0);
  return { frame: { times: frame.times, columns: inOrder(arrival, frame.columns) }, arrival };
}

const append = (frame: Frame, tails: readonly Tail[], stored: readonly StoredPart[] = []) => {
  const { frame: ordered, arrival } = arrived(frame);
  return appendFrame(HOST_NUMBER, ordered, arrival, tails, stored);
};

/** One batch of a VM: that many series at that many times, all of one value. */
function batchOf(start: number, series: number, times: number, value: number): Frame {
  const values = new Float64Array(times).fill(value);
  return {
    times: Array.from({ length: times }, (_, index) => start + index),
    columns: Array.from({ length: series }, (_, index) => ({ entity: VM_A, metric: `m${index}`, values })),
  };
}

const rawId = (part: number): number => chunkId({ hostNumber: HOST_NUMBER, tier: "raw", hour: hourOf(T0), part });

describe("appended batches", () => {
  test("are read back whole from the rows of their hours, whether tails are remembered, read again, or lost", () => {
    const anyMemory = fc.infiniteStream(fc.constantFrom("whole", "whole", "stored", "lost"));
    fc.assert(
      fc.property(anyBatches, anyMemory, (batches, memory) => {
        const rows: Rows = new Map();
        let tails: Tail[] = [];
        for (const { frame } of batches) {
          const kept = memory.next().value as string;
          if (kept === "stored") tails = JSON.parse(formatTails(tails)) as Tail[];
          const stored = [...rows.values()].map(({ id, revision }) => ({ id, revision, size: 1 }));
          const placed = kept === "lost" ? append(frame, [], stored) : append(frame, tails, stored);
          expect(put(rows, placed.appends)).toBe(true);
          tails = placed.tails;
        }
        for (const row of rows.values())
          expect(chunkFrame([row]).times.every((time) => hourOf(time) === chunkKey(row.id).hour)).toBe(true);
        const read = chunkFrame([...rows.values()].toSorted((a, b) => a.id - b.id));
        expect(samplesOf([read])).toEqual(samplesOf(batches.map(({ frame }) => frame)));
      }),
      { seed: 20_261_126, numRuns: 500 },
    );
  });

  test("to a chunk that was packed meanwhile are refused, those that name their series too", () => {
    const rows: Rows = new Map();
    const first = append(batchOf(T0, 3, 4, 5), []);
    expect(put(rows, first.appends)).toBe(true);
    const id = rawId(0);
    rows.set(id, { id, revision: 2, head: null, live: null, packed: null });
    expect(put(rows, append(batchOf(T0 + 10, 3, 4, 5), first.tails).appends)).toBe(false);
    expect(put(rows, append(batchOf(T0 + 10, 4, 4, 5), first.tails).appends)).toBe(false);
  });

  test("go on in a new part, with their names, where one has grown to 32 KiB", () => {
    const tail = { id: rawId(0), revision: 9, size: 32_700, head: null };
    const first = append(batchOf(T0, 3, 4, 5), [{ ...tail, size: 0, live: null }]);
    const live = first.tails[0]?.live ?? null;
    const [fits] = append(batchOf(T0, 3, 4, 5), [{ ...tail, live }]).appends;
    expect(fits).toMatchObject({ id: rawId(0), revision: 9 });
    const [next] = append(batchOf(T0, 3, 4, 5), [{ ...tail, size: 32_760, live }]).appends;
    expect(next).toMatchObject({ id: rawId(1), revision: null });
    expect(next?.live?.length).toBeGreaterThan(fits?.live?.length ?? 0);
  });

  test("are refused behind the last part, never put into the next hour", () => {
    const full = { id: rawId(127), revision: 1, size: PART_BYTES_MAX, head: null, live: null };
    expect(() => append(batchOf(T0, 1, 1, 5), [full])).toThrow(
      new RangeError("part must be an integer from 0 to 127, is 128"),
    );
  });

  test("with more values than one frame has are halved by time", () => {
    const batch = batchOf(T0, LIVE_VALUES_MAX / 4096 + 1, 4096, 5);
    const { appends } = append(batch, []);
    const rows: Rows = new Map();
    expect(put(rows, appends)).toBe(true);
    expect(appends).toHaveLength(2);
    const read = chunkFrame([...rows.values()], (metric) => metric === "m1024");
    expect(read).toEqual({ times: batch.times, columns: batch.columns.slice(-1) });
  });

  test("without a sample change nothing", () => {
    const { tails } = append(batchOf(T0, 1, 4, 5), []);
    expect(append({ times: [], columns: [] }, tails)).toEqual({ appends: [], tails });
    expect(append({ times: [T0 + HOUR_MS], columns: [] }, tails)).toEqual({ appends: [], tails });
  });

  test("over two hours go to both", () => {
    const { appends } = append(batchOf(T0 + HOUR_MS - 2, 1, 4, 5), []);
    expect(appends.map(({ id }) => chunkKey(id).hour)).toEqual([hourOf(T0), hourOf(T0) + 1]);
  });
});
