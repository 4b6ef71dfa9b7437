// `npm run bench:agent`: what the agent costs its host. JSON lines on stdout, a table on stderr.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { bundleAgent } from "./agent-bundle.ts";
import type { AgentConfig } from "./agent/config.ts";
import { NODE_ENVIRONMENT, NODE_FLAGS } from "./agent/service/flags.ts";
import { HOST_ID, libvirtGuests, qemuGuests, simulatedGuests, type Guests } from "./bench/agent/guests.ts";
import { usageOf, type Usage } from "./bench/agent/usage.ts";
import { printTable, report } from "./bench/report.ts";
import { createApi } from "./demo/api.ts";
import { startDev } from "./dev/server.ts";

const HELP = `usage: npm run bench:agent -- [options]

The bundled agent as a process of its own, started as the unit of \`drover-agent install\` starts it, with the defaults of its
configuration, against a real Drover on this machine. Its CPU (children included) and memory are those of /proc/PID, from its
second minute on: start-up is left out.

  --driver NAME   qmp (real QEMU processes, their processors halted), libvirt (the same under a libvirt of their own; needs root)
                  or simulated; may be given several times (all)
  --vms N         50
  --seconds N     how long to measure, 60 or more (120)
  --help          this text`;

const DRIVERS: Record<string, (folder: string, count: number) => Promise<Guests | null>> = {
  qmp: qemuGuests,
  libvirt: libvirtGuests,
  simulated: simulatedGuests,
};
/** Until the first batch is sent and the first dirty curves are measured. */
const START_UP_MS = 75_000;
const LOOK_MS = 1000;

function wrong(why: string): never {
  console.error(`${why}\n\n${HELP}`);
  process.exit(2);
}

const { values } = parseArgs({
  options: {
    driver: { type: "string", multiple: true },
    vms: { type: "string", default: "50" },
    seconds: { type: "string", default: "120" },
    help: { type: "boolean" },
  },
});
if (values.help) {
  console.error(HELP);
  process.exit(0);
}
const [vms, seconds] = [Number(values.vms), Number(values.seconds)];
if (!Number.isInteger(vms) || vms < 1) wrong("--vms must be a whole number from 1 on");
if (!Number.isInteger(seconds) || seconds < 60) wrong("--seconds must be a whole number from 60 on");
const wanted = values.driver ?? Object.keys(DRIVERS);
const unknown = wanted.filter((name) => DRIVERS[name] === undefined);
if (unknown.length > 0) wrong(`no such driver: ${unknown.join(", ")}`);

type Ends = (() => unknown)[];

async function prepare(folder: string, driver: AgentConfig["driver"], ends: Ends): Promise<string> {
  const dev = await startDev({ port: 0, stateDir: path.join(folder, "worker") });
  ends.push(dev.stop);
  const config: AgentConfig = {
    url: dev.url,
    token: await createApi(dev.url, dev.adminToken).agentToken(HOST_ID),
    hostId: HOST_ID,
    cluster: "bench",
    stateDir: path.join(folder, "state"),
    commandPublicKeys: [dev.commandPublicKey],
    peerSecret: "a secret of this bench only",
    peer: { listenHost: "127.0.0.1" },
    driver,
    policyFile: path.join(folder, "policy.json"),
    stopFile: path.join(folder, "STOP"),
  };
  const file = path.join(folder, "agent.json");
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}

function startAgent(folder: string, configFile: string, ends: Ends): { child: ChildProcess; lastWords: () => string } {
  const logFile = path.join(folder, "agent.log");
  const log = openSync(logFile, "w");
  const agentFile = path.join(folder, "drover-agent.js");
  const child = spawn(process.execPath, [...NODE_FLAGS, agentFile, "run", "--config", configFile], {
    stdio: ["ignore", log, log],
    env: { ...process.env, ...Object.fromEntries(NODE_ENVIRONMENT.map((setting) => setting.split("="))) },
  });
  closeSync(log);
  ends.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "exit");
  });
  return { child, lastWords: () => readFileSync(logFile, "utf8").slice(-2000) };
}

/** Usage at the beginning and at the end, and the most memory that was seen in between. */
async function measure(child: ChildProcess, lastWords: () => string): Promise<[Usage, Usage, number, number]> {
  const look = (): Usage => {
    if (child.pid === undefined || child.exitCode !== null) throw new Error(`the agent has ended: ${lastWords()}`);
    return usageOf(child.pid);
  };
  await wait(START_UP_MS);
  const [first, beganAt] = [look(), performance.now()];
  let [last, rssBytesMax] = [first, first.rssBytes];
  while (performance.now() - beganAt < seconds * 1000) {
    await wait(LOOK_MS);
    last = look();
    rssBytesMax = Math.max(rssBytesMax, last.rssBytes);
  }
  return [first, last, rssBytesMax, (performance.now() - beganAt) / 1000];
}

async function endAll(ends: Ends): Promise<void> {
  for (const end of ends.splice(0).toReversed()) await end();
}

async function run(name: string, ends: Ends): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), "drover-bench-"));
  ends.push(() => rmSync(folder, { recursive: true, force: true }));
  try {
    console.error(`… ${vms} VMs, driver ${name}`);
    const guests = (await DRIVERS[name]?.(folder, vms)) ?? null;
    if (guests === null)
      return console.error(`skipped: what runs the VMs of driver ${name} is not here, or needs root`);
    ends.push(guests.end);
    const configFile = await prepare(folder, guests.driver, ends);
    mkdirSync(path.join(folder, "state"));
    const bundleBytes = await bundleAgent(path.join(folder, "drover-agent.js"));
    const { child, lastWords } = startAgent(folder, configFile, ends);
    const [first, last, rssBytesMax, took] = await measure(child, lastWords);
    const running = await guests.running();
    if (running < vms) throw new Error(`only ${running} of ${vms} VMs run`);
    const figure = (metric: string, value: number, unit: string) =>
      report({ bench: "agent", case: `agent-${vms}-vms`, driver: name, metric, value, unit });
    figure("cpuRatio", (last.cpuSeconds - first.cpuSeconds) / took, "ratio");
    figure("rssBytes", last.rssBytes, "bytes");
    figure("rssBytesMax", rssBytesMax, "bytes");
    figure("measuredSeconds", took, "s");
    figure("bundleBytes", bundleBytes, "bytes");
    if (/"level":"(warn|error)"/.test(lastWords())) console.error(lastWords());
  } finally {
    await endAll(ends);
  }
}

const ends: Ends = [];
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => void endAll(ends).finally(() => process.exit(1)));
for (const name of wanted) await run(name, ends);
printTable();
process.exit();
