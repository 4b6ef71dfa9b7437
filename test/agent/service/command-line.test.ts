import { expect, test } from "vitest";
import { HELP, readCommandLine, VERBS } from "../../../scripts/agent/service/command-line.ts";

test.each([
  [[], /a command is missing: run, check, once, status, install, help/],
  [["rnu"], /there is no command "rnu": run,/],
  [["run", "now"], /run takes no further words: now/],
  [["run", "--confg", "x"], /--confg/],
  [["run", "--config"], /--config/],
  [["run", "--config="], /--config needs the name of a file/],
  [["run", "--json"], /run has no option --json/],
  [["status", "--print"], /status has no option --print/],
  [["check", "--user", "x"], /check has no option --user/],
])("%j is wrong usage, and why is said", (args, why) => {
  expect(readCommandLine(args, {})).toEqual({ kind: "wrong", why: expect.stringMatching(why) });
});

test.each([
  ["the option", ["run", "--config", "a.json"], { DROVER_CONFIG: "b.json" }, "a.json"],
  ["the environment", ["run"], { DROVER_CONFIG: "b.json" }, "b.json"],
  ["the usual place", ["run"], { DROVER_CONFIG: "" }, "/etc/drover/agent.json"],
])("the configuration's name comes from %s", (_name, args, env, configFile) => {
  expect(readCommandLine(args, env)).toMatchObject({ kind: "do", verb: "run", configFile });
});

test("install writes unless it is only to show", () => {
  const modeOf = (...options: string[]) => {
    const asked = readCommandLine(["install", ...options], {});
    return asked.kind === "do" ? asked.install : null;
  };
  expect(modeOf()).toEqual({ mode: "write", user: null });
  expect(modeOf("--dry-run", "--user", "vms")).toEqual({ mode: "dry-run", user: "vms" });
  expect(modeOf("--print")).toEqual({ mode: "print", user: null });
});

test.each([[["help"]], [["--help"]], [["run", "-h"]]])("%j tells of every command", (args) => {
  expect(readCommandLine(args, {})).toEqual({ kind: "tell", text: HELP });
  for (const verb of VERBS) expect(HELP).toContain(`drover-agent ${verb}`);
});
