// What the demo shows of a fleet, a plan and its migrations, as lines of text.
import type { Quantity } from "../../worker/model/migration/types.ts";
import type { Plan } from "../../worker/model/plan.ts";
import type { Move, Rejection } from "../../worker/model/placement/types.ts";
import type { MigrationRun } from "../../worker/model/run.ts";
import type { Latest } from "../../worker/model/telemetry/known.ts";
import type { FleetHost } from "./api.ts";
import { bar, bytes, duration, percent, spread, table, wrap } from "./format.ts";

const WIDTH = 110;
const REASONS_SHOWN = 3;
const OBJECTIONS_SHOWN = 3;

const latestOf = (metrics: Latest["host"] | undefined, name: string): number => metrics?.[name]?.[1] ?? 0;

export function fleetLines(fleet: FleetHost[]): string[] {
  const rows = fleet.map(({ hostId, cores, memoryBytes, vmUuids, latest }) => {
    const usedRatio = latestOf(latest?.host, "cpu_used_cores") / cores;
    const dirty = vmUuids.map((uuid) => latestOf(latest?.vms[uuid]?.metrics, "memory_dirty_bytes_per_second"));
    return [
      hostId,
      bar(usedRatio),
      percent(usedRatio),
      String(vmUuids.length),
      `${bytes(latestOf(latest?.host, "memory_used_bytes"))} of ${bytes(memoryBytes)}`,
      `${bytes(dirty.reduce((sum, rate) => sum + rate, 0))}/s`,
      `${Math.round(latestOf(latest?.host, "power_watts"))} W`,
    ];
  });
  return table(["host", "CPU", "", "VMs", "memory used", "dirtied", "power"], rows);
}

const objection = ({ hostId, constraint, detail }: Rejection): string =>
  `not ${hostId === undefined ? "" : `${hostId} `}(${constraint}): ${detail}`;

const items = (texts: string[], bullet: string): string[] =>
  texts.flatMap((text) => wrap(`     ${bullet} `, text, WIDTH));

function moveLines(move: Move): string[] {
  const { estimate } = move;
  const blackout = estimate.downtimeMs === null ? "not reached" : spread(estimate.downtimeMs, duration);
  const rest = move.notChosen.length - OBJECTIONS_SHOWN;
  return [
    `  ${move.n}. ${move.vmName}  ${move.fromHostId} → ${move.toHostId}  ${move.mechanism}`,
    `     total ${spread(estimate.totalMs, duration)}   blackout ${blackout}   ${spread(estimate.transferredBytes, bytes)}`,
    ...items(move.reasons.slice(0, REASONS_SHOWN), "·"),
    ...items(move.notChosen.slice(0, OBJECTIONS_SHOWN).map(objection), "×"),
    ...(rest > 0 ? [`     × and ${rest} more ${rest === 1 ? "objection" : "objections"} to other hosts`] : []),
  ];
}

export function planLines({ planId, content }: Plan): string[] {
  const stays = content.notMoved.flatMap(({ vmName, hostId, rejections }) => [
    `  ${vmName} stays on ${hostId}:`,
    ...items(rejections.slice(0, OBJECTIONS_SHOWN).map(objection), "×"),
  ]);
  return [
    ...wrap("  ", `${planId}: ${content.summary}`, WIDTH),
    ...wrap("  ", `Doing nothing: ${content.doNothing.why}`, WIDTH),
    ...(content.moves.length > 0 ? ["", "  Costs are p10 / p50 / p90.", ...content.moves.flatMap(moveLines)] : []),
    ...(stays.length > 0 ? ["", ...stays] : []),
  ];
}

/** Share of the bytes that were predicted; a run that has completed is done whatever they were. */
function doneRatio({ state, progress, predicted }: MigrationRun): number {
  if (state === "completed") return 1;
  return Math.min(0.99, (progress?.transferredBytes ?? 0) / Math.max(1, predicted.transferredBytes.p50));
}

export function progressLine(run: MigrationRun, nameWidth: number): string {
  const { progress, measured, failure } = run;
  const where = `${run.vmName.padEnd(nameWidth)}  ${run.fromHostId} → ${run.toHostId}`;
  const what = `${run.mechanism.padEnd(13)} ${bar(doneRatio(run))} ${run.state.padEnd(11)}`;
  if (failure !== null) return `${where}  ${what} ${failure.reason}: ${failure.detail}`;
  if (measured?.totalMs !== undefined)
    return `${where}  ${what} ${duration(measured.totalMs)}, blackout ${duration(measured.downtimeMs ?? 0)}`;
  if (progress === null) return `${where}  ${what}`;
  const dirty = progress.dirtyBytesPerSecond === undefined ? "" : `, dirtied ${bytes(progress.dirtyBytesPerSecond)}/s`;
  return `${where}  ${what} round ${progress.iteration}, ${bytes(progress.transferredBytes)}${dirty}`;
}

/** One quantity predicted and measured. `inside`: within p10 to p90; null where nothing was measured. */
export type Judged = {
  quantity: "total" | "blackout" | "bytes";
  predicted: Quantity;
  measured: number | null;
  inside: boolean | null;
};

export function judge({ predicted, measured }: MigrationRun): Judged[] {
  const judged = (quantity: Judged["quantity"], expected: Quantity | null, value: number | undefined): Judged[] =>
    expected === null
      ? []
      : [
          {
            quantity,
            predicted: expected,
            measured: value ?? null,
            inside: value === undefined ? null : value >= expected.p10 && value <= expected.p90,
          },
        ];
  return [
    ...judged("total", predicted.totalMs, measured?.totalMs),
    ...judged("blackout", predicted.downtimeMs, measured?.downtimeMs),
    ...judged("bytes", predicted.transferredBytes, measured?.transferredBytes),
  ];
}

export function resultLines(runs: MigrationRun[]): string[] {
  const rows = runs.flatMap((run) =>
    judge(run).map(({ quantity, predicted, measured, inside }, index) => {
      const show = quantity === "bytes" ? bytes : duration;
      const verdict = inside === null ? "" : inside ? "inside" : "outside";
      return [
        index === 0 ? run.vmName : "",
        index === 0 ? run.mechanism : "",
        quantity,
        ...[predicted.p10, predicted.p50, predicted.p90].map(show),
        measured === null ? run.state : show(measured),
        verdict,
      ];
    }),
  );
  const all = runs.flatMap(judge).filter(({ inside }) => inside !== null);
  const inside = all.filter((one) => one.inside === true).length;
  return [
    ...table(["VM", "mechanism", "", "p10", "p50", "p90", "measured", ""], rows),
    "",
    `${inside} of ${all.length} measured figures lie between p10 and p90, where 80 % are meant to.`,
  ];
}
