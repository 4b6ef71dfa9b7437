// `drover-agent check`: what is missing on this host and how to put it right. Changes nothing.
import { z } from "zod";
import type { DriverName } from "../../../worker/model/wire/common.ts";
import { ConfigError, configWarnings, readConfig, type Settings } from "../config.ts";
import { describeIssues } from "../issues.ts";
import { messageOf } from "../log.ts";
import { edgeFindings } from "./checks/edge.ts";
import { fail, ok, toLine, warn, type Finding } from "./checks/finding.ts";
import { hostFindings } from "./checks/host.ts";
import { libvirtFindings } from "./checks/libvirt.ts";
import { qmpFindings } from "./checks/qmp.ts";
import { openDriver } from "./drivers.ts";

const drivers: Record<DriverName, (settings: Settings) => Promise<Finding[]>> = {
  libvirt: ({ driver }) => libvirtFindings(driver),
  qmp: ({ driver }) => qmpFindings(driver),
  simulated: async (settings) => {
    await (await openDriver(settings)).close();
    return [ok("simulated hypervisor", "answers")];
  },
};

async function driverFindings(settings: Settings): Promise<Finding[]> {
  const { name } = settings.driver;
  try {
    return await drivers[name](settings);
  } catch (error) {
    const isSettings = error instanceof z.ZodError || error instanceof ConfigError;
    const says = error instanceof z.ZodError ? describeIssues(error) : messageOf(error);
    const remedy = isSettings ? "correct driver in the configuration" : "start the hypervisor that it drives";
    return [fail(`driver ${name}`, says, remedy)];
  }
}

type Environment = Record<string, string | undefined>;

function configFindings(file: string, env: Environment): { findings: Finding[]; settings: Settings | null } {
  const about = "configuration";
  try {
    const settings = readConfig(file, env);
    const { hostId, cluster, driver } = settings;
    const read = ok(about, `${file}: host ${hostId} of cluster ${cluster}, driver ${driver.name}`);
    const warnings = configWarnings(file, settings, env).map((text) => warn(about, "not as it should be", text));
    return { findings: [read, ...warnings], settings };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return {
      findings: [fail(about, messageOf(error), `correct ${file}; docs/agent.md has every field`)],
      settings: null,
    };
  }
}

/** Says a line for each finding, the worst of which is the exit code: 0 nothing has to be put right, 1 something has. */
export async function check(file: string, env: Environment, say: (line: string) => void): Promise<number> {
  const { findings, settings } = configFindings(file, env);
  const rest =
    settings === null
      ? []
      : [...(await hostFindings(settings)), ...(await driverFindings(settings)), ...(await edgeFindings(settings))];
  const all = [...findings, ...rest];
  for (const finding of all) say(toLine(finding));
  return all.some(({ level }) => level === "fail") ? 1 : 0;
}
