import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { parseRing } from "../../worker/model/telemetry/batch-ring.ts";
import { ingest } from "../../worker/services/telemetry.ts";
import { closeBefore } from "../support/closing.ts";
import { failing, tappedD1 } from "../support/tapped-d1.ts";
import { batchOf, depsOf, freshHostForEachTest, HOUR, lab, MINUTE, NOW, samples, VM } from "../support/telemetry.ts";

freshHostForEachTest();

const SENDER = { id: "t", name: "t", scopes: ["agent"], hostId: null, cluster: null } as const;

/** A batch a minute, each with its own figure. */
const batchAt = (minute: number) =>
  batchOf({
    batch: `b${minute}`,
    times: [NOW + minute * MINUTE],
    host_series: { a: [minute] },
    vm_series: { [VM]: { cpu_used_cores: [minute] } },
    vm_states: { [VM]: "running" },
  });

test.each(["before", "after"] as const)(
  "a batch whose answer is lost %s D1 has done any of its calls is taken once when it is sent again",
  async (when) => {
    let minute = 0;
    for (let number = 0; number < 8; number++) {
      // It goes on after what has failed with what it remembers.
      const isolate = depsOf(tappedD1(env.DB, failing(number, when).tap));
      for (let batches = 0; batches < 4; batches++) {
        const batch = batchAt(++minute);
        lab.now = NOW + minute * MINUTE;
        const first = await ingest(isolate, SENDER, batch, "h").catch(() => null);
        const again = await ingest(depsOf(), SENDER, batch, "h");
        expect(again).toMatchObject({ stored: 2, refusedCount: 0 });
        expect(first ?? again).toEqual(again);
      }
    }
    expect(await samples("a", NOW, NOW + HOUR)).toEqual(Array.from({ length: minute }, (_, index) => index + 1));
    const ring = await env.DB.prepare("SELECT batches FROM host_state WHERE host_number = ?")
      .bind(lab.hostNumber)
      .first<string>("batches");
    expect(parseRing(ring).map(({ id }) => id)).toEqual(Array.from({ length: minute }, (_, index) => `b${index + 1}`));
  },
);

test("an isolate that remembers an hour that was packed meanwhile appends to it all the same", async () => {
  const deps = depsOf();
  lab.now = NOW + MINUTE;
  await ingest(deps, SENDER, batchAt(1), "h");
  await closeBefore(NOW / HOUR + 1);
  for (const minute of [2, 3, 4]) expect(await ingest(deps, SENDER, batchAt(minute), "h")).toMatchObject({ stored: 2 });
  expect(await samples("a", NOW, NOW + HOUR)).toEqual([1, 2, 3, 4]);
  await closeBefore(NOW / HOUR + 2);
  expect(await samples("a", NOW, NOW + HOUR)).toEqual([1, 2, 3, 4]);
});
