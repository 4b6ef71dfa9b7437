// Who talks to whom: traffic between VMs, once for each pair.
import type { SnapshotVm } from "../cluster.ts";

/** Another VM of the cluster, and what the two send each other, both ways together. */
export type Peer = { vm: number; bytesPerSecond: number };

/**
 * By VM: its peers of this cluster, in order. A pair is known to both as soon as one of them reports it; where both do, they
 * measure the same traffic, and the mean counts. What is sent to others, or to the VM itself, is not between VMs.
 */
export function peersOf(vms: readonly SnapshotVm[], vmIndex: ReadonlyMap<string, number>): Peer[][] {
  const reports = vms.map(() => new Map<number, number[]>());
  vms.forEach(({ load }, vm) => {
    for (const [uuid, bytesPerSecond] of Object.entries(load.peerBytesPerSecond ?? {})) {
      const peer = vmIndex.get(uuid);
      if (peer === undefined || peer === vm) continue;
      for (const [one, other] of [[vm, peer] as const, [peer, vm] as const]) {
        const known = reports[one]?.get(other);
        if (known === undefined) reports[one]?.set(other, [bytesPerSecond]);
        else known.push(bytesPerSecond);
      }
    }
  });
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  return reports.map((ofVm) =>
    [...ofVm].map(([vm, values]) => ({ vm, bytesPerSecond: mean(values) })).sort((a, b) => a.vm - b.vm),
  );
}
