// `npm run lab -- --faults`: real migrations, each with something that goes wrong.
import type { Screen } from "../../demo/screen.ts";
import { abortOf } from "../stage.ts";
import type { FaultCase } from "./case.ts";
import { report } from "./report.ts";
import { lanesFor, playFaults } from "./run.ts";
import { createStage, type Stage } from "./stage.ts";

const LOG_LINES = 12;

/** What each agent has said of migrations that did not go as they should. */
function lastWords({ lanes }: Stage): string {
  const said = lanes.flatMap(({ sites }) =>
    sites.flatMap(({ hostId, agent }) =>
      agent.log
        .filter(({ level, migrationId }) => level !== "info" && migrationId !== undefined)
        .slice(-LOG_LINES)
        .map((line) => `${hostId} ${JSON.stringify(line)}`),
    ),
  );
  return ["The agents' last words of migrations:", ...said].join("\n");
}

/** Plays the cases and tells of them. Returns how many differ from what was expected. */
export async function runFaults(
  { stateDir, cases, screen }: { stateDir: string; cases: readonly FaultCase[]; screen: Screen },
  signal: AbortSignal,
): Promise<number> {
  const { start, stop } = createStage(signal);
  const tell = (text: string): void => {
    screen.event("stage", { text });
    screen.lines([text]);
  };
  try {
    const stage = await start(stateDir, lanesFor(cases), tell);
    const told = {
      begins: (name: string) => screen.note(`${name} begins`),
      ends: (result: { name: string; ok: boolean; seen: string }) => {
        screen.event("case", result);
        screen.lines([`${result.ok ? "ok     " : "DIFFERS"} ${result.name}: ${result.seen}`]);
      },
    };
    const played = await Promise.race([playFaults(stage, cases, told, signal), abortOf(signal)]);
    const differing = report(screen, stage, played.results, played.kept);
    if (differing > 0) console.error(lastWords(stage));
    return differing;
  } finally {
    await stop();
  }
}
