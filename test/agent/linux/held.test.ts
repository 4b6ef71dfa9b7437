import { expect, test } from "vitest";
import { createHeld } from "../../../scripts/agent/linux/held.ts";

const MINUTE = 60_000;

test("a figure stands for five minutes, and is measured anew after that", async () => {
  const held = createHeld<number>(1);
  let measured = 0;
  const at = (nowMs: number) => {
    held.begin(nowMs);
    return held.of("a", nowMs, async () => ++measured);
  };
  expect([await at(0), await at(4 * MINUTE), await at(5 * MINUTE)]).toEqual([1, 1, 2]);
});

test("one that cannot be measured again stands for ten minutes and no longer", async () => {
  const held = createHeld<number>(1);
  let value: number | null = 7;
  const at = (nowMs: number) => {
    held.begin(nowMs);
    return held.of("a", nowMs, async () => value);
  };
  await at(0);
  value = null;
  expect([await at(9 * MINUTE), await at(11 * MINUTE)]).toEqual([7, null]);
});

test("no more are measured at one moment than its share, and the others later", async () => {
  const held = createHeld<string>(2);
  const round = async (nowMs: number) => {
    held.begin(nowMs);
    const names = ["a", "b", "c"];
    return Promise.all(names.map((name) => held.of(name, nowMs, async () => `${name} at ${nowMs}`)));
  };
  expect(await round(0)).toEqual(["a at 0", "b at 0", null]);
  expect(await round(1)).toEqual(["a at 0", "b at 0", "c at 1"]);
});

test("what is forgotten is measured anew", async () => {
  const held = createHeld<number>(9);
  let measured = 0;
  const look = () => held.of("vm 1", 0, async () => ++measured);
  await look();
  held.forget("vm");
  expect(await look()).toBe(2);
});
