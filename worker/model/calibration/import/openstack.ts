// Rows of an OpenStack cloud: the time as the control plane saw it, by flavour. Nothing is known of the guest but its size.
import { GIB } from "../../units.ts";
import { textAt } from "./cells.ts";
import type { Shape } from "./shape.ts";

export const openstack: Shape = {
  name: "openstack",
  signature: ["flavor", "storage", "ram_gb", "duration_s"],
  columns: [
    { column: "duration_s", field: "measured.totalMs", kind: "number", times: 1000 },
    // Nova's flavours say GB and mean GiB.
    { column: "ram_gb", field: "vm.memoryBytes", kind: "number", times: GIB },
    { column: "vcpus", field: "vm.vcpus", kind: "number" },
    { column: "disk_gb", field: "aside.diskBytes", kind: "number", times: GIB },
  ],
  constants: { hypervisor: "kvm", driver: "libvirt" },
  technique: { column: null, words: [], of: () => ({ mechanism: "pre-copy", fields: {} }) },
  refusals: [],
  derive: (fields, record) => {
    const bytes = fields["aside.diskBytes"];
    // The names of its VMs are counted anew for each flavour.
    const subject = `${textAt(record, "flavor")} ${textAt(record, "vm")}`;
    // Block migration copies the disk along; on shared storage there is nothing to copy.
    return textAt(record, "storage") === "block" && bytes !== undefined
      ? { subject, "vm.disks": [{ bytes, shared: false }] }
      : { subject };
  },
};
