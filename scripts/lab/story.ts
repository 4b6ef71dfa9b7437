// The course of the lab: telemetry, one evacuation, and what was predicted against what the hypervisor and the guests saw.
import { setTimeout as sleep } from "node:timers/promises";
import type { Plan } from "../../worker/model/plan.ts";
import type { MigrationRun } from "../../worker/model/run.ts";
import { bytes, duration, table } from "../demo/format.ts";
import type { Screen } from "../demo/screen.ts";
import { judge, planLines, progressLine } from "../demo/views.ts";
import { compareBeats, type Continuity } from "./serial.ts";
import { CLUSTER, FROM, TO, type Running, type Watched } from "./stage.ts";

const POLL_MS = 250;
const TELEMETRY_MS_MAX = 120_000;
const PLAN_MS_MAX = 300_000;
/** Beats that a guest must count at its new place before it is believed to live: a second. */
const BEATS_MIN = 100;
const BEATS_MS_MAX = 30_000;
const RUN_ENDS = ["completed", "failed", "cancelled"];
const PLAN_ENDS = ["done", "failed", "cancelled"];

export type Play = Running & { screen: Screen; signal: AbortSignal };

/** Looks again and again until there is something; throws what was missing after `timeoutMs`. */
async function until<T>(play: Play, timeoutMs: number, what: () => string, look: () => Promise<T | null>): Promise<T> {
  for (const end = Date.now() + timeoutMs; ;) {
    const found = await look();
    if (found !== null) return found;
    if (Date.now() > end) throw new Error(`after ${timeoutMs / 1000} s: ${what()}`);
    await sleep(POLL_MS, undefined, { signal: play.signal });
  }
}

async function awaitTelemetry(play: Play): Promise<void> {
  const { api, screen, guests } = play;
  let seen = "nothing was heard of the hosts";
  await until(
    play,
    TELEMETRY_MS_MAX,
    () => seen,
    async () => {
      const fleet = await api.fleet(CLUSTER);
      const metrics = Object.assign({}, ...fleet.map(({ latest }) => latest?.vms ?? {}));
      const curves = guests.filter(({ uuid }) => metrics[uuid]?.curve !== undefined).length;
      seen = `${fleet.length} of 2 hosts known, dirty curves of ${curves} of ${guests.length} VMs`;
      screen.live([seen]);
      return fleet.length === 2 && curves === guests.length ? true : null;
    },
  );
  screen.note(seen);
  screen.settle();
}

async function follow(play: Play, plan: Plan): Promise<MigrationRun[]> {
  const { api, screen, guests } = play;
  const nameWidth = Math.max(...guests.map(({ name }) => name.length));
  const told = new Map<string, string>();
  const runs = await until(
    play,
    PLAN_MS_MAX,
    () => `plan ${plan.planId} has not ended`,
    async () => {
      const now = (await api.migrations(plan.planId)).toSorted((a, b) => a.moveNumber - b.moveNumber);
      screen.live(now.map((run) => progressLine(run, nameWidth)));
      for (const run of now) {
        if (told.get(run.migrationId) === run.state) continue;
        told.set(run.migrationId, run.state);
        screen.note(progressLine(run, nameWidth));
        const { migrationId, vmName, state, progress, failure } = run;
        screen.event("progress", { migrationId, vmName, state, progress, failure });
      }
      const { state } = await api.readPlan(plan.planId);
      return PLAN_ENDS.includes(state) && now.every((run) => RUN_ENDS.includes(run.state)) ? now : null;
    },
  );
  screen.settle();
  return runs;
}

/** What became of a guest: what Drover says of its migration, and what its own counter says. */
type Result = { guest: Watched; run: MigrationRun | undefined; inside: Continuity; problems: string[] };

async function examine(guest: Watched, run: MigrationRun | undefined): Promise<Result> {
  const problems: string[] = [];
  if (run === undefined) problems.push("it was not moved");
  else if (run.state !== "completed") problems.push(`${run.state}: ${run.failure?.detail ?? "no reason was given"}`);
  if (run?.state === "completed")
    await guest.destination.waitForBeats(BEATS_MIN, BEATS_MS_MAX).catch((error: Error) => problems.push(error.message));
  const inside = compareBeats(guest.source.beats, guest.destination.beats);
  if (run?.state === "completed") problems.push(...inside.problems);
  return { guest, run, inside, problems };
}

function resultLines(results: Result[]): string[] {
  const rows = results.flatMap(({ guest, run, inside }) => {
    const figures = run === undefined ? [] : judge(run);
    const own = Number.isFinite(inside.blackoutMs) ? duration(inside.blackoutMs) : "";
    return figures.map(({ quantity, predicted, measured, inside: within }, index) => {
      const show = quantity === "bytes" ? bytes : duration;
      return [
        index === 0 ? guest.name : "",
        index === 0 ? (run?.mechanism ?? "") : "",
        quantity,
        ...[predicted.p10, predicted.p50, predicted.p90].map(show),
        measured === null ? "not known" : show(measured),
        within === null ? "" : within ? "inside" : "outside",
        quantity === "blackout" ? own : "",
      ];
    });
  });
  const judged = results.flatMap(({ run }) => (run === undefined ? [] : judge(run)));
  const known = judged.filter(({ inside }) => inside !== null);
  return [
    ...table(["VM", "mechanism", "", "p10", "p50", "p90", "measured", "", "seen by the guest"], rows),
    "",
    `${known.filter(({ inside }) => inside).length} of ${known.length} measured figures lie between p10 and p90.`,
  ];
}

const counterLine = ({ guest, inside, problems }: Result): string =>
  problems.length === 0
    ? `${guest.name}: counted ${inside.lastCounter} on ${FROM}, went on with ${inside.firstCounter} on ${TO}; no beat twice, no page damaged`
    : `${guest.name}: ${problems.join("; ")}`;

/** Evacuates one host onto the other. Returns how many guests did not come through unharmed. */
export async function evacuate(play: Play): Promise<number> {
  const { api, screen, guests } = play;
  screen.title("Telemetry");
  await awaitTelemetry(play);
  screen.title(`${FROM} is to be emptied`);
  const plan = await api.plan(CLUSTER, "evacuate", { hostIds: [FROM], concurrencyPerHost: 1 });
  screen.event("plan", { plan });
  screen.lines([...planLines(plan), ""]);
  if (plan.content.moves.length > 0) await api.approve(plan, "approved by the lab");
  const runs = plan.content.moves.length > 0 ? await follow(play, plan) : [];
  const results = await Promise.all(
    guests.map((guest) =>
      examine(
        guest,
        runs.find(({ vmUuid }) => vmUuid === guest.uuid),
      ),
    ),
  );
  screen.title("Predicted against measured");
  screen.lines([...resultLines(results), "", ...results.map(counterLine)]);
  for (const { guest, run, inside, problems } of results)
    screen.event("result", {
      vmName: guest.name,
      mechanism: run?.mechanism ?? null,
      state: run?.state ?? null,
      compared: run === undefined ? [] : judge(run),
      measured: run?.measured ?? null,
      guest: { lastCounter: inside.lastCounter, firstCounter: inside.firstCounter, blackoutMs: inside.blackoutMs },
      problems,
    });
  return results.filter(({ problems }) => problems.length > 0).length;
}
