// The demo's fleet and what it shows; the demo itself is run by hand and by CI.
import { describe, expect, test } from "vitest";
import { judge, resultLines } from "../../../scripts/demo/views.ts";
import { DRAINED_HOST, HOT_HOST, demoWorld } from "../../../scripts/demo/fleet.ts";
import { table, wrap } from "../../../scripts/demo/format.ts";
import { createScreen } from "../../../scripts/demo/screen.ts";
import { createWorld } from "../../../scripts/agent/simulated/world.ts";
import type { MigrationRun } from "../../../worker/model/run.ts";
import { virtualClock } from "./worlds.ts";

function written(json: boolean, isTTY: boolean): { text: () => string; screen: ReturnType<typeof createScreen> } {
  let text = "";
  const output = { write: (more: string) => (text += more), isTTY, columns: 40 };
  return { text: () => text, screen: createScreen(output, json, () => 1) };
}

const between = (p10: number, p90: number) => ({ p10, p50: (p10 + p90) / 2, p90 });

/** Only what the comparison reads. */
const run = (measured: MigrationRun["measured"]): MigrationRun =>
  ({
    vmName: "web-01",
    mechanism: "pre-copy",
    state: "completed",
    predicted: {
      totalMs: between(1000, 2000),
      downtimeMs: between(10, 30),
      transferredBytes: between(1e9, 2e9),
    },
    measured,
  }) as MigrationRun;

describe("the fleet", () => {
  test("has six hosts and forty VMs, one host hot, the other ones not", async () => {
    const config = demoWorld(1);
    expect([config.hosts.length, config.vms.length]).toEqual([6, 40]);
    const world = createWorld(config, virtualClock());
    const ratios = config.hosts.map(async ({ id, cores }) => {
      const { host } = await world.host(id).sample();
      return { id, ratio: (host["cpu_used_cores"] ?? 0) / cores };
    });
    const isAbove = (limit: number) => async () => (await Promise.all(ratios)).filter(({ ratio }) => ratio > limit);
    expect((await isAbove(0.8)()).map(({ id }) => id)).toEqual([HOT_HOST]);
    expect(await isAbove(0.6)()).toHaveLength(1);
    const blocked = config.vms.filter((vm) => vm.inventory.blockers !== undefined);
    expect(blocked.map((vm) => vm.hostId)).toEqual([DRAINED_HOST]);
  });
});

describe("the screen", () => {
  test("without a terminal there are no escape codes and no live lines", () => {
    const { text, screen } = written(false, false);
    screen.title("Title");
    screen.live(["50 %"]);
    screen.lines(["line"]);
    expect(text()).toBe("\nTitle\n\nline\n");
  });

  test("on a terminal live lines replace themselves and never wrap", () => {
    const { text, screen } = written(false, true);
    screen.live(["x".repeat(100)]);
    screen.live(["second"]);
    expect(text()).toBe(`\u001b[2K${"x".repeat(39)}\n\u001b[1A\u001b[2Ksecond\n`);
  });

  test("JSON lines hold events and nothing else", () => {
    const { text, screen } = written(true, true);
    screen.title("Title");
    screen.lines(["line"]);
    screen.event("done", { failures: 0 });
    expect(JSON.parse(text())).toEqual({ event: "done", at: 1, failures: 0 });
  });
});

describe("the comparison", () => {
  test("says of each figure whether it lies between p10 and p90", () => {
    const judged = judge(run({ totalMs: 1500, downtimeMs: 31, transferredBytes: 1e9 }));
    expect(judged.map(({ quantity, inside }) => [quantity, inside])).toEqual([
      ["total", true],
      ["blackout", false],
      ["bytes", true],
    ]);
    expect(resultLines([run({ totalMs: 1500, downtimeMs: 31, transferredBytes: 1e9 })]).at(-1)).toMatch(/^2 of 3/);
  });

  test("what was not measured is not judged", () => {
    expect(judge(run(null)).every(({ inside }) => inside === null)).toBe(true);
  });
});

test("lines stay within their width and keep their indentation", () => {
  expect(wrap("  · ", "one two three four", 14)).toEqual(["  · one two", "    three four"]);
  expect(
    table(
      ["n", "x"],
      [
        ["a", "12"],
        ["bb", "3"],
      ],
    ),
  ).toEqual(["n   x", "──  ──", "a   12", "bb   3"]);
});
