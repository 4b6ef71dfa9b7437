// The OpenStack cloud's rows: time as the control plane saw it, by flavour; nothing of the guest is known but its size.
import { GIB } from "../../../worker/model/units.ts";
import { inputOf, numberOf, tableOf } from "./rows.ts";
import type { Row } from "./rows.ts";

/** 10 GbE, and what libvirt's tunnel carried in that cloud: about 2 Gbit/s. */
const LINK_BYTES_PER_SECOND = { off: 1.177e9, on: 2.5e8 };
/** The disks were half full. */
const ALLOCATED_RATIO = 0.5;

export function openstackRows(folder: string): Row[] {
  return tableOf(folder, "openstack", "migrations.csv").map((row, index): Row => {
    const memoryBytes = (numberOf(row["ram_gb"]) ?? 0) * GIB;
    const diskBytes = (numberOf(row["disk_gb"]) ?? 0) * GIB;
    const tunnelled = row["tunneling"] === "on";
    const seconds = numberOf(row["duration_s"]);
    return {
      id: `openstack-${index + 1}`,
      case: "openstack",
      cluster: `openstack-${row["tunneling"]}-${row["storage"]}`,
      subject: `${row["flavor"]}-${row["vm"]}`,
      fold: `${row["flavor"]}`,
      group: `${row["storage"]}, tunnel ${row["tunneling"]}`,
      mechanism: "pre-copy",
      disturbed: false,
      inputs: {
        collector: inputOf({
          hypervisor: "kvm",
          driver: "libvirt",
          vm: {
            memoryBytes,
            vcpus: numberOf(row["vcpus"]) ?? 1,
            ...(row["storage"] === "block"
              ? { disks: [{ bytes: diskBytes, allocatedBytes: diskBytes * ALLOCATED_RATIO, shared: false }] }
              : {}),
          },
          link: { bytesPerSecond: LINK_BYTES_PER_SECOND[tunnelled ? "on" : "off"], rttMs: 0.2 },
          mechanisms: ["pre-copy"],
        }),
      },
      measured: {
        totalMs: seconds === null ? null : seconds * 1000,
        bytes: null,
        downtimeMs: null,
        lostVcpuSeconds: null,
        converged: true,
      },
    };
  });
}
