// A Worker that dies after any of its writes.
import { beforeAll, describe, expect, test } from "vitest";
import { content, type Fate, play, type Scene, scene } from "../support/interrupted-run.ts";
import { dyingAfterWrite } from "../support/tapped-d1.ts";

let at: Scene;
beforeAll(async () => {
  at = await scene("cut");
}, 30_000);

describe("a plan whose Worker dies after any of its writes ends the same, each command given once", () => {
  test.each<[Fate, string]>([
    ["completes", "done"],
    ["fails", "failed"],
    ["is refused", "failed"],
  ])("where the first move %s", { timeout: 180_000 }, async (fate, end) => {
    await at.restore();
    const counted = dyingAfterWrite(-1);
    await play(at, fate, counted.tap);
    const expected = await content(at);
    expect(expected["plan"]).toEqual([JSON.stringify({ state: end, open: 0 })]);
    expect(expected["reservations"]).toEqual([]);
    expect(counted.writes()).toBeGreaterThan(20);
    for (let number = 0; number < counted.writes(); number++) {
      await at.restore();
      await play(at, fate, dyingAfterWrite(number).tap);
      expect(await content(at), `write ${number} of ${counted.writes()}`).toEqual(expected);
    }
  });
});
