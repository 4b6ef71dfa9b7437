// From what somebody types to a command. Every platform's text goes through here.
import { type Goal, goal } from "../placement/types.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../units.ts";
import { type Mechanism, mechanism, operatorId } from "../wire/common.ts";
import { EVENT_TYPES } from "../webhooks/events.ts";
import { matches } from "../webhooks/fan-out.ts";
import { COMMAND_NAMES, type CommandName, isCommand } from "./commands.ts";
import { nearest } from "./near.ts";

export type Command =
  | { name: "status" }
  | { name: "hosts"; cluster: string | null }
  | { name: "host"; host: string }
  | { name: "vm"; vm: string }
  | { name: "estimate" | "why-not"; vm: string; host: string }
  | { name: "advise"; cluster: string | null; goal: Goal | null }
  /** `planId` null: the newest one. */
  | { name: "plan"; planId: string | null }
  | { name: "why"; planId: string | null; move: number }
  /** `moves` null: all of them. */
  | { name: "approve"; planId: string; moves: number[] | null }
  | { name: "reject" | "override"; planId: string; reason: string }
  /** `until` in ms since 1970; null: until it is ended by hand. */
  | { name: "drain"; host: string; until: number | null }
  | { name: "migrate"; vm: string; host: string; mechanism: Mechanism | null }
  | { name: "cancel"; migrationId: string; reason: string | null }
  | { name: "stop"; reason: string | null }
  /** `events` null: the usual ones; empty: none any more. */
  | { name: "subscribe"; events: string[] | null }
  | { name: "help"; topic: CommandName | null };

export type Misread =
  | { misread: "unknown"; said: string; near: string[] }
  /** `why`: one sentence on what does not fit. */
  | { misread: "usage"; name: CommandName; why: string };
export type Parsed = { command: Command } | Misread;

const REASON_LENGTH_MAX = 500;
const MOVES_MAX = 1000;
const TEXT_LENGTH_MAX = 4000;
const MAINTENANCE_MS_MAX = 365 * DAY_MS;

/** Words, and what stands between quotes as one; quotes and backticks around a word go. */
export const wordsOf = (text: string): string[] =>
  [...text.slice(0, TEXT_LENGTH_MAX).matchAll(/["“”]([^"“”]*)["“”]|(\S+)/g)].flatMap(([, quoted, bare]) => {
    const word = quoted ?? (bare ?? "").replaceAll(/^`+|`+$/g, "");
    return word === "" ? [] : [word];
  });

/** A wrong argument; carried to where the usage is answered. */
class Wrong extends Error {}

type Read = { words: readonly string[]; now: number };

/** `now`: for times without a date, and times to come. */
export function parseCommand(text: string, now: number): Parsed {
  const [said = "help", ...words] = wordsOf(text);
  const name = said.toLowerCase();
  if (!isCommand(name)) return { misread: "unknown", said, near: nearest(name, COMMAND_NAMES) };
  try {
    return { command: READERS[name]({ words, now }) };
  } catch (error) {
    if (error instanceof Wrong) return { misread: "usage", name, why: error.message };
    throw error;
  }
}

const READERS: Record<CommandName, (read: Read) => Command> = {
  status: ({ words }) => noMore({ name: "status" }, words),
  hosts: ({ words: [cluster, ...rest] }) => noMore({ name: "hosts", cluster: optionalId("cluster", cluster) }, rest),
  host: ({ words: [host, ...rest] }) => noMore({ name: "host", host: idOf("host", host) }, rest),
  vm: ({ words: [vm, ...rest] }) => noMore({ name: "vm", vm: given("vm", vm) }, rest),
  estimate: ({ words }) => ({ name: "estimate", ...vmAndHost(words) }),
  "why-not": ({ words }) => ({ name: "why-not", ...vmAndHost(words) }),
  advise: ({ words }) => advise(words),
  plan: ({ words: [id, ...rest] }) => noMore({ name: "plan", planId: planIdOf(id) }, rest),
  why: ({ words: [id, move, ...rest] }) =>
    noMore({ name: "why", planId: planIdOf(id), move: numberOf("the move's number", move) }, rest),
  approve: ({ words: [id, ...rest] }) => ({
    name: "approve",
    planId: namedPlan(id),
    moves: rest.length === 0 ? null : movesOf(rest.join(",")),
  }),
  reject: ({ words: [id, ...rest] }) => ({ name: "reject", planId: namedPlan(id), reason: reasonOf(rest) }),
  override: ({ words: [id, ...rest] }) => ({ name: "override", planId: namedPlan(id), reason: reasonOf(rest) }),
  drain: ({ words: [host, ...rest], now }) => ({ name: "drain", host: idOf("host", host), until: until(rest, now) }),
  migrate: ({ words: [vm, host, how, ...rest] }) =>
    noMore(
      {
        name: "migrate",
        ...vmAndHost([vm, host]),
        mechanism: how === undefined ? null : choice(mechanism.options, how),
      },
      rest,
    ),
  cancel: ({ words: [id, ...rest] }) => ({
    name: "cancel",
    migrationId: migrationIdOf(id),
    reason: rest.length === 0 ? null : reasonOf(rest),
  }),
  stop: ({ words }) => ({ name: "stop", reason: words.length === 0 ? null : reasonOf(words) }),
  subscribe: ({ words }) => ({ name: "subscribe", events: eventsOf(words) }),
  help: ({ words: [topic] }) => ({ name: "help", topic: topic !== undefined && isCommand(topic) ? topic : null }),
};

function noMore<C extends Command>(command: C, rest: readonly string[]): C {
  if (rest.length > 0) throw new Wrong(`What is ${quote(rest.join(" "))}?`);
  return command;
}

const quote = (said: string): string => `“${said.length > 40 ? `${said.slice(0, 40)}…` : said}”`;

function given(what: string, word: string | undefined): string {
  if (word === undefined) throw new Wrong(`The ${what} is missing.`);
  if (word.length > 255) throw new Wrong(`${quote(word)} is too long for a ${what}.`);
  return word;
}

function idOf(what: string, word: string | undefined): string {
  const id = given(what, word);
  if (!operatorId.safeParse(id).success) throw new Wrong(`${quote(id)} cannot be the id of a ${what}.`);
  return id;
}

const optionalId = (what: string, word: string | undefined): string | null =>
  word === undefined ? null : idOf(what, word);

const vmAndHost = ([vm, host, ...rest]: readonly (string | undefined)[]): { vm: string; host: string } => {
  const both = { vm: given("VM", vm), host: idOf("host", host) };
  if (rest.length > 0) throw new Wrong(`What is ${quote(rest.join(" "))}?`);
  return both;
};

function planIdOf(word: string | undefined): string | null {
  const id = given("plan", word);
  if (id.toLowerCase() === "last") return null;
  if (!/^pln_[0-9a-z]{1,60}$/.test(id)) throw new Wrong(`${quote(id)} is no plan: pln_…, or last.`);
  return id;
}

/** What is decided is what was seen: another one may have become the newest meanwhile. */
function namedPlan(word: string | undefined): string {
  const id = planIdOf(word);
  if (id === null) throw new Wrong("Name the plan that you have seen by its id, pln_….");
  return id;
}

function migrationIdOf(word: string | undefined): string {
  const id = given("migration", word);
  if (!/^mig_[0-9a-z]{1,60}$/.test(id)) throw new Wrong(`${quote(id)} is no migration: mig_….`);
  return id;
}

function numberOf(what: string, word: string | undefined): number {
  if (word === undefined) throw new Wrong(`${what[0]?.toUpperCase()}${what.slice(1)} is missing.`);
  if (!/^\d{1,4}$/.test(word) || Number(word) === 0) throw new Wrong(`${quote(word)} is not ${what}.`);
  return Number(word);
}

/** `1,3-5`: numbers and ranges, sorted, each once. */
function movesOf(text: string): number[] {
  const parts = text.split(/[\s,]+/).filter((part) => part !== "");
  const moves = parts.flatMap((part) => {
    const [, first = "", , last = first] = /^(\d{1,4})(-(\d{1,4}))?$/.exec(part) ?? [];
    if (first === "") throw new Wrong(`${quote(part)} is neither a move nor a range of them, such as 1,3-5.`);
    const [from, to] = [numberOf("a move's number", first), numberOf("a move's number", last)];
    if (to < from || to > MOVES_MAX) throw new Wrong(`${quote(part)} is no range of moves.`);
    return Array.from({ length: to - from + 1 }, (_, n) => from + n);
  });
  if (moves.length === 0) throw new Wrong("No moves are given.");
  return [...new Set(moves)].toSorted((a, b) => a - b);
}

function reasonOf(words: readonly string[]): string {
  const said = (words[0]?.toLowerCase() === "because" ? words.slice(1) : words).join(" ").trim();
  if (said === "") throw new Wrong("The reason is missing.");
  return said.slice(0, REASON_LENGTH_MAX);
}

function choice<T extends string>(known: readonly T[], said: string): T {
  const found = known.find((one) => one === said.toLowerCase());
  if (found !== undefined) return found;
  const [near] = nearest(said, known);
  const meant = near === undefined ? `It is one of ${known.join(", ")}.` : `Did you mean ${near}?`;
  throw new Wrong(`What is ${quote(said)}? ${meant}`);
}

/** One word may be either: a goal's name is meant as one. */
function advise([first, second, ...rest]: readonly string[]): Command {
  const asGoal = goal.options.find((one) => one === first?.toLowerCase());
  if (second === undefined && asGoal !== undefined) return { name: "advise", cluster: null, goal: asGoal };
  if (asGoal !== undefined && second !== undefined)
    return noMore({ name: "advise", cluster: idOf("cluster", second), goal: asGoal }, rest);
  const cluster = optionalId("cluster", first);
  return noMore({ name: "advise", cluster, goal: second === undefined ? null : choice(goal.options, second) }, rest);
}

function until([keyword, ...words]: readonly string[], now: number): number | null {
  if (keyword === undefined) return null;
  const isKeyword = keyword.toLowerCase() === "until";
  const said = (isKeyword ? words : [keyword, ...words]).join(" ");
  const at = timeOf(said, now);
  if (at === null) throw new Wrong(`${quote(said)} is no time: 18:30 (UTC), 2h, or 2026-11-27T18:30Z.`);
  if (at <= now) throw new Wrong(`${quote(said)} is past.`);
  if (at > now + MAINTENANCE_MS_MAX) throw new Wrong(`${quote(said)} is more than a year away.`);
  return at;
}

const UNITS: Record<string, number> = { m: MINUTE_MS, min: MINUTE_MS, h: HOUR_MS, d: DAY_MS };

/** A time of day in UTC (the next one), a length of time from now, or a date with time. Null: none of them. */
export function timeOf(said: string, now: number): number | null {
  const [, count, unit = ""] = /^(?:in )?(\d{1,4}) ?(m|min|h|d)$/i.exec(said) ?? [];
  if (count !== undefined) return now + Number(count) * (UNITS[unit.toLowerCase()] ?? 0);
  const [, hours, minutes] = /^([01]?\d|2[0-3]):([0-5]\d)(?: ?(?:utc|z))?$/i.exec(said) ?? [];
  if (hours !== undefined) {
    const at = now - (now % DAY_MS) + Number(hours) * HOUR_MS + Number(minutes) * MINUTE_MS;
    return at > now ? at : at + DAY_MS;
  }
  const [, day, time, zone = "Z"] =
    /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)? ?(Z|UTC|[+-]\d{2}:\d{2})?$/i.exec(said) ?? [];
  if (day === undefined) return null;
  const at = Date.parse(`${day}T${time}${zone.toUpperCase() === "UTC" ? "Z" : zone.toUpperCase()}`);
  return Number.isNaN(at) ? null : at;
}

/** Types of events and groups of them. */
function eventsOf(words: readonly string[]): string[] | null {
  const said = words.flatMap((word) => word.toLowerCase().split(/[\s,]+/)).filter((word) => word !== "");
  if (said.length === 0) return null;
  if (said.length === 1 && said[0] === "off") return [];
  const groups = [...new Set(EVENT_TYPES.map((type) => `${type.slice(0, type.indexOf("."))}.*`))];
  for (const pattern of said)
    if (!EVENT_TYPES.some((type) => matches(pattern, type))) choice([...EVENT_TYPES, ...groups, "*"], pattern);
  if (said.length > 64) throw new Wrong("So many events are all of them: *.");
  return [...new Set(said)];
}
