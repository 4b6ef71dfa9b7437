import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { instantsOf, offsetChanges, timeZone, wallClock } from "../../../worker/model/policy/time-zone.ts";
import { type WeeklyWindow, nextOpening, weeklyWindow, windowOpen } from "../../../worker/model/policy/windows.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../../worker/model/units.ts";

const window = (text: string): WeeklyWindow => {
  const [zone = "", days = "", from = "", to = ""] = text.split(" ");
  return weeklyWindow.parse({ timeZone: zone, days: days.split(","), from, to });
};

// Berlin, 2026: clocks go from 02:00 to 03:00 on 29 March, from 03:00 back to 02:00 on 25 October; both are Sundays.
const SPRING = "Europe/Berlin";

describe("a window is open", () => {
  test.each([
    ["UTC mon 09:00 17:00", "2026-06-01T09:00:00Z", true],
    ["UTC mon 09:00 17:00", "2026-06-01T08:59:59.999Z", false],
    ["UTC mon 09:00 17:00", "2026-06-01T17:00:00Z", false],
    ["UTC mon 09:00 17:00", "2026-06-02T10:00:00Z", false],
    ["UTC mon 00:00 24:00", "2026-06-01T23:59:59.999Z", true],
    ["UTC mon 00:00 24:00", "2026-06-02T00:00:00Z", false],
    // Over midnight it belongs to the day on which it begins.
    ["UTC mon 22:00 06:00", "2026-06-01T22:00:00Z", true],
    ["UTC mon 22:00 06:00", "2026-06-02T05:59:00Z", true],
    ["UTC mon 22:00 06:00", "2026-06-02T06:00:00Z", false],
    ["UTC mon 22:00 06:00", "2026-06-01T05:00:00Z", false],
    ["UTC sat 22:00 06:00", "2026-06-07T05:00:00Z", true],
    // The zone decides the day: 23:30 on Monday in New York is Tuesday in UTC.
    ["America/New_York mon 23:00 24:00", "2026-06-02T03:30:00Z", true],
    ["Asia/Kathmandu mon 09:00 10:00", "2026-06-01T03:15:00Z", true],
    // Spring leaves 02:00 to 03:00 out: this one never comes on that day, and this one is an hour shorter.
    ["Europe/Berlin sun 02:00 03:00", "2026-03-29T00:59:00Z", false],
    ["Europe/Berlin sun 02:00 03:00", "2026-03-29T01:00:00Z", false],
    ["Europe/Berlin sun 01:00 04:00", "2026-03-29T01:59:00Z", true],
    ["Europe/Berlin sun 01:00 04:00", "2026-03-29T02:00:00Z", false],
    // Autumn shows 02:00 to 03:00 twice.
    ["Europe/Berlin sun 02:00 03:00", "2026-10-25T00:30:00Z", true],
    ["Europe/Berlin sun 02:00 03:00", "2026-10-25T01:30:00Z", true],
    ["Europe/Berlin sun 02:00 03:00", "2026-10-25T02:00:00Z", false],
    ["Europe/Berlin sat 22:00 06:00", "2026-10-25T04:59:00Z", true],
    ["Europe/Berlin sat 22:00 06:00", "2026-10-25T05:00:00Z", false],
  ])("%s at %s: %s", (text, at, isOpen) => {
    expect(windowOpen([window(text)], Date.parse(at))).toBe(isOpen);
  });

  test("always, where there is none", () => {
    expect([windowOpen([], 0), nextOpening([], 7)]).toEqual([true, 7]);
  });
});

describe("it opens next", () => {
  test.each([
    ["UTC mon 09:00 17:00", "2026-06-01T10:00:00Z", "2026-06-01T10:00:00Z"],
    ["UTC mon 09:00 17:00", "2026-06-01T17:00:00Z", "2026-06-08T09:00:00Z"],
    ["UTC mon 22:00 06:00", "2026-06-01T07:00:00Z", "2026-06-01T22:00:00Z"],
    ["Europe/Berlin sun 01:30 04:00", "2026-03-28T12:00:00Z", "2026-03-29T00:30:00Z"],
    // It begins in the gap: at the first instant after it.
    ["Europe/Berlin sun 02:30 04:00", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"],
    // It lies in the gap: a week later.
    ["Europe/Berlin sun 02:00 03:00", "2026-03-28T12:00:00Z", "2026-04-05T00:00:00Z"],
    // It closes at 02:30, and the clock goes back into it.
    ["Europe/Berlin sun 01:00 02:30", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"],
    ["Europe/Berlin sun 02:30 03:30", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"],
  ])("%s after %s: %s", (text, at, opens) => {
    expect(new Date(nextOpening([window(text)], Date.parse(at)) ?? 0).toISOString()).toBe(
      new Date(opens).toISOString(),
    );
  });
});

describe("a window that makes no sense is refused at its place", () => {
  test.each([
    [{ from: "22:00", to: "22:00" }, "to", "has no length"],
    [{ timeZone: "Mars/Olympus" }, "timeZone", "IANA"],
    [{ timeZone: "+02:00" }, "timeZone", "IANA"],
    [{ days: [] }, "days", ""],
    [{ days: ["mon", "tue", "mon"] }, "days.2", "mon is given twice"],
    [{ from: "24:00" }, "from", "00:00"],
    [{ to: "9:00" }, "to", "00:00"],
  ])("%j: %s", (fields, path, message) => {
    const given = { timeZone: "UTC", days: ["mon"], from: "01:00", to: "02:00", ...fields };
    const [issue] = weeklyWindow.safeParse(given).error?.issues ?? [];
    expect(issue?.path.join(".")).toBe(path);
    expect(issue?.message).toContain(message);
  });
});

const zones = ["UTC", SPRING, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns"];
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;
const clock = (minute: number) =>
  `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
const anyWindow = fc
  .record({
    timeZone: fc.constantFrom(...zones),
    days: fc.subarray([...DAYS], { minLength: 1 }),
    from: fc.integer({ min: 0, max: 1439 }),
    length: fc.integer({ min: 1, max: 1439 }),
  })
  .map(({ length, from, ...rest }) => ({ ...rest, from: clock(from), to: clock((from + length) % 1440) }));
/** Around the changes of clocks half of the time. */
const anyTime = fc.oneof(
  fc.integer({ min: Date.UTC(2025, 0), max: Date.UTC(2028, 0) }),
  fc
    .record({
      near: fc.constantFrom("2026-03-29T01:00Z", "2026-10-25T01:00Z", "2026-03-08T07:00Z", "2026-04-04T15:00Z"),
      by: fc.integer({ min: -30 * HOUR_MS, max: 30 * HOUR_MS }),
    })
    .map(({ near, by }) => Date.parse(near) + by),
);

/** The same question asked of Intl's own words, without any arithmetic on offsets. */
function shownInside({ timeZone: zone, days, from, to }: WeeklyWindow, at: number): boolean {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  const parts = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
  const today = DAYS.findIndex((day) => day === String(parts["weekday"]).toLowerCase());
  const time = `${parts["hour"]}:${parts["minute"]}`;
  const begins = (day: number) => days.includes(DAYS[(day + 7) % 7] ?? "sun");
  if (from < to) return begins(today) && from <= time && time < to;
  return (begins(today) && from <= time) || (begins(today - 1) && time < to);
}

describe("laws", () => {
  test("a window is open exactly when a clock of its zone shows a time in it", () => {
    fc.assert(
      fc.property(anyWindow, anyTime, (one, at) => windowOpen([one], at) === shownInside(one, at)),
      { numRuns: 2000, seed: 1 },
    );
  });

  test("nothing is open before the next opening, and there it is open", () => {
    fc.assert(
      fc.property(fc.array(anyWindow, { minLength: 1, maxLength: 3 }), anyTime, (all, at) => {
        const opens = nextOpening(all, at);
        if (opens === null) return false;
        if (!windowOpen(all, opens)) return false;
        for (let between = at; between < opens; between += 7 * MINUTE_MS) if (windowOpen(all, between)) return false;
        return opens === at || !windowOpen(all, opens - 1);
      }),
      { numRuns: 150, seed: 2 },
    );
  });

  test("the instants of a wall clock show it, and a day has 23, 24 or 25 hours", () => {
    fc.assert(
      fc.property(fc.constantFrom(...zones), anyTime, (zone, at) => {
        const local = wallClock(zone, at);
        const instants = instantsOf(zone, local);
        return instants.includes(at) && instants.length <= 2 && instants.every((one) => wallClock(zone, one) === local);
      }),
      { numRuns: 1000, seed: 3 },
    );
  });

  test("clocks change twice a year where there is summer time, to the minute", () => {
    const [from, to] = [Date.UTC(2026, 0), Date.UTC(2027, 0)];
    expect(offsetChanges(SPRING, from, to).map((at) => new Date(at).toISOString())).toEqual([
      "2026-03-29T01:00:00.000Z",
      "2026-10-25T01:00:00.000Z",
    ]);
    expect(offsetChanges("UTC", from, from + 40 * DAY_MS)).toEqual([]);
    expect(timeZone.safeParse("UTC").success).toBe(true);
  });
});
