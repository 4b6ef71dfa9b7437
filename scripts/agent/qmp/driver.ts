// The qmp driver: QEMU processes of this host, driven over their QMP sockets. For the lab, and for shops that fence their
// disks themselves: a destination is started with `-S`, and it is the agents that decide which side runs (DESIGN section 7).
import type { Driver } from "../driver.ts";
import { qmpConfig, type QmpConfig, type QmpSettings } from "./config.ts";
import { readDescriptor } from "./descriptor.ts";
import { measureDirtyCurve } from "./dirty.ts";
import { askBinary, inventory, type Binary } from "./host.ts";
import { abandonIncoming, continueIncoming, observeIncoming, prepareIncoming, recoverIncoming } from "./incoming.ts";
import {
  cancelOutgoing,
  continueSource,
  forceSwitchover,
  observeOutgoing,
  recoverOutgoing,
  releaseSource,
  setBandwidth,
  startOutgoing,
} from "./outgoing.ts";
import { preflight } from "./preflight.ts";
import { LIST_MS } from "./process.ts";
import { createSampler } from "./sample.ts";
import { createVms, type Vms } from "./vms.ts";

/** As QEMU announces by itself at the end of a migration: five times in 1.5 s. Again, for whoever was not there then. */
const ANNOUNCEMENT = { initial: 50, max: 550, rounds: 5, step: 100 };

type Side<Names extends keyof Driver> = Pick<Driver, Names>;

/** Asks a binary once: what it is does not change while the agent lives. */
function createBinaries(): (binary: string) => Promise<Binary> {
  const answers = new Map<string, Promise<Binary>>();
  return (binary) => {
    const answer = answers.get(binary) ?? askBinary(binary);
    answers.set(binary, answer);
    return answer;
  };
}

function hostSide(
  settings: QmpSettings,
  vms: Vms,
): Side<"inventory" | "vmStates" | "sample" | "dirtyCurve" | "preflight"> & {
  forget: (uuid: string) => Promise<void>;
} {
  const sampler = createSampler(settings);
  const ask = createBinaries();
  return {
    inventory: async () =>
      inventory(settings, await Promise.all(settings.machines.map((each) => ask(each.binary))), vms.all()),
    vmStates: async () => {
      const states = await Promise.all(
        vms.all().map(async (vm) => ({ uuid: vm.uuid, state: await vm.state(LIST_MS) })),
      );
      return Object.fromEntries(states.flatMap(({ uuid, state }) => (state === null ? [] : [[uuid, state]])));
    },
    sample: () => sampler.sample(vms.all()),
    dirtyCurve: async (uuid) => {
      const curve = await measureDirtyCurve(vms.get(uuid));
      if (curve !== null) sampler.noteCurve(uuid, curve);
      return curve;
    },
    preflight: async (spec) => {
      const machine = settings.machines.find((each) => each.type === spec.vm.machineType);
      const binary = machine === undefined ? { machineTypes: [] } : await ask(machine.binary);
      return preflight(settings, binary, vms.all(), spec);
    },
    forget: async (uuid) => {
      sampler.forget(uuid);
      await vms.forget(uuid);
    },
  };
}

function destinationSide(
  settings: QmpSettings,
  vms: Vms,
  forget: (uuid: string) => Promise<void>,
): Side<
  "prepareIncoming" | "observeIncoming" | "continueIncoming" | "announce" | "recoverIncoming" | "abandonIncoming"
> {
  return {
    prepareIncoming: async (spec) => {
      // What is remembered of a VM that was here before is not this one's.
      if (readDescriptor(settings.directory, spec.vm.uuid) === null) await forget(spec.vm.uuid);
      return prepareIncoming(settings, spec, vms.get);
    },
    observeIncoming: async (uuid) => {
      const vm = vms.find(uuid);
      return vm === null ? { state: "gone" } : observeIncoming(vm);
    },
    continueIncoming: (uuid) => continueIncoming(vms.get(uuid)),
    announce: async (uuid) => {
      await vms.get(uuid).command("announce-self", ANNOUNCEMENT);
      return "sent";
    },
    recoverIncoming: (uuid) => recoverIncoming(vms.get(uuid), settings.address),
    abandonIncoming: async (uuid) => {
      const vm = vms.find(uuid);
      if (vm === null) return;
      await abandonIncoming(vm);
      await forget(uuid);
    },
  };
}

function sourceSide(
  settings: QmpSettings,
  vms: Vms,
  forget: (uuid: string) => Promise<void>,
): Side<
  | "startOutgoing"
  | "observeOutgoing"
  | "setDowntimeLimit"
  | "setBandwidth"
  | "startPostCopy"
  | "forceSwitchover"
  | "cancelOutgoing"
  | "recoverOutgoing"
  | "releaseSource"
  | "continueSource"
> {
  return {
    startOutgoing: (spec, uri) => startOutgoing(vms.get(spec.vm.uuid), spec, uri, settings),
    observeOutgoing: (uuid, since, timeoutMs) => observeOutgoing(vms.get(uuid), since, timeoutMs),
    setDowntimeLimit: async (uuid, downtimeLimitMs) =>
      void (await vms.get(uuid).command("migrate-set-parameters", { "downtime-limit": Math.round(downtimeLimitMs) })),
    setBandwidth: (uuid, bytesPerSecond) => setBandwidth(vms.get(uuid), bytesPerSecond),
    startPostCopy: async (uuid) => void (await vms.get(uuid).command("migrate-start-postcopy")),
    forceSwitchover: (uuid) => forceSwitchover(vms.get(uuid)),
    cancelOutgoing: (uuid) => cancelOutgoing(vms.get(uuid)),
    recoverOutgoing: (uuid, migrationUri) => recoverOutgoing(vms.get(uuid), migrationUri),
    releaseSource: async (uuid) => {
      const vm = vms.find(uuid);
      if (vm === null) return;
      await releaseSource(vm);
      await forget(uuid);
    },
    continueSource: (uuid) => continueSource(vms.get(uuid)),
  };
}

/** Throws with every wrong field of the settings. Opens nothing before it is used. */
export function createQmpDriver(config: QmpConfig): Driver {
  const settings = qmpConfig.parse(config);
  const vms = createVms(settings.directory);
  const { forget, ...host } = hostSide(settings, vms);
  return {
    name: "qmp",
    handshake: "agents",
    now: () => Date.now(),
    ...host,
    ...destinationSide(settings, vms, forget),
    ...sourceSide(settings, vms, forget),
    close: vms.close,
  };
}
