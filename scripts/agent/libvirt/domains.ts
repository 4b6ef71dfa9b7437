// The domains of a libvirt, and how they do.
import type { VmState } from "../../../worker/model/wire/inventory.ts";
import { DriverError } from "../driver.ts";
import { parseDomstats, parseJobInfo, parseList, type Listed, type Stats } from "./raw.ts";
import { hasLeft, mayBeArriving, toDomainState, toVmState, type DomainState } from "./state.ts";
import { toDriverError, type Virsh } from "./virsh.ts";

/** Every domain, running or only defined. */
export const listDomains = async (virsh: Virsh): Promise<Listed[]> =>
  parseList(await virsh("list", "--all", "--uuid", "--name"));

/** libvirt's words when the destination is asked for the job of a VM that arrives. */
const ARRIVES = /only on the source host/;
const UUID = /^[0-9a-f-]{36}$/;

/** `job`: empty for a VM that libvirt no longer has; `arriving`: one whose figures only its source knows. */
export type Look = { domain: DomainState | null; job: Stats | "arriving" };

/** A VM's state and its job, from one process. */
export async function lookAt(virsh: Virsh, uuid: string): Promise<Look> {
  if (!UUID.test(uuid)) throw new DriverError("unknown-vm", `${uuid} is no UUID`);
  const { stdout, stderr } = await virsh.several(`domstats --raw --state ${uuid}`, `domjobinfo ${uuid} --rawstats`);
  const at = stdout.search(/^Job type:/m);
  const [stats] = parseDomstats(at < 0 ? stdout : stdout.slice(0, at)).values();
  const arriving = ARRIVES.test(stderr);
  if (stats === undefined) {
    const error = toDriverError("domstats", stderr, false);
    if (error.reason !== "unknown-vm") throw error;
    return { domain: null, job: {} };
  }
  // Without an answer of its own the job has ended between the two questions.
  return { domain: toDomainState(stats), job: arriving ? "arriving" : at < 0 ? {} : parseJobInfo(stdout.slice(at)) };
}

/** True while the VM comes here and does not run yet. */
export const isArriving = ({ domain, job }: Look): boolean =>
  domain !== null && mayBeArriving(domain) && job === "arriving";

export type Domain = Listed & { domain: DomainState; state: VmState };

/** The VMs of this host: what was migrated away and left nothing but its definition is none. */
export async function readDomains(virsh: Virsh): Promise<Domain[]> {
  const { stdout: text, stderr } = await virsh.several("list --all --uuid --name", "domstats --raw --state");
  // Leaving VMs out would tell the cluster that they are gone.
  if (stderr.trim() !== "") throw toDriverError("domstats", stderr, false);
  const at = text.search(/^Domain: '/m);
  const listed = parseList(at < 0 ? text : text.slice(0, at));
  const stats = parseDomstats(at < 0 ? "" : text.slice(at));
  const found = await Promise.all(
    listed.map(async ({ uuid, name }): Promise<Domain | null> => {
      const domain = toDomainState(stats.get(name) ?? {});
      if (domain === null || hasLeft(domain)) return null;
      return {
        uuid,
        name,
        domain,
        state: toVmState(domain, mayBeArriving(domain) && isArriving(await lookAt(virsh, uuid))),
      };
    }),
  );
  return found.filter((each) => each !== null);
}
