import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import { chunkId } from "../../worker/model/telemetry/chunk-id.ts";
import { runSchedule } from "../../worker/services/schedule.ts";
import { closeBefore, emptyFleet, fleetContent, keepTables, newHost, send, sendHour } from "../support/closing.ts";
import { failing, type Tap, tappedD1 } from "../support/tapped-d1.ts";
import { depsOf, HOUR, lab, MINUTE, NOW, register, VM } from "../support/telemetry.ts";

const H = NOW / HOUR;
const OTHER = "1b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";

/**
 * Four hosts with an hour to be closed: one that got stragglers in the hour before and has a VM from another, one with late
 * hours, one that is new, one that fell silent and got a straggler; and chunks that are over.
 */
async function fleet(): Promise<string[]> {
  lab.now = (H - 4) * HOUR;
  const [moved, late, silent] = [await newHost([OTHER]), await newHost([VM]), await newHost()];
  for (let hour = H - 4; hour < H - 1; hour++) {
    if (hour === H - 3) await register(moved.id, [OTHER, VM]);
    await sendHour(moved.id, 1, hour < H - 3 ? [OTHER] : [OTHER, VM], hour);
    await sendHour(late.id, 2, hour < H - 3 ? [VM] : [], hour);
    await sendHour(silent.id, 3, [], hour);
    if (hour < H - 2) await closeBefore(hour + 1);
  }
  await closeBefore(H - 1);
  lab.now += MINUTE;
  await send(moved.id, { times: [(H - 1) * HOUR - 1], host_series: { cpu_used_cores: [77], straggler: [1] } });
  await send(silent.id, { times: [(H - 1) * HOUR - 1], host_series: { cpu_used_cores: [78] } });
  const fresh = await newHost();
  await sendHour(moved.id, 1, [OTHER, VM], H - 1);
  await sendHour(late.id, 2, [], H - 1);
  await sendHour(fresh.id, 4, [], H - 1);
  await send(late.id, {
    times: [H - 40, H - 4, H - 3].map((hour) => hour * HOUR + 1000),
    host_series: { cpu_used_cores: [1, 2, 3], late: [1, 2, 3] },
  });
  await env.DB.batch(
    (["raw", "5min"] as const).map((tier) =>
      env.DB.prepare(
        "INSERT INTO chunks (id, revision, packed) SELECT ?, 1, packed FROM chunks WHERE packed IS NOT NULL LIMIT 1",
      ).bind(chunkId({ hostNumber: late.number, tier, hour: H - 31 * 24, part: 0 })),
    ),
  );
  lab.now = NOW + 5 * MINUTE;
  return [moved, late, silent, fresh].map(({ id }) => id);
}

let hosts: string[] = [];
let restore = async (): Promise<void> => undefined;

beforeAll(async () => {
  await emptyFleet();
  hosts = await fleet();
  restore = await keepTables();
}, 60_000);

/** Restores the fleet, and the clock. */
async function begin(): Promise<void> {
  await restore();
  lab.now = NOW + 5 * MINUTE;
}

async function trips(): Promise<number> {
  await begin();
  const counted = failing(-1, "before");
  await runSchedule(depsOf(tappedD1(env.DB, counted.tap)));
  return counted.trips();
}

describe("closing that is interrupted", () => {
  test.each(["before", "after"] as const)(
    "%s D1 has done any of its calls ends up with the same, nothing lost and nothing doubled",
    { timeout: 300_000 },
    async (when) => {
      const count = await trips();
      expect(count).toBeGreaterThan(20);
      const expected = await fleetContent();
      expect(expected.filter((line) => line.endsWith("is open"))).toEqual([]);
      for (let number = 0; number < count; number++) {
        await begin();
        const { tap } = failing(number, when);
        await runSchedule(depsOf(tappedD1(env.DB, tap))).catch(() => undefined);
        await runSchedule(depsOf());
        expect(await fleetContent(), `call ${number} of ${count}`).toEqual(expected);
      }
    },
  );

  test("again and again gets to its end, as long as some calls work", { timeout: 180_000 }, async () => {
    await begin();
    await runSchedule(depsOf());
    const expected = await fleetContent();
    await begin();
    // Every run gets a few calls further than the one before it began.
    for (let number = 12; number < 120; number += 6) {
      const { tap } = failing(number, number % 12 === 0 ? "before" : "after");
      await runSchedule(depsOf(tappedD1(env.DB, tap))).catch(() => undefined);
    }
    await runSchedule(depsOf());
    expect(await fleetContent()).toEqual(expected);
  });

  test.each<[string, number[], every: number]>([
    ["to the hour that is closed, the one before, a late one and the present one", [H - 1, H - 2, H - 3, H], 2],
    ["to the hour that is closed alone", [H - 1], 1],
  ])("by an append between two of its calls (%s) loses nothing", { timeout: 300_000 }, async (_, hours, every) => {
    const count = await trips();
    const times = hours.map((hour) => hour * HOUR + 2 * MINUTE + 1);
    const values = hours.map((__, index) => 500 + index);
    /** What is there after the hour that follows, the samples having come just before that call. */
    const contentAfter = async (call: number): Promise<string[]> => {
      await begin();
      let calls = 0;
      const tap: Tap = async (go) => {
        if (calls++ === call)
          for (const id of hosts) await send(id, { times, host_series: { cpu_used_cores: values } });
        return go();
      };
      await runSchedule(depsOf(tappedD1(env.DB, tap)));
      await closeBefore(H + 1);
      return fleetContent();
    };
    const expected = await contentAfter(0);
    expect(expected.filter((line) => line.endsWith("is open"))).toEqual([]);
    const of = (time: number): string[] => expected.filter((line) => line.includes(String(time)));
    for (const time of times) expect(of(time).length).toBeGreaterThanOrEqual(hosts.length);
    for (let call = 1; call < count; call += every) expect(await contentAfter(call), `call ${call}`).toEqual(expected);
  });

  test("by another run between any two of its calls ends up with the same", { timeout: 180_000 }, async () => {
    const count = await trips();
    const expected = await fleetContent();
    for (let call = 1; call < count; call++) {
      await begin();
      let calls = 0;
      const tap: Tap = async (go) => {
        if (calls++ === call) await runSchedule(depsOf());
        return go();
      };
      await runSchedule(depsOf(tappedD1(env.DB, tap)));
      expect(await fleetContent(), `call ${call}`).toEqual(expected);
    }
  });
});
