// The world as it is predicted to be: what hosts and VMs will use some minutes from now, by their newest samples.
import type { Recent, SnapshotVm } from "../cluster.ts";
import { forecast } from "../forecast/index.ts";
import { forecastParameters } from "../forecast/types.ts";
import { MINUTE_MS } from "../units.ts";
import { copyWorld, CPU, hostAt, MEMORY, NETWORK, RESOURCES, vmAt, type World } from "./world.ts";

/** So far ahead: what is over before a migration has done any good is no reason for it. */
export const AHEAD_MS = 5 * MINUTE_MS;
/** Samples that end earlier say nothing about now. */
const STALE_MS = 5 * MINUTE_MS;
const PARAMETERS = forecastParameters.parse({ min: 0 });

export type Prediction = { known: true; value: number; samples: number } | { known: false; reason: string };

/** What the sum of these metrics will be `AHEAD_MS` after `at`, or why that cannot be said. */
export function predictionOf(recent: Recent | undefined, metrics: readonly string[], at: number): Prediction {
  const series = metrics.map((metric) => recent?.series[metric] ?? []);
  const [first = []] = series;
  if (recent === undefined || series.some(({ length }) => length === 0))
    return { known: false, reason: `0 samples of ${metrics.join(" and ")} are known` };
  const ageMs = at - recent.at;
  if (ageMs > STALE_MS)
    return {
      known: false,
      reason: `the newest sample of ${metrics.join(" and ")} is ${Math.round(ageMs / 1000)} s old`,
    };
  const history = first.map((_, step) =>
    series.reduce<number | null>((sum, values) => {
      const value = values[step] ?? null;
      return sum === null || value === null ? null : sum + value;
    }, 0),
  );
  const steps = Math.max(1, Math.ceil((ageMs + AHEAD_MS) / recent.stepMs));
  const answer = forecast(history, steps, PARAMETERS);
  if (!answer.known) return { known: false, reason: answer.reason.replace(/\.$/, "") };
  return { known: true, value: answer.mean, samples: answer.samples };
}

/** Of what a host's prediction is made; the others than its cores stay as they are now where they cannot be predicted. */
const OF_HOST = [
  { resource: CPU, metrics: ["cpu_used_cores"] },
  { resource: MEMORY, metrics: ["memory_used_bytes"] },
  { resource: NETWORK, metrics: ["network_receive_bytes_per_second", "network_transmit_bytes_per_second"] },
] as const;

export type Predicted = {
  /** A copy in which hosts and VMs use what they will use, from when `predictHost` and `predictVm` are asked of them. */
  future: World;
  /** By host that was asked about: samples that its prediction rests on, or why there is none. */
  hosts: Map<number, Prediction>;
};

/** The future of a world, of which nothing is predicted yet: a forecast takes long, and most hosts and VMs do not matter. */
export const predictedWorld = (world: World): Predicted => ({
  future: { ...copyWorld(world), used: world.used.slice(), demand: world.demand.slice() },
  hosts: new Map(),
});

/** What the host will use, which is also what it uses in the future from now on. A prediction of its cores is the answer. */
export function predictHost({ future, hosts }: Predicted, host: number): Prediction {
  const before = hosts.get(host);
  if (before !== undefined) return before;
  const { load } = hostAt(future, host);
  const network = (load.networkReceiveBytesPerSecond ?? 0) + (load.networkTransmitBytesPerSecond ?? 0);
  const now = [load.cpuUsedCores, load.memoryUsedBytes, network];
  const made = OF_HOST.map(({ metrics }) => predictionOf(load.recent, metrics, future.snapshot.at));
  const cpu = made[0] ?? { known: false, reason: "nothing is known of it" };
  hosts.set(host, cpu);
  made.forEach((prediction, index) => {
    const at = host * RESOURCES + (OF_HOST[index]?.resource ?? CPU);
    // Arrivals of running migrations and of moves come on top of what its own load will be.
    if (prediction.known) future.used[at] = (future.used[at] ?? 0) + prediction.value - (now[index] ?? 0);
  });
  if (!cpu.known) {
    const rise = Math.max(0, (load.cpuUsedCoresP95 ?? 0) - (load.cpuUsedCores ?? 0));
    future.used[host * RESOURCES + CPU] = (future.used[host * RESOURCES + CPU] ?? 0) + rise;
  }
  return cpu;
}

/** Of the bound. Forecasters do not go so far beyond everything that they have seen. */
const NEAR_RATIO = 0.75;

/** Whether some sample of the host came so near to `hotRatio` that a prediction is worth its time. */
export function mayBeHot(world: World, host: number): boolean {
  const { recent } = hostAt(world, host).load;
  return OF_HOST.some(({ resource, metrics }) => {
    const bound = NEAR_RATIO * world.parameters.hotRatio * (world.capacity[host * RESOURCES + resource] ?? 0);
    const peaks = metrics.map((metric) => Math.max(0, ...(recent?.series[metric] ?? []).map((sample) => sample ?? 0)));
    const peak = Math.max(
      peaks.reduce((sum, value) => sum + value, 0),
      world.used[host * RESOURCES + resource] ?? 0,
    );
    return bound > 0 && peak >= bound;
  });
}

/** A host without samples takes VMs only where its p95 is known: then it is taken to be there. */
export const mayReceive = (predicted: Predicted, host: number): boolean =>
  predictHost(predicted, host).known || hostAt(predicted.future, host).load.cpuUsedCoresP95 !== undefined;

/** What the VM will use, which is also what it takes in the future from now on. */
export function predictVm({ future }: Predicted, vm: number): Prediction {
  const it: SnapshotVm = vmAt(future, vm);
  const cpu = predictionOf(it.load.recent, ["cpu_used_cores"], future.snapshot.at);
  if (!cpu.known) return cpu;
  future.demand[vm * RESOURCES + CPU] = Math.min(it.vcpus, cpu.value);
  const memory = predictionOf(it.load.recent, ["memory_used_bytes"], future.snapshot.at);
  if (memory.known) future.demand[vm * RESOURCES + MEMORY] = Math.min(it.memoryBytes, memory.value);
  return cpu;
}
