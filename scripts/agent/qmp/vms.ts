// The VMs of a host that the driver has to do with.
import { DriverError } from "../driver.ts";
import { listDescriptors, readDescriptor, removeDescriptor } from "./descriptor.ts";
import { Vm } from "./vm.ts";

export type Vms = {
  /** Throws `unknown-vm`. */
  get: (uuid: string) => Vm;
  find: (uuid: string) => Vm | null;
  all: () => Vm[];
  /** Ends the connection and removes the descriptor. */
  forget: (uuid: string) => Promise<void>;
  close: () => Promise<void>;
};

/** Opens VMs by uuid, one connection each: a QMP socket serves one client at a time. */
export function createVms(directory: string): Vms {
  const open = new Map<string, Vm>();
  const find = (uuid: string): Vm | null => {
    const known = readDescriptor(directory, uuid);
    if (known === null) return null;
    const vm = open.get(uuid) ?? new Vm(directory, known);
    open.set(uuid, vm);
    return vm;
  };
  const get = (uuid: string): Vm => {
    const vm = find(uuid);
    if (vm === null) throw new DriverError("unknown-vm", `no VM ${uuid} on this host`);
    return vm;
  };
  const forget = async (uuid: string): Promise<void> => {
    const vm = open.get(uuid);
    const known = readDescriptor(directory, uuid);
    open.delete(uuid);
    await vm?.client.close();
    if (known !== null) removeDescriptor(directory, known);
  };
  return {
    get,
    find,
    all: () => listDescriptors(directory).map((each) => get(each.vm.uuid)),
    forget,
    close: async () => void (await Promise.all([...open.values()].map((vm) => vm.client.close()))),
  };
}
