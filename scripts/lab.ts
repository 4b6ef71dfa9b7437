// `npm run lab`: Drover's main job on real QEMU guests, on this machine.
import { parseArgs } from "node:util";
import { createScreen, type Screen } from "./demo/screen.ts";
import { stopSignal } from "./dev/signals.ts";
import { whyNoLab } from "./lab/build-guest.ts";
import { whyNoLibvirt } from "./lab/libvirt.ts";

const HELP = `Usage: npm run lab -- [--faults] [--libvirt] [--case NAME]... [--json] [--state DIR]

Starts three QEMU guests of different dirty rates on one lab host, Drover, and an agent with the qmp driver for each of
two lab hosts; empties the first host by a plan, and compares what was predicted with what was measured, by the
hypervisors' events and by the guests' own counters. Needs QEMU, gcc, cpio and apt on Linux for amd64, some 2.5 GiB of
memory, two minutes, and no KVM. Everything it starts is ended, on Ctrl-C as well.

  --faults     real migrations, each with something that goes wrong, on three pairs of lab hosts: case, expected, seen
  --libvirt    the same on two libvirts of their own, alone or beside --faults; needs root and Debian's libvirt-daemon,
               libvirt-daemon-driver-qemu and libvirt-clients
  --case NAME  only this case; may be given several times
  --json       JSON lines instead of text
  --state DIR  where the guest's kernel is kept once it was fetched (default .drover/)
  --help       this text

Exit code 0: every guest was moved, and its counter went on without a gap or a repeat; with --faults or --libvirt:
every case was seen as expected.
`;

/** As a shell says of a program that Ctrl-C has ended. */
const ENDED_BY_SIGNAL = 130;
const LOG_LINES = 20;

const lastWords = (log: readonly string[]): string => ["The agents' last words:", ...log.slice(-LOG_LINES)].join("\n");

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      faults: { type: "boolean", default: false },
      libvirt: { type: "boolean", default: false },
      case: { type: "string", multiple: true, default: [] },
      json: { type: "boolean", default: false },
      state: { type: "string", default: ".drover" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const missing = whyNoLab();
  if (missing !== null) {
    console.error(missing);
    return 2;
  }
  const signal = stopSignal();
  const screen = createScreen(process.stdout, values.json, Date.now);
  return values.faults || values.libvirt || values.case.length > 0
    ? faults(values, screen, signal)
    : tour(values.state, screen, signal);
}

type Chosen = { faults: boolean; libvirt: boolean; case: string[]; state: string };

async function faults(values: Chosen, screen: Screen, signal: AbortSignal): Promise<number> {
  const { chosenCases, lanesFor } = await import("./lab/faults/run.ts");
  const { runFaults } = await import("./lab/faults/main.ts");
  const drivers = [...(values.faults ? ["qmp" as const] : []), ...(values.libvirt ? ["libvirt" as const] : [])];
  const chosen = chosenCases(values.case, drivers);
  const missing = lanesFor(chosen).some(({ driver }) => driver === "libvirt") ? whyNoLibvirt() : null;
  if (missing !== null) console.error(missing.reason);
  // What installing would change is an error; a machine that permits no libvirt leaves its cases out, where there are others.
  if (missing !== null && (missing.isSoftware || !values.faults)) return 2;
  const cases = missing === null ? chosen : chosenCases([], ["qmp"]);
  try {
    return (await runFaults({ stateDir: values.state, cases, screen }, signal)) === 0 ? 0 : 1;
  } catch (error) {
    if (signal.aborted) return ENDED_BY_SIGNAL;
    throw error;
  }
}

async function tour(stateDir: string, screen: Screen, signal: AbortSignal): Promise<number> {
  // They take their time to load: whoever is told to end meanwhile must be listening already.
  const [{ abortOf, createLab }, { evacuate }] = await Promise.all([
    import("./lab/stage.ts"),
    import("./lab/story.ts"),
  ]);
  const lab = createLab();
  try {
    const tell = (text: string): void => {
      screen.event("stage", { text });
      screen.lines([text]);
    };
    const running = await lab.start(stateDir, tell, signal);
    const harmed = await Promise.race([evacuate({ ...running, screen, signal }), abortOf(signal)]);
    screen.event("done", { harmed });
    if (harmed > 0) console.error(lastWords(lab.log));
    return harmed === 0 ? 0 : 1;
  } catch (error) {
    if (signal.aborted) return ENDED_BY_SIGNAL;
    if (lab.log.length > 0) console.error(lastWords(lab.log));
    throw error;
  } finally {
    await lab.stop();
  }
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
