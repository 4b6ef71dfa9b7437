// An order for moves that were found together: what brings most for its bytes first, what brings something only together as one
// bundle, so that the selection, which takes bundle after bundle, loses none of them.
import { fits } from "./constraints.ts";
import { rateAround } from "./gain.ts";
import { placeAll } from "./select.ts";
import type { StrategyInput } from "./strategy.ts";
import { sentBytes } from "./volume.ts";
import { place } from "./world.ts";

export type Step = { vm: number; from: number; to: number };

type Valued = Step & { bytes: number; gain: number };
type Input = Pick<StrategyInput, "world" | "counted" | "means">;

/** Gains an hour smaller than this are rounding. */
const GAIN_MIN = 1e-9;

/** The steps as bundles, in order. The world is as it was afterwards. */
export function sequenced(input: Input, steps: readonly Step[]): Step[][] {
  const { world } = input;
  const bundles: Step[][] = [];
  let left = steps.map((step): Valued => ({ ...step, bytes: sentBytes(world, step.vm), gain: 0 }));
  left.forEach((step) => (step.gain = gainAlone(input, step)));
  while (left.length > 0) {
    const found = steepest(left) ?? bestPair(input, left);
    if (found === null) break;
    for (const { vm, to } of found) place(world, vm, to);
    bundles.push(found);
    left = left.filter((step) => !found.includes(step));
    const touched = hostsOf(found);
    for (const step of left) if (touched.has(step.from) || touched.has(step.to)) step.gain = gainAlone(input, step);
  }
  for (const { vm, from } of bundles.flat()) place(world, vm, from);
  return [...bundles, ...connected(left)].map((bundle) => bundle.map(({ vm, from, to }) => ({ vm, from, to })));
}

const hostsOf = (steps: readonly Step[]): Set<number> => new Set(steps.flatMap(({ from, to }) => [from, to]));

/** What it saves an hour if it is made now by itself; 0 where it does not fit. */
const gainAlone = (input: Input, step: Step): number =>
  fits(input.world, step.vm, step.to) ? gainTogether(input, [step]) : 0;

function gainTogether({ world, counted, means }: Input, steps: readonly Step[]): number {
  const [hosts, vms] = [hostsOf(steps), steps.map(({ vm }) => vm)];
  const before = rateAround(world, hosts, vms, counted, means);
  for (const { vm, to } of steps) place(world, vm, to);
  const after = rateAround(world, hosts, vms, counted, means);
  for (const { vm, from } of steps) place(world, vm, from);
  return before - after;
}

function steepest(steps: readonly Valued[]): Valued[] | null {
  let best: Valued | null = null;
  for (const step of steps)
    if (step.gain > GAIN_MIN && (best === null || step.gain * best.bytes > best.gain * step.bytes)) best = step;
  return best === null ? null : [best];
}

/** The two that share a host and save most together, where no one does by itself. */
function bestPair(input: Input, steps: readonly Valued[]): Valued[] | null {
  let [best, most]: [Valued[] | null, number] = [null, GAIN_MIN];
  steps.forEach((one, index) => {
    for (const other of steps.slice(index + 1)) {
      if (![one.from, one.to].some((host) => host === other.from || host === other.to)) continue;
      const gain = gainTogether(input, [one, other]);
      if (gain <= most || !fitTogether(input, [one, other])) continue;
      [best, most] = [[one, other], gain];
    }
  });
  return best;
}

function fitTogether({ world }: Input, steps: readonly Step[]): boolean {
  const origins = steps.map(({ from }) => from);
  if (placeAll(world, steps, origins) !== null) return false;
  for (const { vm, from } of steps) place(world, vm, from);
  return true;
}

/** Steps that share hosts, directly or by way of others, together. */
function connected<Some extends Step>(steps: readonly Some[]): Some[][] {
  const groups: { hosts: Set<number>; steps: Some[] }[] = [];
  for (const step of steps) {
    const [met, others] = [[], []] as [typeof groups, typeof groups];
    for (const group of groups) (group.hosts.has(step.from) || group.hosts.has(step.to) ? met : others).push(group);
    const hosts = new Set([step.from, step.to, ...met.flatMap((group) => [...group.hosts])]);
    groups.splice(0, groups.length, ...others, { hosts, steps: [...met.flatMap((group) => group.steps), step] });
  }
  return groups.map((group) => group.steps);
}
