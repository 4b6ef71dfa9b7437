// Drover's consolidation as a policy of the benchmark: the model decides, this translates.
import { CONSOLIDATION_DEFAULTS, consolidate } from "../../../../worker/model/placement/consolidation.ts";
import type { ConsolidationParameters } from "../../../../worker/model/placement/consolidation/types.ts";
import { wattsOf } from "./machines.ts";
import type { Policy } from "./simulate.ts";
import { STEP_SECONDS } from "./traces.ts";
import { type Accounting, HISTORY, type SimVm, type World } from "./world.ts";

const MEGABYTE = 2 ** 20;
/** Liu et al., HPDC 2011: joules of both ends for each megabyte sent, and for a migration at all. */
const MOVE_JOULES = { perMegabyte: 0.512, fixed: 20.165 };

export function drover(change: Partial<ConsolidationParameters> = {}): Policy {
  const parameters = { ...CONSOLIDATION_DEFAULTS, ...change };
  const movedAt = new Map<SimVm, number>();
  return {
    name: "drover",
    plan(world, step, accounting) {
      if (step === 1) movedAt.clear();
      const { moves } = consolidate(inputOf(world, step, accounting, movedAt), parameters);
      return moves.flatMap((move) => {
        const vm = world.vms[move.vm];
        const to = world.hosts[move.to];
        if (vm === undefined || to === undefined) return [];
        movedAt.set(vm, step);
        return [{ vm, to }];
      });
    },
  };
}

/** One vCPU gets no more than one core: a VM stays where a core gives it what it wants, and goes where it has always done. */
function inputOf(world: World, step: number, { memoryCounts, bootSeconds }: Accounting, movedAt: Map<SimVm, number>) {
  return {
    hosts: world.hosts.map(({ machine, mips, vms }) => ({
      cores: mips,
      memoryBytes: memoryCounts ? machine.memoryMegabytes * MEGABYTE : Number.POSITIVE_INFINITY,
      watts: machine.watts,
      on: vms.length > 0,
      bootJoules: wattsOf(machine, 1) * bootSeconds,
    })),
    vms: world.vms.map((vm) => {
      const moved = movedAt.get(vm);
      return {
        host: vm.host?.id ?? 0,
        recentCores: recentOf(vm, step),
        coresMax: vm.mips,
        memoryBytes: vm.memoryMegabytes * MEGABYTE,
        moveJoules: MOVE_JOULES.perMegabyte * vm.memoryMegabytes + MOVE_JOULES.fixed,
        ...(moved !== undefined && { movedAgoMs: (step - moved) * STEP_SECONDS * 1000 }),
      };
    }),
    fits: (vm: number, host: number) => mostOf(world.vms[vm], host) <= (world.hosts[host]?.machine.coreMips ?? 0),
  };
}

function recentOf({ history, mips }: SimVm, step: number): Float64Array {
  const recent = new Float64Array(Math.min(step, HISTORY));
  for (let age = 0; age < recent.length; age++) recent[recent.length - 1 - age] = (history[age] ?? 0) * mips;
  return recent;
}

function mostOf(vm: SimVm | undefined, host: number): number {
  if (vm === undefined) return 0;
  return vm.host?.id === host ? vm.demand : Math.max(...vm.history) * vm.mips;
}
