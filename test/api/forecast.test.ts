// How much longer a running migration takes: what its source reports, over real HTTP and D1.
import { describe, expect, test } from "vitest";
import type { InFlightForecast } from "../../worker/model/migration/in-flight.ts";
import type { MigrationRun } from "../../worker/model/run.ts";
import { GIB, call } from "../support/api.ts";
import { type World, OUTCOME, toPreCopying, world } from "../support/run-world.ts";

type Answer = MigrationRun & { forecast: InFlightForecast | null };

const forecastOf = async (migrationId: string) =>
  (await call<Answer>("GET", `/v1/migrations/${migrationId}`)).body.forecast;

const tell = ({ a }: World, migrationId: string, iteration: number, elapsedMs: number) =>
  a.report(migrationId, {
    type: "progress",
    progress: {
      iteration,
      totalBytes: 4 * GIB,
      remainingBytes: iteration === 1 ? 4 * GIB : GIB / 4,
      transferredBytes: elapsedMs * 1e5,
      throughputBytesPerSecond: 1e8,
      ...(iteration === 1 ? {} : { dirtyBytesPerSecond: 1e6 }),
      phase: "pre-copy",
      elapsedMs,
    },
  });

describe("the forecast of a migration", () => {
  test("is null before its source has said a word and after its end; between, it says how much longer", async () => {
    const w = await world();
    const { migrationId } = await toPreCopying(w);
    expect(await forecastOf(migrationId)).toBeNull();
    await tell(w, migrationId, 1, 1000);
    await tell(w, migrationId, 2, 20_000);
    const forecast = await forecastOf(migrationId);
    expect(forecast).toMatchObject({ directive: "continue", stalled: false, convergenceProbability: 1 });
    // 256 MiB at 100 MB/s, less what may stay over.
    expect(forecast?.remainingMs?.p50).toBeGreaterThan(1000);
    expect(forecast?.remainingMs?.p50).toBeLessThan(4000);
    await w.a.report(migrationId, { type: "switched", side: "source", postCopy: false });
    await w.b.report(migrationId, { type: "switched", side: "destination", postCopy: false });
    await w.a.report(migrationId, { type: "completed", outcome: OUTCOME });
    expect(await forecastOf(migrationId)).toBeNull();
  });

  test("keeps the progress that begins a round, and not every second of it", async () => {
    const w = await world();
    const { migrationId } = await toPreCopying(w);
    for (const [iteration, elapsedMs] of [
      [1, 1000],
      [1, 2000],
      [1, 3000],
      [2, 4000],
      [2, 5000],
      [3, 6000],
    ] as const)
      await tell(w, migrationId, iteration, elapsedMs);
    const { body } = await call<{ items: { type: string }[] }>("GET", `/v1/migrations/${migrationId}/events`);
    expect(body.items.filter(({ type }) => type === "progress")).toHaveLength(3);
  });
});
