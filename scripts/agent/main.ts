// The agent's command line.
import { parseArgs } from "node:util";
import { z } from "zod";
import packageJson from "../../package.json" with { type: "json" };
import { startAgent } from "./agent.ts";
import { configWarnings, readConfig, type Settings } from "./config.ts";
import type { Driver } from "./driver.ts";
import { messageOf } from "./log.ts";
import { policyWarning, readPolicy } from "./policy.ts";
import type { DriverName } from "../../worker/model/wire/common.ts";
import { libvirtConfig } from "./libvirt/config.ts";
import { createLibvirtDriver } from "./libvirt/driver.ts";
import { qmpConfig } from "./qmp/config.ts";
import { createQmpDriver } from "./qmp/driver.ts";
import { createSimulatedDriver } from "./simulated/driver.ts";

const HELP = `drover-agent ${packageJson.version}: the agent of one hypervisor

  drover-agent run --config FILE     collect, and take signed commands, until SIGTERM or SIGINT
  drover-agent check --config FILE   say what is wrong with the configuration and the local policy
  drover-agent --help | --version

DROVER_URL and DROVER_TOKEN in the environment win over url and token in the file.
`;

const simulatedConfig = z.strictObject({ name: z.literal("simulated"), host: z.string(), socket: z.string() });

const drivers: Partial<Record<DriverName, (config: Settings["driver"]) => Driver | Promise<Driver>>> = {
  libvirt: (config) => createLibvirtDriver(libvirtConfig.parse(config)),
  qmp: (config) => createQmpDriver(qmpConfig.parse(config)),
  simulated: (config) => createSimulatedDriver(simulatedConfig.parse(config)),
};

async function openDriver(settings: Settings): Promise<Driver> {
  const create = drivers[settings.driver.name];
  if (create === undefined)
    throw new Error(
      `driver ${settings.driver.name} is not in this build; there are ${Object.keys(drivers).join(", ")}`,
    );
  return create(settings.driver);
}

async function run(file: string): Promise<number> {
  const settings = readConfig(file, process.env);
  for (const warning of configWarnings(file, settings)) process.stderr.write(`warning: ${warning}\n`);
  const driver = await openDriver(settings);
  const agent = await startAgent(settings, driver);
  await new Promise<void>((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
  });
  await agent.stop();
  await driver.close();
  return 0;
}

async function check(file: string): Promise<number> {
  const settings = readConfig(file, process.env);
  const policy = readPolicy(settings.policyFile);
  const problems = policy.kind === "unreadable" ? [policy.detail] : [];
  const driver = await openDriver(settings).catch((error: unknown) => void problems.push(messageOf(error)));
  await driver?.close();
  const warning = policyWarning(settings.policyFile);
  for (const text of [...configWarnings(file, settings), ...(warning === null ? [] : [warning])])
    process.stdout.write(`warning: ${text}\n`);
  for (const text of problems) process.stdout.write(`error: ${text}\n`);
  if (policy.kind === "policy")
    process.stdout.write(
      `host ${settings.hostId}, driver ${settings.driver.name}, local policy: ${policy.policy.mode}\n`,
    );
  return problems.length === 0 ? 0 : 1;
}

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { config: { type: "string" }, help: { type: "boolean" }, version: { type: "boolean" } },
  });
  const [verb] = positionals;
  const action = verb === "run" ? run : verb === "check" ? check : null;
  if (values.version) process.stdout.write(`${packageJson.version}\n`);
  else if (values.help) process.stdout.write(HELP);
  else if (action === null || values.config === undefined) {
    process.stderr.write(HELP);
    return 2;
  } else return action(values.config);
  return 0;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`drover-agent: ${messageOf(error)}\n`);
    process.exit(1);
  },
);
