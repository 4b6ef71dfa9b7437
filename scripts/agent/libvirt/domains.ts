// The domains of a libvirt, and how they do.
import type { VmState } from "../../../worker/model/wire/inventory.ts";
import { DriverError } from "../driver.ts";
import { parseDomstats, parseJobInfo, parseList, type Listed, type Stats } from "./raw.ts";
import { hasLeft, mayBeArriving, toDomainState, toVmState, type DomainState } from "./state.ts";
import type { Virsh } from "./virsh.ts";

/** Every domain, running or only defined. */
export const listDomains = async (virsh: Virsh): Promise<Listed[]> =>
  parseList(await virsh("list", "--all", "--uuid", "--name"));

/** Null: libvirt has no such domain, or it was gone a moment later. */
export async function domainState(virsh: Virsh, uuid: string): Promise<DomainState | null> {
  try {
    const [stats] = parseDomstats(await virsh("domstats", "--raw", "--state", uuid)).values();
    return stats === undefined ? null : toDomainState(stats);
  } catch (error) {
    if (error instanceof DriverError && error.reason === "unknown-vm") return null;
    throw error;
  }
}

/** libvirt's words when the destination is asked for the job of a VM that arrives, and of one that has just ended. */
const ARRIVES = /only on the source host/;
const ENDED = /domain is not running/;

/** The VM's job, empty for one that libvirt no longer has, or `arriving`: one whose figures only its source knows. */
export async function jobOf(virsh: Virsh, uuid: string): Promise<Stats | "arriving"> {
  try {
    return parseJobInfo(await virsh("domjobinfo", uuid, "--rawstats"));
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    if (error.reason === "unknown-vm" || ENDED.test(error.message)) return {};
    if (ARRIVES.test(error.message)) return "arriving";
    throw error;
  }
}

/** True while the VM comes here and does not run yet. */
export const isArriving = async (virsh: Virsh, uuid: string, domain: DomainState): Promise<boolean> =>
  mayBeArriving(domain) && (await jobOf(virsh, uuid)) === "arriving";

export type Domain = Listed & { domain: DomainState; state: VmState };

/** The VMs of this host: what was migrated away and left nothing but its definition is none. */
export async function readDomains(virsh: Virsh): Promise<Domain[]> {
  // One process for both questions; virsh itself takes them apart.
  const text = await virsh("list --all --uuid --name; domstats --raw --state");
  const at = text.search(/^Domain: '/m);
  const [listed, stats] = [parseList(at < 0 ? text : text.slice(0, at)), parseDomstats(at < 0 ? "" : text.slice(at))];
  const found = await Promise.all(
    listed.map(async ({ uuid, name }): Promise<Domain | null> => {
      const domain = toDomainState(stats.get(name) ?? {});
      if (domain === null || hasLeft(domain)) return null;
      return { uuid, name, domain, state: toVmState(domain, await isArriving(virsh, uuid, domain)) };
    }),
  );
  return found.filter((each) => each !== null);
}
