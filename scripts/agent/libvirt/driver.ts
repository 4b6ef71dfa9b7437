// The libvirt driver: for production. libvirt's own protocol decides which side of a migration runs, so that a VM never runs
// twice whatever becomes of the agents; this driver starts it, steers it and tells what libvirt does (DESIGN section 7).
import type { Driver } from "../driver.ts";
import { libvirtConfig, type LibvirtConfig } from "./config.ts";
import { measureDirtyCurve } from "./dirty.ts";
import { readDomains } from "./domains.ts";
import { inventory } from "./host.ts";
import { abandonIncoming, continueIncoming, observeIncoming, prepareIncoming } from "./incoming.ts";
import { createLibvirt } from "./libvirt.ts";
import { observeOutgoing } from "./observe.ts";
import {
  cancelOutgoing,
  continueSource,
  forceSwitchover,
  releaseSource,
  setBandwidth,
  setDowntimeLimit,
  startOutgoing,
  startPostCopy,
} from "./outgoing.ts";
import { preflight } from "./preflight.ts";
import { recoverIncoming, recoverOutgoing } from "./recovery.ts";
import { createSampler } from "./sample.ts";

/** Throws with every wrong field of the settings. Opens nothing before it is used. */
export function createLibvirtDriver(config: LibvirtConfig): Driver {
  const libvirt = createLibvirt(libvirtConfig.parse(config));
  const { looks, events } = libvirt;
  const sampler = createSampler(libvirt);
  return {
    name: "libvirt",
    handshake: "hypervisor",
    now: () => Date.now(),
    inventory: () => inventory(libvirt),
    vmStates: async () => {
      // Whoever asks for states will want to know when they change.
      events.open();
      return Object.fromEntries((await readDomains(looks.virsh)).map(({ uuid, state }) => [uuid, state] as const));
    },
    sample: sampler.sample,
    dirtyCurve: async (uuid) => {
      const curve = await measureDirtyCurve(looks.virsh, uuid);
      if (curve !== null) sampler.noteCurve(uuid, curve);
      return curve;
    },
    preflight: (spec) => preflight(libvirt, spec),
    prepareIncoming: (spec) => prepareIncoming(libvirt, spec),
    observeIncoming: (uuid) => observeIncoming(libvirt, uuid),
    continueIncoming: (uuid) => continueIncoming(libvirt, uuid),
    // QEMU announces a VM that has arrived by itself; libvirt has no command for doing it again.
    announce: async () => "by-hypervisor",
    abandonIncoming: (uuid) => abandonIncoming(libvirt, uuid),
    startOutgoing: (spec, uri) => startOutgoing(libvirt, spec, uri),
    observeOutgoing: (uuid, since, timeoutMs) => observeOutgoing(libvirt, uuid, since, timeoutMs),
    setDowntimeLimit: (uuid, downtimeLimitMs) => setDowntimeLimit(libvirt, uuid, downtimeLimitMs),
    setBandwidth: (uuid, bytesPerSecond) => setBandwidth(libvirt, uuid, bytesPerSecond),
    startPostCopy: (uuid) => startPostCopy(libvirt, uuid),
    forceSwitchover: (uuid) => forceSwitchover(libvirt, uuid),
    cancelOutgoing: (uuid) => cancelOutgoing(libvirt, uuid),
    recoverIncoming: (uuid) => recoverIncoming(libvirt, uuid),
    recoverOutgoing: (uuid, uri) => recoverOutgoing(libvirt, uuid, uri),
    releaseSource: (uuid) => releaseSource(libvirt, uuid),
    continueSource: (uuid) => continueSource(libvirt, uuid),
    close: async () => {
      events.close();
      looks.close();
    },
  };
}
