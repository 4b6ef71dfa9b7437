// Settings of the libvirt driver: the `driver` object of the agent's configuration file.
import { z } from "zod";
import { bytesPerSecond } from "../../../worker/model/wire/common.ts";
import { hostInventory } from "../../../worker/model/wire/inventory.ts";

const facts = hostInventory.shape;

const LOOPBACK = /^(127\.|::1$|localhost$)/;

/** A host name or an IP address, and nothing that could change the URI it is put into. */
export const hostAddress = z
  .string()
  .regex(/^[A-Za-z0-9:][A-Za-z0-9._:-]{0,252}$/, "a host name or an IP address without brackets");

const libvirtFields = z.strictObject({
  name: z.literal("libvirt"),
  /** This host's own libvirt. */
  uri: z.string().min(1).default("qemu:///system"),
  virsh: z.string().min(1).default("virsh"),
  /** What the driver must not forget of migrations over a restart: one small file a VM. */
  directory: z.string().startsWith("/", "an absolute path"),
  /** How the libvirt of the other hosts calls this host's; put in the place of `{address}` in their `destinationUri`. */
  address: hostAddress,
  /** How this host's libvirt calls another's. */
  destinationUri: z.string().includes("{address}", "must hold {address}").default("qemu+tls://{address}/system"),
  /** This host's address in the migration network, where memory is sent; libvirt sends it to the host's name when absent. */
  migrateAddress: hostAddress.optional(),
  /** QEMU encrypts memory on its way, with the certificates of qemu.conf (`migrate_tls_x509_cert_dir`). */
  tls: z.boolean().default(false),
  /** Guests' memory may cross the network unencrypted. */
  plaintext: z.boolean().default(false),
  /** What VMs may use of this host; the machine's when absent. */
  cores: z.number().positive().optional(),
  memoryBytes: z.int().positive().optional(),
  /** Payload rate of the migration NIC. */
  migrationBytesPerSecond: bytesPerSecond.optional(),
  /** Ceiling of the resume phase. Unlimited when absent: page requests wait behind background pages otherwise. */
  postCopyBytesPerSecond: bytesPerSecond.optional(),
  /** Estimate non-zero memory by reading pages drawn at random out of running guests; nothing of them is kept. */
  measureNonzero: z.boolean().default(false),
  /** `vms`: the host's figures are the sums over its VMs, for several libvirts that share one machine. */
  scope: z.enum(["machine", "vms"]).default("machine"),
  /** Storage pools that all hosts see, besides those whose type says so (netfs, rbd, iscsi, …). */
  sharedPools: z.array(z.string().min(1).max(128)).max(128).default([]),
  /** What the inventory says of the host besides, or instead of what libvirt says. */
  host: z
    .strictObject({
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

export const libvirtConfig = libvirtFields.refine(
  (config) => config.tls || config.plaintext || LOOPBACK.test(config.migrateAddress ?? config.address),
  {
    path: ["tls"],
    message: "guests' memory would cross the network unencrypted: set tls, or plaintext: true to allow it",
  },
);
export type LibvirtConfig = z.input<typeof libvirtConfig>;
export type LibvirtSettings = z.output<typeof libvirtConfig>;
