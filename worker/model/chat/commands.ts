// The commands of chat: what each is called with, what it needs, and who sees the answer.
import { goal } from "../placement/types.ts";
import type { Scope } from "../principal.ts";
import { mechanism } from "../wire/common.ts";

export type Argument = {
  name: string;
  summary: string;
  isRequired: boolean;
  /** Stands before it. */
  keyword?: string;
  /** All there is. */
  choices?: readonly string[];
};

export type CommandSpec = {
  summary: string;
  arguments: readonly Argument[];
  /** All of these scopes. */
  needs: readonly Scope[];
  /** `asker`: only who has asked sees the answer. */
  audience: "asker" | "channel";
};

const one = (name: string, summary: string): Argument => ({ name, summary, isRequired: true });
const maybe = (name: string, summary: string, more: Partial<Argument> = {}): Argument => ({
  name,
  summary,
  isRequired: false,
  ...more,
});

const plan = one("plan", "The plan's id, or last for the newest");
const seenPlan = one("plan", "The id of the plan that you have seen");
const vm = one("vm", "The VM's name or uuid");
const host = one("host", "The host's id");
const reason = one("reason", "Why; it stands in the audit log");

const spec = (
  summary: string,
  args: readonly Argument[],
  needs: readonly Scope[],
  audience: CommandSpec["audience"] = "asker",
): CommandSpec => ({ summary, arguments: args, needs, audience });

export const COMMANDS = {
  status: spec("How the fleet is doing", [], ["read"]),
  hosts: spec("The hosts with their loads", [maybe("cluster", "Only of this cluster")], ["read"]),
  host: spec("One host and its VMs", [host], ["read"]),
  vm: spec("One VM: where it runs and what it does", [vm], ["read"]),
  estimate: spec("What moving a VM there would cost", [vm, host], ["read"]),
  advise: spec(
    "Ask the advisor for a plan",
    [
      maybe("cluster", "For this cluster; may be left out where there is one"),
      maybe("goal", "What for; balance unless given", { choices: goal.options }),
    ],
    ["plan"],
    "channel",
  ),
  plan: spec("Show a plan", [plan], ["read"], "channel"),
  why: spec("Why a plan makes a move, and what else was weighed", [plan, one("move", "The move's number")], ["read"]),
  "why-not": spec("Why the advisor would not move a VM there", [vm, host], ["read"]),
  approve: spec(
    "Approve a plan as it is",
    [seenPlan, maybe("moves", "Only these: 1,3-5; the others are left out")],
    ["approve"],
    "channel",
  ),
  reject: spec("Reject a plan", [seenPlan, reason], ["approve"], "channel"),
  override: spec(
    "In an emergency: approve a plan without the others whose approval it needs",
    [seenPlan, reason],
    ["approve", "operate"],
    "channel",
  ),
  drain: spec(
    "Maintenance: the host gets nothing, and a plan empties it",
    [host, maybe("time", "18:30 (UTC), 2h, or 2026-11-27T18:30Z", { keyword: "until" })],
    ["operate", "plan"],
    "channel",
  ),
  migrate: spec(
    "A plan that moves one VM there",
    [vm, host, maybe("mechanism", "How; the best one unless given", { choices: mechanism.options })],
    ["plan"],
    "channel",
  ),
  cancel: spec(
    "End a migration that is under way",
    [one("migration", "The migration's id"), maybe("reason", "Why; it stands in the audit log")],
    ["operate"],
    "channel",
  ),
  stop: spec(
    "Stop everything: freeze, cancel plans, end what may be ended",
    [maybe("reason", "Why; asked for where it is not given")],
    ["operate"],
    "channel",
  ),
  subscribe: spec(
    "Tell this channel what happens",
    [maybe("events", "Event types such as migration.* or plan.proposed, or off; the important ones unless given")],
    ["operate"],
    "channel",
  ),
  help: spec("This list, or one command", [maybe("command", "A command")], []),
} as const satisfies Record<string, CommandSpec>;

export type CommandName = keyof typeof COMMANDS;
export const COMMAND_NAMES = Object.keys(COMMANDS) as CommandName[];

export const isCommand = (word: string): word is CommandName => Object.hasOwn(COMMANDS, word);

export const specOf = (name: CommandName): CommandSpec => COMMANDS[name];

const shown = ({ name, isRequired, keyword }: Argument): string => {
  const word = `${keyword === undefined ? "" : `${keyword} `}${name.toUpperCase()}`;
  return isRequired ? word : `[${word}]`;
};

/** `drain HOST [until TIME]`. */
export const usageOf = (name: CommandName): string => [name, ...specOf(name).arguments.map(shown)].join(" ");
