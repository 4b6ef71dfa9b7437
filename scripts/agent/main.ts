// The agent's command line. What only one command needs is loaded with it.
import { ConfigError, configWarnings, readConfig, secretsOf, type Settings } from "./config.ts";
import { createLog, messageOf } from "./log.ts";
import { readCommandLine, type CommandLine } from "./service/command-line.ts";
import { openDriver } from "./service/drivers.ts";

type Asked = Extract<CommandLine, { kind: "do" }>;

const USAGE = 2;

function read(file: string): Settings {
  const settings = readConfig(file, process.env);
  for (const warning of configWarnings(file, settings, process.env)) process.stderr.write(`warning: ${warning}\n`);
  return settings;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

const verbs: Record<Asked["verb"], (asked: Asked) => Promise<number>> = {
  run: async ({ configFile }) => {
    const settings = readConfig(configFile, process.env);
    const log = createLog((line) => process.stderr.write(`${line}\n`), secretsOf(settings), settings.log);
    for (const warning of configWarnings(configFile, settings, process.env)) log("warn", warning);
    const driver = await openDriver(settings);
    const { startAgent } = await import("./agent.ts");
    const agent = await startAgent(settings, driver);
    await new Promise<void>((resolve) => {
      process.once("SIGTERM", () => resolve());
      process.once("SIGINT", () => resolve());
    });
    await agent.stop();
    await driver.close();
    return 0;
  },
  check: async ({ configFile }) => (await import("./service/check.ts")).check(configFile, process.env, say),
  once: async ({ configFile }) => {
    const settings = read(configFile);
    return (await import("./service/once.ts")).once(settings, await openDriver(settings), say);
  },
  status: async ({ configFile, json }) =>
    (await import("./service/ask-status.ts")).status(readConfig(configFile, process.env), json, say),
  install: async ({ configFile, install }) =>
    (await import("./service/install.ts")).install(configFile, read(configFile), install, say),
};

async function main(args: string[]): Promise<number> {
  const asked = readCommandLine(args, process.env);
  if (asked.kind === "do") return verbs[asked.verb](asked);
  if (asked.kind === "tell") {
    process.stdout.write(asked.text);
    return 0;
  }
  process.stderr.write(`drover-agent: ${asked.why}\ndrover-agent help says more\n`);
  return USAGE;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`drover-agent: ${messageOf(error)}\n`);
    process.exit(error instanceof ConfigError ? USAGE : 1);
  },
);
