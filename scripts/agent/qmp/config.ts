// Settings of the qmp driver: the `driver` object of the agent's configuration file.
import { z } from "zod";
import { bytesPerSecond } from "../../../worker/model/wire/common.ts";
import { hostInventory } from "../../../worker/model/wire/inventory.ts";

/** A unix socket's path holds 107 bytes (unix(7)); `/`, a uuid and `.qmp` take 41 of them. */
const DIRECTORY_LENGTH_MAX = 66;

const facts = hostInventory.shape;

/** How this host starts a machine of one type. The guest must see the same devices on every host that may run it. */
export const machineTemplate = z.strictObject({
  /** As in `-machine`, versioned: `pc-i440fx-7.2`. */
  type: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, "a machine type without options"),
  /** As the VM's inventory names it. */
  cpuMode: z.string().max(64).optional(),
  binary: z.string().min(1).default("qemu-system-x86_64"),
  /**
   * Everything but `-name`, `-uuid`, `-machine`, `-m`, `-smp`, `-qmp` and `-pidfile`, which the driver adds, as one array
   * element an argument. `{uuid}`, `{name}` and `{directory}` are replaced.
   */
  arguments: z.array(z.string()),
});
export type MachineTemplate = z.output<typeof machineTemplate>;

const LOOPBACK = /^(127\.|::1$|\[::1\]$|localhost$)/;

const qmpFields = z.strictObject({
  name: z.literal("qmp"),
  /** One `<uuid>.json` a VM, beside its sockets. Only the driver and whoever starts VMs write here. */
  directory: z
    .string()
    .startsWith("/", "an absolute path")
    .max(DIRECTORY_LENGTH_MAX, `at most ${DIRECTORY_LENGTH_MAX} characters, or the QMP socket's path grows too long`)
    .regex(/^[^,]*$/, "QEMU reads a comma as the end of a path"),
  /** Where incoming migrations listen: this host's address in the migration network. */
  address: z.string().min(1).max(255),
  /**
   * Where QEMU finds `ca-cert.pem` and the certificates and keys of this host as server and as client (its x509 layout). Both
   * sides check each other; the server's certificate must name the address.
   */
  tlsDirectory: z.string().startsWith("/", "an absolute path").optional(),
  /** Guests' memory may cross the network unencrypted. */
  plaintext: z.boolean().default(false),
  cores: z.number().positive(),
  /** What VMs may use of this host; the machine's memory when absent. */
  memoryBytes: z.int().positive().optional(),
  /** Payload rate of the migration NIC. */
  migrationBytesPerSecond: bytesPerSecond.optional(),
  /** Ceiling of the resume phase. Unlimited when absent: page requests wait behind background pages otherwise. */
  postCopyBytesPerSecond: bytesPerSecond.optional(),
  /** Estimate non-zero memory by reading pages drawn at random out of running guests; nothing of them is kept. */
  measureNonzero: z.boolean().default(false),
  /** `vms`: the host's figures are the sums over its VMs, for several hosts that share one machine. */
  scope: z.enum(["machine", "vms"]).default("machine"),
  machines: z.array(machineTemplate).min(1),
  /** What the inventory says of the host besides. */
  host: z
    .strictObject({
      pools: facts.pools,
      networks: facts.networks,
      power: facts.power,
      rack: facts.rack,
      zone: facts.zone,
      labels: facts.labels,
      managedBy: facts.managedBy,
    })
    .partial()
    .default({}),
});

export const qmpConfig = qmpFields.refine(
  (config) => config.tlsDirectory !== undefined || config.plaintext || LOOPBACK.test(config.address),
  {
    path: ["tlsDirectory"],
    message: "guests' memory would cross the network unencrypted: set tlsDirectory, or plaintext: true to allow it",
  },
);
export type QmpConfig = z.input<typeof qmpConfig>;
export type QmpSettings = z.output<typeof qmpConfig>;
