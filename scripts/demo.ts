// `npm run demo`: Drover's main job on this machine, with nothing but Node.
import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";
import { DRAINED_HOST, HOT_HOST, TIME_SCALE } from "./demo/fleet.ts";
import { createScreen } from "./demo/screen.ts";
import type { Running } from "./demo/stage.ts";
import { awaitTelemetry, pursue, showFleet, type Stage } from "./demo/story.ts";
import { stopSignal } from "./dev/signals.ts";

const HELP = `Usage: npm run demo -- [--once] [--yes] [--json] [--port N]

Starts Drover with a local database, six agents and forty simulated VMs of different memory behaviour; relieves the hot
host ${HOT_HOST} and drains ${DRAINED_HOST}: the plan with costs and reasons, approval, live progress, and what was
predicted against what was measured. Then it keeps running until Ctrl-C.

  --once    end when both plans are done; exit code 0 if every migration completed
  --yes     approve without asking
  --json    JSON lines instead of text
  --port N  port of the API (default: any free one)
  --help    this text
`;

/** A host above this share of its cores is to be relieved. */
const HOT_RATIO = 0.7;

type Options = { once: boolean; yes: boolean; json: boolean; port: number };

function readOptions(): Options | null {
  const { values } = parseArgs({
    options: {
      once: { type: "boolean", default: false },
      yes: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      port: { type: "string", default: "0" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return null;
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error(`--port ${values.port} is not a port number`);
  return { once: values.once, yes: values.yes, json: values.json, port };
}

async function askPerson(question: string, signal: AbortSignal): Promise<boolean> {
  // On stderr, so that stdout stays what it is.
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  terminal.once("SIGINT", () => process.kill(process.pid, "SIGINT"));
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `, { signal })).trim());
  } finally {
    terminal.close();
  }
}

async function play(options: Options, running: Running, signal: AbortSignal): Promise<number> {
  const screen = createScreen(process.stdout, options.json, Date.now);
  const { url, adminToken, api, check } = running;
  const ask = (question: string): Promise<boolean> =>
    options.yes ? Promise.resolve(true) : askPerson(question, signal);
  const stage: Stage = { api, screen, check, signal, ask };
  screen.event("started", { url, hosts: running.hosts, vms: running.vms, timeScale: TIME_SCALE });
  screen.lines([
    `Drover at ${url}: ${running.hosts} hosts with an agent each, ${running.vms} simulated VMs.`,
    `Their time runs ${TIME_SCALE} times as fast as yours; all durations below are theirs.`,
  ]);
  await awaitTelemetry(stage, running.hosts, running.vms);
  screen.title("The fleet");
  await showFleet(stage);
  let failures = await pursue(stage, `${HOT_HOST} is hot: balance`, "balance", { hotRatio: HOT_RATIO });
  failures += await pursue(stage, `${DRAINED_HOST} is to be drained: evacuate`, "evacuate", {
    hostIds: [DRAINED_HOST],
  });
  screen.title("The fleet afterwards");
  await showFleet(stage);
  screen.event("done", { failures });
  if (options.once) return failures === 0 ? 0 : 1;
  screen.event("serving", { url, adminToken });
  screen.lines([
    "",
    `Drover goes on at ${url} with the admin token ${adminToken}`,
    "Ctrl-C ends it and removes everything.",
  ]);
  while (!signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    check();
  }
  return 0;
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options === null) {
    console.log(HELP);
    return 0;
  }
  if (!options.yes && !(process.stdin.isTTY && process.stderr.isTTY)) {
    console.error("The demo asks before it moves VMs, and there is no terminal to ask on: add --yes to approve.");
    return 2;
  }
  const stopped = stopSignal();
  // Takes its time to load: whoever is told to end meanwhile must be listening already.
  const { createBackstage } = await import("./demo/stage.ts");
  if (stopped.aborted) return 0;
  const backstage = createBackstage();
  try {
    const running = await backstage.start(options.port);
    return stopped.aborted ? 0 : await play(options, running, stopped);
  } catch (error) {
    // Whatever breaks because it was told to end is no failure.
    if (stopped.aborted) return 0;
    console.error(backstage.troubles());
    throw error;
  } finally {
    await backstage.stop();
  }
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
