// Whether a VM's disks can be reached from a destination. Copying local disks is not done by any driver yet.
import type { SnapshotHost, SnapshotVm } from "../cluster.ts";
import type { Disk } from "../wire/inventory.ts";
import { size } from "./format.ts";
import type { Rejection } from "./types.ts";

/** Whether the disk's data is on storage that both hosts reach; undefined where neither disk nor pools say so. */
export function isDiskShared(disk: Disk, from: SnapshotHost, to: SnapshotHost): boolean | undefined {
  if (disk.shared !== undefined) return disk.shared;
  const pools = [poolOf(disk, from), poolOf(disk, to)];
  if (pools.some((pool) => pool?.shared === false)) return false;
  return pools.every((pool) => pool?.shared === true) ? true : undefined;
}

const poolOf = (disk: Disk, host: SnapshotHost) => host.pools?.find(({ name }) => name === disk.pool);

/** The first disk that the destination could not open; null where it can open all. */
export function storageObjection(vm: SnapshotVm, from: SnapshotHost, to: SnapshotHost): Rejection | null {
  const details = (vm.disks ?? []).map((disk) => diskObjection(disk, vm, from, to)).filter((detail) => detail !== null);
  const [first] = details;
  if (first === undefined) return null;
  return { hostId: to.hostId, constraint: "storage", detail: first };
}

function diskObjection(disk: Disk, vm: SnapshotVm, from: SnapshotHost, to: SnapshotHost): string | null {
  const shared = isDiskShared(disk, from, to);
  const reachable = disk.pool === undefined || poolOf(disk, to)?.shared === true;
  if (shared === true && reachable) return null;
  const name = `disk ${disk.id} of ${vm.name}`;
  if (shared === false) {
    const bytes = disk.bytes === undefined ? "of unknown size" : size(disk.bytes);
    return `${name} (${bytes}) is local to ${from.hostId}, and disks are not copied yet: put it into a pool that both hosts share.`;
  }
  if (disk.pool === undefined) return `it is not known whether ${name} is shared: report \`shared\` or its pool.`;
  return `${name} is in pool ${disk.pool}, which ${from.hostId} and ${to.hostId} do not both report as shared: attach it to both.`;
}
