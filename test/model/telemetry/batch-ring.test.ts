import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type BatchEntry,
  type BatchRing,
  lookup,
  parseRing,
  remember,
} from "../../../worker/model/telemetry/batch-ring.ts";

const HOUR = 3_600_000;
const NOW = 1_795_399_200_000;

const entry = (id: string, at = NOW, refused: string[] = []): BatchEntry => ({
  id,
  hash: `hash-of-${id}`,
  at,
  answer: {
    stored: 3,
    refused: refused.map((series) => ({ series, reason: "malformed" })),
    refusedCount: refused.length,
  },
});

type Kept = { ring: BatchRing; text: string };
const NOTHING: Kept = { ring: [], text: "" };

/** As the store does it: `substr(batches, drop + 1) || added`. */
function after({ ring, text }: Kept, added: BatchEntry, now = NOW): Kept {
  const change = remember(ring, added, now);
  return { ring: change.ring, text: text.slice(change.drop) + change.added };
}

const idsOf = (ring: BatchRing): string[] => ring.map(({ id }) => id);

describe("the ring of batches", () => {
  test("says of a batch that it is new, the same again, or in conflict", () => {
    const { ring } = after(NOTHING, entry("b1"));
    expect(lookup(ring, "b2", "hash-of-b2")).toBe("new");
    expect(lookup(ring, "b1", "hash-of-b1")).toEqual({ answer: entry("b1").answer });
    expect(lookup(ring, "b1", "hash-of-b2")).toBe("conflict");
  });

  test("remembers the last 256, oldest first", () => {
    let kept = NOTHING;
    for (let index = 0; index < 300; index++) kept = after(kept, entry(`b${index}`));
    expect(idsOf(kept.ring)).toEqual(Array.from({ length: 256 }, (_, index) => `b${index + 44}`));
    expect(parseRing(kept.text)).toEqual(kept.ring);
  });

  test("remembers nothing longer than 48 h", () => {
    const kept = [entry("old", NOW - 48 * HOUR - 1), entry("young", NOW - 48 * HOUR)].reduce(
      (all, one) => after(all, one, one.at),
      NOTHING,
    );
    expect(idsOf(after(kept, entry("new")).ring)).toEqual(["young", "new"]);
  });

  test("is shorter where answers are long, never empty", () => {
    const refused = Array.from({ length: 50 }, () => "x".repeat(200));
    let kept = NOTHING;
    for (let index = 0; index < 60; index++) kept = after(kept, entry(`b${index}`, NOW, refused));
    expect(kept.text.length).toBeLessThanOrEqual(200_000);
    expect(kept.ring.length).toBeGreaterThan(5);
    expect(kept.ring.at(-1)?.id).toBe("b59");
    expect(idsOf(after(kept, entry("huge", NOW, ["x".repeat(400_000)])).ring)).toEqual(["huge"]);
  });

  test("of a host that never sent a batch is empty", () => {
    expect(parseRing(null)).toEqual([]);
    expect(parseRing("")).toEqual([]);
  });
});

const anyRefused = fc.record(
  {
    series: fc.string({ unit: "binary", maxLength: 30 }),
    reason: fc.constantFrom("malformed", "a b\nc %20", "x".repeat(9000)),
    index: fc.nat(5760),
  },
  { requiredKeys: ["series", "reason"] },
);
/** Ids as JSON may have them: blanks, line ends, half a surrogate pair. */
const anyId = fc.oneof(
  fc.string({ unit: "binary", minLength: 1, maxLength: 64 }),
  fc.array(fc.constantFrom("\ud83d", "\ude00", " ", "\n", "%", '"', "\\"), { minLength: 1 }).map((all) => all.join("")),
);
const anyEntry = fc
  .record({
    id: anyId,
    hash: fc.stringMatching(/^[0-9a-f]{1,64}$/),
    laterMs: fc.oneof(fc.nat(60_000), fc.nat(60 * HOUR)),
    stored: fc.nat(),
    refused: fc.array(anyRefused, { maxLength: 4 }),
    more: fc.nat(3),
  })
  .map(({ id, hash, laterMs, stored, refused, more }) => ({
    laterMs,
    entry: { id, hash, at: 0, answer: { stored, refused, refusedCount: refused.length + more } },
  }));

test("its stored text, cut at the start and added to at the end, is read as the ring that `remember` gives", () => {
  fc.assert(
    fc.property(fc.array(anyEntry, { minLength: 1, maxLength: 60, size: "max" }), (entries) => {
      let kept = NOTHING;
      let now = NOW;
      for (const { entry: next, laterMs } of entries) {
        now += laterMs;
        kept = after(kept, { ...next, at: now }, now);
        expect(kept.text).toMatch(/^[\n\x20-\x7e]*$/);
        expect(parseRing(kept.text)).toEqual(kept.ring);
        const known = lookup(parseRing(kept.text), next.id, next.hash);
        expect(known).not.toBe("new");
      }
    }),
    { seed: 61, numRuns: 60 },
  );
});
