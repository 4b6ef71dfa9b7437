import { describe, expect, test } from "vitest";
import { maintenanceAt } from "../../worker/model/maintenance.ts";
import { restartsLastDay, withRestart } from "../../worker/model/restarts.ts";

const NOW = 1_795_399_200_000;
const DAY = 86_400_000;

describe("maintenance", () => {
  test.each([
    ["is none where nothing is stored", [null, null, null], null],
    ["lasts until it is ended where no time is given", [1, null, "disks"], { since: 1, reason: "disks" }],
    ["lasts to the last millisecond", [1, NOW + 1, "disks"], { since: 1, until: NOW + 1, reason: "disks" }],
    ["is over at its time", [1, NOW, "disks"], null],
  ] as const)("%s", (_, [maintenanceSince, maintenanceUntil, maintenanceReason], expected) => {
    expect(maintenanceAt({ maintenanceSince, maintenanceUntil, maintenanceReason }, NOW)).toEqual(expected);
  });
});

describe("restarts", () => {
  test("count for a day", () => {
    expect(restartsLastDay([NOW - DAY, NOW - DAY + 1, NOW], NOW)).toEqual([NOW - DAY + 1, NOW]);
    expect(withRestart([NOW - DAY, NOW - 5], NOW)).toEqual([NOW - 5, NOW]);
  });

  test("are kept in a bounded number, the newest ones", () => {
    let times: number[] = [];
    for (let turn = 0; turn < 250; turn++) times = withRestart(times, NOW + turn);
    expect(times).toEqual(Array.from({ length: 100 }, (_, index) => NOW + 150 + index));
  });
});
