// A cluster stated in the body of a plan, as large as a body may be.
import { PLAN_BODY_BYTES_MAX } from "../../../worker/routes/plans.ts";
import { wholeCluster } from "../advisor/speed/cluster.ts";

/** Of hosts with 20 VMs each: what an inventory has, loads and peers, without samples. Filled up to `bytes` with labels. */
export function whatIfBody(hosts: number, bytes: number): string {
  const { cluster, at, hosts: all, rules } = wholeCluster(hosts, 1);
  for (const host of all) {
    delete host.load.recent;
    for (const vm of host.vms) delete vm.load.recent;
  }
  const bodyOf = () => JSON.stringify({ goal: "balance", snapshot: { cluster, at, hosts: all, rules } });
  const vms = all.flatMap((host) => host.vms);
  const room = Math.floor((bytes - bodyOf().length) / vms.length);
  const labels = { service: 14, owner: 12, note: 11 };
  const overhead = Object.entries(labels).reduce((sum, [key, value]) => sum + key.length + value + 6, 13);
  if (room > overhead)
    vms.forEach((vm, index) => {
      const pad = (length: number, of: number): string => `${of}`.padEnd(length, "x");
      vm.labels = {
        ...vm.labels,
        service: pad(labels.service, index % 500),
        owner: pad(labels.owner, index % 40),
        note: pad(labels.note + room - overhead, index),
      };
    });
  return bodyOf();
}

/** 15.6 MB of 16 MiB. */
export const LARGE_BYTES = Math.min(15_600_000, PLAN_BODY_BYTES_MAX);
