// Which VMs something of the agent's configuration is about.
import { z } from "zod";
import { labels } from "../../worker/model/wire/common.ts";
import type { VmInventory } from "../../worker/model/wire/inventory.ts";
import { listsVm } from "./policy.ts";

/** VMs by UUID or by name, in which `*` and `?` stand for any characters and any one; or by labels, all of which must hold. */
export const vmSelector = {
  vms: z.array(z.string().min(1)).min(1).optional(),
  labels: labels.optional(),
};

type Selector = { vms?: string[] | undefined; labels?: Record<string, string> | undefined };

/** For a schema with `vmSelector`: it must name some VMs. */
export const namesSome = ({ vms, labels: wanted }: Selector): boolean =>
  vms !== undefined || Object.keys(wanted ?? {}).length > 0;
export const NAMES_NONE = "say which VMs: `vms`, `labels`, or both";

/** Whether the VM is meant: by `vms` and by `labels` where both are given. */
export function selects({ vms, labels: wanted }: Selector, vm: VmInventory): boolean {
  if (vms !== undefined && !listsVm(vms, vm)) return false;
  return Object.entries(wanted ?? {}).every(([name, value]) => vm.labels?.[name] === value);
}
