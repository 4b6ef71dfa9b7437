// The world as it is predicted to be: what hosts and VMs will use some minutes from now, by their newest samples.
import type { Recent, SnapshotVm } from "../cluster.ts";
import { forecast } from "../forecast/index.ts";
import { forecastParameters } from "../forecast/types.ts";
import { MINUTE_MS } from "../units.ts";
import { copyWorld, CPU, hostAt, knownHostIndexes, MEMORY, NETWORK, RESOURCES, vmAt, type World } from "./world.ts";

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
  /** A copy in which hosts use what they will use. VMs take what they take now, until `predictVm` is asked of them. */
  future: World;
  /** By host: samples that its prediction rests on, or why there is none. */
  hosts: ReadonlyMap<number, Prediction>;
};

/** The future of a world. Its hosts' VMs are predicted when they are asked for: most hosts give none away. */
export function predictedWorld(world: World): Predicted {
  const future: World = { ...copyWorld(world), used: world.used.slice(), demand: world.demand.slice() };
  const hosts = new Map<number, Prediction>();
  for (const host of knownHostIndexes(world)) {
    const { load } = hostAt(world, host);
    const network = (load.networkReceiveBytesPerSecond ?? 0) + (load.networkTransmitBytesPerSecond ?? 0);
    const now = [load.cpuUsedCores, load.memoryUsedBytes, network];
    OF_HOST.forEach(({ resource, metrics }, index) => {
      const prediction = predictionOf(load.recent, metrics, world.snapshot.at);
      if (resource === CPU) hosts.set(host, prediction);
      const at = host * RESOURCES + resource;
      // What it uses apart from its load, as arrivals of running migrations, comes on top of what its load will be.
      if (prediction.known) future.used[at] = (world.used[at] ?? 0) + prediction.value - (now[index] ?? 0);
    });
    if (hosts.get(host)?.known !== true) {
      const at = host * RESOURCES + CPU;
      future.used[at] = (world.used[at] ?? 0) + Math.max(0, (load.cpuUsedCoresP95 ?? 0) - (load.cpuUsedCores ?? 0));
    }
  }
  return { future, hosts };
}

/** A host without samples takes VMs only where its p95 is known: then it is taken to be there. */
export const mayReceive = ({ future, hosts }: Predicted, host: number): boolean =>
  hosts.get(host)?.known === true || hostAt(future, host).load.cpuUsedCoresP95 !== undefined;

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
