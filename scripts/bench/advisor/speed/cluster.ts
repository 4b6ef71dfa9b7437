// A generated cluster with all that strategies read besides loads: power, zones, newest samples, who talks to whom.
import type { Recent, Snapshot, SnapshotHost, SnapshotVm } from "../../../../worker/model/cluster.ts";
import { randomOf } from "../../../../worker/model/forecast/random.ts";
import { heatOf, NEAR_HOT_RATIO, RECENT_STEP_MS, RECENT_STEPS } from "../../../../worker/model/telemetry/recent.ts";
import { MIB } from "../../../../worker/model/units.ts";
import { generateCluster } from "../balance/generate.ts";

type Random = () => number;

/** VMs of a service, spread over hosts as they came. */
const SERVICE_VMS = 5;
const RACKS_PER_ZONE = 10;

/** The same size and seed give the same bytes. */
export function wholeCluster(hosts: number, seed: number): Snapshot {
  const random = randomOf(seed);
  const snapshot = generateCluster({ hosts, seed });
  snapshot.hosts.forEach((host, index) => dress(host, index, snapshot.at, random));
  talk(snapshot.hosts, random);
  return snapshot;
}

function dress(host: SnapshotHost, index: number, at: number, random: Random): void {
  const { load, cpu, vms } = host;
  const { cpuUsedCores = 0, memoryUsedBytes = 0, networkTransmitBytesPerSecond = 0 } = load;
  host.zone = `zone-${Math.floor(index / 20 / RACKS_PER_ZONE) + 1}`;
  host.power = { idleWatts: 2 * cpu.cores, peakWatts: 7 * cpu.cores };
  load.cpuUsedCoresP95 = Math.min(cpu.cores, cpuUsedCores * 1.1);
  const metrics = {
    cpu_used_cores: cpuUsedCores,
    memory_used_bytes: memoryUsedBytes,
    network_receive_bytes_per_second: 0,
    network_transmit_bytes_per_second: networkTransmitBytesPerSecond,
  };
  load.recent = recentAround(metrics, at, random);
  // As services read them: the samples of VMs only where the host may be hot.
  if (heatOf(host) >= NEAR_HOT_RATIO) for (const vm of vms) vm.load.recent = recentOfVm(vm, at, random);
}

const recentOfVm = ({ load }: SnapshotVm, at: number, random: Random): Recent =>
  recentAround({ cpu_used_cores: load.cpuUsedCores ?? 0, memory_used_bytes: load.memoryUsedBytes ?? 0 }, at, random);

/** Half an hour around what is used now, within a tenth of it. */
function recentAround(metrics: Record<string, number>, at: number, random: Random): Recent {
  const series = Object.entries(metrics).map(([metric, value]): [string, number[]] => [
    metric,
    Array.from({ length: RECENT_STEPS }, () => value * (0.9 + 0.2 * random())),
  ]);
  return { at, stepMs: RECENT_STEP_MS, series: Object.fromEntries(series) };
}

/** Services of five VMs of which each talks to two others. */
function talk(hosts: readonly SnapshotHost[], random: Random): void {
  const vms = hosts.flatMap((host) => host.vms).sort((a, b) => (a.uuid < b.uuid ? -1 : 1));
  for (let first = 0; first + SERVICE_VMS <= vms.length; first += SERVICE_VMS) {
    const service = vms.slice(first, first + SERVICE_VMS);
    service.forEach(({ load }, index) => {
      const peers = [1, 2].map((step) => service[(index + step) % SERVICE_VMS]);
      load.peerBytesPerSecond = Object.fromEntries(
        peers.flatMap((peer) => (peer === undefined ? [] : [[peer.uuid, Math.round(2 * MIB * random())]])),
      );
    });
  }
}
