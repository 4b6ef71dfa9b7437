// Pieces shared by every wire schema. Wire schemas are what the API, the agent and the tests agree on; they are plain
// zod, so that the agent can use them without the Worker.
import { z } from "zod";

/** Host and cluster ids are chosen by the operator. */
export const operatorId = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    "1 to 63 letters, digits, dots, dashes or underscores, the first a letter or digit",
  );

export const vmUuid = z
  .string()
  .regex(
    /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
    "a lower-case UUID as the hypervisor prints it",
  );

/** Milliseconds since 1970, UTC. */
export const timestampMs = z.int().min(0).max(8_640_000_000_000_000);

export const byteCount = z.int().min(0);
export const bytesPerSecond = z.number().positive().max(1e14);

export const labels = z
  .record(z.string().min(1).max(63), z.string().max(255))
  .refine((all) => Object.keys(all).length <= 64, {
    message: "at most 64 labels",
  });

export const hypervisor = z.enum(["kvm", "xen", "vmware"]);
export type Hypervisor = z.infer<typeof hypervisor>;

export const driverName = z.enum(["qmp", "libvirt", "simulated"]);
export type DriverName = z.infer<typeof driverName>;

export const mechanism = z.enum(["pre-copy", "post-copy", "hybrid", "stop-and-copy"]);
export type Mechanism = z.infer<typeof mechanism>;
