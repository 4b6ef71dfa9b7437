// Where disks lie, and which of it other hosts see too.
import { statfs } from "node:fs/promises";
import { attribute, one, type Element } from "./xml.ts";

export type Pool = { name: string; shared: boolean; path: string | null };

/** Pools of these types are storage of the network (libvirt, storage driver). */
const NETWORK_POOLS = ["netfs", "iscsi", "iscsi-direct", "rbd", "gluster", "sheepdog", "vstorage"];

/** `f_type` of file systems that several hosts mount at once (statfs(2) and the kernel's magic.h). */
const SHARED_FILE_SYSTEMS = new Set([
  0x6969, // NFS
  0x00c36400, // Ceph
  0xfe534d42, // SMB 2 and 3
  0xff534d42, // CIFS
  0x7461636f, // OCFS2
  0x01161970, // GFS2
  0x5346414f, // AFS
  0x47504653, // GPFS
  0x0bd00bd0, // Lustre
]);

/** Whether the path lies on a file system of the network; false where that cannot be told. */
export async function isOnSharedFileSystem(path: string): Promise<boolean> {
  try {
    return SHARED_FILE_SYSTEMS.has(Number((await statfs(path)).type) >>> 0);
  } catch {
    return false;
  }
}

/** `pool-dumpxml`; `sharedPools`: those that the operator vouches for. */
export async function readPool(xml: Element, sharedPools: readonly string[]): Promise<Pool | null> {
  const name = one(xml, "name")?.text;
  if (name === undefined || name === "") return null;
  const path = one(xml, "target", "path")?.text || null;
  const byType = NETWORK_POOLS.includes(attribute(xml, "type") ?? "") || sharedPools.includes(name);
  return { name, path, shared: byType || (path !== null && (await isOnSharedFileSystem(path))) };
}

/** The pool that a path lies in: of several the innermost. */
export function poolOf(path: string, pools: readonly Pool[]): Pool | null {
  const within = (pool: Pool): boolean => pool.path !== null && path.startsWith(`${pool.path.replace(/\/+$/, "")}/`);
  const found = pools.filter(within);
  return found.sort((a, b) => (b.path?.length ?? 0) - (a.path?.length ?? 0))[0] ?? null;
}
