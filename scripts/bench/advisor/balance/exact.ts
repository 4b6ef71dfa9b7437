// What an exact solver (HiGHS) proves about a small cluster. It solves linear problems, so it is asked about the mean absolute
// deviation, which is never over the root of the mean square: its bounds hold for the yardstick too.
import loadHighs from "highs";
import { meansOf } from "../../../../worker/model/placement/search/state.ts";
import type { Flat } from "./flat.ts";

export type Proof = {
  /** No placement has less mean absolute deviation, hence none a lower imbalance. */
  bound: number;
  /** The least mean absolute deviation of a placement that the solver found; null: it found none. */
  found: number | null;
};

/** Lower bound of the imbalance by branch and cut, with the best placement found, within `seconds`. */
export async function proveBalance(flat: Flat, seconds: number): Promise<Proof> {
  const text = problem(flat, { objective: deviationTerms(flat).join(" + "), constraints: [] });
  const { bound, found } = await solve(text, seconds);
  return { bound: Math.max(0, bound), found };
}

/**
 * Fewest bytes that must be moved, VMs taken as divisible, for a placement of at most this imbalance. Its mean absolute
 * deviation may be what its root mean square may be, which makes the bound lower than it could be, never too high.
 */
export async function proveBytes(flat: Flat, imbalance: number, seconds: number): Promise<Proof> {
  const { vms, hostOf, moveBytes = flat.vmBytes } = flat;
  const stays = (vm: number): string => `${gib(moveBytes[vm] ?? 0)} ${x(vm, hostOf[vm] ?? 0)}`;
  const movable = Array.from({ length: vms }, (_, vm) => vm).filter((vm) => flat.movable[vm] !== 0);
  const all = movable.reduce((sum, vm) => sum + (moveBytes[vm] ?? 0), 0);
  const text = problem(flat, {
    objective: `${gib(all)} one - ${movable.map(stays).join(" - ")}`,
    constraints: [` even: ${deviationTerms(flat).join(" + ")} <= ${imbalance}`],
    relaxed: true,
  });
  const { bound, found } = await solve(text, seconds);
  return { bound: Math.max(0, bound) * 2 ** 30, found: found === null ? null : found * 2 ** 30 };
}

const gib = (bytes: number): number => bytes / 2 ** 30;
const x = (vm: number, host: number): string => `x${vm}_${host}`;

async function solve(text: string, seconds: number): Promise<Proof> {
  const highs = await loadHighs();
  const model = highs.createModel({ format: "lp", data: text });
  try {
    model.options.set({ output_flag: false, time_limit: seconds });
    model.run();
    const optimal = model.getModelStatus() === highs.constants.modelStatus.optimal;
    const isMip = text.includes("\nbinary");
    const found = Number(model.info.get("primal_solution_status")) === 2 ? model.getObjectiveValue() : null;
    const bound = isMip ? Number(model.info.get("mip_dual_bound")) : optimal && found !== null ? found : -Infinity;
    return { bound, found };
  } finally {
    model.dispose();
  }
}

/** Resources that weigh, with their share of the mean. */
function weighed({ weights, hosts }: Flat): { resource: number; share: number }[] {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return [...weights].flatMap((weight, resource) => (weight > 0 ? [{ resource, share: weight / sum / hosts }] : []));
}

const deviationTerms = (flat: Flat): string[] =>
  weighed(flat).flatMap(({ resource, share }) =>
    Array.from({ length: flat.hosts }, (_, host) => `${share} t${host}_${resource}`),
  );

type Ask = { objective: string; constraints: string[]; relaxed?: boolean };

/** The placement problem in CPLEX's LP format: each movable VM on one host, memory commitments, rules, |deviation| ≤ t. */
function problem(flat: Flat, { objective, constraints, relaxed = false }: Ask): string {
  const { hosts, vms, only } = flat;
  const movable = Array.from({ length: vms }, (_, vm) => vm).filter((vm) => flat.movable[vm] !== 0);
  const pairs = movable.flatMap((vm) => Array.from({ length: hosts }, (_, host) => ({ vm, host })));
  const names = pairs.map(({ vm, host }) => x(vm, host));
  const once = movable.map((vm) => ` ${Array.from({ length: hosts }, (_, host) => x(vm, host)).join(" + ")} = 1`);
  const banned = pairs
    .filter(({ vm, host }) => only.get(vm)?.has(host) === false)
    .map(({ vm, host }) => ` ${x(vm, host)} = 0`);
  const rows = [...once, ...memoryRows(flat, movable), ...deviationRows(flat, movable), ...ruleRows(flat), ...banned];
  return [
    "minimize",
    ` obj: ${objective}`,
    "subject to",
    ...constraints,
    ...rows,
    "bounds",
    " one = 1",
    ...names.map((name) => ` 0 <= ${name} <= 1`),
    ...(relaxed ? [] : ["binary", names.join(" ")]),
    "end",
  ].join("\n");
}

function memoryRows(flat: Flat, movable: readonly number[]): string[] {
  return Array.from({ length: flat.hosts }, (_, host) => {
    const leaving = movable.filter((vm) => flat.hostOf[vm] === host);
    const fixed = leaving.reduce((sum, vm) => sum - (flat.vmBytes[vm] ?? 0), flat.committed[host] ?? 0);
    const terms = movable.map((vm) => `${gib(flat.vmBytes[vm] ?? 0)} ${x(vm, host)}`);
    return ` ${terms.join(" + ")} <= ${gib((flat.committedMax[host] ?? 0) - fixed)}`;
  });
}

/** Two rows a host and resource: the ratio less the cluster's mean, and its negative, are at most `t`. */
function deviationRows(flat: Flat, movable: readonly number[]): string[] {
  const { hosts, resources, capacity, demand, used, hostOf } = flat;
  const means = meansOf({ ...flat, rules: { fits: () => true } });
  return weighed(flat).flatMap(({ resource }) =>
    Array.from({ length: hosts }, (_, host) => {
      const at = host * resources + resource;
      const share = (vm: number): number => (demand[vm * resources + resource] ?? 0) / (capacity[at] ?? 1);
      const own = movable.filter((vm) => hostOf[vm] === host).reduce((sum, vm) => sum + share(vm), 0);
      const over = (used[at] ?? 0) / (capacity[at] ?? 1) - own - (means[resource] ?? 0);
      const t = `t${host}_${resource}`;
      const terms = movable.filter((vm) => share(vm) > 0).map((vm) => `${share(vm).toFixed(9)} ${x(vm, host)}`);
      return [` ${terms.join(" + ")} - ${t} <= ${-over}`, ` ${terms.join(" + ")} + ${t} >= ${-over}`];
    }).flat(),
  );
}

function ruleRows({ apart, together, hosts, movable, hostOf }: Flat): string[] {
  const each = Array.from({ length: hosts }, (_, host) => host);
  const separate = apart.flatMap((group) =>
    each.map((host) => {
      const free = group.filter((vm) => movable[vm] !== 0);
      const taken = group.filter((vm) => movable[vm] === 0 && hostOf[vm] === host).length;
      return free.length === 0 ? "" : ` ${free.map((vm) => x(vm, host)).join(" + ")} <= ${1 - taken}`;
    }),
  );
  const joint = together.flatMap(([one = -1, other = -1]) =>
    each.map((host) => (movable[one] !== 0 && movable[other] !== 0 ? ` ${x(one, host)} - ${x(other, host)} = 0` : "")),
  );
  return [...separate, ...joint].filter((row) => row !== "");
}
