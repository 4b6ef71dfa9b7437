// Hosts and VMs of the PlanetLab power benchmark (Beloglazov and Buyya 2012, as CloudSim 3.0.3 sets it up).

/** `coreMips`: the most that a VM of one vCPU gets. Watts at loads of 0, 10, … 100 %. */
export type Machine = {
  name: string;
  cores: number;
  coreMips: number;
  memoryMegabytes: number;
  watts: readonly number[];
};
export type VmType = { mips: number; memoryMegabytes: number };

export const G4: Machine = {
  name: "HP ProLiant ML110 G4",
  cores: 2,
  coreMips: 1860,
  memoryMegabytes: 4096,
  watts: [86, 89.4, 92.6, 96, 99.5, 102, 106, 108, 112, 114, 117],
};
export const G5: Machine = {
  name: "HP ProLiant ML110 G5",
  cores: 2,
  coreMips: 2660,
  memoryMegabytes: 4096,
  watts: [93.7, 97, 101, 105, 110, 116, 121, 125, 129, 133, 135],
};
const VM_TYPES: readonly VmType[] = [
  { mips: 2500, memoryMegabytes: 870 },
  { mips: 2000, memoryMegabytes: 1740 },
  { mips: 1000, memoryMegabytes: 1740 },
  { mips: 500, memoryMegabytes: 613 },
];

export const HOSTS = 800;
/** Bandwidth allows so many VMs a host when they are placed first. */
export const VMS_PER_HOST_MAX = 10;

/** Even hosts are G4, odd ones G5. */
export const machineOf = (host: number): Machine => (host % 2 === 0 ? G4 : G5);

/** Contiguous quarters of the VMs, so the order of the traces decides which gets which size. */
export function vmTypeOf(vm: number, vms: number): VmType {
  const type = VM_TYPES[Math.floor(vm / Math.ceil(vms / 4))];
  if (type === undefined) throw new Error(`VM ${vm} of ${vms} has no type`);
  return type;
}

/** Seconds: half of 1 Gbit/s, without contention. */
export const migrationSeconds = (memoryMegabytes: number): number => memoryMegabytes / 62.5;

/**
 * Watts at a load of 0…1, straight lines between the steps. The published model is defined to 1.01 and fails beyond.
 * The order of the operations is the benchmark's: on one straight line all hosts of a kind would take a VM for the same rise of
 * power, and there the last bit of a sum decides.
 */
export function wattsOf(machine: Machine, load: number): number {
  if (load > 1.01) throw new Error(`a load of ${load} has no power`);
  const within = Math.min(1, load);
  const tenths = Math.floor(within * 10);
  const from = machine.watts[tenths] ?? 0;
  const to = machine.watts[Math.ceil(within * 10)] ?? from;
  return from + ((to - from) / 10) * (within - tenths / 10) * 100;
}
