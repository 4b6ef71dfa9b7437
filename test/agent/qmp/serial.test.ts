import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { compareBeats, parseBeat, readSerial, type Beat } from "../../../scripts/lab/serial.ts";

const beats = (from: number, to: number, atMs: number, damagedPages = 0): Beat[] =>
  Array.from({ length: to - from + 1 }, (_, index) => ({
    counter: from + index,
    guestMs: 0,
    damagedPages,
    atMs: atMs + 10 * index,
  }));

test("a beat is a whole line and nothing else", () => {
  expect(parseBeat("H 12 2568504700 0\r", 5)).toEqual({ counter: 12, guestMs: 2568.5047, damagedPages: 0, atMs: 5 });
  for (const line of ["", "READY", "H 12 25685", "12 2568504700 0", "H 1 2 3 4"]) expect(parseBeat(line, 5)).toBeNull();
});

test.each([
  ["goes on at once", beats(0, 9, 0), beats(10, 20, 140), []],
  ["one beat was cut off by the stop", beats(0, 9, 0), beats(11, 20, 140), []],
  ["two beats are gone", beats(0, 9, 0), beats(12, 20, 140), [/2 beats are missing between 9 and 12/]],
  ["ran on both sides", beats(0, 9, 0), beats(8, 20, 140), [/beat 8 came at the destination after 9/]],
  ["started anew", beats(0, 9, 0), beats(0, 20, 140), [/beat 0 came/]],
  ["skips on one line", [...beats(0, 4, 0), ...beats(6, 9, 60)], beats(10, 12, 140), [/beat 6 at the source/]],
  ["lost memory", beats(0, 9, 0), beats(10, 20, 140, 3), [/3 pages damaged at the destination/]],
  ["never came", beats(0, 9, 0), [], [/no beats at the destination/]],
])("the counter %s", (_, source, destination, problems) => {
  expect(compareBeats(source, destination).problems).toEqual(problems.map((each) => expect.stringMatching(each)));
});

test("the silence between the two lines is the blackout as seen from inside", () => {
  expect(compareBeats(beats(0, 9, 1000), beats(10, 20, 1240))).toMatchObject({
    lastCounter: 9,
    firstCounter: 10,
    blackoutMs: 150,
  });
});

test("a line is followed from before it exists, over writes that end within a beat", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "drover-serial-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, "serial");
  const reader = readSerial(file);
  onTestFinished(() => reader.close());
  appendFileSync(file, "READY\r\nFILLED\nH 0 1000000 0\nH 1 11");
  await reader.waitFor("FILLED", 5000);
  appendFileSync(file, "000000 0\n");
  await reader.waitForBeats(2, 5000);
  expect(reader.beats.map((each) => each.guestMs)).toEqual([1, 11]);
  await expect(reader.waitFor("NEVER", 0)).rejects.toThrow(/READY \| FILLED/);
});
