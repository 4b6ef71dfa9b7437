// A driver whose hypervisor does only what the test says: memory instead of machines.
import { DriverError, type Driver, type IncomingState, type OutgoingState } from "../../scripts/agent/driver.ts";
import type { VmInventory } from "../../worker/model/wire/inventory.ts";
import type { Progress } from "../../worker/model/wire/event.ts";

export const progress = (changes: Partial<Progress> = {}): Progress => ({
  iteration: 1,
  remainingBytes: 4096,
  transferredBytes: 8192,
  phase: "pre-copy",
  elapsedMs: 10,
  ...changes,
});

export type Script = {
  driver: Driver;
  /** Every call that changes something of a migration, in order. */
  calls: string[];
  /** VMs whose dirty curve was measured, in order. */
  curves: string[];
  vms: Map<string, VmInventory>;
  incoming: IncomingState;
  /** What comes here, or has come; null: nothing. */
  prepared: VmInventory | null;
  outgoing: OutgoingState | null;
  /** Puts the outgoing migration into a state; whoever observes it wakes. */
  goTo: (state: OutgoingState) => void;
  /** Runs at the beginning of a call of that name; may throw what the call shall throw. */
  on: Partial<Record<keyof Driver, () => void | Promise<void>>>;
};

function createObserver(script: Script) {
  const wakers = new Set<() => void>();
  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      wakers.add(() => (clearTimeout(timer), resolve()));
    });
  return {
    wake: () => wakers.forEach((wake) => wake()),
    observe: async (since: OutgoingState["state"] | null, timeoutMs: number): Promise<OutgoingState> => {
      if (script.outgoing?.state === since) await pause(timeoutMs);
      if (script.outgoing === null) throw new DriverError("no-migration", "no migration of this VM was started here");
      return script.outgoing;
    },
  };
}

/** A host with these VMs, all running. */
export function createScript(vms: VmInventory[]): Script {
  const step = async (name: keyof Driver, ...details: unknown[]): Promise<void> => {
    script.calls.push([name, ...details].join(" "));
    await script.on[name]?.();
  };
  const setState = (uuid: string, state: VmInventory["state"]): void => {
    const vm = script.vms.get(uuid);
    if (vm) script.vms.set(uuid, { ...vm, state });
  };
  const script: Script = {
    calls: [],
    curves: [],
    vms: new Map(vms.map((vm) => [vm.uuid, vm])),
    incoming: { state: "gone" },
    prepared: null,
    outgoing: null,
    on: {},
    goTo: (state) => {
      script.outgoing = state;
      observer.wake();
    },
    driver: {
      name: "simulated",
      handshake: "agents",
      now: () => Date.now(),
      inventory: async () => ({
        hypervisor: "kvm",
        driver: { name: "simulated" },
        cpu: { cores: 8 },
        memoryBytes: 2 ** 34,
        vms: [...script.vms.values()],
      }),
      vmStates: async () => Object.fromEntries([...script.vms.values()].map((vm) => [vm.uuid, vm.state])),
      sample: async () => ({
        host: { cpu_used_cores: 1 },
        vms: Object.fromEntries([...script.vms.keys()].map((uuid) => [uuid, { cpu_used_cores: 0.5 }])),
      }),
      dirtyCurve: async (uuid) => {
        script.curves.push(uuid);
        return { at: Date.now(), method: "simulated", points: [[1000, 4096]] };
      },
      preflight: async () => (
        await script.on.preflight?.(),
        [{ check: "memory", ok: true, detail: "there is enough" }]
      ),
      prepareIncoming: async ({ vm }) => {
        await step("prepareIncoming", vm.uuid);
        script.prepared = vm;
        script.incoming = { state: "listening" };
        return { migrationUri: "tcp:127.0.0.1:4444" };
      },
      observeIncoming: async () => script.incoming,
      continueIncoming: async (uuid) => {
        await step("continueIncoming", uuid);
        script.incoming = { state: "running" };
        if (script.prepared !== null) script.vms.set(uuid, { ...script.prepared, state: "running" });
        return { resumedAtMs: Date.now() };
      },
      announce: async () => (await script.on.announce?.(), "sent"),
      abandonIncoming: async (uuid) => {
        await step("abandonIncoming", uuid);
        script.incoming = { state: "gone" };
      },
      startOutgoing: async ({ vm }) => {
        await step("startOutgoing", vm.uuid);
        script.outgoing = { state: "active", progress: progress() };
        return { startedAtMs: Date.now() };
      },
      observeOutgoing: (_uuid, since, timeoutMs) => observer.observe(since, timeoutMs),
      setDowntimeLimit: (uuid, downtimeLimitMs) => step("setDowntimeLimit", uuid, downtimeLimitMs),
      setBandwidth: (uuid, bytesPerSecond) => step("setBandwidth", uuid, bytesPerSecond),
      startPostCopy: (uuid) => step("startPostCopy", uuid),
      forceSwitchover: (uuid) => step("forceSwitchover", uuid),
      cancelOutgoing: async (uuid) => {
        await step("cancelOutgoing", uuid);
        script.goTo({ state: "cancelled", detail: "cancelled", vmState: "running" });
      },
      recoverIncoming: async (uuid) => {
        await step("recoverIncoming", uuid);
        return { migrationUri: "tcp:127.0.0.1:4445" };
      },
      recoverOutgoing: (uuid, migrationUri) => step("recoverOutgoing", uuid, migrationUri),
      releaseSource: async (uuid) => {
        await step("releaseSource", uuid);
        script.vms.delete(uuid);
      },
      continueSource: async (uuid) => {
        await step("continueSource", uuid);
        setState(uuid, "running");
      },
      close: async () => {},
    },
  };
  const observer = createObserver(script);
  return script;
}
