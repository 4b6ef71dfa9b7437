// What is told of the fault cases: expected against seen, predicted against measured, and what the agents used.
import { bytes, duration, table } from "../../demo/format.ts";
import type { Screen } from "../../demo/screen.ts";
import { judge } from "../../demo/views.ts";
import type { CaseResult, Kept } from "./run.ts";
import type { Stage } from "./stage.ts";

function caseLines(results: readonly CaseResult[]): string[] {
  const rows = results.map(({ name, expected, seen, ok, durationMs }) => [
    ok ? "ok" : "DIFFERS",
    name,
    expected,
    ok ? "the same" : seen,
    duration(durationMs),
  ]);
  return table(["", "case", "expected", "seen", "took"], rows);
}

const completed = ({ run }: Kept): boolean => run.state === "completed";

function runLines(kept: readonly Kept[]): string[] {
  const rows = kept.filter(completed).map(({ caseName, run, arrival }) => {
    const [total, blackout] = ["total", "blackout"].map((name) => judge(run).find(({ quantity }) => quantity === name));
    const show = (value: number | null | undefined): string =>
      value === null || value === undefined ? "not known" : duration(value);
    return [
      caseName,
      run.vmName,
      run.mechanism,
      show(total?.predicted.p50),
      show(total?.measured),
      show(blackout?.predicted.p50),
      show(blackout?.measured),
      show(arrival.blackoutMs),
    ];
  });
  const head = ["case", "guest", "mechanism", "total p50", "measured", "blackout p50", "measured", "seen by the guest"];
  return table(head, rows);
}

const agentsOf = ({ lanes }: Stage) =>
  lanes.flatMap(({ sites }) => sites.map(({ hostId, agent }) => ({ hostId, ...agent.usage() })));

function agentLines(stage: Stage): string[] {
  const rows = agentsOf(stage).map(({ hostId, cpuSeconds, memoryBytesMax, aliveMs }) => [
    hostId,
    duration(cpuSeconds * 1000),
    `${((cpuSeconds * 100_000) / Math.max(1, aliveMs)).toFixed(1)} %`,
    bytes(memoryBytesMax),
    duration(aliveMs),
  ]);
  return table(["agent", "CPU", "of a core", "memory at most", "lived"], rows);
}

/** Tells all of it. Returns how many cases differ from what was expected. */
export function report(screen: Screen, stage: Stage, results: readonly CaseResult[], kept: readonly Kept[]): number {
  const differing = results.filter(({ ok }) => !ok).length;
  screen.title("Expected against seen");
  screen.lines([...caseLines(results), "", `${results.length - differing} of ${results.length} cases as expected.`]);
  screen.title("Predicted against measured, of the migrations that completed");
  screen.lines(runLines(kept));
  screen.title("The agents");
  screen.lines(agentLines(stage));
  for (const { caseName, run, arrival } of kept)
    screen.event("migration", {
      case: caseName,
      vmName: run.vmName,
      mechanism: run.mechanism,
      state: run.state,
      compared: judge(run),
      measured: run.measured,
      guest: arrival,
    });
  for (const agent of agentsOf(stage)) screen.event("agent", agent);
  screen.event("done", { passed: results.length - differing, failed: differing });
  return differing;
}
